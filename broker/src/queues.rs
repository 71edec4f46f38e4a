//! Accepted bytes on their way: to an application, or into a stream.

use bytes::{Buf, Bytes, BytesMut};

/// A run shorter than this is copied: a slice of a read keeps the whole read alive, and where most of that was
/// dropped, a few bytes on their way would keep 128 KiB.
const SHORT: usize = 1024;
/// Copies share blocks of this size.
const BLOCK: usize = 16 * 1024;

/// Runs of whole accepted bytes, first in, first out. It is bounded by its users: one read at a time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    runs: Vec<Bytes>,
    /// Runs before this one are gone; they are cleared away together.
    first: usize,
    copies: BytesMut,
}

impl Queue {
    /// Adds a run at the end.
    pub(crate) fn push(&mut self, run: Bytes) {
        if run.is_empty() {
            return;
        }
        if run.len() >= SHORT {
            self.runs.push(run);
            return;
        }
        if self.copies.capacity() < run.len() {
            self.copies.reserve(BLOCK);
        }
        self.copies.extend_from_slice(&run);
        self.runs.push(self.copies.split().freeze());
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

    #[test]
    fn a_short_run_does_not_keep_the_read_that_it_came_in() {
        let read = Bytes::from(vec![7; 128 * 1024]);
        let inside = read.as_ptr_range();
        let mut queue = Queue::default();
        queue.push(read.slice(5000..5064));
        queue.push(read.slice(9000..9064));
        queue.push(read.slice(10_000..10_000 + SHORT));
        let copied: Vec<bool> = queue.runs().iter().map(|run| !inside.contains(&run.as_ptr())).collect();
        assert_eq!(copied, [true, true, false]);
        let [first, second] = [0, 1].map(|at| queue.runs()[at].as_ptr() as usize);
        assert_eq!(second - first, 64, "copies lie side by side");
    }
}
