//! Which small slips in a policy its tests would notice.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{LazyCell, OnceCell};

use super::mutants::{self, Mutant};
use super::scope::{Key, Scope};
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
    let rules = Rules::compile(&policy, 1);
    let claims = Asked::new(questions_of_claims(&policy), rules.clone());
    let askable = Asked::new(points.questions(&policy), rules);
    let strangers = Strangers::of(&policy);
    let unaskable = LazyCell::new(|| strangers.unaskable(&points));
    let mut mutation = Mutation::default();
    mutants::each(&policy, &mut |mutant| {
        if is_refused(&mutant.policy) {
            mutation.refused += 1;
            return;
        }
        let (scope, rules) = (&mutant.scope, Rules::compile(&mutant.policy, 1));
        if claims.differing(&Scope::Everything, &rules).is_some() {
            mutation.killed += 1;
        } else if let Some((question, answer)) = askable.differing(scope, &rules) {
            let remedy = Remedy::new(question, answer);
            let Mutant { line, rule, change, .. } = mutant;
            mutation.survivors.push(Survivor { line, rule, change, remedy });
        } else if unaskable.differing(scope, &strangers.joined(&mutant.policy)).is_some() {
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

/// Questions, and the answers of the unchanged policy as far as somebody wanted to know them.
struct Asked<'p> {
    rules: Rules,
    /// The shortest first, wherever questions of several keys meet.
    questions: BTreeMap<Key<'p>, Vec<(Question<'p>, OnceCell<bool>)>>,
}

impl<'p> Asked<'p> {
    fn new(all: Vec<Question<'p>>, rules: Rules) -> Self {
        let mut questions: BTreeMap<Key<'p>, Vec<_>> = BTreeMap::new();
        for question in all {
            let key = Scope::key(&question.what);
            questions.entry(key).or_default().push((question, OnceCell::new()));
        }
        Self { rules, questions }
    }

    /// The shortest question in `scope` that other rules answer otherwise, and what the unchanged ones say.
    fn differing(&self, scope: &Scope, rules: &Rules) -> Option<(&Question<'p>, Expected)> {
        let before = |(question, answer): &(Question<'p>, OnceCell<bool>)| {
            *answer.get_or_init(|| question.is_allowed(&self.rules))
        };
        let keys = self.questions.iter().filter(|(key, _)| scope.has_key(key));
        let differing = keys
            .filter_map(|(_, asked)| asked.iter().find(|asked| asked.0.is_allowed(rules) != before(asked)));
        let differing = differing.min_by_key(|(question, _)| question.length())?;
        Some((&differing.0, if before(differing) { Expected::Allow } else { Expected::Deny }))
    }
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
        let policy = with(policy, &names, &tags);
        Self { names, tags, policy }
    }

    /// The rules of a policy that lists them too.
    fn joined(&self, policy: &Policy) -> Rules {
        Rules::compile(&with(policy, &self.names, &self.tags), 1)
    }

    fn unaskable<'p>(&'p self, points: &'p Points) -> Asked<'p> {
        Asked::new(points.unaskable(&self.policy, &self.names), Rules::compile(&self.policy, 1))
    }
}

fn with(policy: &Policy, names: &[String], tags: &[NodeTags]) -> Policy {
    let mut policy = policy.clone();
    policy.nodes.extend(names.iter().cloned().zip(tags.iter().cloned()));
    policy
}

/// They only tell mutants that nothing on this network could show from those that change nothing anywhere.
const MOST_STRANGERS: usize = 16;

#[cfg(test)]
mod tests;
