//! What the demo's applications say: a number, the moment of sending and this run's canary, as readable text.

use lockgate_proto::entropy::Entropy;
use lockgate_proto::now::Moment;

use crate::machine::entropy::OsEntropy;

/// A run's mark: in every message of its applications, and nowhere else in the world.
#[derive(Clone, Debug)]
pub(super) struct Canary(String);

impl Canary {
    /// A fresh one: 16 random bytes, in hexadecimal.
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        OsEntropy.fill(&mut bytes);
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// As it stands in a message.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A message that one of the demo's own applications sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its place among what the service counts, from 0; none while the service is being set up.
    pub(super) number: Option<u64>,
    /// When it was sent.
    pub(super) sent: Moment,
}

impl Message {
    /// Its text.
    pub(super) fn text(&self, canary: &Canary) -> String {
        let number = self.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        format!("{number} at {} canary {}", self.sent.since_epoch().as_nanos(), canary.0)
    }

    /// Reads one; nothing where another program, or another run, has sent it.
    pub(super) fn parse(text: &[u8], canary: &Canary) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let number = words.next().map(|word| if word == "-" { Ok(None) } else { word.parse().map(Some) })?;
        let nanos = words.nth(1)?.parse().ok()?;
        let known = words.nth(1) == Some(&canary.0) && words.next().is_none();
        let sent = Moment::new(std::time::Duration::from_nanos(nanos));
        known.then_some(Self { number: number.ok()?, sent })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_message_reads_as_it_was_written_and_only_in_its_own_run() {
        let (canary, other) = (Canary::new(), Canary::new());
        for number in [None, Some(0), Some(u64::MAX)] {
            let message = Message { number, sent: Moment::new(Duration::from_nanos(123_456_789)) };
            let text = message.text(&canary);
            assert_eq!(Message::parse(text.as_bytes(), &canary), Some(message), "{text}");
            assert_eq!(Message::parse(text.as_bytes(), &other), None, "{text}");
            assert_eq!(Message::parse(format!("{text} more").as_bytes(), &canary), None);
        }
        for foreign in [b"".as_slice(), b"hello", b"1 at 2", b"\xff"] {
            assert_eq!(Message::parse(foreign, &canary), None);
        }
    }

    #[test]
    fn no_two_runs_have_the_same_canary() {
        let (one, other) = (Canary::new(), Canary::new());
        assert_eq!(one.as_bytes().len(), 32);
        assert_ne!(one.as_bytes(), other.as_bytes());
    }
}
