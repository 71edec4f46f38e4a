//! Which small slips in a policy its tests would notice.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::mutants::{self, Mutant};
use super::universe::{Points, Question};
use super::{Expected, Remedy, questions_of_claims};
use crate::policy::{NodeTags, Policy};
use crate::rules::Rules;

/// What became of the mutants of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutation {
    /// How many changed the answer to a claim.
    pub killed: usize,
    /// Those that changed an answer that no claim asks for: what the tests would not notice.
    pub survivors: Vec<Survivor>,
    /// How many change no answer at all between the nodes of this policy: no test could notice them.
    pub equivalent: usize,
    /// How many change an answer, but none that a claim can ask for: about nodes that carry other tags than any that is
    /// listed, or about the socket types of applications.
    pub unreachable: usize,
    /// How many the policy itself refuses, by a `[[forbid]]`: they cannot come about.
    pub refused: usize,
}

impl Mutation {
    /// How many a test could notice.
    pub fn mutants(&self) -> usize {
        self.killed + self.survivors.len()
    }
}

/// A mutant that the tests do not notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// The line of the section that was changed.
    pub line: usize,
    /// The section: an allow's id, `service.telemetry`.
    pub rule: String,
    /// What was changed, as a sentence without a full stop.
    pub change: String,
    /// The shortest test that notices it.
    pub remedy: Remedy,
}

/// Makes every mutant of `policy` and asks the claims of its tests about it. Where a claim fails already, fix that
/// first: a claim kills a mutant by changing its answer, whatever the author expected.
pub fn mutate(policy: &Policy) -> Mutation {
    let policy = mutants::prepared(policy);
    let points = Points::of(&policy);
    let court = Court::new(&policy, &points);
    let strangers = Strangers::of(&policy);
    let mut beyond = None;
    let mut mutation = Mutation::default();
    mutants::each(&policy, &mut |mutant| {
        if is_refused(&mutant.policy) {
            mutation.refused += 1;
            return;
        }
        let rules = Rules::compile(&mutant.policy, 1);
        if court.is_noticed(&rules) {
            mutation.killed += 1;
        } else if let Some(remedy) = court.remedy(&rules) {
            mutation.survivors.push(survivor(mutant, remedy));
        } else if beyond.get_or_insert_with(|| strangers.ask(&points)).changes(&strangers, mutant.policy) {
            mutation.unreachable += 1;
        } else {
            mutation.equivalent += 1;
        }
    });
    mutation.survivors.sort_by_key(|survivor| survivor.line);
    mutation
}

/// Whether a forbid rules out what a rule of the policy lets through: such a policy is not valid.
fn is_refused(policy: &Policy) -> bool {
    let allows = policy.allows.iter().map(|allow| (Some(&allow.from), &allow.to));
    let held = policy.capabilities.iter().filter(|capability| capability.from.is_some());
    let held = held.map(|capability| (capability.from.as_ref(), &capability.to));
    let mut let_through = allows.chain(held);
    let_through.any(|(from, to)| policy.forbids.iter().any(|forbid| forbid.overlaps(policy, from, to)))
}

fn survivor(mutant: Mutant, remedy: Remedy) -> Survivor {
    let Mutant { line, rule, change, .. } = mutant;
    Survivor { line, rule, change, remedy }
}

/// The unchanged policy's answers: to the claims, and to everything that a claim could ask.
struct Court<'p> {
    claims: Vec<(Question<'p>, bool)>,
    questions: Vec<(Question<'p>, bool)>,
}

impl<'p> Court<'p> {
    fn new(policy: &'p Policy, points: &'p Points) -> Self {
        let rules = Rules::compile(policy, 1);
        Self {
            claims: answered(questions_of_claims(policy), &rules),
            questions: answered(points.questions(policy), &rules),
        }
    }

    fn is_noticed(&self, rules: &Rules) -> bool {
        differing(&self.claims, rules).is_some()
    }

    fn remedy(&self, rules: &Rules) -> Option<Remedy> {
        let (question, allowed) = differing(&self.questions, rules)?;
        Some(Remedy::new(question, if *allowed { Expected::Allow } else { Expected::Deny }))
    }
}

fn answered<'p>(questions: Vec<Question<'p>>, rules: &Rules) -> Vec<(Question<'p>, bool)> {
    let answer = |question: Question<'p>| {
        let allowed = question.is_allowed(rules);
        (question, allowed)
    };
    questions.into_iter().map(answer).collect()
}

fn differing<'a, 'p>(asked: &'a [(Question<'p>, bool)], rules: &Rules) -> Option<&'a (Question<'p>, bool)> {
    asked.iter().find(|(question, allowed)| question.is_allowed(rules) != *allowed)
}

/// Nodes that the policy does not list, each like a listed one but for one tag.
struct Strangers {
    names: Vec<String>,
    tags: Vec<NodeTags>,
    policy: Policy,
}

impl Strangers {
    fn of(policy: &Policy) -> Self {
        let listed: BTreeSet<&NodeTags> = policy.nodes.values().collect();
        let mut strange: BTreeSet<NodeTags> = BTreeSet::new();
        for tags in &listed {
            for (tag, values) in &policy.tags {
                let changed = values
                    .iter()
                    .map(|value| (*tags).clone().into_iter().chain([(tag.clone(), value.clone())]));
                strange.extend(changed.map(Iterator::collect));
                let without = (*tags).clone().into_iter().filter(|(other, _)| other != tag);
                strange.insert(without.collect());
            }
        }
        let tags: Vec<NodeTags> =
            strange.into_iter().filter(|tags| !listed.contains(tags)).take(MOST_STRANGERS).collect();
        // No name of a node begins so.
        let names: Vec<String> = (0..tags.len()).map(|at| format!("?{at}")).collect();
        let mut strangers = Self { names, tags, policy: policy.clone() };
        strangers.policy = strangers.joining(policy.clone());
        strangers
    }

    fn joining(&self, mut policy: Policy) -> Policy {
        policy.nodes.extend(self.names.iter().cloned().zip(self.tags.iter().cloned()));
        policy
    }

    fn ask<'p>(&'p self, points: &'p Points) -> Beyond<'p> {
        let rules = Rules::compile(&self.policy, 1);
        Beyond { questions: answered(points.unaskable(&self.policy, &self.names), &rules) }
    }
}

/// The unchanged policy's answers to what no claim can ask.
struct Beyond<'p> {
    questions: Vec<(Question<'p>, bool)>,
}

impl Beyond<'_> {
    fn changes(&self, strangers: &Strangers, mutant: Policy) -> bool {
        differing(&self.questions, &Rules::compile(&strangers.joining(mutant), 1)).is_some()
    }
}

/// They only tell mutants that nothing on this network could show from those that change nothing anywhere.
const MOST_STRANGERS: usize = 16;

#[cfg(test)]
mod tests;
