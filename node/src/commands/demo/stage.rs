//! The two nodes: fresh keys, UDP on loopback, the built-in policy, a thread each.
//!
//! ```text
//!  PUB, REP ◀── tcp ── north ══ UDP, encrypted, 127.0.0.1 ══ south ── tcp ──▶ PULL
//!      PUSH ─── tcp ─▶                                            ◀── tcp ─── SUB, REQ
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lockgate_broker::broker::Door;
use lockgate_broker::services::{Offer, Reach, Use, UseId};
use lockgate_proto::device::PeerConfig;
use lockgate_proto::keys::{PrivateKey, PublicKey};
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::Rules;
use serde_json::Value;

use super::wiretap::Wiretap;
use crate::commands::up::{SPIN, UDP_PAYLOAD, link_mtu};
use crate::commands::{Failure, mistaken, out_of};
use crate::config::Endpoint;
use crate::control::{self, Inquirer};
use crate::event_loop::{EventLoop, Parts};
use crate::machine::apps::Listener;
use crate::machine::clock::Clock;
use crate::machine::entropy::{self, OsEntropy};
use crate::machine::host;
use crate::machine::locals::Locals;
use crate::machine::poller::{Poller, Waker};
use crate::machine::udp::Udp;
use crate::node::{Gate, Ingredients, Neighbour, Node};

/// The policy's name in messages; it is in the binary, and in the source beside this file.
pub(super) const POLICY_FILE: &str = "demo-policy.toml";
/// The policy.
const POLICY: &str = include_str!("demo-policy.toml");
/// Two nodes that look for work without sleeping, and their applications, want a processor each.
const PROCESSORS_TO_SPIN: usize = 4;

/// One side of the stage, before it runs.
pub(super) struct Side {
    /// The node's name in the policy.
    pub(super) name: &'static str,
    /// Services that applications here have, and where they have bound.
    pub(super) offers: Vec<(&'static str, Endpoint)>,
    /// Services elsewhere that applications here use.
    pub(super) uses: Vec<&'static str>,
}

/// A node that runs on a thread of its own.
pub(super) struct Running {
    /// Its name.
    pub(super) name: &'static str,
    /// Where its tunnel is.
    pub(super) udp: SocketAddr,
    /// Its fresh public key.
    pub(super) public_key: PublicKey,
    /// Where applications here reach each service that they use.
    pub(super) endpoints: Vec<(&'static str, Endpoint)>,
    inquirer: Inquirer,
    stop: Sender<()>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

struct Own {
    key: PrivateKey,
    udp: Udp,
}

struct Peer {
    name: &'static str,
    public_key: PublicKey,
    udp: SocketAddr,
}

/// Starts both nodes; `wiretap` sees every datagram of both.
pub(super) fn raise(sides: [Side; 2], clock: Clock, wiretap: &Arc<Wiretap>) -> Result<[Running; 2], Failure> {
    let policy = Policy::parse(POLICY_FILE, POLICY).map_err(|mistakes| mistaken(&mistakes))?;
    let rules = Arc::new(Rules::compile(&policy, 1));
    let [north, south] = [own()?, own()?];
    let peers = [(&sides[1], &south), (&sides[0], &north)].map(|(side, own)| Peer {
        name: side.name,
        public_key: own.key.public(),
        udp: own.udp.local_addr(),
    });
    let [of_north, of_south] = peers;
    let [north_side, south_side] = sides;
    let setting = Setting { clock, rules, wiretap };
    Ok([setting.start(north_side, north, of_north)?, setting.start(south_side, south, of_south)?])
}

fn own() -> Result<Own, Failure> {
    let udp = Udp::bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(|error| Failure::failed(error, ""))?;
    Ok(Own { key: PrivateKey::generate(&mut OsEntropy), udp })
}

/// What both nodes share.
struct Setting<'a> {
    clock: Clock,
    rules: Arc<Rules>,
    wiretap: &'a Arc<Wiretap>,
}

impl Setting<'_> {
    fn start(&self, side: Side, own: Own, peer: Peer) -> Result<Running, Failure> {
        let poller = Poller::new().map_err(out_of)?;
        let waker = poller.waker();
        let (server, inquirer) = control::in_process(waker.clone());
        let (stop, stopped) = channel();
        let (mut entrances, mut endpoints) = (Vec::new(), Vec::new());
        for (place, service) in side.uses.iter().enumerate() {
            let any_port = Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into());
            let listener = Listener::bind(&any_port).map_err(|error| Failure::failed(error, ""))?;
            endpoints.push((*service, listener.endpoint().clone()));
            entrances.push((Door::Use(UseId(place)), listener));
        }
        let (udp, public_key) = (own.udp.local_addr(), own.key.public());
        let wiretap = Arc::clone(self.wiretap);
        let dialed = side.offers.iter().map(|(_, endpoint)| Some(endpoint.clone())).collect();
        let parts = Parts {
            node: self.node(&side, own.key, peer)?,
            clock: self.clock,
            udp: Some(own.udp),
            tun: None,
            locals: Locals::new(poller, dialed),
            entrances,
            control: Some(server),
            uapi: None,
            signals: None,
            stop: Some(stopped),
            spin: if host::processors() >= PROCESSORS_TO_SPIN { SPIN } else { Duration::ZERO },
            tap: Some(Box::new(move |datagram| wiretap.datagram(datagram))),
            reload: None,
        };
        let event_loop = EventLoop::new(parts).map_err(out_of)?;
        let named = thread::Builder::new().name(format!("node-{}", side.name));
        let thread = named.spawn(move || event_loop.run().map(|_| ())).map_err(out_of)?;
        Ok(Running { name: side.name, udp, public_key, endpoints, inquirer, stop, waker, thread })
    }

