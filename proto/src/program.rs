//! Flow rules as the data path runs them: flat lists of matches and actions, for packets and messages alike.
//!
//! A [`List`] is what a script of [`crate::script`] or an entry of the policy compiles to. It is judged from the first
//! entry to the last, each looked at once, without an allocation ([`List::judge`]). What is known beforehand (who talks
//! to whom, which service) can be folded away ([`List::fold`]), so that a list that many share becomes one for a pair.
//!
//! The meaning of every entry that ZeroTier has too is ZeroTier's (commit 36b4659f77bc of its sources), for what an IP
//! tunnel can carry and with tags that are always known on both sides.

mod ask;
#[cfg(test)]
mod doubt;
mod facts;
mod fold;
mod held;
mod judge;
mod may;
mod sets;
mod subject;
mod who;

pub use facts::packet_facts;
pub use fold::Known;
pub use judge::{Judgement, Outcome, Tee};
pub use may::{Bounds, LONGEST_TOPIC};
pub use sets::{Net, NetSet, PortSet};
pub use subject::{Direction, EndSocket, Message, Packet, Parties, Recognised, Subject, Topic};
pub use who::{NodeTags, TagExpr, Term};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::zmtp::SocketType;

/// A rule, by name and place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleRef {
    /// The rule's id; `service.NAME` where the service itself decided; `rules` for a flow rule without a name.
    pub id: Arc<str>,
    /// The file.
    pub file: Arc<str>,
    /// The line, counted from 1; of a flow rule the one of its action.
    pub line: u32,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.id, self.file, self.line)
    }
}

/// Entries in their order. A rule is its matches and then its action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    entries: Box<[Entry]>,
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A match: what holds so far is joined with whether `test` holds.
    Match {
        /// How it is joined.
        join: Join,
        /// Whether `not` stands before it.
        sense: Sense,
        /// The test.
        test: Test,
    },
    /// `(`: what follows up to its [`Entry::Close`] is one match. Negations stand inside (`not (a and b)` is written
    /// `(not a or not b)`), so that what does not apply to a packet stays false.
    Open {
        /// How the group is joined.
        join: Join,
        /// How many entries follow up to and with its [`Entry::Close`].
        skip: u16,
    },
    /// `)`.
    Close,
    /// The end of a rule: what is done where its matches hold.
    Act(Act),
}

/// The end of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// What is done.
    pub action: Action,
    /// The rule.
    pub rule: RuleRef,
}

/// How a match is joined to those before it, from left to right and without precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Both must hold.
    And,
    /// One is enough.
    Or,
}

/// Whether `not` stands before a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// It does not.
    Plain,
    /// It does.
    Not,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet may pass.
    Accept,
    /// It must not.
    Drop,
    /// This list decides nothing about it: what comes behind the list may.
    Break,
    /// A copy of its first bytes goes to a node; the list goes on.
    Tee(Copy),
    /// The same; ZeroTier lets the copies be acknowledged, which nothing uses.
    Watch(Copy),
    /// It goes to a node instead of its destination.
    Redirect(Arc<str>),
    /// It is noted in the log; the list goes on.
    Log,
}

impl Action {
    /// Whether it sends the packet, or a copy of it, to a node.
    pub(crate) const fn sends(&self) -> bool {
        matches!(self, Self::Tee(_) | Self::Watch(_) | Self::Redirect(_))
    }
}

/// A copy for an observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// How many bytes, -1..=65535: 0 and -1 for all of them.
    pub length: i32,
    /// The node, by its name (in ZeroTier: its address of ten digits).
    pub to: Arc<str>,
}

/// A question about a packet or a message.
///
/// What asks for packets does not apply to messages and the other way round: such a test is false, also after `not`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `ztsrc`: the node that it comes from, by name.
    SourceNode(Arc<str>),
    /// `ztdest`: the node that it goes to.
    DestinationNode(Arc<str>),
    /// `from`: the node that it comes from (of a message: whose application uses the service) is such a one.
    From(Term),
    /// `to`: the node that it goes to (of a message: that offers the service) is such a one.
    To(Term),
    /// `vlan`, `vlanpcp`, `vlandei`: there are none in an IP tunnel; false, also after `not`.
    Vlan(Vlan, u32),
    /// `macsrc`: false, also after `not`.
    SourceMac([u8; 6]),
    /// `macdest`: false, also after `not`.
    DestinationMac([u8; 6]),
    /// `ethertype`: 0x0800 for IPv4, 0x86dd for IPv6. As written; ZeroTier's controller keeps 16 bits.
    EtherType(u32),
    /// `ipprotocol`. As written; ZeroTier's controller keeps 8 bits.
    IpProtocol(u32),
    /// `ipsrc` with one prefix.
    Source(Net),
    /// `ipdest` with one prefix.
    Destination(Net),
    /// `ipsrc` with a set.
    SourceIn(Arc<NetSet>),
    /// `ipdest` with a set.
    DestinationIn(Arc<NetSet>),
    /// `iptos`: the type of service or traffic class under `mask`.
    Tos {
        /// Applied first.
        mask: u8,
        /// The lowest that holds.
        start: u8,
        /// The highest.
        end: u8,
    },
    /// `icmp`: of IPv4 and of IPv6.
    Icmp {
        /// The type.
        kind: u8,
        /// The code; `None` for any.
        code: Option<u8>,
    },
    /// `sport` with one range, both ends included.
    SourcePort(u16, u16),
    /// `dport` with one range.
    DestinationPort(u16, u16),
    /// `sport` with a set.
    SourcePortIn(Arc<PortSet>),
    /// `dport` with a set.
    DestinationPortIn(Arc<PortSet>),
    /// `framesize`: the length of the IP packet, both ends included.
    Size(u16, u16),
    /// `chr`: any of these [characteristics](Characteristics).
    Characteristics(u64),
    /// `random`: a random number for this packet is not above this one.
    Random(u32),
    /// `tand`, `tor`, `txor`, `tdiff`, `teq`, `tseq`, `treq`.
    Tag {
        /// How.
        how: TagTest,
        /// The tag's number.
        tag: u32,
        /// What it is compared with.
        value: u32,
    },
    /// `established`: the packet belongs to a flow whose first packet passed.
    Established,
    /// `zmq …`: about a message.
    Zmq(ZmqTest),
    /// `zmtp …`: about a TCP flow in which ZMTP is spoken.
    Zmtp(ZmtpTest),
}

