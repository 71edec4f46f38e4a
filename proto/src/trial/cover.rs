//! Which rules of a policy its tests need.

use alloc::string::String;
use alloc::vec::Vec;

use super::universe::Question;
use super::{Expected, Judged, mutants, question};
use crate::policy::{Forbid, ForbidTarget, Packets, Policy, Target};
use crate::rules::{PacketKind, Rules, What};

/// How far the tests reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How many rules there are: allows, forbids, capabilities and raw flow rules.
    pub rules: usize,
    /// What is missing, in the order of the file.
    pub gaps: Vec<Gap>,
}

impl Coverage {
    /// How many rules have every claim that they need.
    pub fn covered(&self) -> usize {
        let mut lines: Vec<usize> = self.gaps.iter().map(|gap| gap.line).collect();
        lines.dedup();
        self.rules.saturating_sub(lines.len())
    }
}

/// A rule, and a kind of claim that no test has about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Where the rule stands.
    pub line: usize,
    /// Its id or name.
    pub rule: String,
    /// What there is none of.
    pub missing: Missing,
}

/// A kind of claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// One under `allow` that the rule lets through.
    Pass,
    /// One under `deny` that only one of the rule's conditions keeps out.
    NearMiss,
    /// One under `deny` that the forbid is about.
    Ban,
    /// One that the flow rule decides.
    Decision,
}

/// Looks for the rules that no claim needs.
pub fn cover(policy: &Policy, judged: &[Judged<'_>]) -> Coverage {
    let mut survey = Survey { policy, judged, rules: 0, gaps: Vec::new() };
    survey.allows();
    survey.capabilities();
    survey.forbids();
    survey.flow_rules();
    survey.gaps.sort();
    Coverage { rules: survey.rules, gaps: survey.gaps }
}

struct Survey<'s, 'p> {
    policy: &'p Policy,
    judged: &'s [Judged<'p>],
    rules: usize,
    gaps: Vec<Gap>,
}

impl<'p> Survey<'_, 'p> {
    fn note(&mut self, line: usize, rule: &str, missing: Missing) {
        self.gaps.push(Gap { line, rule: rule.into(), missing });
    }

    fn allows(&mut self) {
        let policy = self.policy;
        for (at, allow) in policy.allows.iter().enumerate() {
            self.rules += 1;
            if !self.lets_through(allow.line) {
                self.note(allow.line, &allow.id, Missing::Pass);
            }
            if !self.is_nearest(allow.line) && !self.is_near(at) {
                self.note(allow.line, &allow.id, Missing::NearMiss);
            }
        }
    }

    fn capabilities(&mut self) {
        for capability in &self.policy.capabilities {
            self.rules += 1;
            if !self.lets_through(capability.line) {
                self.note(capability.line, &capability.name, Missing::Pass);
            }
        }
    }

    fn forbids(&mut self) {
        for forbid in &self.policy.forbids {
            self.rules += 1;
            let bans = |one: &&Question<'_>| is_banned(self.policy, forbid, one);
            if !self.denied().iter().any(|one| bans(&one)) {
                self.note(forbid.line, &forbid.id, Missing::Ban);
            }
        }
    }

    fn flow_rules(&mut self) {
        for (line, name) in super::flow_rules::rules(self.policy) {
            self.rules += 1;
            if !self.lets_through(line) && !self.is_nearest(line) {
                self.note(line, &name, Missing::Decision);
            }
        }
    }

    /// Whether the rule in `line` lets a claim through that is to pass.
    fn lets_through(&self, line: usize) -> bool {
        self.judged.iter().any(|judged| {
            judged.expected == Expected::Allow
                && judged.answer.as_ref().is_ok_and(|rule| rule.line as usize == line)
        })
    }

    /// Whether the rule in `line` is the nearest one to a claim that is denied.
    fn is_nearest(&self, line: usize) -> bool {
        self.judged.iter().any(|judged| match (&judged.expected, &judged.answer) {
            (Expected::Deny, Err(denial)) => {
                denial.nearest.as_ref().is_some_and(|rule| rule.line as usize == line)
            }
            _ => false,
        })
    }

    /// The claims that are to be denied and are.
    fn denied(&self) -> Vec<Question<'p>> {
        let denied = self.judged.iter().filter(|judged| judged.expected == Expected::Deny && judged.holds());
        denied.map(|judged| question(judged.test, judged.claim)).collect()
    }

    /// Whether a denied claim would pass if the allow `at` lost one of its conditions.
    fn is_near(&self, at: usize) -> bool {
        let denied = self.denied();
        mutants::without_one_condition(self.policy, at)
            .iter()
            .map(|policy| Rules::compile(policy, 1))
            .any(|rules| denied.iter().any(|question| question.is_allowed(&rules)))
    }
}

/// Whether a question is about what a forbid forbids.
fn is_banned(policy: &Policy, forbid: &Forbid, question: &Question<'_>) -> bool {
    let is = |set: &crate::policy::TagExpr, node: &str| {
        policy.node(node).is_some_and(|tags| set.matches(node, tags))
    };
    let to = match (&forbid.to, question.what) {
        (ForbidTarget::Everything(to), _) => is(to, question.to),
        (ForbidTarget::Service(service), What::Service { name, .. }) => service == name,
        (ForbidTarget::Packets(target), What::Packets(kind)) => {
            is(&target.to, question.to) && covers(&target.packets, kind)
        }
        _ => false,
    };
    to && is(&forbid.from, question.from)
}

fn covers(packets: &Packets, kind: PacketKind) -> bool {
    match (packets, kind) {
        (Packets::Tcp(ports), PacketKind::Tcp(port)) | (Packets::Udp(ports), PacketKind::Udp(port)) => {
            ports.contains(&port)
        }
        (Packets::Icmp, PacketKind::Icmp) => true,
        _ => false,
    }
}