    fn node(&self, side: &Side, identity: PrivateKey, peer: Peer) -> Result<Node, Failure> {
        let tunnel = PeerConfig {
            public_key: peer.public_key,
            preshared_key: None,
            endpoint: Some(peer.udp),
            keepalive: None,
        };
        let offers =
            side.offers.iter().map(|(service, _)| Offer { service: (*service).into(), reach: Reach::Dial });
        let uses = side.uses.iter().map(|service| Use { service: (*service).into(), from: None });
        let ingredients = Ingredients {
            name: side.name.into(),
            identity: Some(identity),
            addresses: Vec::new(),
            gate: Gate::NoTun,
            randomness: entropy::randomness(),
            peers: vec![Neighbour { name: peer.name.into(), tunnel, addresses: Vec::new() }],
            offers: offers.collect(),
            uses: uses.collect(),
            rules: Arc::clone(&self.rules),
            link_mtu: link_mtu(UDP_PAYLOAD),
            base: self.clock.std_base(),
        };
        Node::new(ingredients, self.clock.now())
            .map_err(|(peer, error)| Failure::failed(format!("peer {peer}: {error}"), "try again"))
    }
}

impl Running {
    /// What `status --json` would say.
    pub(super) fn status(&self) -> Option<Value> {
        self.inquirer.ask("status")
    }

    /// Whether its thread has ended, which it should not have.
    pub(super) fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }

    /// Where applications here reach `service`, as libzmq writes it.
    pub(super) fn endpoint(&self, service: &str) -> Option<String> {
        self.endpoints.iter().find(|(name, _)| *name == service).map(|(_, endpoint)| endpoint.to_string())
    }

    /// Stops it and waits for its end; what went wrong, if anything did.
    pub(super) fn stop(self) -> Option<String> {
        // Gone already: its end is told below.
        let _ = self.stop.send(());
        self.waker.wake();
        match self.thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("node {} failed: {error}", self.name)),
            Err(_) => Some(format!("node {} broke down", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policy_is_sound() {
        let policy = Policy::parse(POLICY_FILE, POLICY).unwrap();
        assert!(policy.warnings.is_empty(), "{:?}", policy.warnings);
        let rules = Rules::compile(&policy, 1);
        assert_eq!(rules.services().collect::<Vec<_>>(), ["command", "jobs", "telemetry"]);
    }
}
