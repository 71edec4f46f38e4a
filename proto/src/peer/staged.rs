//! Payloads that wait for a session.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use zeroize::Zeroizing;

/// How many payloads wait at most; then the oldest makes room.
pub const CAPACITY: usize = 128;

/// Padded payloads in the order they came; each is wiped when dropped.
#[derive(Default)]
pub struct Staged(VecDeque<Zeroizing<Vec<u8>>>);

impl Staged {
    /// Adds a payload; whether the oldest had to make room.
    pub fn push(&mut self, payload: Vec<u8>) -> bool {
        let full = self.0.len() == CAPACITY;
        if full {
            self.0.pop_front();
        }
        self.0.push_back(Zeroizing::new(payload));
        full
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Zeroizing<Vec<u8>>> {
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
        staged.push(vec![7]);
        wiped(staged.pop());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut staged = Staged::default();
        for at in 0..=CAPACITY as u8 {
            assert_eq!(staged.push(vec![at]), usize::from(at) == CAPACITY, "payload {at}");
        }
        assert_eq!(staged.len(), CAPACITY);
        assert_eq!(staged.pop(), Some(Zeroizing::new(vec![1])));
        assert_eq!((staged.clear(), staged.is_empty()), (CAPACITY - 1, true));
    }
}
