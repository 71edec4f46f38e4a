//! Folding away what is known beforehand.

use alloc::vec::Vec;

use super::ask::Truth;
use super::judge::Holds;
use super::{Characteristics, Direction, Entry, Join, List, Message, Parties, Sense, Test, Vlan, ZmqTest};

/// What is known of a test before anything is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It holds; with `not` before it, it does not.
    Yes,
    /// It does not; with `not` before it, it does.
    No,
    /// It does not apply: false, also after `not`.
    Never,
}

/// What is left of the matches of a rule or a group so far.
enum Left {
    /// It holds, or not, whatever comes.
    Settled(Holds),
    /// These entries decide.
    Open(Vec<Entry>),
}

impl Test {
    /// What is known of the test where the parties are.
    pub fn known_of(&self, parties: &Parties<'_>) -> Option<Known> {
        match self {
            Self::SourceNode(_)
            | Self::DestinationNode(_)
            | Self::From(_)
            | Self::To(_)
            | Self::Tag { .. }
            | Self::Vlan(..)
            | Self::SourceMac(_)
            | Self::DestinationMac(_) => known(self.ask_parties(parties)?),
            Self::Characteristics(bits) => {
                let inbound = if parties.direction == Direction::In { Characteristics::INBOUND } else { 0 };
                if bits & (inbound | Characteristics::IP_AUTHENTICATED) != 0 {
                    return Some(Known::Yes);
                }
                let changing =
                    Characteristics::TCP_FLAGS | Characteristics::MULTICAST | Characteristics::BROADCAST;
                (bits & changing == 0).then_some(Known::No)
            }
            _ => None,
        }
    }

    /// What is known of the test where the connection is: all but the topic and the size.
    pub fn known_of_connection(&self, message: &Message<'_>) -> Option<Known> {
        match self {
            Self::Zmq(ZmqTest::Topic(_) | ZmqTest::Size(..)) => None,
            Self::Zmq(test) => known(test.ask(message)),
            _ => None,
        }
    }
}

fn known(truth: Truth) -> Option<Known> {
    match truth {
        Truth::Yes => Some(Known::Yes),
        Truth::No => Some(Known::No),
        Truth::Never => Some(Known::Never),
        Truth::Maybe | Truth::Doubt | Truth::Always | Truth::Unreadable => None,
    }
}

impl List {
    /// The same list for where some tests are known: it judges the same, with fewer entries.
    #[must_use]
    pub fn fold(&self, known: &impl Fn(&Test) -> Option<Known>) -> Self {
        let mut entries = Vec::new();
        let mut at = 0;
        while at < self.entries.len() {
            let (left, end) = fold_matches(&self.entries, at, known);
            let Some(Entry::Act(act)) = self.entries.get(end) else { break };
            match left {
                // Where it does not hold it still says that what it sends to this node is sent here (`Pass::skip`). Its own
                // matches must go: whoever judges a folded list need not know any more what they ask for.
                Left::Settled(Holds::No) if act.action.sends() => {
                    let (join, sense, test) = (Join::And, Sense::Plain, Test::Vlan(Vlan::Id, 0));
                    entries.push(Entry::Match { join, sense, test });
                    entries.push(Entry::Act(act.clone()));
                }
                Left::Settled(Holds::No) => {}
                Left::Settled(_) => entries.push(Entry::Act(act.clone())),
                Left::Open(matches) => {
                    entries.extend(matches);
                    entries.push(Entry::Act(act.clone()));
                }
            }
            at = end + 1;
        }
        Self { entries: entries.into() }
    }
}

/// Folds matches up to the end of their rule or group; where that is.
fn fold_matches(entries: &[Entry], from: usize, known: &impl Fn(&Test) -> Option<Known>) -> (Left, usize) {
    let mut left = Left::Settled(Holds::Yes);
    let mut at = from;
    loop {
        match entries.get(at) {
            Some(Entry::Match { join, sense, test }) => {
                left = match known(test) {
                    Some(known) => left.with(*join, holds(known, *sense)),
                    None => left
                        .and_then(*join, &[Entry::Match { join: *join, sense: *sense, test: test.clone() }]),
                };
                at += 1;
            }
            Some(Entry::Open { join, .. }) => {
                let (inner, end) = fold_matches(entries, at + 1, known);
                left = match inner {
                    Left::Settled(holds) => left.with(*join, holds),
                    Left::Open(inner) => left.and_then(*join, &group(*join, inner)),
                };
                at = end + 1;
            }
            Some(Entry::Close | Entry::Act(_)) | None => return (left, at),
        }
    }
}

fn holds(known: Known, sense: Sense) -> Holds {
    match (known, sense) {
        (Known::Yes, Sense::Plain) | (Known::No, Sense::Not) => Holds::Yes,
        _ => Holds::No,
    }
}

/// A group of one is no group.
fn group(join: Join, mut inner: Vec<Entry>) -> Vec<Entry> {
    if let [Entry::Match { join: first, .. }] = inner.as_mut_slice() {
        *first = join;
        return inner;
    }
    let mut entries = Vec::with_capacity(inner.len() + 2);
    entries.push(Entry::Open { join, skip: u16::try_from(inner.len() + 1).unwrap_or(u16::MAX) });
    entries.append(&mut inner);
    entries.push(Entry::Close);
    entries
}

impl Left {
    /// Joined with what is known.
    fn with(self, join: Join, holds: Holds) -> Self {
        match (join, holds, self) {
            (Join::And, Holds::No, _) => Self::Settled(Holds::No),
            (Join::Or, Holds::Yes, _) => Self::Settled(Holds::Yes),
            (_, _, left) => left,
        }
    }

    /// Joined with what is not.
    fn and_then(self, join: Join, more: &[Entry]) -> Self {
        let mut entries = match (self, join) {
            (Self::Settled(settled), join) if settled.is_settled(join) => return Self::Settled(settled),
            // Nothing before it counts any more: it is the first.
            (Self::Settled(_), _) => Vec::new(),
            (Self::Open(entries), _) => entries,
        };
        let is_first = entries.is_empty();
        entries.extend_from_slice(more);
        if is_first && let Some(Entry::Match { join, .. } | Entry::Open { join, .. }) = entries.first_mut() {
            *join = Join::And;
        }
        Self::Open(entries)
    }
}
