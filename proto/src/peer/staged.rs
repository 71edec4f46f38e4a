//! Payloads that wait for a session.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use zeroize::Zeroizing;

/// How many payloads wait at most; then the oldest makes room.
pub const CAPACITY: usize = 128;

/// A payload that waits; it is wiped when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The payload, padded.
    pub payload: Zeroizing<Vec<u8>>,
    /// The outer type-of-service byte that it leaves with.
    pub tos: u8,
}

/// Payloads in the order they came.
#[derive(Default)]
pub struct Staged(VecDeque<Waiting>);

impl Staged {
    /// Adds a payload; whether the oldest had to make room.
    pub fn push(&mut self, payload: Vec<u8>, tos: u8) -> bool {
        let full = self.0.len() == CAPACITY;
        if full {
            self.0.pop_front();
        }
        self.0.push_back(Waiting { payload: Zeroizing::new(payload), tos });
        full
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.0.pop_front()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops all, and the memory they took; returns how many there were.
    pub fn clear(&mut self) -> usize {
        core::mem::take(&mut self.0).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_payload_that_waited_is_wiped_when_dropped() {
        fn wiped<T: zeroize::ZeroizeOnDrop>(_: Option<T>) {}
        let mut staged = Staged::default();
        staged.push(vec![7], 0);
        wiped(staged.pop().map(|waiting| waiting.payload));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut staged = Staged::default();
        for at in 0..=CAPACITY as u8 {
            assert_eq!(staged.push(vec![at], at & 3), usize::from(at) == CAPACITY, "payload {at}");
        }
        assert_eq!(staged.len(), CAPACITY);
        assert_eq!(staged.pop(), Some(Waiting { payload: Zeroizing::new(vec![1]), tos: 1 }));
        assert_eq!((staged.clear(), staged.is_empty()), (CAPACITY - 1, true));
    }
}
