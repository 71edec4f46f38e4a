//! Questions about packets: may such a flow begin, and if not, why.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::lists::Said;
use super::{Denial, RuleRef, Rules, shortfall};
use crate::policy::{NodeTags, PacketTarget, Packets, TagExpr};
use crate::program::{Direction, Packet, Recognised, Subject};

/// What kind of packet opens a flow, as far as the rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketKind {
    /// TCP to this destination port.
    Tcp(u16),
    /// UDP to this destination port.
    Udp(u16),
    /// ICMP or ICMPv6, of any type.
    Icmp,
    /// Another IP protocol, by its number. No rule names one.
    Other(u8),
    /// A packet that could not be read down to its ports: always denied.
    Unparsed,
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "tcp:{port}"),
            Self::Udp(port) => write!(f, "udp:{port}"),
            Self::Icmp => f.write_str("icmp"),
            Self::Other(protocol) => write!(f, "IP protocol {protocol}"),
            Self::Unparsed => f.write_str("an unreadable packet"),
        }
    }
}

/// May this node open such a flow to that one?
#[derive(Clone, Copy, Debug)]
pub struct PacketQuestion<'a> {
    /// The node that sends the first packet.
    pub from: &'a str,
    /// The node that it goes to.
    pub to: &'a str,
    /// What kind of packet.
    pub kind: PacketKind,
    /// From which address to which; `None` for any.
    pub addresses: Option<(IpAddr, IpAddr)>,
}

/// One allow rule for packets.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    pub(super) rule: RuleRef,
    pub(super) from: TagExpr,
    pub(super) to: TagExpr,
    pub(super) packets: Packets,
}

impl Passage {
    pub(super) fn new(rule: RuleRef, from: &TagExpr, target: &PacketTarget) -> Self {
        Self { rule, from: from.clone(), to: target.to.clone(), packets: target.packets.clone() }
    }

    fn takes(&self, kind: PacketKind) -> bool {
        match (kind, &self.packets) {
            (PacketKind::Tcp(port), Packets::Tcp(ports)) | (PacketKind::Udp(port), Packets::Udp(ports)) => {
                ports.contains(&port)
            }
            (PacketKind::Icmp, Packets::Icmp) => true,
            _ => false,
        }
    }

    /// How far the kind is from what the rule is for: 0 matches, 1 is another port, 2 another protocol.
    fn distance(&self, kind: PacketKind) -> usize {
        match (kind, &self.packets) {
            _ if self.takes(kind) => 0,
            (PacketKind::Tcp(_), Packets::Tcp(_)) | (PacketKind::Udp(_), Packets::Udp(_)) => 1,
            _ => 2,
        }
    }
}

impl PacketQuestion<'_> {
    /// The first packets that would be such a flow's: of each version of IP that it may be. None of what cannot be read.
    pub fn packets(&self) -> impl Iterator<Item = Packet> + use<> {
        let versions = [(0x0800, 1), (0x86dd, 58)];
        let is_v6 = self.addresses.map(|(source, _)| source.is_ipv6());
        let fits = move |(ethertype, _): &(u16, u8)| is_v6.is_none_or(|v6| v6 == (*ethertype == 0x86dd));
        let Self { kind, addresses, .. } = *self;
        versions.into_iter().filter(fits).filter_map(move |(ethertype, icmp)| {
            let mut packet = Packet {
                ethertype,
                source: addresses.map(|(source, _)| source),
                destination: addresses.map(|(_, destination)| destination),
                tos: 0,
                protocol: None,
                icmp: None,
                ports: None,
                tcp_flags: 0,
                size: 0,
                random: 0,
                established: false,
                spoken: Recognised::Undecided,
                asked: true,
                readable: true,
            };
            match kind {
                PacketKind::Tcp(port) => {
                    packet.protocol = Some(6);
                    packet.ports = Some((0, port));
                    packet.tcp_flags = SYN;
                }
                PacketKind::Udp(port) => {
                    packet.protocol = Some(17);
                    packet.ports = Some((0, port));
                }
                PacketKind::Icmp => packet.protocol = Some(icmp),
                // What should have been read further is unreadable.
                PacketKind::Other(1 | 6 | 17 | 58) | PacketKind::Unparsed => return None,
                PacketKind::Other(protocol) => packet.protocol = Some(protocol),
            }
            Some(packet)
        })
    }
}

