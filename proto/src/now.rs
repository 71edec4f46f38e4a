//! Time as it comes in: nothing below the machine asks what time it is.

use core::ops::Add;
use core::time::Duration;

/// A point on a monotonic clock: time since an epoch that the machine chose (it counts while suspended).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The epoch itself.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The moment `since_epoch` after the epoch.
    pub const fn new(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// Time since the epoch.
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it (a clock that went back ages nothing).
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// The present, as the machine read it before it called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic: for ages, timers and rates.
    pub instant: Moment,
    /// Since the Unix epoch: for timestamps on the wire and in reports. It may jump.
    pub wall: Duration,
}

impl Now {
    /// How long ago `earlier` was; zero if it is not in the past.
    pub const fn since(self, earlier: Moment) -> Duration {
        self.instant.since(earlier)
    }
}
