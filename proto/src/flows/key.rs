//! How a flow is told from others.
//!
//! A key has an end here and an end at the peer instead of a source and a destination, so the packets of both
//! directions have the same key.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::hash::Seed;
use super::{Direction, Question, Quoted, QuotedTransport, Subject, Transport};
use crate::rules::PacketKind;

/// Six words: the address here and the address there (two each, or of IPv4 the first for both), the peer and the
/// ports, and what kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u64; 6]);

/// What a key stands for; keys of different classes are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// A flow in both directions.
    BothWays,
    /// Echo requests from here, and their replies.
    EchoOut,
    /// Echo requests from the peer, and our replies.
    EchoIn,
    /// Packets that are never answered under the same key (other ICMP), from here.
    OnlyOut,
    /// The same from the peer.
    OnlyIn,
    /// Not a flow: a denial or a fragmented packet.
    NoteOut,
    /// The same from the peer.
    NoteIn,
}

impl Key {
    /// No packet's key.
    pub(super) const NONE: Self = Self([0; 6]);

    /// The flow that a packet belongs to; `None` for what has none (unreadable, or of two address families).
    #[inline(always)]
    pub(super) fn of(direction: Direction, peer: u32, subject: &Subject) -> Option<Self> {
        let (class, protocol, source, destination) = match subject.transport {
            Transport::Tcp { source, destination, .. } => (Class::BothWays, TCP, source, destination),
            Transport::Udp { source, destination } => (Class::BothWays, UDP, source, destination),
            Transport::Icmp { kind, code, id, .. } => {
                match echo_class(direction, is_v6(subject.source), kind) {
                    Some(class) => (class, ICMP, id, id),
                    None => (only(direction), ICMP, u16::from_be_bytes([kind, code]), 0),
                }
            }
            // One whose ports should have been read.
            Transport::Other(TCP | UDP | ICMP | ICMP_V6) | Transport::Unparsed => return None,
            Transport::Other(protocol) => (Class::BothWays, protocol, 0, 0),
        };
        Self::new(
            direction,
            peer,
            (subject.source, source),
            (subject.destination, destination),
            protocol,
            class,
        )
    }

    /// TCP and UDP packets that go one way: those that come back have another key.
    #[inline(always)]
    pub(super) fn one_way(direction: Direction, peer: u32, subject: &Subject) -> Option<Self> {
        let (protocol, source, destination) = match subject.transport {
            Transport::Tcp { source, destination, .. } => (TCP, source, destination),
            Transport::Udp { source, destination } => (UDP, source, destination),
            _ => return None,
        };
        let (source, destination) = ((subject.source, source), (subject.destination, destination));
        Self::new(direction, peer, source, destination, protocol, only(direction))
    }

    /// An echo reply that answers no request: a flow of its own.
    pub(super) fn alone(direction: Direction, peer: u32, subject: &Subject) -> Option<Self> {
        let Transport::Icmp { kind, code, .. } = subject.transport else {
            return None;
        };
        let about = u16::from_be_bytes([kind, code]);
        let (source, destination) = ((subject.source, about), (subject.destination, 0));
        Self::new(direction, peer, source, destination, ICMP, only(direction))
    }

    /// The flow of a packet that was quoted: one that went in `direction`.
    pub(super) fn quoted(direction: Direction, peer: u32, quoted: &Quoted) -> Option<Self> {
        let (class, protocol, source, destination) = match quoted.transport {
            QuotedTransport::Tcp(source, destination) => (Class::BothWays, TCP, source, destination),
            QuotedTransport::Udp(source, destination) => (Class::BothWays, UDP, source, destination),
            QuotedTransport::Icmp(kind, id) => {
                (echo_class(direction, is_v6(quoted.source), kind)?, ICMP, id, id)
            }
            QuotedTransport::Other(TCP | UDP | ICMP | ICMP_V6) => return None,
            QuotedTransport::Other(protocol) => (Class::BothWays, protocol, 0, 0),
        };
        Self::new(
            direction,
            peer,
            (quoted.source, source),
            (quoted.destination, destination),
            protocol,
            class,
        )
    }

