//! What passes between two nodes, put together from its pieces.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{Piece, Pieces, TopicSet};
use crate::program::RuleRef;
use crate::zmtp::SocketType;

/// The starts of topics that pass, by the using socket.
type Topics<'p> = BTreeMap<SocketType, Vec<&'p [u8]>>;

/// What passes from one node to another: what the one may begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// Services, by name, then by rule.
    pub services: Vec<ServicePass>,
    /// TCP ports, rising.
    pub tcp: Vec<Ports>,
    /// UDP ports, rising.
    pub udp: Vec<Ports>,
    /// The rule that lets ICMP and ICMPv6 pass.
    pub icmp: Option<RuleRef>,
    /// Other IP protocols.
    pub protocols: Vec<Protocols>,
}

/// Messages of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePass {
    /// The service.
    pub name: Arc<str>,
    /// The types of the using application's socket.
    pub sockets: Vec<SocketType>,
    /// Whether these are all that fit the service.
    pub every_socket: bool,
    /// The topics.
    pub topics: TopicSet,
    /// The rule that lets them pass.
    pub rule: RuleRef,
}

/// A range of ports, both ends included, that one rule lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// The rule.
    pub rule: RuleRef,
}

/// IP protocols other than TCP, UDP and ICMP that a rule lets pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// The first number.
    pub first: u8,
    /// The last; TCP, UDP and ICMP are not meant where they lie between.
    pub last: u8,
    /// The rule.
    pub rule: RuleRef,
}

impl Passes {
    /// What `passing` of `pieces` comes to.
    pub fn of(pieces: &Pieces, passing: &[(&Piece, RuleRef)]) -> Self {
        let mut passes = Self::default();
        let mut services: BTreeMap<(Arc<str>, RuleRef), Topics<'_>> = BTreeMap::new();
        for (piece, rule) in passing {
            let rule = rule.clone();
            match piece {
                Piece::Tcp(first, last) => {
                    append(&mut passes.tcp, Ports { first: *first, last: *last, rule });
                }
                Piece::Udp(first, last) => {
                    append(&mut passes.udp, Ports { first: *first, last: *last, rule });
                }
                Piece::Icmp => passes.icmp = Some(rule),
                Piece::Protocols(first, last) => passes.append_protocols(*first, *last, rule),
                Piece::Messages { service, socket, topic } => {
                    let sockets = services.entry((service.clone(), rule)).or_default();
                    sockets.entry(*socket).or_default().push(topic);
                }
            }
        }
        for ((service, rule), sockets) in services {
            passes.services.extend(service_passes(pieces, &service, &rule, &sockets));
        }
        passes
    }

    /// Those that go on where the last ended, but for TCP, UDP and ICMP, are one range.
    fn append_protocols(&mut self, first: u8, last: u8, rule: RuleRef) {
        match self.protocols.last_mut() {
            Some(before)
                if before.rule == rule && (before.last + 1..first).all(|number| OWN.contains(&number)) =>
            {
                before.last = last;
            }
            _ => self.protocols.push(Protocols { first, last, rule }),
        }
    }

    /// Whether nothing passes.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Each thing that passes, in words, and the rule that lets it: services, then TCP, UDP, ICMP and other protocols. What
    /// different ranges of ports have from the same rule is one thing.
    pub fn told(&self) -> Vec<(String, RuleRef)> {
        let mut told: Vec<(String, RuleRef)> =
            self.services.iter().map(|service| (service.to_string(), service.rule.clone())).collect();
        for (name, ports) in [("tcp", &self.tcp), ("udp", &self.udp)] {
            let mut by_rule: Vec<(String, RuleRef)> = Vec::new();
            for ports in ports {
                match by_rule.iter_mut().find(|(_, rule)| *rule == ports.rule) {
                    Some((text, _)) => text.push_str(&format!(", {ports}")),
                    None => by_rule.push((format!("{name} {ports}"), ports.rule.clone())),
                }
            }
            told.append(&mut by_rule);
        }
        told.extend(self.icmp.iter().map(|rule| ("icmp".to_string(), rule.clone())));
        told.extend(self.protocols.iter().map(|protocols| (protocols.to_string(), protocols.rule.clone())));
        told
    }
}

/// Ports that go on where the last ended, by the same rule, are one range.
fn append(ranges: &mut Vec<Ports>, more: Ports) {
    match ranges.last_mut() {
        Some(last) if last.last.checked_add(1) == Some(more.first) && last.rule == more.rule => {
            last.last = more.last;
        }
        _ => ranges.push(more),
    }
}

/// Sockets with the same topics are one.
fn service_passes(
    pieces: &Pieces,
    service: &Arc<str>,
    rule: &RuleRef,
    sockets: &Topics<'_>,
) -> Vec<ServicePass> {
    let mut all_sockets: BTreeSet<SocketType> = BTreeSet::new();
    let mut all_topics: BTreeSet<&[u8]> = BTreeSet::new();
    for piece in pieces.list() {
        if let Piece::Messages { service: of, socket, topic } = piece
            && of == service
        {
            all_sockets.insert(*socket);
            all_topics.insert(topic);
        }
    }
    let mut by_topics: BTreeMap<TopicSet, Vec<SocketType>> = BTreeMap::new();
    for (socket, topics) in sockets {
        let held = all_topics.iter().map(|topic| (*topic, topics.contains(topic))).collect();
        by_topics.entry(TopicSet::new(&held)).or_default().push(*socket);
    }
    let pass = |(topics, sockets): (TopicSet, Vec<SocketType>)| ServicePass {
        name: service.clone(),
        every_socket: sockets.len() == all_sockets.len(),
        sockets,
        topics,
        rule: rule.clone(),
    };
    by_topics.into_iter().map(pass).collect()
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (0, u8::MAX) => f.write_str("all other IP protocols"),
            (first, last) if first == last => write!(f, "IP protocol {first}"),
            (first, last) => write!(f, "IP protocols {first}-{last}"),
        }
    }
}

/// `telemetry temp.* vib.* (sub)`: every topic and every socket that fits go without saying.
impl fmt::Display for ServicePass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.topics.is_every() {
            write!(f, " {}", self.topics)?;
        }
        if !self.every_socket {
            let sockets: Vec<String> =
                self.sockets.iter().map(|socket| socket.name().to_lowercase()).collect();
            write!(f, " ({})", sockets.join(", "))?;
        }
        Ok(())
    }
}

/// ICMP, TCP, UDP and ICMPv6.
pub(super) const OWN: [u8; 4] = [1, 6, 17, 58];
