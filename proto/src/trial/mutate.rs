//! Which small slips in a policy its tests would notice.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::LazyCell;

use super::mutants::{self, Mutant};
use super::table::Table;
use super::universe::Points;
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
    mutate_telling(policy, &mut |_, _| {})
}

/// As [`mutate`], and tells before each mutant how many are done, and of how many.
pub fn mutate_telling(policy: &Policy, tell: &mut dyn FnMut(usize, usize)) -> Mutation {
    let policy = mutants::prepared(policy);
    let (all, mut done) = (mutants::count(&policy), 0);
    tell(done, all);
    let points = Points::of(&policy);
    let rules = Rules::compile(&policy, 1);
    let claims = Table::new(questions_of_claims(&policy), &rules);
    let askable = Table::new(points.questions(&policy), &rules);
    let strangers = Strangers::of(&policy);
    let unaskable = LazyCell::new(|| strangers.unaskable(&points));
    let mut mutation = Mutation::default();
    mutants::each(&policy, &mut |mutant| {
        tell(done, all);
        done += 1;
        if is_refused(&mutant.policy) {
            mutation.refused += 1;
            return;
        }
        let (scope, rules) = (&mutant.scope, Rules::compile(&mutant.policy, 1));
        if claims.differing(scope, &rules).is_some() {
            mutation.killed += 1;
        } else if let Some(at) = askable.differing(scope, &rules) {
            let answer = if askable.passes(at) { Expected::Allow } else { Expected::Deny };
            let remedy = Remedy::new(askable.question(at), answer);
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

    fn unaskable<'p>(&'p self, points: &'p Points) -> Table<'p> {
        Table::new(points.unaskable(&self.policy, &self.names), &Rules::compile(&self.policy, 1))
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
