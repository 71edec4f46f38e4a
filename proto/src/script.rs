//! Flow rules in ZeroTier's language, a first subset: judged packet by packet, in order; what no rule accepts is dropped.
//!
//! ```text
//! # names as upstream has them
//! accept ipprotocol tcp and dport 22 and ipsrc 10.7.0.0/24;
//! drop not ipprotocol udp;
//! accept dport 5000-5010 or sport 5000-5010;
//! ```
//!
//! There is no state: answers need rules of their own. Conditions are taken from left to right, without precedence.
//! Words of the language that are not built yet are refused by name; so is what upstream would silently read as
//! something wider than its author can have meant (an `or` that stands first, garbage behind a number, a mask of no
//! bits because it could not be read).

mod parse;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use crate::flows::{Fragment, Subject, Transport};

/// A compiled script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    entries: Vec<Entry>,
}

/// What a script says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the packet may pass.
    pub action: Action,
    /// What decided.
    pub by: Decided,
}

/// What a rule does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It may pass.
    Accept,
    /// It must not.
    Drop,
}

/// What decided about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The rule that ends in this line, counted from 1.
    Rule(u32),
    /// No rule matched: dropped.
    NoRule,
    /// The rule that ends in this line asks for what cannot be read in this packet (a later fragment, a truncated
    /// one, ports of a protocol that is not parsed): dropped.
    Unreadable(u32),
}

/// A mistake in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptMistake {
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for ScriptMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.line, self.column, self.problem, self.mend)
    }
}

/// A match or an action; the matches before an action are its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Match { join: Join, sense: Sense, test: Test },
    Act { action: Action, line: u32 },
}

/// How a match is joined to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    And,
    Or,
}

/// Whether `not` stands before a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Plain,
    Not,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    EtherType(u16),
    Protocol(u8),
    SourcePort(RangeInclusive<u16>),
    DestinationPort(RangeInclusive<u16>),
    Source(Prefix),
    Destination(Prefix),
}

/// Addresses whose first `bits` bits are those of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    address: IpAddr,
    bits: u8,
}

/// How a test comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Is,
    IsNot,
    /// It does not apply to such a packet: false, also after `not`.
    Never,
    /// The packet does not say.
    Unreadable,
}

impl Script {
    /// Compiles a script.
    ///
    /// # Errors
    /// Its mistakes, in the order of the text; never an empty list.
    pub fn compile(text: &str) -> Result<Self, Vec<ScriptMistake>> {
        parse::parse(text).map(|entries| Self { entries })
    }

    /// Judges one packet. It is total, allocates nothing and looks at each entry once.
    pub fn judge(&self, subject: &Subject) -> Judgement {
        let mut is_set = true;
        let mut unread = false;
        for entry in &self.entries {
            match entry {
                Entry::Match { join, sense, test } => {
                    if unread || (!is_set && *join == Join::And) {
                        continue;
                    }
                    let is_true = match test.ask(subject) {
                        Outcome::Is => *sense == Sense::Plain,
                        Outcome::IsNot => *sense == Sense::Not,
                        Outcome::Never => false,
                        Outcome::Unreadable => {
                            unread = true;
                            continue;
                        }
                    };
                    is_set = match join {
                        Join::And => is_set && is_true,
                        Join::Or => is_set || is_true,
                    };
                }
                Entry::Act { line, .. } if unread => {
                    return Judgement { action: Action::Drop, by: Decided::Unreadable(*line) };
                }
                Entry::Act { action, line } if is_set => {
                    return Judgement { action: *action, by: Decided::Rule(*line) };
                }
                Entry::Act { .. } => is_set = true,
            }
        }
        Judgement { action: Action::Drop, by: Decided::NoRule }
    }
}

impl Test {
    fn ask(&self, subject: &Subject) -> Outcome {
        let v6 = subject.source.is_ipv6();
        match self {
            Self::EtherType(wanted) => is(*wanted == if v6 { IPV6 } else { IPV4 }),
            Self::Protocol(wanted) => {
                protocol(subject).map_or(Outcome::Unreadable, |protocol| is(protocol == *wanted))
            }
            Self::SourcePort(range) => ports(subject, range, |(source, _)| source),
            Self::DestinationPort(range) => ports(subject, range, |(_, destination)| destination),
            Self::Source(prefix) => prefix.ask(subject.source),
            Self::Destination(prefix) => prefix.ask(subject.destination),
        }
    }
}

impl Prefix {
    /// An address of the other family is no answer.
    fn ask(&self, address: IpAddr) -> Outcome {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differs = ours.to_bits() ^ theirs.to_bits();
                is(differs.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differs = ours.to_bits() ^ theirs.to_bits();
                is(differs.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0)
            }
            _ => Outcome::Never,
        }
    }
}

fn is(it: bool) -> Outcome {
    if it { Outcome::Is } else { Outcome::IsNot }
}

/// The IP protocol; `None` where the packet does not say.
fn protocol(subject: &Subject) -> Option<u8> {
    if matches!(subject.fragment, Fragment::Later { .. }) {
        return None;
    }
    match subject.transport {
        Transport::Tcp { .. } => Some(6),
        Transport::Udp { .. } => Some(17),
        Transport::Icmp { .. } => Some(if subject.source.is_ipv6() { 58 } else { 1 }),
        Transport::Other(protocol) => Some(protocol),
        Transport::Unparsed => None,
    }
}

/// A protocol without ports is in no range, so `not` is true of it.
fn ports(subject: &Subject, range: &RangeInclusive<u16>, which: impl Fn((u16, u16)) -> u16) -> Outcome {
    let both = match subject.transport {
        _ if matches!(subject.fragment, Fragment::Later { .. }) => return Outcome::Unreadable,
        Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
            (source, destination)
        }
        // They have ports, which are not read here.
        Transport::Other(SCTP | UDP_LITE) | Transport::Unparsed => return Outcome::Unreadable,
        Transport::Icmp { .. } | Transport::Other(_) => return Outcome::IsNot,
    };
    let port = which(both);
    // Upstream takes port 0 of IPv6 for "no port".
    is(range.contains(&port) && !(port == 0 && subject.source.is_ipv6()))
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

#[cfg(test)]
mod tests;
