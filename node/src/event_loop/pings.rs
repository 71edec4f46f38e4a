//! Echoes through the tunnel that `lockgate ping` waits for.

use std::time::Duration;

use lockgate_proto::device::{Echo, MIN_ECHO, PeerId};
use lockgate_proto::now::{Moment, Now};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::EventLoop;
use crate::control::ControlRequest;

/// Echoes that are waited for at a time.
const PINGS: usize = 64;
/// The longest wait; the control socket's own patience ends a little later.
const LONGEST: Duration = Duration::from_secs(4);
/// The largest echo: what fits the tunnel's own payload on an Ethernet.
const LARGEST: u64 = 1400;

/// An echo that is out.
pub(super) struct Ping {
    peer: PeerId,
    id: u64,
    sent: Moment,
    until: Moment,
    facts: Map<String, Value>,
    reply: oneshot::Sender<Value>,
}

impl EventLoop {
    /// Sends an echo; the answer is given when it comes, or when it is late.
    pub(super) fn ping(&mut self, request: ControlRequest, now: Now) {
        let ControlRequest { arguments, reply, .. } = request;
        let (peer, id) = match self.send_ping(&arguments, now) {
            Ok(sent) => sent,
            Err(reason) => {
                let _ = reply.send(json!({ "error": reason }));
                return;
            }
        };
        let wait = arguments.get("timeout_ms").and_then(Value::as_u64).map(Duration::from_millis);
        let until = now.instant + wait.unwrap_or(LONGEST).min(LONGEST);
        let endpoint = self.node.endpoint(peer);
        let mut facts = Map::new();
        facts.insert("endpoint".into(), endpoint.map(|endpoint| endpoint.to_string()).into());
        let path_mtu = endpoint.and_then(|endpoint| self.network.path_mtu(endpoint));
        facts.insert("path_mtu".into(), path_mtu.into());
        self.pings.push(Ping { peer, id, sent: now.instant, until, facts, reply });
    }

    fn send_ping(&mut self, arguments: &Map<String, Value>, now: Now) -> Result<(PeerId, u64), String> {
        let name = arguments.get("peer").and_then(Value::as_str).ok_or("which peer? give its name")?;
        let size = arguments.get("size").and_then(Value::as_u64).unwrap_or(64);
        let size = size.clamp(MIN_ECHO as u64, LARGEST) as usize;
        if self.pings.len() >= PINGS {
            return Err("too many pings at once".into());
        }
        self.node.ping(name, size, now, &mut self.network.batch)
    }

    /// An echo has come back.
    pub(super) fn answer_ping(&mut self, peer: PeerId, echo: Echo, now: Now) {
        // Another peer may have guessed the number.
        let Some(place) = self.pings.iter().position(|ping| (ping.peer, ping.id) == (peer, echo.id)) else {
            return;
        };
        let mut ping = self.pings.swap_remove(place);
        let time = now.instant.since(ping.sent);
        ping.facts.insert("round_trip_us".into(), json!(time.as_nanos() as f64 / 1000.0));
        ping.facts.insert("bytes".into(), echo.len.into());
        // A client that has gone away needs no answer.
        let _ = ping.reply.send(ping.facts.into());
    }

    /// Gives up those that are late.
    pub(super) fn end_pings(&mut self, now: Now) {
        while let Some(place) = self.pings.iter().position(|ping| ping.until <= now.instant) {
            let mut ping = self.pings.swap_remove(place);
            let why = "a Lockgate peer answers at once; a plain WireGuard peer never does, and one without a session cannot";
            ping.facts.insert("why".into(), why.into());
            let _ = ping.reply.send(ping.facts.into());
        }
    }

    pub(super) fn next_ping(&self) -> Option<Moment> {
        self.pings.iter().map(|ping| ping.until).min()
    }
}
