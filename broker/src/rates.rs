//! How many messages a second may pass: token buckets, shared by all connections of a service between two nodes.

use std::time::Duration;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::Rate;

/// A token bucket: messages per second, with a burst of as many.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    /// Nanoseconds of credit; one message costs `1 s / rate`.
    credit: u64,
    filled: Moment,
}

const SECOND: u64 = 1_000_000_000;

impl Bucket {
    fn new(rate: Rate, now: Moment) -> Self {
        Self { rate, credit: SECOND, filled: now }
    }

    /// Takes one message's worth, or says when there will be enough.
    pub(crate) fn take(&mut self, now: Moment) -> Result<(), Moment> {
        let age = u64::try_from(now.since(self.filled).as_nanos()).unwrap_or(SECOND);
        self.credit = self.credit.saturating_add(age).min(SECOND);
        self.filled = now;
        let price = SECOND / self.rate.per_second.max(1);
        match self.credit.checked_sub(price) {
            Some(rest) => {
                self.credit = rest;
                Ok(())
            }
            None => Err(now + Duration::from_nanos(price - self.credit)),
        }
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
            assert_eq!(bucket.take(at(0)), Ok(()), "message {message}");
        }
        assert_eq!(bucket.take(at(0)), Err(at(100)));
        assert_eq!(bucket.take(at(99)), Err(at(100)));
        assert_eq!(bucket.take(at(100)), Ok(()));
        assert_eq!(bucket.take(at(100)), Err(at(200)));
        let passed = (0..20).filter(|_| bucket.take(at(60_000)).is_ok()).count();
        assert_eq!(passed, 10, "a rest gives one second's worth, not more");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(Rate::per_second(1), at(5000));
        assert_eq!(bucket.take(at(5000)), Ok(()));
        assert!(bucket.take(at(1000)).is_err());
    }
}
