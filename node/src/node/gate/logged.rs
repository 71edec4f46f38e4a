//! What `log` rules have matched: told at a pace that a log can bear.

use std::time::Duration;

use lockgate_proto::now::{Moment, Now};
use lockgate_proto::packet::Headers;
use lockgate_proto::program::RuleRef;

use super::words::Opening;

/// At most one line in this time, and so many at once after a quiet one.
const PACE: Duration = Duration::from_millis(100);
const BURST: u32 = 20;

/// How much of the pace is spoken for.
#[derive(Debug, Default)]
pub(super) struct Logged {
    spoken_for: Option<Moment>,
    untold: u64,
}

impl Logged {
    /// A packet matched a `log` rule.
    pub(super) fn note(&mut self, rule: &RuleRef, headers: &Headers, now: Now) {
        if self.may(now.instant) {
            let packet = Opening::by(headers);
            let untold = std::mem::take(&mut self.untold);
            tracing::info!(%rule, %packet, untold, "packet matched");
        } else {
            self.untold += 1;
        }
    }

    fn may(&mut self, now: Moment) -> bool {
        let next = self.spoken_for.map_or(now, |spoken_for| spoken_for.max(now)) + PACE;
        let may = next.since(now) <= PACE * BURST;
        if may {
            self.spoken_for = Some(next);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_at_a_pace() {
        let mut logged = Logged::default();
        let told = (0..10_000u64).filter(|at| logged.may(Moment::ZERO + Duration::from_millis(*at / 10)));
        assert_eq!(told.count(), 29, "twenty at once, then ten in a second, the last of them not yet");
    }
}
