//! What a packet looks like to the flow table, what the table asks of the rules, and what it answers.

use core::net::IpAddr;

pub use crate::packet::Fragment;
pub use crate::program::Direction;
use crate::rules::PacketKind;

/// The headers of a packet, as far as flows depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// What the IP header carries; of a later fragment nothing is read but [`Fragment::Later`].
    pub transport: Transport,
    /// Whether it is a whole packet.
    pub fragment: Fragment,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Its flags.
        flags: TcpFlags,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6: the family of the addresses says which.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The identifier of an echo request or reply; 0 for other types.
        id: u16,
        /// The packet that an error quotes, where it could be read.
        quoted: Option<Quoted>,
    },
    /// Another protocol, by its number.
    Other(u8),
    /// It could not be read down to its ports: always denied.
    Unparsed,
}

/// The flags of a TCP segment that flows depend on: the low byte of the flags field, as it stands in the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(1);
    /// Opens a connection.
    pub const SYN: Self = Self(2);
    /// Ends it at once.
    pub const RST: Self = Self(4);
    /// The acknowledgement field is valid.
    pub const ACK: Self = Self(16);

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The first segment of a connection: SYN without ACK.
    pub(super) const fn opens(self) -> bool {
        self.has(Self::SYN) && !self.has(Self::ACK)
    }

    /// Whether an open connection can be another one after it.
    pub(super) const fn changes_phase(self) -> bool {
        self.0 & (Self::FIN.0 | Self::SYN.0 | Self::RST.0) != 0
    }

    /// Whether a flow may begin with it: not with the answer to a SYN that nobody saw, and not with what no TCP sends.
    pub(super) const fn may_begin(self) -> bool {
        let odd = self.has(Self::SYN) && (self.has(Self::ACK) || self.has(Self::FIN) || self.has(Self::RST));
        !odd && self.0 & (Self::SYN.0 | Self::RST.0 | Self::ACK.0) != 0
    }
}

/// The packet that an ICMP error quotes: enough of it to tell its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// What it carried. Flags of TCP are not looked at; an ICMP inside it must be an echo.
    pub transport: QuotedTransport,
}

/// What a quoted packet carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedTransport {
    /// TCP, by source and destination port.
    Tcp(u16, u16),
    /// UDP, by source and destination port.
    Udp(u16, u16),
    /// ICMP of this type with this identifier.
    Icmp(u8, u16),
    /// Another protocol, by its number.
    Other(u8),
}

/// What the rules are asked: the first packet of a flow, also when it is judged again after a change of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which way the flow was opened: `Out` is from this node to the peer.
    pub direction: Direction,
    /// The peer.
    pub peer: u32,
    /// Source address of the packet that opened the flow.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// What kind of packet it was.
    pub kind: PacketKind,
    /// Its source port, where it had one.
    pub source_port: Option<u16>,
    /// Type and code, where it was ICMP.
    pub icmp: Option<(u8, u8)>,
    /// The generation of the rules that have let it open the flow, before now; `None` where it is the packet in hand.
    pub allowed_by: Option<u64>,
}

/// What the rules answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A rule allows it.
    Allow,
    /// None does.
    Deny,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may pass.
    Pass(Standing),
    /// It must not.
    Deny(Refusal, News),
}

impl Verdict {
    /// Whether the packet may pass.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Pass(_))
    }
}

/// Why a packet passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It opened a flow: the rules were asked.
    Opened,
    /// It belongs to a flow.
    Known,
    /// It is an ICMP error about a packet of a flow.
    Related,
    /// It is a later fragment of a packet that passed.
    Fragment,
}

/// Why a packet does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No rule allows it.
    Rules,
    /// Its flow was allowed once; the rules have changed since.
    Withdrawn,
    /// A TCP segment that cannot open a connection, and belongs to none.
    NoConnection,
    /// An ICMP error about no packet that passed here.
    Unrelated,
    /// A later fragment of no packet that passed, or one that would overwrite a TCP header.
    Fragment,
    /// It could not be read down to its ports.
    Unparsed,
    /// The table is full of flows that may not make room.
    Full,
}

/// Whether a denial is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing like it was denied lately.
    First,
    /// The same again.
    Repeated,
}
