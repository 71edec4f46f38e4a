//! What a whole script says: its base rules, then the capabilities of whoever sends.

use super::Script;
use crate::program::{Judgement, Outcome, Parties, Subject};

impl Script {
    /// Judges a packet or a message.
    ///
    /// The base rules decide with accept, drop and redirect. Where they do not, the capabilities whose ids the *sender* holds
    /// are asked by rising id: the first that accepts or redirects decides, a drop or a break in one leaves it to the
    /// next. Then nothing has been decided ([`Outcome::NoMatch`]), which no caller may take for an accept. What a rule asks for
    /// and the packet does not say refuses it, wherever that rule stands.
    pub fn judge(&self, parties: &Parties<'_>, held: &[u32], subject: &Subject<'_>) -> Judgement<'_> {
        let mut judgement = self.rules.judge(parties, subject);
        if judgement.outcome != Outcome::NoMatch {
            return judgement;
        }
        for capability in self.by_id.iter().map(|at| &self.capabilities[*at]) {
            if !held.contains(&capability.id) {
                continue;
            }
            let said = capability.rules.judge(parties, subject);
            judgement.log = said.log.or(judgement.log);
            judgement.steady &= said.steady;
            judgement.undecided |= said.undecided;
            judgement.unreadable |= said.unreadable;
            let decides = matches!(said.outcome, Outcome::Accept | Outcome::Redirect(_));
            if decides || said.unreadable {
                judgement.outcome = said.outcome;
                judgement.by = said.by;
                judgement.tee = judgement.tee.or(said.tee);
                judgement.detoured = said.detoured;
                return judgement;
            }
        }
        judgement
    }
}
