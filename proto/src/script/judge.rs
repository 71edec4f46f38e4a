//! What a whole script says: its base rules, then the capabilities of whoever sends.

use super::Script;
use crate::program::{Judgement, Parties, Subject};

impl Script {
    /// Judges a packet or a message: by the base rules, and where they decide nothing by the capabilities whose ids the *sender*
    /// holds ([`List::judge_with`](crate::program::List::judge_with)).
    pub fn judge(&self, parties: &Parties<'_>, held: &[u32], subject: &Subject<'_>) -> Judgement<'_> {
        let by_id = self.by_id.iter().map(|at| &self.capabilities[*at]);
        let held = by_id.filter(|capability| held.contains(&capability.id));
        self.rules.judge_with(held.map(|capability| &capability.rules), parties, subject)
    }
}
