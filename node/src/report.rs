//! What a node says about itself: the JSON of `status`, from which every other form is made.

use std::net::SocketAddr;

use lockgate_broker::broker::Door;
use lockgate_broker::links::{LinkId, LinkReport, Side};
use lockgate_broker::services::{OfferId, Tally, UseId};
use lockgate_proto::now::Now;
use serde_json::{Map, Value, json};

use crate::machine::outbox::SendCounters;
use crate::node::Node;

/// What the event loop knows and the node does not.
pub struct Facts {
    /// When the loop began.
    pub started: Now,
    /// Where the tunnel listens.
    pub listen: SocketAddr,
    /// What was sent.
    pub sends: SendCounters,
    /// Whether sends are segmented by the kernel.
    pub segmenting: bool,
    /// The local endpoints, as bound.
    pub endpoints: Vec<(Door, String)>,
}

/// The whole status as JSON.
pub fn status(node: &Node, facts: &Facts, now: Now) -> Value {
    let broker = node.broker_report();
    let services = broker.services();
    let offers = services.iter().filter(|service| service.offered).count();
    let services = services.iter().enumerate().map(|(place, service)| {
        let door =
            if service.offered { Door::Offer(OfferId(place)) } else { Door::Use(UseId(place - offers)) };
        let endpoint = facts.endpoints.iter().find(|(other, _)| *other == door);
        json!({
            "service": &*service.service,
            "role": if service.offered { "offer" } else { "use" },
            "listen": endpoint.map(|(_, endpoint)| endpoint),
            "counters": tally(&service.tally),
        })
    });
    let denials = broker.denials().map(|denial| {
        json!({
            "from": &*denial.from,
            "service": &*denial.service,
            "socket": denial.socket,
            "what": denial.what.name(),
            "reason": denial.reason,
            "count": denial.count,
            "seconds_ago": now.since(denial.last).as_secs_f64(),
        })
    });
    json!({
        "node": node.name(),
        "public_key": node.public_key().to_string(),
        "listen": facts.listen.to_string(),
        "uptime_seconds": now.since(facts.started.instant).as_secs_f64(),
        "policy": { "in_force": !broker.rules().is_nothing(), "generation": broker.rules().generation() },
        "peers": peers(node, now),
        "services": services.collect::<Vec<_>>(),
        "connections": broker.connections(),
        "denials": denials.collect::<Vec<_>>(),
        "discards": counts(node.discards().iter()),
        "faults": counts(broker.faults()),
        "udp": udp(facts),
    })
}

fn link(report: &LinkReport) -> Value {
    json!({
        "side": if report.side == Side::Uses { "uses" } else { "serves" },
        "round_trip_us": report.round_trip.as_micros() as u64,
        "congestion_window": report.congestion_window,
        "congestion_events": report.congestion_events,
        "sent_packets": report.sent,
        "lost_packets": report.lost,
    })
}

fn peers(node: &Node, now: Now) -> Vec<Value> {
    let peers = (0..).map(LinkId).zip(node.peers()).map(|(id, peer)| {
        let links: Vec<Value> = node.broker_report().link_reports(id).map(|report| link(&report)).collect();
        let tunnel = peer.tunnel;
        let age = tunnel.last_handshake.map(|then| now.since(then.instant).as_secs_f64());
        json!({
            "name": &*peer.name,
            "public_key": tunnel.public_key.to_string(),
            "endpoint": tunnel.endpoint.map(|endpoint| endpoint.to_string()),
            "state": tunnel.reach.name(),
            "handshake_age_seconds": age,
            "rx_bytes": tunnel.received,
            "tx_bytes": tunnel.sent,
            "links": links,
            "handshake_round_trip_us": tunnel.round_trip.map(|time| time.as_micros() as u64),
        })
    });
    peers.collect()
}

fn tally(tally: &Tally) -> Value {
    json!({
        "open": tally.open,
        "opened": tally.opened,
        "refused": tally.refused,
        "faults": tally.faults,
        "unserved": tally.unserved,
        "messages_out": tally.messages_out,
        "bytes_out": tally.bytes_out,
        "messages_in": tally.messages_in,
        "bytes_in": tally.bytes_in,
        "dropped": tally.dropped,
        "subscriptions_refused": tally.subscriptions_refused,
        "unknown_commands": tally.unknown_commands,
    })
}

fn udp(facts: &Facts) -> Value {
    let sends = facts.sends;
    json!({
        "segmentation": facts.segmenting,
        "sends": sends.sends,
        "datagrams": sends.datagrams,
        "bytes": sends.bytes,
        "fallbacks": sends.fallbacks,
        "stale_sources": sends.stale_sources,
        "errors": sends.errors,
        "blocked": sends.blocked,
        "refused": sends.refused,
    })
}

fn counts(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts.map(|(name, count)| (name.to_owned(), count.into())).collect()
}
