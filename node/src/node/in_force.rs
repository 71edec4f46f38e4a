//! Which rules are in force: the policy's, with the capabilities that nodes hold at this moment.

use std::sync::Arc;
use std::time::Duration;

use lockgate_proto::now::{Moment, Now};
use lockgate_proto::rules::Rules;

/// How often the clock on the wall is looked at: it may be set at any time, and a capability has to end with it.
const LOOK: Duration = Duration::from_millis(500);

/// The policy's rules, and when they were last looked at.
pub(super) struct InForce {
    policy: Arc<Rules>,
    /// The moment whose capabilities are in force, since the Unix epoch.
    wall: Duration,
    /// When to look again; never where nothing changes with time.
    next: Option<Moment>,
}

impl InForce {
    /// Those of a policy; what is in force now comes from [`Self::current`].
    pub(super) fn new(policy: Arc<Rules>, now: Now) -> Self {
        let next = policy.change_with_time().then(|| now.instant + LOOK);
        Self { policy, wall: now.wall, next }
    }

    /// The rules with the capabilities of that moment.
    pub(super) fn current(&self) -> Arc<Rules> {
        if self.next.is_none() { self.policy.clone() } else { Arc::new(self.policy.at(self.wall)) }
    }

    /// The policy's rules, without a moment.
    pub(super) fn into_policy(self) -> Arc<Rules> {
        self.policy
    }

    /// The policy's generation.
    pub(super) fn generation(&self) -> u64 {
        self.policy.generation()
    }

    /// When to look at the clock.
    pub(super) const fn poll_timeout(&self) -> Option<Moment> {
        self.next
    }

    /// Looks at the clock; other rules, if they are others by now.
    pub(super) fn handle_timeout(&mut self, now: Now) -> Option<Arc<Rules>> {
        if self.next.is_none_or(|next| next > now.instant) {
            return None;
        }
        self.next = Some(now.instant + LOOK);
        if self.policy.are_same_at(self.wall, now.wall) {
            return None;
        }
        self.wall = now.wall;
        Some(self.current())
    }
}
