//! The search for plaintext: the same one over every datagram on the wire, and over what the applications sent.

use std::sync::atomic::{AtomicU64, Ordering};

/// Looks for a few words in bytes, and counts.
#[derive(Debug)]
pub(super) struct Wiretap {
    words: Vec<Vec<u8>>,
    wire: Seen,
    applications: Seen,
    /// By word: application messages that held it.
    found: Vec<AtomicU64>,
}

#[derive(Debug, Default)]
struct Seen {
    searched: AtomicU64,
    hits: AtomicU64,
}

/// What was searched so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Datagrams on the wire, of both nodes.
    pub(super) datagrams: u64,
    /// Of these, how many held a word.
    pub(super) plaintext: u64,
    /// Messages as the applications sent them.
    pub(super) messages: u64,
    /// Of these, how many held a word: all of them, or the search is no proof.
    pub(super) recognised: u64,
    /// Words that were never found in any message.
    pub(super) unproven: usize,
}

impl Wiretap {
    /// Looks for `words`, each long enough (8 bytes) that ciphertext does not hold it by chance.
    pub(super) fn new(words: Vec<Vec<u8>>) -> Self {
        assert!(words.iter().all(|word| word.len() >= 8), "a short word turns up by chance");
        let found = words.iter().map(|_| AtomicU64::new(0)).collect();
        Self { words, wire: Seen::default(), applications: Seen::default(), found }
    }

    /// A datagram leaves a node.
    pub(super) fn datagram(&self, bytes: &[u8]) {
        self.wire.note(self.words.iter().any(|word| holds(bytes, word)));
    }

    /// An application hands over the parts of a message: the proof that the search finds what is there.
    pub(super) fn message(&self, parts: &[&[u8]]) {
        let mut any = false;
        for (word, found) in self.words.iter().zip(&self.found) {
            if parts.iter().any(|part| holds(part, word)) {
                found.fetch_add(1, Ordering::Relaxed);
                any = true;
            }
        }
        self.applications.note(any);
    }

    /// The counts.
    pub(super) fn findings(&self) -> Findings {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Findings {
            datagrams: read(&self.wire.searched),
            plaintext: read(&self.wire.hits),
            messages: read(&self.applications.searched),
            recognised: read(&self.applications.hits),
            unproven: self.found.iter().filter(|found| read(found) == 0).count(),
        }
    }
}

impl Seen {
    fn note(&self, hit: bool) {
        self.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
        self.searched.fetch_add(1, Ordering::Relaxed);
    }
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_a_word_wherever_it_stands_and_nothing_else() {
        let tap = Wiretap::new(vec![b"temp.gearbox".to_vec(), b"0123456789".to_vec()]);
        for (datagram, hits) in [
            (b"".as_slice(), 0),
            (b"temp.gearbo", 0),
            (b"temp.gearbox", 1),
            (b"\x04\0\0\0xxtemp.gearboxyy", 2),
            (b"\xff\xff0123456789", 3),
            (b"TEMP.GEARBOX", 3),
        ] {
            tap.datagram(datagram);
            assert_eq!(tap.findings().plaintext, hits, "{datagram:?}");
        }
        assert_eq!(tap.findings().datagrams, 6);
        assert_eq!((tap.findings().messages, tap.findings().unproven), (0, 2));
        tap.message(&[b"temp.gearbox", b"21.5"]);
        assert_eq!((tap.findings().recognised, tap.findings().unproven), (1, 1));
        tap.message(&[b"nothing"]);
        assert_eq!((tap.findings().messages, tap.findings().recognised), (2, 1));
    }
}
