//! A link's own clock: it stands still while the tunnel is silent, so that an outage ages no timer.

use std::time::{Duration, Instant};

use lockgate_proto::now::Moment;

/// Maps the machine's moments to the instants that QUIC counts in.
#[derive(Debug)]
pub(super) struct LinkClock {
    /// The instant of [`Moment::ZERO`], moved later by every standstill.
    base: Instant,
    /// What was skipped while standing still.
    lag: Duration,
    stopped: Option<Moment>,
    /// Never go back, whatever the machine's clock does.
    latest: Instant,
}

impl LinkClock {
    pub(super) fn new(base: Instant) -> Self {
        Self { base, lag: Duration::ZERO, stopped: None, latest: base }
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    pub(super) fn stop(&mut self, now: Moment) {
        self.stopped.get_or_insert(now);
    }

    /// Goes on from where it stood; whether it had stopped.
    pub(super) fn start(&mut self, now: Moment) -> bool {
        let Some(since) = self.stopped.take() else { return false };
        self.lag = self.lag.saturating_add(now.since(since));
        true
    }

    /// Goes straight to `next`, a timer in what was skipped or later.
    pub(super) fn skip_to(&mut self, now: Moment, next: Instant) {
        let ahead = next.saturating_duration_since(self.at(now));
        // A backed-off probe timer may be as far away as the outage was long: now is the time to probe.
        if ahead <= self.lag {
            self.lag -= ahead;
        } else {
            self.base += ahead - self.lag;
            self.lag = Duration::ZERO;
        }
    }

    /// The instant of `now`, or the one at which the clock stands.
    pub(super) fn at(&mut self, now: Moment) -> Instant {
        let moment = self.stopped.unwrap_or(now);
        let at = self.base + moment.since_epoch().saturating_sub(self.lag);
        self.latest = self.latest.max(at);
        self.latest
    }

    /// The moment of `at`, if the clock runs on.
    pub(super) fn moment(&self, at: Instant) -> Moment {
        Moment::new(at.saturating_duration_since(self.base) + self.lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Moment {
        Moment::new(Duration::from_secs(count))
    }

    #[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn time_stands_still_while_stopped() {
        let base = base();
        let mut clock = LinkClock::new(base);
        assert_eq!(clock.at(seconds(10)), base + Duration::from_secs(10));
        clock.stop(seconds(10));
        assert_eq!(clock.at(seconds(50)), base + Duration::from_secs(10));
        assert!(clock.start(seconds(70)) && !clock.start(seconds(70)));
        assert_eq!(clock.at(seconds(71)), base + Duration::from_secs(11));
        assert_eq!(clock.moment(base + Duration::from_secs(12)), seconds(72));
    }

    #[test]
    fn a_timer_that_waits_is_skipped_to() {
        let base = base();
        let mut clock = LinkClock::new(base);
        clock.stop(seconds(10));
        clock.start(seconds(40));
        clock.skip_to(seconds(40), base + Duration::from_secs(26));
        assert_eq!(clock.at(seconds(40)), base + Duration::from_secs(26));
        clock.stop(seconds(41));
        clock.start(seconds(42));
        clock.skip_to(seconds(42), base + Duration::from_secs(90));
        assert_eq!(clock.at(seconds(42)), base + Duration::from_secs(90));
        assert_eq!(clock.moment(base + Duration::from_secs(90)), seconds(42));
    }

    #[test]
    fn time_going_backwards_is_survived() {
        let base = base();
        let mut clock = LinkClock::new(base);
        let late = clock.at(seconds(10));
        assert_eq!(clock.at(seconds(3)), late);
    }
}
