//! What time it is: monotonic since the process began (counting suspension), and since the Unix epoch.

use std::time::{Duration, Instant};

use lockgate_proto::now::{Moment, Now};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The clock of one process. Copies share the epoch, so their moments can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Duration,
    base: Instant,
}

impl Clock {
    /// Starts the clock: [`Moment::ZERO`] is now.
    pub fn start() -> Self {
        Self { epoch: read(ClockId::Boottime), base: Instant::now() }
    }

    /// The present.
    pub fn now(&self) -> Now {
        let since = read(ClockId::Boottime).saturating_sub(self.epoch);
        Now { instant: Moment::new(since), wall: read(ClockId::Realtime) }
    }

    /// The `Instant` that stands for [`Moment::ZERO`]: `std_base() + moment.since_epoch()` is what a state machine
    /// that speaks `Instant` (`quinn-proto`) is given for a moment. It drifts from `Instant::now()` by the time
    /// the machine was suspended, so the two must not be mixed.
    pub fn std_base(&self) -> Instant {
        self.base
    }
}

/// A clock set before 1970 reads as the epoch itself.
fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    let nanoseconds = u32::try_from(tv_nsec).unwrap_or(0);
    u64::try_from(tv_sec).map_or(Duration::ZERO, |seconds| Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_at_zero_and_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.instant.since_epoch() < Duration::from_secs(60), "{first:?}");
        let mut last = first.instant;
        for _ in 0..1000 {
            let next = clock.now().instant;
            assert!(next >= last);
            last = next;
        }
        assert!(last > first.instant, "a thousand readings take time");
    }

    #[test]
    fn wall_time_is_since_the_unix_epoch() {
        let wall = Clock::start().now().wall;
        let system = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(system.abs_diff(wall) < Duration::from_secs(10), "{wall:?} {system:?}");
    }

    #[test]
    fn the_standard_base_stands_for_moment_zero() {
        let clock = Clock::start();
        let standard = clock.std_base() + clock.now().instant.since_epoch();
        assert!(standard.elapsed() < Duration::from_secs(10));
    }
}