    /// A denial: what the rules were asked, and nothing that they were not (source ports), so that a scan with
    /// changing source ports is one denial.
    pub(super) fn denial(question: &Question, refusal: u8) -> Option<Self> {
        let (protocol, about) = match question.kind {
            PacketKind::Tcp(port) => (TCP, port),
            PacketKind::Udp(port) => (UDP, port),
            PacketKind::Icmp => (ICMP, 0),
            PacketKind::Other(protocol) => (protocol, 1),
            PacketKind::Unparsed => (0, 2),
        };
        let source = (question.source, u16::from(refusal));
        let destination = (question.destination, about);
        Self::new(question.direction, question.peer, source, destination, protocol, note(question.direction))
    }

    /// A packet in fragments.
    pub(super) fn fragments(direction: Direction, peer: u32, subject: &Subject, id: u32) -> Option<Self> {
        let [a, b, c, d] = id.to_be_bytes();
        let source = (subject.source, u16::from_be_bytes([a, b]));
        let destination = (subject.destination, u16::from_be_bytes([c, d]));
        Self::new(direction, peer, source, destination, 0, note(direction))
    }

    #[inline(always)]
    fn new(
        direction: Direction,
        peer: u32,
        source: (IpAddr, u16),
        destination: (IpAddr, u16),
        protocol: u8,
        class: Class,
    ) -> Option<Self> {
        // Without branches on the direction: in a mixed stream of packets nothing predicts it.
        let turns = match direction {
            Direction::Out => 0,
            Direction::In => u32::MAX,
        };
        let ports = (u32::from(source.1) << 16 | u32::from(destination.1)).rotate_left(turns & 16);
        let ports = u64::from(peer) << 32 | u64::from(ports);
        let meta = |family: u64| family << 16 | u64::from(protocol) << 8 | u64::from(class as u8);
        match (source.0, destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let pair = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
                Some(Self([pair.rotate_left(turns & 32), 0, 0, 0, ports, meta(4)]))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (halves(source), halves(destination));
                let mask = u64::from(turns) << 32 | u64::from(turns);
                let changed = [0, 1].map(|half| (source[half] ^ destination[half]) & mask);
                let ours = [0, 1].map(|half| source[half] ^ changed[half]);
                let theirs = [0, 1].map(|half| destination[half] ^ changed[half]);
                Some(Self([ours[0], ours[1], theirs[0], theirs[1], ports, meta(6)]))
            }
            _ => None,
        }
    }

    /// Keys of both families have hashes of different lengths, so that the more frequent one has the shorter.
    #[inline(always)]
    pub(super) fn hash(&self, seed: Seed) -> u64 {
        let [a, b, c, d, ports, meta] = self.0;
        match self.is_v4() {
            true => seed.hash([a, ports], meta),
            false => seed.hash([a, b, c, d, ports], meta),
        }
    }

    fn is_v4(&self) -> bool {
        self.0[5] >> 16 == 4
    }

    /// Equality without a call to compare memory: it is asked for each packet.
    #[inline(always)]
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }

    pub(super) fn peer(&self) -> u32 {
        (self.0[4] >> 32) as u32
    }

    /// The protocol; ICMP and ICMPv6 are both 1.
    pub(super) fn protocol(&self) -> u8 {
        (self.0[5] >> 8) as u8
    }

    fn class(&self) -> u8 {
        self.0[5] as u8
    }

    /// What to ask the rules about a flow that was opened in `origin`.
    pub(super) fn question(&self, origin: Direction) -> Question {
        let [our_port, their_port] = [(self.0[4] >> 16) as u16, self.0[4] as u16];
        let (ours, theirs) = self.addresses();
        let (source, destination, port) = match origin {
            Direction::Out => (ours, theirs, their_port),
            Direction::In => (theirs, ours, our_port),
        };
        let kind = match self.protocol() {
            TCP => PacketKind::Tcp(port),
            UDP => PacketKind::Udp(port),
            ICMP => PacketKind::Icmp,
            other => PacketKind::Other(other),
        };
        let from = if origin == Direction::Out { our_port } else { their_port };
        let is_v6 = !self.is_v4();
        let is_echo = [Class::EchoOut as u8, Class::EchoIn as u8].contains(&self.class());
        let (source_port, icmp) = match (self.protocol(), is_echo) {
            (ICMP, true) => (None, Some((if is_v6 { 128 } else { 8 }, 0))),
            (ICMP, _) => (None, Some(from.to_be_bytes().into())),
            (TCP | UDP, _) => (Some(from), None),
            _ => (None, None),
        };
        let peer = self.peer();
        Question { direction: origin, peer, source, destination, kind, source_port, icmp, allowed_by: None }
    }

    /// The address here and the one there.
    fn addresses(&self) -> (IpAddr, IpAddr) {
        let [a, b, c, d, ..] = self.0;
        if self.is_v4() {
            return (Ipv4Addr::from_bits((a >> 32) as u32).into(), Ipv4Addr::from_bits(a as u32).into());
        }
        let whole = |high: u64, low: u64| Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        (whole(a, b).into(), whole(c, d).into())
    }
}

