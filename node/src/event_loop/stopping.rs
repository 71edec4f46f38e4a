//! A clean stop: what the applications have sent is read first, then their connections end, then it is over.

use std::time::Duration;

use lockgate_proto::now::Moment;

/// How long a clean stop may take.
const STOP: Duration = Duration::from_secs(5);
/// How much of it may pass before the connections are ended, read or not: the end must reach the other side too.
const READING: Duration = Duration::from_millis(STOP.as_millis() as u64 / 2);
/// Silence for so long means that an application's kernel has nothing more for us: it sends the rest of a full
/// window as soon as we have read, within the same machine.
const QUIET: Duration = Duration::from_millis(20);
/// Signals closer together are one: `timeout` sends SIGTERM to the process, and once more to its group.
const SAME: Duration = Duration::from_millis(100);

/// A stop that was asked for.
#[derive(Debug)]
pub(super) struct Stopping {
    phase: Phase,
    begun: Moment,
    until: Moment,
}

#[derive(Debug)]
enum Phase {
    /// Applications are read until all of them have been silent up to `quiet_at`.
    Reading { quiet_at: Moment, latest: Moment },
    /// Their connections were told to end.
    Ending,
}

impl Stopping {
    pub(super) fn begin(now: Moment) -> Self {
        let phase = Phase::Reading { quiet_at: now + QUIET, latest: now + READING };
        Self { phase, begun: now, until: now + STOP }
    }

    /// It was asked for again: it is over, delivered or not.
    pub(super) fn hurry(&mut self, now: Moment) {
        if now >= self.begun + SAME {
            self.until = self.until.min(now);
        }
    }

    /// Why there was not more time.
    pub(super) fn why_late(&self) -> &'static str {
        if self.until < self.begun + STOP {
            "it was told to end at once"
        } else {
            "the other side did not take it in time"
        }
    }

    /// An application had something, or has something that the broker does not take yet.
    pub(super) fn heard(&mut self, now: Moment) {
        if let Phase::Reading { quiet_at, .. } = &mut self.phase {
            *quiet_at = now + QUIET;
        }
    }

    /// Whether the connections are to be ended now; once.
    pub(super) fn is_time_to_end(&mut self, now: Moment) -> bool {
        let Phase::Reading { quiet_at, latest } = self.phase else { return false };
        let due = now >= quiet_at.min(latest);
        if due {
            self.phase = Phase::Ending;
        }
        due
    }

    /// Whether there is no time left.
    pub(super) fn is_late(&self, now: Moment) -> bool {
        now >= self.until
    }

    /// Whether the connections were told to end.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending)
    }

    /// When there is something to decide.
    pub(super) fn poll_timeout(&self) -> Moment {
        match self.phase {
            Phase::Reading { quiet_at, latest } => quiet_at.min(latest).min(self.until),
            Phase::Ending => self.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn connections_end_once_the_applications_are_silent() {
        let mut stopping = Stopping::begin(at(0));
        assert!(!stopping.is_time_to_end(at(19)));
        stopping.heard(at(19));
        assert_eq!(stopping.poll_timeout(), at(39));
        assert!(!stopping.is_time_to_end(at(38)) && !stopping.is_ending());
        assert!(stopping.is_time_to_end(at(39)) && stopping.is_ending());
        assert!(!stopping.is_time_to_end(at(40)), "they are told once");
        assert_eq!(stopping.poll_timeout(), at(5000));
        assert!(!stopping.is_late(at(4999)) && stopping.is_late(at(5000)));
    }

    #[test]
    fn an_application_that_never_falls_silent_does_not_hold_the_end_back() {
        let mut stopping = Stopping::begin(at(0));
        for millis in (0..2500).step_by(10) {
            assert!(!stopping.is_time_to_end(at(millis)), "{millis}");
            stopping.heard(at(millis));
        }
        assert!(stopping.is_time_to_end(at(2500)));
    }
    #[test]
    fn a_second_signal_leaves_no_more_time_and_the_same_one_twice_does() {
        let mut stopping = Stopping::begin(at(0));
        stopping.hurry(at(99));
        assert!(!stopping.is_late(at(99)));
        stopping.hurry(at(100));
        assert!(stopping.is_late(at(100)) && stopping.poll_timeout() <= at(100));
        stopping.hurry(at(200));
        assert!(stopping.is_late(at(100)), "a third one gives none back");
    }
}
