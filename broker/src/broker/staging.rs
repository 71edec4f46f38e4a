//! A candidate beside the rules in force: every new connection and message is judged under both, and nothing changes.

use std::sync::Arc;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::{Difference, Rules, Staged};

use super::Broker;
use crate::connections::Phase;
use crate::desk::Case;

impl Broker {
    /// Puts `candidate` beside the rules in force, in the place of one that was there, or takes that away. What is open
    /// is judged under it at once.
    pub fn stage(&mut self, candidate: Option<Arc<Rules>>, now: Moment) {
        self.desk.staged = candidate.map(Staged::new);
        self.compare_open(now);
    }

    /// The staged candidate as it is from now on (a capability of it began or ended); what differed so far is kept.
    pub fn update_candidate(&mut self, rules: Arc<Rules>, now: Moment) {
        if let Some(staged) = &mut self.desk.staged {
            staged.rules = rules;
            self.compare_open(now);
        }
    }

    /// Judges what is open under the candidate.
    fn compare_open(&mut self, now: Moment) {
        for connection in self.connections.values_mut() {
            let (Phase::Open(flow), Some(other)) = (&mut connection.phase, connection.link) else { continue };
            let role = connection.role;
            let case = Case { role, other, user: &flow.user };
            let host = flow.host_socket(role);
            let candidate = self.desk.compare_open(&case, &flow.grant, host, now);
            flow.compare_with(candidate);
        }
    }

    /// The candidate and where it judged otherwise, if one is staged.
    pub fn staged(&self) -> Option<&Staged> {
        self.desk.staged.as_ref()
    }

    /// A difference that has not been told before, for the log.
    pub fn poll_difference(&mut self) -> Option<Difference> {
        self.desk.staged.as_mut()?.differences.poll_untold()
    }
}
