//! How many messages a second may pass: token buckets, shared by all connections of a service between two nodes.

use std::time::Duration;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::Rate;

/// A token bucket that takes reservations: a rate, with a burst of one second's worth.
///
/// It keeps the moment up to which its messages are spoken for (the virtual scheduling of GCRA), so that those who
/// must wait each get a place of their own, in the order in which they asked.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Between two messages.
    price: Duration,
    spoken_for: Moment,
}

const BURST: Duration = Duration::from_secs(1);

impl Bucket {
    fn new(rate: Rate, now: Moment) -> Self {
        let nanos = 1_000_000_000 / rate.per_second.max(1);
        Self { price: Duration::from_nanos(nanos), spoken_for: now }
    }

    /// Takes a place that is free now.
    pub(crate) fn take(&mut self, now: Moment) -> bool {
        let next = self.spoken_for.max(now) + self.price;
        let free = next.since(now) <= BURST;
        if free {
            self.spoken_for = next;
        }
        free
    }

    /// Takes the next place, whenever it comes: the moment of it where that is not now.
    pub(crate) fn reserve(&mut self, now: Moment) -> Option<Moment> {
        let next = self.spoken_for.max(now) + self.price;
        self.spoken_for = next;
        let wait = next.since(now).saturating_sub(BURST);
        (!wait.is_zero()).then(|| now + wait)
    }
}

/// The rates of one service between this node and another, shared by all their connections.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// What applications here send.
    pub(crate) out: Bucket,
    /// What applications there send.
    pub(crate) inward: Bucket,
}

impl Buckets {
    pub(crate) fn new(rate: Rate, now: Moment) -> Self {
        Self { out: Bucket::new(rate, now), inward: Bucket::new(rate, now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::new(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_of_one_second_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(Rate::per_second(10), at(0));
        for message in 0..10 {
            assert!(bucket.take(at(0)), "message {message}");
        }
        for (millis, free) in [(0, false), (99, false), (100, true), (100, false), (200, true)] {
            assert_eq!(bucket.take(at(millis)), free, "at {millis} ms");
        }
        let passed = (0..20).filter(|_| bucket.take(at(60_000))).count();
        assert_eq!(passed, 10, "a rest gives one second's worth, not more");
    }

    #[test]
    fn those_who_wait_each_get_a_place_in_the_order_in_which_they_asked() {
        let mut bucket = Bucket::new(Rate::per_second(10), at(0));
        for _ in 0..10 {
            assert_eq!(bucket.reserve(at(0)), None);
        }
        assert_eq!(bucket.reserve(at(0)), Some(at(100)));
        assert_eq!(bucket.reserve(at(0)), Some(at(200)));
        // The first comes back in its turn and must queue behind the second.
        assert_eq!(bucket.reserve(at(100)), Some(at(300)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(Rate::per_second(1), at(5000));
        assert!(bucket.take(at(5000)));
        assert!(!bucket.take(at(1000)));
    }
}
