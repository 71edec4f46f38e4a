//! Rules without which the same passes: tried by leaving each out.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::{FindingKind, List};
use crate::analysis::{Class, Piece, Pieces, classes};
use crate::policy::{Allow, Limits, Packets, Policy, TagExpr, Target};
use crate::rules::{RuleRef, Rules};

/// Notes dead and shadowed rules. Of two that do the same, the later one in the file is needless.
pub(super) fn find(policy: &Policy, list: &mut List<'_>) {
    let (classes, pieces) = (classes(&[policy]), Pieces::of([policy]));
    let mut left = policy.clone();
    for allow in policy.allows.iter().rev() {
        // The others have no say in what this one is about.
        let mut part = part(&left, &allow.to);
        let with = Rules::compile(&part, 1);
        part.allows.retain(|other| other.id != allow.id);
        let without = Rules::compile(&part, 1);
        let trial = Trial { policy, allow, alone: alone(part, allow), with, without };
        match trial.run(&classes, &pieces) {
            Use::Needed => continue,
            Use::Dead => {
                if !list.has(FindingKind::Suspicious, allow.line) && !is_told(policy, allow) {
                    let problem =
                        format!("{} lets nothing pass between any two nodes of the policy", allow.id);
                    let mend = "remove it, or give nodes the tags that it asks for in [nodes]";
                    list.note(FindingKind::Dead, allow.line, "allow", problem, mend);
                }
            }
            Use::Overruled => {
                let problem = format!("all that {} allows is denied by the flow rules in `rules`", allow.id);
                list.note(
                    FindingKind::Dead,
                    allow.line,
                    "allow",
                    problem,
                    "remove it, or change the flow rules",
                );
            }
            Use::Covered(by) => {
                let by: Vec<String> = by.iter().map(ToString::to_string).collect();
                let problem = format!("{} allows nothing that is not allowed without it", allow.id);
                let mend = format!("it is covered by {}: remove it, or narrow that", by.join(" and "));
                list.note(FindingKind::Shadowed, allow.line, "allow", problem, mend);
            }
        }
        left.allows.retain(|other| other.id != allow.id);
    }
}

/// Whether the parser has said already that no node is in one of the rule's sets.
fn is_told(policy: &Policy, allow: &Allow) -> bool {
    let nobody = !policy.nodes.iter().any(|(node, tags)| allow.from.matches(node, tags));
    nobody && policy.warnings.iter().any(|warning| warning.key == "allow.from")
}

/// The policy with the services and rules only that have a say in what `to` is.
fn part(policy: &Policy, to: &Target) -> Policy {
    let service = match to {
        Target::Service(name) => Some(name),
        Target::Packets(_) => None,
    };
    let meet = |one: &RangeInclusive<u16>, other: &RangeInclusive<u16>| {
        one.start() <= other.end() && other.start() <= one.end()
    };
    policy.part(
        |one| Some(&one.name) == service,
        |other| match (to, other) {
            (Target::Service(one), Target::Service(other)) => one == other,
            (Target::Packets(one), Target::Packets(other)) => match (&one.packets, &other.packets) {
                (Packets::Tcp(one), Packets::Tcp(other)) | (Packets::Udp(one), Packets::Udp(other)) => {
                    meet(one, other)
                }
                (one, other) => one == other,
            },
            _ => false,
        },
    )
}

/// The policy with this rule as the only one.
fn alone(policy: Policy, allow: &Allow) -> Rules {
    let alone = Policy {
        allows: [allow.clone()].into(),
        capabilities: Vec::new(),
        grants: Vec::new(),
        rules: None,
        ..policy
    };
    Rules::compile(&alone, 1)
}

/// What a rule is good for.
enum Use {
    /// Something passes by it alone.
    Needed,
    /// It lets nothing pass.
    Dead,
    /// What it lets pass is denied elsewhere.
    Overruled,
    /// These let all of it pass too.
    Covered(BTreeSet<RuleRef>),
}

/// A rule, alone, with the others, and the others without it.
struct Trial<'t> {
    policy: &'t Policy,
    allow: &'t Allow,
    alone: Rules,
    with: Rules,
    without: Rules,
}

impl Trial<'_> {
    fn run(&self, classes: &[Class], pieces: &Pieces) -> Use {
        let pieces: Vec<&Piece> = pieces.list().iter().filter(|piece| self.is_about(piece)).collect();
        let mut found = Use::Dead;
        for from in classes {
            for to in classes {
                let Some((one, other)) = from.example_pair(to).filter(|(one, other)| self.is_for(one, other))
                else {
                    continue;
                };
                let [alone, with, without] =
                    [&self.alone, &self.with, &self.without].map(|rules| rules.between(one, other));
                for piece in &pieces {
                    let what = piece.question();
                    if alone.permits(what).is_none() {
                        continue;
                    }
                    let passes = with.permits(what).is_some();
                    match (passes, without.permits(what), &mut found) {
                        (false, _, Use::Dead) => found = Use::Overruled,
                        (false, ..) => {}
                        (true, None, _) => return Use::Needed,
                        (true, Some(by), _) if self.is_wider_than(&by) => return Use::Needed,
                        (true, Some(by), Use::Covered(all)) => {
                            all.insert(by);
                        }
                        (true, Some(by), _) => found = Use::Covered([by].into()),
                    }
                }
            }
        }
        found
    }

    /// Whether the rule can be for these two at all: so that not everything has to be asked.
    fn is_for(&self, from: &str, to: &str) -> bool {
        let is =
            |set: &TagExpr, node: &str| self.policy.node(node).is_some_and(|tags| set.matches(node, tags));
        let reached = match &self.allow.to {
            Target::Service(name) => self.policy.services.get(name).map(|service| &service.hosted_by),
            Target::Packets(target) => Some(&target.to),
        };
        is(&self.allow.from, from) && reached.is_some_and(|set| is(set, to))
    }

    fn is_about(&self, piece: &Piece) -> bool {
        let packets = match (&self.allow.to, piece) {
            (Target::Service(name), Piece::Messages { service, .. }) => return **service == **name,
            (Target::Service(_), _) => return false,
            (Target::Packets(target), _) => &target.packets,
        };
        match (packets, piece) {
            (Packets::Tcp(ports), Piece::Tcp(first, _)) | (Packets::Udp(ports), Piece::Udp(first, _)) => {
                ports.contains(first)
            }
            (Packets::Icmp, Piece::Icmp) => true,
            _ => false,
        }
    }

    /// Whether it lets larger messages, or more of them, pass than the other.
    fn is_wider_than(&self, by: &RuleRef) -> bool {
        let Target::Service(name) = &self.allow.to else { return false };
        let Some(other) = self.policy.allows.iter().find(|other| *other.id == *by.id) else { return false };
        let cap = self.policy.services.get(name).map(|service| service.limits).unwrap_or_default();
        let size =
            |limits: &Limits| limits.max_message.into_iter().chain(cap.max_message).min().unwrap_or(u64::MAX);
        let rate = |limits: &Limits| {
            let both = limits.rate.into_iter().chain(cap.rate);
            both.map(|rate| rate.per_second).min().unwrap_or(u64::MAX)
        };
        let (here, there) = (&self.allow.limits, &other.limits);
        size(here) > size(there) || rate(here) > rate(there)
    }
}
