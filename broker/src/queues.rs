//! Accepted bytes on their way: to an application, or into a stream.

use bytes::{Buf, Bytes};

/// Runs of whole accepted bytes, first in, first out. It is bounded by its users: one read at a time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    runs: Vec<Bytes>,
    /// Runs before this one are gone; they are cleared away together.
    first: usize,
}

impl Queue {
    /// Adds a run at the end.
    pub(crate) fn push(&mut self, run: Bytes) {
        if !run.is_empty() {
            self.runs.push(run);
        }
    }

    /// What waits, oldest first.
    pub(crate) fn runs(&mut self) -> &mut [Bytes] {
        &mut self.runs[self.first..]
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.runs.len()
    }

    /// The first `runs` have been taken whole (and what is left of the next was shortened by the taker).
    pub(crate) fn taken_runs(&mut self, runs: usize) {
        for run in &mut self.runs[self.first..self.first + runs] {
            *run = Bytes::new();
        }
        self.first += runs;
        self.tidy();
    }

    /// The first `bytes` have been taken.
    pub(crate) fn taken_bytes(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let run = &mut self.runs[self.first];
            if run.len() > bytes {
                run.advance(bytes);
                break;
            }
            bytes -= run.len();
            *run = Bytes::new();
            self.first += 1;
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.first = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_and_the_rest_stays_in_order() {
        let mut queue = Queue::default();
        for run in ["alpha", "", "beta", "gamma"] {
            queue.push(Bytes::from_static(run.as_bytes()));
        }
        assert_eq!(queue.runs().len(), 3);
        queue.taken_bytes(7);
        assert_eq!(queue.runs(), ["ta", "gamma"]);
        queue.taken_bytes(2);
        assert_eq!(queue.runs(), ["gamma"]);
        queue.taken_runs(1);
        assert!(queue.is_empty());
        queue.push(Bytes::from_static(b"delta"));
        assert_eq!(queue.runs(), ["delta"]);
    }
}
