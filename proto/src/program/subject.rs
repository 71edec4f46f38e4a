//! What is judged: a packet or a message, and who sends it to whom.

use core::net::IpAddr;

use super::NodeTags;
use crate::zmtp::SocketType;

pub use crate::zmtp::{EndSocket, Recognised};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From this host to the peer.
    Out,
    /// From the peer to this host.
    In,
}

impl Direction {
    /// The other way.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
        }
    }
}

/// A packet or a message.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An IP packet.
    Packet(Packet),
    /// A ZeroMQ message, or a connection that would carry some.
    Message(Message<'a>),
}

/// What the rules ask about an IP packet; [`super::packet_facts`] reads it from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// 0x0800 or 0x86dd by the version; 0 for what is no IP packet or too short for its header.
    pub ethertype: u16,
    /// Source address; `None` without a header.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The IP protocol, in IPv6 the one behind the extension headers; `None` where they are malformed.
    pub protocol: Option<u8>,
    /// Type and code of ICMP.
    pub icmp: Option<(u8, u8)>,
    /// Source and destination port of TCP, UDP, SCTP and UDP-Lite.
    pub ports: Option<(u16, u16)>,
    /// The TCP flags, 12 bits; 0 for what is not TCP.
    pub tcp_flags: u16,
    /// The length in bytes.
    pub size: u16,
    /// A random number for this packet.
    pub random: u32,
    /// It belongs to a flow whose first packet passed.
    pub established: bool,
    /// What its TCP flow speaks.
    pub spoken: Recognised,
    /// It is a question rather than a packet: the first packet of a flow whose source port, size and marks nobody knows yet, nor
    /// its addresses where they are `None`. What asks for them may come out either way.
    pub asked: bool,
    /// Whether it can be read as far as its own header says that there is something to read. What cannot is refused
    /// where a rule asks for it; a packet that is judged exactly as ZeroTier would counts as readable always.
    pub readable: bool,
}

/// A message, or a connection of an application to a service.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The service.
    pub service: &'a str,
    /// The type of the using application's socket.
    pub socket: SocketType,
    /// Its routing id, empty where it has none; `None` in a question that leaves it open, so that what asks for it may come out
    /// either way.
    pub identity: Option<&'a [u8]>,
    /// Its security mechanism.
    pub mechanism: &'a str,
    /// How the message begins.
    pub topic: Topic<'a>,
    /// Its bytes, all parts together.
    pub size: u64,
}

/// What is known of the start of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The message begins so; these bytes are all of its first part, or as many as any rule asks for.
    Is(&'a [u8]),
    /// Whatever begins so: a subscription.
    BeginsWith(&'a [u8]),
}

/// Who sends to whom, and where it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// `Out` where it is sent, `In` where it arrives.
    pub direction: Direction,
    /// The node that judges.
    pub own: &'a str,
    /// The node that it comes from; of a message: whose application uses the service.
    pub source: &'a str,
    /// The node that it goes to; of a message: that offers the service.
    pub destination: &'a str,
    /// The policy's tags of the source.
    pub source_tags: &'a NodeTags,
    /// The policy's tags of the destination.
    pub destination_tags: &'a NodeTags,
    /// The script's tags of the source: number and value, by rising number.
    pub source_values: &'a [(u32, u32)],
    /// The script's tags of the destination.
    pub destination_values: &'a [(u32, u32)],
}
