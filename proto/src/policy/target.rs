//! What a rule is about: a service, or packets to a set of nodes.

use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;

use super::TagExpr;

/// What a rule lets reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A service, by name.
    Service(String),
    /// The first packet of a flow of IP packets; the flow's other packets, both ways, follow it.
    Packets(PacketTarget),
}

/// IP packets to a set of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketTarget {
    /// The nodes they may go to.
    pub to: TagExpr,
    /// Which packets.
    pub packets: Packets,
}

/// A kind of packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packets {
    /// TCP to these ports.
    Tcp(RangeInclusive<u16>),
    /// UDP to these ports.
    Udp(RangeInclusive<u16>),
    /// ICMP and ICMPv6.
    Icmp,
}

impl Packets {
    /// Reads `tcp:22`, `udp:5000-5010` or `icmp`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "icmp").then_some(Self::Icmp),
            Some(("tcp", ports)) => parse_ports(ports).map(Self::Tcp),
            Some(("udp", ports)) => parse_ports(ports).map(Self::Udp),
            Some(_) => None,
        }
    }

    /// Whether there is a packet of both kinds.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) | (Self::Udp(a), Self::Udp(b)) => {
                a.start() <= b.end() && b.start() <= a.end()
            }
            (Self::Icmp, Self::Icmp) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Packets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, ports) = match self {
            Self::Tcp(ports) => ("tcp", ports),
            Self::Udp(ports) => ("udp", ports),
            Self::Icmp => return f.write_str("icmp"),
        };
        let (first, last) = (ports.start(), ports.end());
        if first == last { write!(f, "{name}:{first}") } else { write!(f, "{name}:{first}-{last}") }
    }
}

impl fmt::Display for PacketTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to, self.packets)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => f.write_str(name),
            Self::Packets(target) => target.fmt(f),
        }
    }
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    (first <= last).then_some(first..=last)
}

/// A port as people write it: digits only, not 0.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| plain && *port > 0)
}
