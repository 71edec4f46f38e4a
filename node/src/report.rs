//! What a node says about itself: the JSON of `status`, from which every other form is made.

mod policy;

pub use policy::PolicyFacts;

use std::net::SocketAddr;

use lockgate_broker::broker::Door;
use lockgate_broker::links::{LinkId, LinkReport, Side};
use lockgate_broker::services::{OfferId, Tally, UseId};
use lockgate_proto::now::Now;
use lockgate_proto::rules::{Opening, ServiceRule};
use lockgate_proto::zmtp::SocketType;
use serde_json::{Map, Value, json};

use crate::machine::outbox::SendCounters;
use crate::machine::tun::{Counters as TunCounters, Offloads};
use crate::machine::udp::ReceiveCounters;
use crate::node::Node;

/// What the event loop knows and the node does not.
pub struct Facts {
    /// When the loop began.
    pub started: Now,
    /// Where the tunnel listens, while it does.
    pub listen: Option<SocketAddr>,
    /// What was sent and received.
    pub counters: (SendCounters, ReceiveCounters),
    /// Whether sends are segmented by the kernel.
    pub segmenting: bool,
    /// The TUN device, if there is one.
    pub tun: Option<TunFacts>,
    /// What the routing table knows about the way to each peer, in bytes.
    pub path_mtus: Vec<Option<u16>>,
    /// The policy and its file.
    pub policy: PolicyFacts,
    /// The local endpoints, as bound.
    pub endpoints: Vec<(Door, String)>,
}

/// The TUN device.
pub struct TunFacts {
    /// The interface's name.
    pub name: String,
    /// What the kernel hands over and takes in one piece.
    pub offloads: Offloads,
    /// Whether opened TCP packets are coalesced at present: the device takes it, and refusals do not suspend it.
    pub coalescing: bool,
    /// The same for UDP.
    pub coalescing_udp: bool,
    /// What it has carried.
    pub counters: TunCounters,
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
    let denied_packets = node.gate().denials().map(|denial| {
        json!({
            "from": &*denial.from,
            "to": &*denial.to,
            "what": denial.what.to_string(),
            "reason": denial.reason,
            "count": denial.count,
            "seconds_ago": now.since(denial.last).as_secs_f64(),
        })
    });
    json!({
        "node": node.name(),
        "public_key": node.public_key().map(|key| key.to_string()),
        "listen": facts.listen.map(|listen| listen.to_string()),
        "uptime_seconds": now.since(facts.started.instant).as_secs_f64(),
        "policy": policy::policy(node, &facts.policy, now),
        "peers": peers(node, facts, now),
        "services": services.collect::<Vec<_>>(),
        "connections": broker.connections(),
        "denials": denials.chain(denied_packets).collect::<Vec<_>>(),
        "foreign_offers": policy::foreign_offers(node, now),
        "discards": counts(node.discards().iter()),
        "faults": counts(broker.faults()),
        "udp": udp(facts),
        "tun": facts.tun.as_ref().map(tun),
        "packets": packets(node),
        "copies": copies(node),
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

fn peers(node: &Node, facts: &Facts, now: Now) -> Vec<Value> {
    let peers = (0..).map(LinkId).zip(node.peers()).zip(&facts.path_mtus).map(|((id, peer), path_mtu)| {
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
            "rx_packets": tunnel.received_packets,
            "rx_lost": tunnel.lost,
            "path_mtu": path_mtu,
            "addresses": peer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
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
    let (sends, receives) = facts.counters;
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
        "receives": receives.receives,
        "received_datagrams": receives.datagrams,
        "receive_errors": receives.errors,
        "malformed": receives.malformed,
    })
}

fn tun(facts: &TunFacts) -> Value {
    let counters = facts.counters;
    json!({
        "name": facts.name,
        "super_packets": facts.offloads.tso,
        "udp_super_packets": facts.offloads.uso,
        "coalescing": facts.coalescing,
        "coalescing_udp": facts.coalescing_udp,
        "reads": counters.reads,
        "read_bytes": counters.read_bytes,
        "super_packets_read": counters.super_packets,
        "writes": counters.writes,
        "written_bytes": counters.written_bytes,
        "coalesced_written": counters.coalesced,
        "refused": counters.refused,
        "full": counters.full,
        "down": counters.down,
        "errors": counters.errors,
    })
}

fn packets(node: &Node) -> Value {
    let gate = node.gate();
    let flows = gate.flows().map(|(now, counters)| {
        json!({
            "now": now,
            "opened": counters.opened,
            "expired": counters.expired,
            "evicted": counters.evicted,
            "withdrawn": counters.withdrawn,
            "denied": counters.denied,
        })
    });
    json!({ "rules": gate.mode(), "flows": flows })
}

fn copies(node: &Node) -> Value {
    let counters = node.observed_report().counters();
    json!({
        "received": counters.received,
        "unobserved": counters.unobserved,
        "refused": counters.refused,
        "dropped": counters.dropped,
    })
}

/// What the policy says about this node's applications and a service of a peer.
pub fn may(node: &Node, arguments: &Map<String, Value>) -> Value {
    let text = |key| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
    let (host, service) = (text("peer"), text("service"));
    let rules = node.broker_report().rules();
    let opening = |socket| Opening { user: node.name(), host, service, socket, identity: &[] };
    let fits = |socket: &SocketType| {
        let sockets = rules.service(service).map(ServiceRule::sockets).unwrap_or_default();
        sockets.is_empty() || sockets.iter().any(|offered| offered.matches(*socket))
    };
    let judged =
        SocketType::ALL.into_iter().filter(fits).map(|socket| (socket, rules.may_open(&opening(socket))));
    let judged: Vec<_> = judged.collect();
    let allowed: Vec<&str> =
        judged.iter().filter(|(_, judgement)| judgement.is_ok()).map(|(socket, _)| socket.name()).collect();
    let denial = judged.iter().find_map(|(_, judgement)| judgement.as_ref().err());
    let says = match (allowed.is_empty(), denial) {
        (true, Some(denial)) => format!("denied: {denial}"),
        (true, None) => "denied".to_owned(),
        (false, _) => format!("applications here may use {service} of {host} ({})", allowed.join(", ")),
    };
    json!({ "allowed": !allowed.is_empty(), "sockets": allowed, "says": says })
}

fn counts(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts.map(|(name, count)| (name.to_owned(), count.into())).collect()
}
