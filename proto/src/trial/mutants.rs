//! Every small slip in a policy: each changes the policy itself, never its text.
//!
//! Sizes and rates are left alone: no claim can ask about them.

mod allows;
mod parts;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::scope::Scope;
use crate::policy::{Allow, PacketTarget, Packets, Policy, TagExpr, Target, Term};

/// A policy with one slip.
#[derive(Clone, Debug)]
pub(super) struct Mutant {
    /// The line of the section that was changed.
    pub(super) line: usize,
    /// The section, as people call it: an allow's id, `service.telemetry`.
    pub(super) rule: String,
    /// What was changed, as a sentence without a full stop.
    pub(super) change: String,
    /// What the section has a say in.
    pub(super) scope: Scope,
    /// The policy as it is then, as far as it has a say in the scope.
    pub(super) policy: Policy,
}

/// Makes every mutant of `policy` and hands each on: there is never more than one at a time.
pub(super) fn each(policy: &Policy, take: &mut dyn FnMut(Mutant)) {
    make(policy, Some(take), Scope::part);
}

/// The same, and each has the whole policy.
#[cfg(test)]
pub(super) fn each_whole(policy: &Policy, take: &mut dyn FnMut(Mutant)) {
    make(policy, Some(take), |_, policy| policy.clone());
}

/// How many there are.
pub(super) fn count(policy: &Policy) -> usize {
    make(policy, None, Scope::part)
}

fn make<'m>(
    policy: &'m Policy,
    take: Option<&'m mut dyn FnMut(Mutant)>,
    narrow: fn(&Scope, &Policy) -> Policy,
) -> usize {
    let (part, scope) = (policy.clone(), Scope::Everything);
    let mut maker = Maker { policy, part, narrow, line: 0, rule: String::new(), scope, take, made: 0 };
    allows::mutate(&mut maker);
    parts::mutate_services(&mut maker);
    parts::mutate_forbids(&mut maker);
    parts::mutate_capabilities(&mut maker);
    parts::mutate_flow_rules(&mut maker);
    maker.made
}

/// `policy` as the mutants start from it: it means the same, and [`everybody`] has a name in it.
pub(super) fn prepared(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for tags in policy.nodes.values_mut() {
        tags.insert(EVERYBODY.to_string(), EVERYBODY.to_string());
    }
    policy
}

/// What every node of a [`prepared`] policy is. No policy can say it: it is no name.
fn everybody() -> TagExpr {
    TagExpr::new([Term::Tag(EVERYBODY.to_string(), EVERYBODY.to_string())].into())
}

/// The policies in which this allow, the only one, has lost one of its conditions: who, to whom, or what. What the whole policy
/// denies passes with the rule so changed where it passes under one of these.
pub(super) fn without_one_condition(policy: &Policy, allow: &Allow) -> Vec<Policy> {
    let service = match &allow.to {
        Target::Service(name) => Some(name),
        Target::Packets(_) => None,
    };
    let mut alone = prepared(&policy.part(|one| Some(&one.name) == service, |_| false));
    alone.allows.push(allow.clone());
    let with = |edit: &dyn Fn(&mut Allow)| {
        let mut changed = alone.clone();
        changed.allows.iter_mut().for_each(edit);
        changed
    };
    let mut without = Vec::from([with(&|allow| allow.from = everybody())]);
    match &allow.to {
        Target::Service(_) => without.push(with(&|allow| allow.topics.clear())),
        Target::Packets(target) => {
            let to = |to, packets| Target::Packets(PacketTarget { to, packets });
            without.push(with(&|allow| allow.to = to(everybody(), target.packets.clone())));
            for packets in [Packets::Tcp(1..=u16::MAX), Packets::Udp(1..=u16::MAX), Packets::Icmp] {
                without.push(with(&|allow| allow.to = to(target.to.clone(), packets.clone())));
            }
        }
    }
    without
}

struct Maker<'m> {
    policy: &'m Policy,
    /// What of it has a say in `scope`: what is edited.
    part: Policy,
    narrow: fn(&Scope, &Policy) -> Policy,
    line: usize,
    rule: String,
    scope: Scope,
    /// `None` where they are only counted.
    take: Option<&'m mut dyn FnMut(Mutant)>,
    made: usize,
}

impl Maker<'_> {
    /// What follows is about this section.
    fn at(&mut self, line: usize, rule: impl Into<String>, scope: Scope) {
        if self.take.is_some() && scope != self.scope {
            self.part = (self.narrow)(&scope, self.policy);
        }
        (self.line, self.rule, self.scope) = (line, rule.into(), scope);
    }

    fn make(&mut self, change: impl Into<String>, edit: impl FnOnce(&mut Policy)) {
        self.made += 1;
        let Some(take) = &mut self.take else { return };
        let mut policy = self.part.clone();
        edit(&mut policy);
        let (rule, scope) = (self.rule.clone(), self.scope.clone());
        take(Mutant { line: self.line, rule, change: change.into(), scope, policy });
    }

    /// Each slip in an expression, which `edit` puts in its place.
    fn slips_of_nodes(&mut self, key: &str, nodes: &TagExpr, edit: impl Fn(&mut Policy, TagExpr)) {
        let terms = nodes.terms();
        for (at, term) in terms.iter().enumerate() {
            if let [only] = terms {
                self.make(format!("`{key}` is every node, not only {only}"), |policy| {
                    edit(policy, everybody());
                });
            } else {
                let mut left = terms.to_vec();
                left.remove(at);
                let change = format!("`{key}` loses {term}");
                self.make(change, |policy| edit(policy, TagExpr::new(left)));
            }
            for other in self.other_values(term) {
                let change = format!("`{key}` has {other} instead of {term}");
                let mut changed = terms.to_vec();
                changed[at] = other;
                self.make(change, |policy| edit(policy, TagExpr::new(changed)));
            }
        }
    }

    /// The same tag with every other value of the vocabulary.
    fn other_values(&self, term: &Term) -> Vec<Term> {
        let Term::Tag(tag, value) = term else { return Vec::new() };
        let values = self.policy.tags.get(tag).into_iter().flatten();
        values.filter(|other| *other != value).map(|other| Term::Tag(tag.clone(), other.clone())).collect()
    }

    /// Each slip in a list of topics.
    fn slips_of_topics(&mut self, topics: &[String], edit: impl Fn(&mut Policy, Vec<String>)) {
        if topics.is_empty() {
            return;
        }
        self.make("`topics` is gone: every topic", |policy| edit(policy, Vec::new()));
        for (at, topic) in topics.iter().enumerate() {
            if topics.len() > 1 {
                let mut left = topics.to_vec();
                left.remove(at);
                self.make(format!("`topics` loses {topic:?}"), |policy| edit(policy, left));
            }
            if let Some(shorter) = super::universe::shortened(topic) {
                let change = format!("the topic {topic:?} becomes {shorter:?}");
                let mut changed = topics.to_vec();
                changed[at] = shorter;
                self.make(change, |policy| edit(policy, changed));
            }
        }
    }
}

const EVERYBODY: &str = "*";