/// What a VLAN test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vlan {
    /// `vlan`.
    Id,
    /// `vlanpcp`.
    Pcp,
    /// `vlandei`.
    Dei,
}

/// How tags are compared. L is the value of the judging node, R its peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagTest {
    /// `tand`: L AND R is the value.
    And,
    /// `tor`: L OR R is it.
    Or,
    /// `txor`: L XOR R is it.
    Xor,
    /// `tdiff`: L and R are no further apart.
    Difference,
    /// `teq`: both are it.
    Equal,
    /// `tseq`: the sender's is it.
    Sender,
    /// `treq`: the receiver's is it.
    Receiver,
}

/// A test about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZmqTest {
    /// `zmq service`: the service's name.
    Service(Arc<str>),
    /// `zmq socket`: the type of the using application's socket.
    Socket(SocketType),
    /// `zmq topic`: the message, or a subscription, begins with these bytes.
    Topic(Arc<[u8]>),
    /// `zmq identity`: the using application's routing id begins with these bytes.
    Identity(Arc<[u8]>),
    /// `zmq mechanism`: the using application's security mechanism: `NULL`, `PLAIN`, `CURVE`.
    Mechanism(Arc<str>),
    /// `zmq size`: the message's bytes, all parts together, both ends included.
    Size(u64, u64),
}

/// A test about a TCP flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZmtpTest {
    /// `zmtp` alone: ZMTP is spoken.
    Spoken,
    /// `zmtp socket-type`: one of its ends is a socket of this type.
    SocketType(SocketType),
    /// `zmtp mechanism`: the security mechanism.
    Mechanism(Arc<str>),
}

/// The bits of `chr`.
#[derive(Clone, core::marker::Copy, Debug, PartialEq, Eq)]
pub struct Characteristics;

impl Characteristics {
    /// It is judged where it arrives.
    pub const INBOUND: u64 = 1 << 63;
    /// Its destination is a group.
    pub const MULTICAST: u64 = 1 << 62;
    /// Its destination is everybody.
    pub const BROADCAST: u64 = 1 << 61;
    /// Its source is one that the sending node may use. Always so here: a tunnel takes nothing else.
    pub const IP_AUTHENTICATED: u64 = 1 << 60;
    /// Its MAC is one that the sending node may use. Never so: there is none.
    pub const MAC_AUTHENTICATED: u64 = 1 << 59;
    /// The flags of TCP: FIN is bit 0, reserved bits up to bit 11.
    pub const TCP_FLAGS: u64 = 0xfff;
}

impl List {
    /// The most entries of a list.
    pub const MOST: usize = 65_535;
    /// The deepest that groups stand in each other.
    pub const DEEPEST: usize = 16;

    /// A list of these entries.
    ///
    /// # Errors
    /// Why they are none: there are too many, or groups are not closed, cross a rule's end or stand too deep, or the
    /// last rule has no end.
    pub fn new(entries: Vec<Entry>) -> Result<Self, String> {
        sets::check(&entries)?;
        Ok(Self { entries: entries.into() })
    }

    /// The rules about packets, and those about messages: the ones with a `zmq` word.
    pub fn by_subject(&self) -> (Self, Self) {
        let (mut packets, mut messages) = (Vec::new(), Vec::new());
        for rule in self.entries.split_inclusive(|entry| matches!(entry, Entry::Act(_))) {
            let is_zmq = |entry: &Entry| matches!(entry, Entry::Match { test: Test::Zmq(_), .. });
            let wing = if rule.iter().any(is_zmq) { &mut messages } else { &mut packets };
            wing.extend_from_slice(rule);
        }
        (Self { entries: packets.into() }, Self { entries: messages.into() })
    }

    /// This list and then `other`, as one.
    #[must_use]
    pub fn followed_by(&self, other: &Self) -> Self {
        Self { entries: self.entries.iter().chain(&other.entries).cloned().collect() }
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its rules in their order.
    pub fn acts(&self) -> impl Iterator<Item = &Act> {
        self.entries.iter().filter_map(|entry| if let Entry::Act(act) = entry { Some(act) } else { None })
    }

    /// Its tests in their order.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Match { test, .. } => Some(test),
            _ => None,
        })
    }
}
