//! Sets of topics, as starts of messages.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Every message that begins so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicSpan {
    /// The start; empty for every message.
    pub start: Vec<u8>,
    /// But not those that begin so: longer starts.
    pub except: Vec<Vec<u8>>,
}

/// Some topics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicSet(Vec<TopicSpan>);

impl TopicSet {
    /// The topics of the pieces that `pieces` has as true. A message is in the piece of the longest start that it has, so that
    /// a piece goes on in the longer ones unless they are false.
    pub fn new(pieces: &BTreeMap<&[u8], bool>) -> Self {
        let around = |start: &[u8]| (0..start.len()).rev().find_map(|len| pieces.get(&start[..len])).copied();
        let mut spans: Vec<TopicSpan> = Vec::new();
        for (start, passes) in pieces {
            let before = around(start).unwrap_or(false);
            if *passes && !before {
                spans.push(TopicSpan { start: start.to_vec(), except: Vec::new() });
            } else if !passes && before {
                // The innermost one: the last that begins its start, as they come sorted.
                if let Some(span) = spans.iter_mut().rev().find(|span| start.starts_with(&span.start)) {
                    span.except.push(start.to_vec());
                }
            }
        }
        Self(spans)
    }

    /// The spans; none of them overlaps another.
    pub fn spans(&self) -> &[TopicSpan] {
        &self.0
    }

    /// Whether it is every topic.
    pub fn is_every(&self) -> bool {
        matches!(self.0.as_slice(), [span] if span.start.is_empty() && span.except.is_empty())
    }

    /// Whether a message that begins with `message`, and says nothing behind, is in it.
    pub fn holds(&self, message: &[u8]) -> bool {
        let in_span = |span: &TopicSpan| {
            message.starts_with(&span.start) && !span.except.iter().any(|start| message.starts_with(start))
        };
        self.0.iter().any(in_span)
    }
}

/// `temp.* vib.*`, `* but not raw.*`; what a terminal could obey is escaped.
impl fmt::Display for TopicSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, span) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{}*", topic_text(&span.start))?;
            for (at, start) in span.except.iter().enumerate() {
                f.write_str(if at == 0 { " but not " } else { ", " })?;
                write!(f, "{}*", topic_text(start))?;
            }
        }
        Ok(())
    }
}

/// A start as text: control characters, and bytes that are no text, escaped.
pub(super) fn topic_text(start: &[u8]) -> String {
    String::from_utf8_lossy(start).chars().flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn topics_are_told_in_the_fewest_starts() {
        for (pieces, told) in [
            (&[("", true)][..], "*"),
            (&[("", true), ("a", true), ("ab", true)], "*"),
            (&[("", false), ("a", true), ("ab", true), ("b", true)], "a* b*"),
            (&[("", true), ("a", false), ("ab", true)], "* but not a* ab*"),
            (&[("", true), ("a", false), ("ab", false), ("c", false)], "* but not a*, c*"),
            (&[("", false), ("a", true), ("ab", false), ("abc", true)], "a* but not ab* abc*"),
            (&[("", false)], ""),
            (&[("", false), ("\u{1b}", true)], "\\u{1b}*"),
        ] {
            let pieces: BTreeMap<&[u8], bool> =
                pieces.iter().map(|(start, passes)| (start.as_bytes(), *passes)).collect();
            let set = TopicSet::new(&pieces);
            assert_eq!(set.to_string(), told);
            for (start, passes) in &pieces {
                assert_eq!(set.holds(start), *passes, "{told} {start:?}");
            }
            assert_eq!(set.is_every(), told == "*");
        }
    }
}
