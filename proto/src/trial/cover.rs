//! Which rules of a policy its tests need.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::flow_rules::{self, FlowRule};
use super::scope::Key;
use super::table::Table;
use super::universe::{Points, Question};
use super::{Expected, Judged, Remedy, mutants, question};
use crate::policy::{Allow, Forbid, ForbidTarget, Packets, Policy, TagExpr, Target};
use crate::program::Test;
use crate::rules::{Denial, PacketKind, RuleRef, Rules, What};

/// How far the tests reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How many rules there are: allows, capabilities, forbids, and flow rules that can decide a claim.
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
    /// The shortest claim of that kind; `None` where there can be none between the nodes of the policy.
    pub remedy: Option<Remedy>,
}

/// A kind of claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// One under `allow` that the rule lets through.
    Pass,
    /// One under `deny` that only one of the rule's conditions keeps out.
    NearMiss,
    /// One under `deny` that the forbid is about.
    Forbidden,
    /// One that the flow rule decides.
    Decision,
}

/// Looks for the rules that no claim needs.
pub fn cover(policy: &Policy, judged: &[Judged<'_>]) -> Coverage {
    let points = Points::of(policy);
    let compiled = Rules::compile(policy, 1);
    let asked = Table::new(points.questions(policy), &compiled);
    let by_line = asked.first_by_rule().into_iter().map(|(rule, at)| (rule.line as usize, at));
    let by_line = by_line.collect();
    let about = (0..).zip(asked.questions()).filter(|(_, asked)| matches!(asked.what, What::Packets(_)));
    let packets = about.map(|(at, _)| at).collect();
    let mut survey =
        Survey { policy, judged, asked: &asked, by_line, packets, compiled, rules: 0, gaps: Vec::new() };
    survey.allows();
    survey.capabilities();
    survey.forbids();
    survey.flow_rules();
    survey.gaps.sort();
    Coverage { rules: survey.rules, gaps: survey.gaps }
}

type Answer = Result<RuleRef, Denial>;

struct Survey<'s, 'p> {
    policy: &'p Policy,
    judged: &'s [Judged<'p>],
    /// What claims could ask, the shortest first.
    asked: &'s Table<'s>,
    /// The first that passes by the rule in each line.
    by_line: BTreeMap<usize, u32>,
    /// Those about packets.
    packets: Vec<u32>,
    compiled: Rules,
    rules: usize,
    gaps: Vec<Gap>,
}

impl<'p> Survey<'_, 'p> {
    fn note(&mut self, line: usize, rule: &str, missing: Missing, remedy: Option<Remedy>) {
        self.gaps.push(Gap { line, rule: rule.into(), missing, remedy });
    }

    fn allows(&mut self) {
        let policy = self.policy;
        for allow in &policy.allows {
            self.rules += 1;
            self.needs_pass(allow.line, &allow.id);
            self.needs_near_miss(allow);
        }
    }

    fn capabilities(&mut self) {
        for capability in &self.policy.capabilities {
            self.rules += 1;
            self.needs_pass(capability.line, &capability.name);
        }
    }

    fn needs_pass(&mut self, line: usize, rule: &str) {
        let passes = |answer: &Answer| answer.as_ref().is_ok_and(|rule| rule.line as usize == line);
        if self.judged.iter().any(|judged| judged.expected == Expected::Allow && passes(&judged.answer)) {
            return;
        }
        let found = self.by_line.get(&line).map(|at| self.asked.question(*at));
        let remedy = found.map(|question| Remedy::new(question, Expected::Allow));
        self.note(line, rule, Missing::Pass, remedy);
    }

    /// Asked for only where two nodes of the policy can have one.
    fn needs_near_miss(&mut self, allow: &Allow) {
        let nearest = |answer: &Answer| {
            let nearest = answer.as_ref().err().and_then(|denial| denial.nearest.as_ref());
            nearest.is_some_and(|rule| rule.line as usize == allow.line)
        };
        if self.denied().any(|judged| nearest(&judged.answer)) {
            return;
        }
        let wider = mutants::without_one_condition(self.policy, allow);
        let wider: Vec<Rules> = wider.iter().map(|policy| Rules::compile(policy, 1)).collect();
        let is_near = |question: &Question<'_>| wider.iter().any(|rules| question.is_allowed(rules));
        if self.denied().any(|judged| is_near(&question(judged.test, judged.claim))) {
            return;
        }
        let mut folded: Vec<_> = wider.iter().map(|rules| self.asked.folded(rules)).collect();
        let mut is_near = |at| folded.iter_mut().any(|rules| self.asked.passes_under(rules, at));
        let asked = match &allow.to {
            Target::Service(name) => self.asked.of(Key::Service(name)),
            Target::Packets(_) => &self.packets[..],
        };
        let near = asked.iter().copied().find(|at| !self.asked.passes(*at) && is_near(*at));
        if let Some(at) = near {
            let remedy = Remedy::new(self.asked.question(at), Expected::Deny);
            self.note(allow.line, &allow.id, Missing::NearMiss, Some(remedy));
        }
    }

    fn forbids(&mut self) {
        let policy = self.policy;
        for forbid in &policy.forbids {
            self.rules += 1;
            let is_about = |question: &Question<'_>| is_about(policy, forbid, question);
            if self.denied().any(|judged| is_about(&question(judged.test, judged.claim))) {
                continue;
            }
            let mut asked = (0..).zip(self.asked.questions());
            let found = asked.find(|(at, question)| !self.asked.passes(*at) && is_about(question));
            let found = found.map(|(_, question)| question);
            let remedy = found.map(|question| Remedy::new(question, Expected::Deny));
            self.note(forbid.line, &forbid.id, Missing::Forbidden, remedy);
        }
    }

    /// Asked for only where a claim can have one: flow rules also decide about what no claim can ask for.
    fn flow_rules(&mut self) {
        let about_messages = flow_rules::tests(self.policy).iter().any(|test| matches!(test, Test::Zmq(_)));
        for FlowRule { rule, .. } in flow_rules::deciding(self.policy) {
            let decides = |answer: &Answer| match answer {
                Ok(by) => *by == rule,
                Err(denial) => denial.nearest.as_ref() == Some(&rule),
            };
            if self.judged.iter().any(|judged| judged.holds() && decides(&judged.answer)) {
                self.rules += 1;
                continue;
            }
            let mut asked = (0..).zip(self.asked.questions());
            let found = asked.find(|(at, question)| match self.asked.rule(*at) {
                Some(by) => *by == rule,
                // Without a word about messages a flow rule denies none.
                None if !about_messages && matches!(question.what, What::Service { .. }) => false,
                None => decides(&question.ask(&self.compiled)),
            });
            let found = found.map(|(at, question)| {
                Remedy::new(question, if self.asked.passes(at) { Expected::Allow } else { Expected::Deny })
            });
            if found.is_some() {
                self.rules += 1;
                self.note(rule.line as usize, &rule.id, Missing::Decision, found);
            }
        }
    }

    /// The claims that are to be denied and are.
    fn denied(&self) -> impl Iterator<Item = &Judged<'p>> {
        self.judged.iter().filter(|judged| judged.expected == Expected::Deny && judged.holds())
    }
}

/// Whether a question is about what a forbid forbids.
fn is_about(policy: &Policy, forbid: &Forbid, question: &Question<'_>) -> bool {
    let is = |set: &TagExpr, node: &str| policy.node(node).is_some_and(|tags| set.matches(node, tags));
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
