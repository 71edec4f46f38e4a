//! What is observed here: the copies of packets that rules of other nodes send to this one, kept only while somebody looks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lockgate_proto::device::{CopyKind, Judged, PacketCopy};
use lockgate_proto::now::Now;
use serde_json::json;

use super::Node;

/// Packets that wait for the observers at most.
const PACKETS: usize = 4096;
/// Bytes of packets that wait for the observers at most.
const BYTES: usize = 4 << 20;

/// A packet that another node has sent a copy of. As text it is a JSON object on one line, its bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When it came, since the Unix epoch.
    pub when: Duration,
    /// The node that has sent the copy.
    pub from: Arc<str>,
    /// On which way that node has judged it.
    pub judged: Judged,
    /// What has asked for the copy.
    pub kind: CopyKind,
    /// How long the packet is, in bytes.
    pub original_length: u16,
    /// Its first bytes, from the IP header on.
    pub bytes: Box<[u8]>,
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = json!({
            "when_us": u64::try_from(self.when.as_micros()).unwrap_or(u64::MAX),
            "from": &*self.from,
            "judged": self.judged.name(),
            "kind": self.kind.name(),
            "length": self.original_length,
            "bytes": hexadecimal(&self.bytes),
        });
        line.fmt(f)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

/// How many copies came, and what became of them, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservedCounters {
    /// Copies that came from who may send them.
    pub received: u64,
    /// Of those, how many came while nobody looked.
    pub unobserved: u64,
    /// Copies that came from who may not send them.
    pub refused: u64,
    /// How often an observer missed a packet, because there were more than it took.
    pub dropped: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Observed {
    /// Oldest first.
    waiting: VecDeque<Arc<Observation>>,
    /// The bytes of those.
    held: usize,
    observers: u64,
    counters: ObservedCounters,
}

impl Observed {
    /// So many look from now on. While there are none nothing is kept.
    pub fn set_observers(&mut self, observers: usize) {
        self.observers = observers as u64;
        if observers == 0 {
            self.waiting.clear();
            self.held = 0;
        }
    }

    /// The oldest that waits.
    pub fn take(&mut self) -> Option<Arc<Observation>> {
        let oldest = self.waiting.pop_front()?;
        self.held -= oldest.bytes.len();
        Some(oldest)
    }

    /// One observer has missed one packet.
    pub const fn missed(&mut self) {
        self.counters.dropped += 1;
    }

    /// What became of the copies.
    pub const fn counters(&self) -> ObservedCounters {
        self.counters
    }

    pub(super) const fn refused(&mut self) {
        self.counters.refused += 1;
    }

    /// Keeps a copy that `from` may send, if somebody looks.
    pub(super) fn keep(&mut self, from: &Arc<str>, copy: &PacketCopy<'_>, now: Now) {
        self.counters.received += 1;
        if self.observers == 0 {
            self.counters.unobserved += 1;
            return;
        }
        while self.waiting.len() >= PACKETS || self.held + copy.bytes.len() > BYTES {
            if self.take().is_none() {
                break;
            }
            self.counters.dropped += self.observers;
        }
        self.held += copy.bytes.len();
        self.waiting.push_back(Arc::new(Observation {
            when: now.wall,
            from: from.clone(),
            judged: copy.judged,
            kind: copy.kind,
            original_length: copy.original_length,
            bytes: copy.bytes.into(),
        }));
    }
}

impl Node {
    /// What is observed here.
    pub const fn observed(&mut self) -> &mut Observed {
        &mut self.observed
    }

    /// What is observed here, for reports.
    pub const fn observed_report(&self) -> &Observed {
        &self.observed
    }
}

#[cfg(test)]
mod tests {
    use lockgate_proto::now::Moment;

    use super::*;

    const NOW: Now = Now { instant: Moment::ZERO, wall: Duration::from_micros(1_700_000_000_000_001) };

    fn copy(bytes: &[u8]) -> PacketCopy<'_> {
        PacketCopy { judged: Judged::Inbound, kind: CopyKind::Watch, original_length: 60_000, bytes }
    }

    fn counters(of: &Observed) -> [u64; 4] {
        let ObservedCounters { received, unobserved, refused, dropped } = of.counters();
        [received, unobserved, refused, dropped]
    }

    #[test]
    fn nothing_is_kept_while_nobody_looks() {
        let (mut observed, from) = (Observed::default(), "alpha".into());
        observed.keep(&from, &copy(&[1]), NOW);
        assert!(observed.take().is_none());
        observed.set_observers(1);
        observed.keep(&from, &copy(&[2]), NOW);
        observed.keep(&from, &copy(&[3]), NOW);
        assert_eq!(*observed.take().unwrap().bytes, [2]);
        observed.set_observers(0);
        assert!(observed.take().is_none());
        assert_eq!((counters(&observed), observed.held), ([3, 1, 0, 0], 0));
    }

    #[test]
    fn the_oldest_make_room_and_are_counted_for_each_observer() {
        let (mut observed, from) = (Observed::default(), "alpha".into());
        observed.set_observers(2);
        for number in 0..PACKETS as u32 + 10 {
            observed.keep(&from, &copy(&number.to_be_bytes()), NOW);
        }
        assert_eq!(*observed.take().unwrap().bytes, 10_u32.to_be_bytes());
        assert_eq!((observed.waiting.len(), counters(&observed)[3]), (PACKETS - 1, 20));
    }

    #[test]
    fn large_packets_wait_up_to_the_bytes_and_no_more() {
        let (mut observed, from) = (Observed::default(), "alpha".into());
        observed.set_observers(1);
        for _ in 0..100 {
            observed.keep(&from, &copy(&vec![7; 60_000]), NOW);
        }
        let fit = BYTES / 60_000;
        assert_eq!((observed.waiting.len(), observed.held), (fit, fit * 60_000));
        assert_eq!(counters(&observed), [100, 0, 0, 100 - fit as u64]);
        observed.keep(&from, &copy(&[7]), NOW);
        assert_eq!(observed.waiting.len(), fit + 1, "a small one finds room beside them");
        while observed.take().is_some() {}
        assert_eq!(observed.held, 0);
    }

    #[test]
    fn an_observation_is_a_line_of_json() {
        let mut observed = Observed::default();
        observed.set_observers(1);
        observed.keep(&"al\"pha\n".into(), &copy(&[0x45, 0, 0xff]), NOW);
        let line = observed.take().unwrap().to_string();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let wanted = json!({
            "when_us": 1_700_000_000_000_001_u64, "from": "al\"pha\n", "judged": "in", "kind": "watch",
            "length": 60_000, "bytes": "4500ff",
        });
        assert_eq!(value, wanted);
    }
}