impl Rules {
    /// Judges the first packet of a flow between two nodes, at both ends.
    ///
    /// # Errors
    /// The reason, the nearest rule and why that one does not match.
    pub fn packet(&self, question: &PacketQuestion<'_>) -> Result<&RuleRef, Denial> {
        if self.is_nothing() {
            return Err(Denial::bare(
                "there is no policy: nothing passes",
                "write one and name it in lockgate.toml",
            ));
        }
        let (from, to) = (self.known_node(question.from)?, self.known_node(question.to)?);
        match self.judge(question) {
            Said::Passes(act) => Ok(&act.rule),
            Said::Denied(act) => Err(Denial {
                reason: format!("{} may not send {} to {}", question.from, question.kind, question.to),
                nearest: Some(act.rule.clone()),
                why_not: "it forbids that".to_owned(),
            }),
            Said::NoRule => Err(self.nearest_passage(question, from, to)),
        }
    }

    /// What all lists say at both ends, of whichever version of IP may pass.
    pub(super) fn judge(&self, question: &PacketQuestion<'_>) -> Said<'_> {
        let mut said = Said::NoRule;
        for packet in question.packets() {
            match self.at_both_ends(question, &packet) {
                Said::NoRule => {}
                Said::Denied(act) => said = Said::Denied(act),
                Said::Passes(act) => return Said::Passes(act),
            }
        }
        said
    }

    fn at_both_ends(&self, question: &PacketQuestion<'_>, packet: &Packet) -> Said<'_> {
        let subject = Subject::Packet(*packet);
        let mut said = Said::NoRule;
        for direction in [Direction::Out, Direction::In] {
            let Some(parties) = self.parties(direction, question.from, question.to) else {
                return Said::NoRule;
            };
            said = self.packets.judge(&parties, &subject);
            if !matches!(said, Said::Passes(_)) {
                break;
            }
        }
        said
    }

    /// No rule matched: the one that fails on the fewest conditions.
    fn nearest_passage(&self, question: &PacketQuestion<'_>, from: &NodeTags, to: &NodeTags) -> Denial {
        let reason = format!("no rule lets {} send {} to {}", question.from, question.kind, question.to);
        if question.kind == PacketKind::Unparsed {
            return Denial::bare(reason, "what cannot be read down to its ports is always denied");
        }
        let misses = |rule: &&Passage| {
            rule.from.misses(question.from, from).count()
                + rule.to.misses(question.to, to).count()
                + rule.distance(question.kind)
        };
        let Some(nearest) = self.passages.iter().min_by_key(misses) else {
            return Denial::bare(reason, "the policy has no rule for packets");
        };
        let mut why_not: Vec<String> = Vec::new();
        if !nearest.from.matches(question.from, from) {
            let short = shortfall(&nearest.from, question.from, from);
            why_not.push(format!("it is from {}: {short}", nearest.from));
        }
        if !nearest.to.matches(question.to, to) {
            let short = shortfall(&nearest.to, question.to, to);
            why_not.push(format!("it is to {}: {short}", nearest.to));
        }
        if !nearest.takes(question.kind) {
            why_not.push(format!("it is for {}", packets_text(&nearest.packets)));
        }
        Denial { reason, nearest: Some(nearest.rule.clone()), why_not: why_not.join("; ") }
    }
}

/// As the policy file writes it.
fn packets_text(packets: &Packets) -> String {
    let ports = |name: &str, ports: &RangeInclusive<u16>| match (ports.start(), ports.end()) {
        (first, last) if first == last => format!("{name}:{first}"),
        (first, last) => format!("{name}:{first}-{last}"),
    };
    match packets {
        Packets::Tcp(range) => ports("tcp", range),
        Packets::Udp(range) => ports("udp", range),
        Packets::Icmp => "icmp".to_owned(),
    }
}

const SYN: u16 = 2;
