//! What the tests of a policy are worth: whether they hold, which rules they need, and which slips they would notice.
//!
//! Everything here asks [`Rules::ask`] and nothing else, so that a test sees what the data path does.

mod cover;
mod flow_rules;
mod mutants;
mod mutate;
mod remedy;
mod scope;
mod table;
mod universe;

pub use cover::{Coverage, Gap, Missing, cover};
pub use mutate::{Mutation, Survivor, mutate, mutate_telling};
pub use remedy::Remedy;

use alloc::vec::Vec;
use core::fmt;

use crate::policy::{Claim, ClaimWhat, Policy, Test};
use crate::rules::{Denial, PacketKind, RuleRef, Rules, What};
use universe::Question;

/// What a claim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expected {
    /// It passes.
    Allow,
    /// It does not.
    Deny,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// A claim and what the rules say to it.
#[derive(Clone, Debug)]
pub struct Judged<'p> {
    /// The test that it stands in.
    pub test: &'p Test,
    /// The claim.
    pub claim: &'p Claim,
    /// What it says.
    pub expected: Expected,
    /// The rule that lets it pass, or why none does.
    pub answer: Result<RuleRef, Denial>,
}

impl Judged<'_> {
    /// What the rules say.
    pub fn got(&self) -> Expected {
        if self.answer.is_ok() { Expected::Allow } else { Expected::Deny }
    }

    /// Whether the claim is right.
    pub fn holds(&self) -> bool {
        self.got() == self.expected
    }
}

/// Judges every claim, in the order of the file.
pub fn judge<'p>(policy: &'p Policy, rules: &Rules) -> Vec<Judged<'p>> {
    let judge = |(test, claim, expected)| {
        let answer = question(test, claim).ask(rules);
        Judged { test, claim, expected, answer }
    };
    claims(policy).map(judge).collect()
}

fn claims(policy: &Policy) -> impl Iterator<Item = (&Test, &Claim, Expected)> {
    policy.tests.iter().flat_map(|test| {
        let allow = test.allow.iter().map(move |claim| (test, claim, Expected::Allow));
        allow.chain(test.deny.iter().map(move |claim| (test, claim, Expected::Deny)))
    })
}

fn questions_of_claims(policy: &Policy) -> Vec<Question<'_>> {
    claims(policy).map(|(test, claim, _)| question(test, claim)).collect()
}

fn question<'p>(test: &'p Test, claim: &'p Claim) -> Question<'p> {
    let what = match &claim.what {
        ClaimWhat::Tcp(port) => What::Packets(PacketKind::Tcp(*port)),
        ClaimWhat::Udp(port) => What::Packets(PacketKind::Udp(*port)),
        ClaimWhat::Icmp => What::Packets(PacketKind::Icmp),
        ClaimWhat::Service { name, topic } => {
            What::Service { name, topic: topic.as_ref().map(|topic| topic.as_bytes()), socket: None }
        }
    };
    let hold = test.hold.iter().map(|held| held.value.as_str()).collect();
    Question { from: &test.from, to: &claim.to, what, hold }
}

#[cfg(test)]
mod tests;
