//! What `log` rules have matched: told at a pace that a log can bear.

use std::time::Duration;

use lockgate_proto::now::Now;
use lockgate_proto::packet::Headers;
use lockgate_proto::program::RuleRef;

use super::pace::Pace;
use super::words::Opening;

/// What was told, and how many were not.
#[derive(Debug)]
pub(super) struct Logged {
    pace: Pace,
    untold: u64,
}

impl Default for Logged {
    fn default() -> Self {
        Self { pace: Pace::new(Duration::from_millis(100), 20), untold: 0 }
    }
}

impl Logged {
    /// A packet matched a `log` rule.
    pub(super) fn note(&mut self, rule: &RuleRef, headers: &Headers, now: Now) {
        if self.pace.may(now.instant) {
            let packet = Opening::by(headers);
            let untold = std::mem::take(&mut self.untold);
            tracing::info!(%rule, %packet, untold, "packet matched");
        } else {
            self.untold += 1;
        }
    }
}
