//! How one test comes out.

use super::facts::{IPV4, IPV6};
use super::{
    Characteristics, Direction, EndSocket, Message, Packet, Parties, Recognised, Subject, TagTest, Test,
    Topic, ZmqTest, ZmtpTest,
};

/// How a test comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// Not known yet.
    Maybe,
    /// It will never be known.
    Doubt,
    /// It does not apply: false, also after `not`.
    Never,
    /// True, also after `not` (upstream's `icmp` without a code).
    Always,
    /// The packet should say, but cannot be read.
    Unreadable,
}

fn is(it: bool) -> Truth {
    if it { Truth::Yes } else { Truth::No }
}

impl Test {
    /// Whether the answer can change from one packet of a flow to the next.
    pub(super) fn is_volatile(&self) -> bool {
        match self {
            Self::Characteristics(bits) => bits & Characteristics::TCP_FLAGS != 0,
            Self::Size(..) | Self::Random(_) | Self::Tos { .. } | Self::Icmp { .. } => true,
            Self::Established | Self::Zmtp(_) => true,
            _ => false,
        }
    }

    /// Asks it.
    pub(super) fn ask(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Truth {
        if let Some(truth) = self.ask_parties(parties) {
            return truth;
        }
        match (self, subject) {
            (Self::Characteristics(wanted), Subject::Message(_)) if wanted & OF_MESSAGES == 0 => Truth::Never,
            (Self::Characteristics(wanted), subject) => {
                let bits = characteristics(parties, subject) & wanted;
                let in_doubt = bits & !Characteristics::TCP_FLAGS == 0
                    && wanted & Characteristics::TCP_FLAGS != 0
                    && matches!(subject, Subject::Packet(Packet { readable: false, .. }));
                if in_doubt { Truth::Unreadable } else { is(bits != 0) }
            }
            (Self::Random(_), Subject::Packet(packet)) if packet.asked => Truth::Maybe,
            (Self::Random(most), Subject::Packet(packet)) => is(packet.random <= *most),
            (Self::Zmq(test), Subject::Message(message)) => test.ask(message),
            (Self::Zmtp(test), Subject::Packet(packet)) => test.ask(packet),
            (_, Subject::Packet(packet)) => self.ask_packet(packet),
            (_, Subject::Message(_)) => Truth::Never,
        }
    }

    /// Asks it where the parties alone are the answer.
    pub(super) fn ask_parties(&self, parties: &Parties<'_>) -> Option<Truth> {
        Some(match self {
            Self::SourceNode(name) => is(**name == *parties.source),
            Self::DestinationNode(name) => is(**name == *parties.destination),
            Self::From(term) => is(term.matches(parties.source, parties.source_tags)),
            Self::To(term) => is(term.matches(parties.destination, parties.destination_tags)),
            Self::Tag { how, tag, value } => tags(*how, *tag, *value, parties),
            Self::Vlan(..) | Self::SourceMac(_) | Self::DestinationMac(_) => Truth::Never,
            _ => return None,
        })
    }

    /// Whether a question leaves the answer open.
    fn is_open(&self, packet: &Packet) -> bool {
        match self {
            Self::Source(_) | Self::SourceIn(_) => packet.source.is_none(),
            Self::Destination(_) | Self::DestinationIn(_) => packet.destination.is_none(),
            // No packet has the source port 0: it stands for one that is not known. Of SCTP and UDP-Lite no question gives ports.
            Self::SourcePort(..) | Self::SourcePortIn(_) => {
                packet.ports.map_or(has_ports(packet), |(source, _)| source == 0)
            }
            Self::DestinationPort(..) | Self::DestinationPortIn(_) => {
                has_ports(packet) && packet.ports.is_none()
            }
            Self::Icmp { .. } => matches!(packet.protocol, Some(1 | 58)) && packet.icmp.is_none(),
            Self::Size(..) | Self::Tos { .. } => true,
            _ => false,
        }
    }

    fn ask_packet(&self, packet: &Packet) -> Truth {
        if packet.asked && self.is_open(packet) {
            return Truth::Maybe;
        }
        let has_header = packet.source.is_some();
        match self {
            Self::EtherType(wanted) => is(packet.ethertype == *wanted as u16),
            Self::IpProtocol(wanted) => match packet.protocol {
                _ if !packet.readable => Truth::Unreadable,
                Some(protocol) => is(protocol == *wanted as u8),
                None => Truth::Never,
            },
            Self::Source(net) => holds(packet.source.and_then(|source| net.holds(source))),
            Self::Destination(net) => {
                holds(packet.destination.and_then(|destination| net.holds(destination)))
            }
            Self::SourceIn(set) => holds(packet.source.and_then(|source| set.holds(source))),
            Self::DestinationIn(set) => {
                holds(packet.destination.and_then(|destination| set.holds(destination)))
            }
            Self::Tos { .. } if !has_header => Truth::Never,
            Self::Tos { mask, start, end } => is((*start..=*end).contains(&(packet.tos & mask))),
            Self::Icmp { kind, code } => match packet.icmp {
                _ if !packet.readable => Truth::Unreadable,
                Some((actual, _)) if actual != *kind => Truth::Never,
                Some((_, actual)) => code.map_or(Truth::Always, |code| is(actual == code)),
                None => Truth::Never,
            },
            Self::SourcePort(first, last) => {
                port(packet, |(source, _)| source, |port| (*first..=*last).contains(&port))
            }
            Self::DestinationPort(first, last) => {
                port(packet, |(_, destination)| destination, |port| (*first..=*last).contains(&port))
            }
            Self::SourcePortIn(set) => port(packet, |(source, _)| source, |port| set.holds(port)),
            Self::DestinationPortIn(set) => {
                port(packet, |(_, destination)| destination, |port| set.holds(port))
            }
            Self::Size(first, last) => is((*first..=*last).contains(&packet.size)),
            Self::Established => is(packet.established),
            _ => Truth::Never,
        }
    }
}

fn has_ports(packet: &Packet) -> bool {
    matches!(packet.protocol, Some(TCP | UDP | SCTP | UDP_LITE))
}

fn holds(answer: Option<bool>) -> Truth {
    answer.map_or(Truth::Never, is)
}

/// Upstream takes port 0 of IPv6 for "no port".
fn port(packet: &Packet, which: impl Fn((u16, u16)) -> u16, fits: impl Fn(u16) -> bool) -> Truth {
    if !packet.readable {
        return Truth::Unreadable;
    }
    let is_v4 = packet.ethertype == IPV4 && (packet.source.is_some() || packet.asked);
    if !is_v4 && (packet.ethertype != IPV6 || packet.protocol.is_none()) {
        return Truth::Never;
    }
    let asked = packet.ports.map(which);
    is(asked.is_some_and(|port| fits(port) && (is_v4 || port != 0)))
}

fn tags(how: TagTest, tag: u32, value: u32, parties: &Parties<'_>) -> Truth {
    let of = |values: &[(u32, u32)]| {
        let at = values.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        Some(values[at].1)
    };
    let (sender, receiver) = (of(parties.source_values), of(parties.destination_values));
    let answer = match how {
        TagTest::Sender => sender.map(|sender| sender == value),
        TagTest::Receiver => receiver.map(|receiver| receiver == value),
        _ => sender.zip(receiver).map(|(one, other)| match how {
            TagTest::And => one & other == value,
            TagTest::Or => one | other == value,
            TagTest::Xor => one ^ other == value,
            TagTest::Difference => one.abs_diff(other) <= value,
            _ => one == value && other == value,
        }),
    };
    holds(answer)
}

fn characteristics(parties: &Parties<'_>, subject: &Subject<'_>) -> u64 {
    let mut bits = Characteristics::IP_AUTHENTICATED;
    if parties.direction == Direction::In {
        bits |= Characteristics::INBOUND;
    }
    if let Subject::Packet(packet) = subject {
        bits |= u64::from(packet.tcp_flags);
        if let Some(destination) = packet.destination {
            let is_everybody = destination == core::net::IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
            if is_everybody {
                bits |= Characteristics::BROADCAST;
            }
            if is_everybody || destination.is_multicast() {
                bits |= Characteristics::MULTICAST;
            }
        }
    }
    bits
}

impl ZmqTest {
    pub(super) fn ask(&self, message: &Message<'_>) -> Truth {
        match self {
            Self::Service(name) => is(**name == *message.service),
            Self::Socket(socket) => is(*socket == message.socket),
            Self::Identity(start) => message.identity.map_or(Truth::Maybe, |id| is(id.starts_with(start))),
            Self::Mechanism(name) => is(**name == *message.mechanism),
            Self::Size(first, last) => is((*first..=*last).contains(&message.size)),
            Self::Topic(start) => match message.topic {
                Topic::Is(topic) => is(topic.starts_with(start)),
                Topic::BeginsWith(topic) if topic.starts_with(start) => Truth::Yes,
                Topic::BeginsWith(topic) if start.starts_with(topic) => Truth::Maybe,
                Topic::BeginsWith(_) => Truth::No,
            },
        }
    }
}

impl ZmtpTest {
    fn ask(&self, packet: &Packet) -> Truth {
        if packet.protocol != Some(TCP) {
            return Truth::Never;
        }
        let (spoken, sockets) = match packet.spoken {
            Recognised::Undecided => return Truth::Maybe,
            Recognised::Untold => return Truth::Doubt,
            Recognised::Other => return if *self == Self::Spoken { Truth::No } else { Truth::Never },
            Recognised::Zmtp { mechanism, sockets } => (mechanism, sockets),
        };
        match self {
            Self::Spoken => Truth::Yes,
            Self::Mechanism(name) => {
                let len = spoken.iter().position(|byte| *byte == 0).unwrap_or(spoken.len());
                is(spoken[..len] == *name.as_bytes())
            }
            Self::SocketType(wanted) if sockets.contains(&EndSocket::Is(*wanted)) => Truth::Yes,
            Self::SocketType(_) if sockets.contains(&EndSocket::Hidden) => Truth::Doubt,
            Self::SocketType(_) if sockets.contains(&EndSocket::Pending) => Truth::Maybe,
            Self::SocketType(_) => Truth::No,
        }
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
/// The characteristics that a message has too: `not chr tcp_syn` says nothing about it.
const OF_MESSAGES: u64 = Characteristics::INBOUND | Characteristics::IP_AUTHENTICATED;
