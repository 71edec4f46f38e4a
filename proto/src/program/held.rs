//! Base rules and then the capabilities of whoever sends.

use super::{Judgement, List, Outcome, Parties, Subject};

impl List {
    /// Judges by this list as the base rules, and then by capabilities, which come in rising order of their ids.
    ///
    /// The base rules decide with accept, drop and redirect. Where they do not, the first capability that accepts or redirects
    /// does; a drop or a break in one leaves it to the next. Then nothing has been decided ([`Outcome::NoMatch`]), which no
    /// caller may take for an accept. What a rule asks for and the packet does not say refuses it, wherever that rule
    /// stands. Of copies the one of the base rules counts, else the one of the capability that decides.
    pub fn judge_with<'l>(
        &'l self,
        capabilities: impl IntoIterator<Item = &'l Self>,
        parties: &Parties<'_>,
        subject: &Subject<'_>,
    ) -> Judgement<'l> {
        let mut judgement = self.judge(parties, subject);
        if judgement.outcome != Outcome::NoMatch {
            return judgement;
        }
        for capability in capabilities {
            let said = capability.judge(parties, subject);
            judgement.log = said.log.or(judgement.log);
            judgement.steady &= said.steady;
            judgement.undecided |= said.undecided;
            judgement.heard |= said.heard;
            let lets_pass = matches!(said.outcome, Outcome::Accept | Outcome::Redirect(_));
            if lets_pass || said.unreadable {
                judgement.outcome = said.outcome;
                judgement.by = said.by;
                judgement.tee = judgement.tee.or(said.tee.filter(|_| lets_pass));
                judgement.detoured = said.detoured;
                judgement.unreadable = said.unreadable;
                judgement.heard = said.heard;
                return judgement;
            }
        }
        judgement
    }
}
