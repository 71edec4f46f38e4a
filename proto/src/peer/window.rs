//! Which counters were seen: a sliding window over the last packets of a session (RFC 6479).

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = 128;

/// Bits of the window. One word of it is always being cleared, so that 8128 counters are usable.
pub const WINDOW: u64 = WORDS as u64 * WORD_BITS;

/// How far behind the newest counter a packet may be.
pub const USABLE: u64 = WINDOW - WORD_BITS;

/// The counters that were seen.
pub struct Window {
    /// One more than the highest counter seen.
    next: u64,
    seen: [u64; WORDS],
    accepted: u64,
}

impl Window {
    /// Nothing was seen.
    pub const fn new() -> Self {
        Self { next: 0, seen: [0; WORDS], accepted: 0 }
    }

    /// Whether `counter` is new. Asked before the packet is opened: cheap, and changes nothing.
    pub fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.next {
            return true;
        }
        self.next - 1 - counter < USABLE && self.seen[word(counter)] & bit(counter) == 0
    }

    /// Notes `counter` as seen and says whether it was new. Only for packets that were authentic.
    pub fn accept(&mut self, counter: u64) -> bool {
        if !self.is_fresh(counter) {
            return false;
        }
        if counter >= self.next {
            self.advance(counter);
        }
        self.seen[word(counter)] |= bit(counter);
        self.accepted += 1;
        true
    }

    /// How many counters up to the highest were not seen so far: what is lost, but for the few that are still under way.
    pub const fn missing(&self) -> u64 {
        self.next - self.accepted
    }

    /// Clears the words that the window moves over.
    fn advance(&mut self, counter: u64) {
        let first = self.next.div_ceil(WORD_BITS);
        let last = counter / WORD_BITS;
        for index in first..=last.min(first + WORDS as u64 - 1) {
            self.seen[(index % WORDS as u64) as usize] = 0;
        }
        self.next = counter.saturating_add(1);
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

fn word(counter: u64) -> usize {
    (counter / WORD_BITS % WORDS as u64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn counters_are_accepted_once() {
        let mut window = Window::new();
        for (counter, fresh) in [
            (0, true),
            (1, true),
            (1, false),
            (9, true),
            (8, true),
            (8, false),
            (7, true),
            (63, true),
            (64, true),
            (63, false),
            (64, false),
            (USABLE + 64, true),
            (64, false),
            (65, true),
            (66, true),
            (WINDOW * 3, true),
            (WINDOW * 3 - USABLE, false),
            (WINDOW * 3 - USABLE + 1, true),
            (WINDOW * 3, false),
            (u64::MAX - 1, true),
            (u64::MAX - 1, false),
            (0, false),
        ] {
            assert_eq!(window.accept(counter), fresh, "counter {counter}");
        }
    }

    #[test]
    fn replay_window_is_8192_wide() {
        assert_eq!((WINDOW, USABLE), (8192, 8128));
        let newest = 100_000;
        let mut window = Window::new();
        assert!(window.accept(newest));
        for counter in 0..newest {
            let near = newest - counter < USABLE;
            assert_eq!(window.is_fresh(counter), near, "counter {counter}");
        }
    }

    #[test]
    fn what_was_not_seen_is_missing_until_it_comes() {
        let mut window = Window::new();
        for counter in (0..1_000).filter(|counter| counter % 10 != 3) {
            window.accept(counter);
        }
        assert_eq!(window.missing(), 100);
        window.accept(3);
        assert_eq!(window.missing(), 99);
        window.accept(WINDOW);
        assert_eq!(window.missing(), 99 + WINDOW - 1_000);
        window.accept(WINDOW * 10);
        assert_eq!(window.missing(), WINDOW * 10 + 1 - 903);
    }

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut window = Window::new();
        let (mut seen, mut accepted) = (BTreeSet::new(), BTreeSet::new());
        let (mut state, mut newest) = (0x9e37_79b9_u64, 0_u64);
        for step in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let counter = match state >> 60 {
                0 => newest + (state >> 40) % 20_000,
                1..5 => newest + (state >> 40) % 4,
                _ => newest.saturating_sub((state >> 40) % 9_000),
            };
            let expected = (counter > newest || newest - counter < USABLE) && !seen.contains(&counter);
            assert_eq!(window.accept(counter), expected, "step {step} counter {counter} newest {newest}");
            seen.insert(counter);
            if expected {
                accepted.insert(counter);
            }
            newest = newest.max(counter);
            if step % 10_000 == 0 {
                assert_eq!(window.missing(), newest + 1 - accepted.len() as u64, "step {step}");
            }
        }
    }
}