fn halves(address: Ipv6Addr) -> [u64; 2] {
    let bits = address.to_bits();
    [(bits >> 64) as u64, bits as u64]
}

/// What the rules are asked about a packet that opens a flow or has none.
pub(super) fn question(direction: Direction, peer: u32, subject: &Subject) -> Question {
    let kind = match subject.transport {
        Transport::Tcp { destination, .. } => PacketKind::Tcp(destination),
        Transport::Udp { destination, .. } => PacketKind::Udp(destination),
        Transport::Icmp { .. } => PacketKind::Icmp,
        Transport::Other(protocol) => PacketKind::Other(protocol),
        Transport::Unparsed => PacketKind::Unparsed,
    };
    let (source, destination) = (subject.source, subject.destination);
    let (source_port, icmp) = match subject.transport {
        Transport::Tcp { source, .. } | Transport::Udp { source, .. } => (Some(source), None),
        Transport::Icmp { kind, code, .. } => (None, Some((kind, code))),
        Transport::Other(_) | Transport::Unparsed => (None, None),
    };
    Question { direction, peer, source, destination, kind, source_port, icmp, allowed_by: None }
}

/// Whether an ICMP message is an error, which quotes the packet that it is about. Redirects are none: nothing that
/// we let pass should ask for them. Source quench neither: it must not be sent (RFC 6633).
pub(super) fn is_error(v6: bool, kind: u8) -> bool {
    match v6 {
        false => matches!(kind, 3 | 11 | 12),
        true => matches!(kind, 1..=4),
    }
}

pub(super) fn is_v6(address: IpAddr) -> bool {
    address.is_ipv6()
}

/// Whose echo a request or reply in `direction` belongs to.
fn echo_class(direction: Direction, v6: bool, kind: u8) -> Option<Class> {
    let asker = match (v6, kind) {
        (false, 8) | (true, 128) => direction,
        (false, 0) | (true, 129) => direction.opposite(),
        _ => return None,
    };
    Some(match asker {
        Direction::Out => Class::EchoOut,
        Direction::In => Class::EchoIn,
    })
}

pub(super) fn is_echo_reply(v6: bool, kind: u8) -> bool {
    matches!((v6, kind), (false, 0) | (true, 129))
}

fn only(direction: Direction) -> Class {
    match direction {
        Direction::Out => Class::OnlyOut,
        Direction::In => Class::OnlyIn,
    }
}

fn note(direction: Direction) -> Class {
    match direction {
        Direction::Out => Class::NoteOut,
        Direction::In => Class::NoteIn,
    }
}

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
