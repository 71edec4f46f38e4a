//! A pace that a log can bear, whatever comes.

use std::time::Duration;

use lockgate_proto::now::Moment;

/// So many at once after a quiet time, and then one in each `every`.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    burst: u32,
    spoken_for: Option<Moment>,
}

impl Pace {
    pub(super) const fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, spoken_for: None }
    }

    /// Whether there is room for one more now; it is taken.
    pub(super) fn may(&mut self, now: Moment) -> bool {
        let next = self.spoken_for.map_or(now, |spoken_for| spoken_for.max(now)) + self.every;
        let may = next.since(now) <= self.every * self.burst;
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
        let mut pace = Pace::new(Duration::from_millis(100), 20);
        let told = (0..10_000u64).filter(|at| pace.may(Moment::ZERO + Duration::from_millis(*at / 10)));
        assert_eq!(told.count(), 29, "twenty at once, then ten in a second, the last of them not yet");
    }
}
