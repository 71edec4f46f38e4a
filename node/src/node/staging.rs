//! The rules of a node: those in force, and a candidate beside them.

use std::sync::Arc;

use lockgate_broker::apps::Apps;
use lockgate_proto::now::Now;
use lockgate_proto::rules::{Difference, Rules};

use super::in_force::InForce;
use super::{Event, Node};

/// Where a candidate judged otherwise than the rules in force, messages and packets together.
#[derive(Clone, Debug, Default)]
pub struct Comparison<'a> {
    /// What passed and would not, so many times.
    pub newly_denied: u64,
    /// What was denied and would pass, so many times.
    pub newly_allowed: u64,
    /// The latest distinct differences, oldest first: of messages, then of packets.
    pub differences: Vec<&'a Difference>,
}

impl Node {
    /// Other rules hold from now on, for messages and packets. A staged candidate stays, and is compared with these from
    /// nought. Rules that are no later than those in force by their generation get the next one: they hold later.
    pub fn replace_rules(&mut self, rules: Arc<Rules>, now: Now, apps: &mut impl Apps) {
        let before = self.in_force.generation();
        let is_later = rules.generation() > before;
        let rules = if is_later { rules } else { Arc::new(rules.renumbered(before + 1)) };
        self.in_force = InForce::new(rules, now);
        let rules = self.in_force.current();
        self.gate.replace_rules(rules.clone());
        self.gate.stage(self.candidate.as_ref().map(InForce::current));
        self.broker.replace_rules(rules, now.instant, apps);
    }

    /// Capabilities begin and end with time.
    pub(super) fn watch_capabilities(&mut self, now: Now, apps: &mut impl Apps) {
        if let Some(rules) = self.in_force.handle_timeout(now) {
            self.note(Event::CapabilitiesChanged);
            self.gate.replace_rules(rules.clone());
            self.broker.update_rules(rules, now.instant, apps);
        }
        if let Some(rules) = self.candidate.as_mut().and_then(|candidate| candidate.handle_timeout(now)) {
            self.gate.update_candidate(rules.clone());
            self.broker.update_candidate(rules, now.instant);
        }
    }

    /// Puts `candidate` beside the rules in force, in the place of one that was there: it is asked, and decides nothing.
    pub fn stage(&mut self, candidate: Arc<Rules>, now: Now) {
        let candidate = InForce::new(candidate, now);
        self.compare_with(Some(candidate.current()), now);
        self.candidate = Some(candidate);
    }

    /// Puts the candidate in force, as [`Node::replace_rules`] does; says whether there was one.
    pub fn promote(&mut self, now: Now, apps: &mut impl Apps) -> bool {
        let Some(candidate) = self.candidate.take() else { return false };
        self.compare_with(None, now);
        self.replace_rules(candidate.into_policy(), now, apps);
        true
    }

    /// Forgets the candidate; says whether there was one.
    pub fn abort(&mut self, now: Now) -> bool {
        self.compare_with(None, now);
        self.candidate.take().is_some()
    }

    fn compare_with(&mut self, candidate: Option<Arc<Rules>>, now: Now) {
        self.gate.stage(candidate.clone());
        self.broker.stage(candidate, now.instant);
    }

    /// Where the candidate judged otherwise; `None` while none is staged.
    pub fn comparison(&self) -> Option<Comparison<'_>> {
        let lists = [&self.broker.staged()?.differences].into_iter().chain(self.gate.differences());
        let mut whole = Comparison::default();
        for list in lists {
            whole.newly_denied += list.newly_denied();
            whole.newly_allowed += list.newly_allowed();
            whole.differences.extend(list.iter());
        }
        Some(whole)
    }

    /// What the rules have to tell.
    pub(super) fn note_judgements(&mut self) {
        while let Some(denial) = self.broker.poll_denial() {
            self.note(Event::Denied(denial));
        }
        while let Some(denial) = self.gate.poll_denial() {
            self.note(Event::PacketsDenied(denial));
        }
        while let Some(offer) = self.broker.poll_foreign_offer() {
            self.note(Event::ForeignOffer(offer));
        }
        while let Some(difference) = self.broker.poll_difference().or_else(|| self.gate.poll_difference()) {
            self.note(Event::Differs(difference));
        }
    }
}

#[cfg(test)]
mod tests;
