//! What a policy names: everything at which the answer of a rule can change. What the policy's language gains, this file has to learn.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::raw;
use crate::policy::{ForbidTarget, Packets, Policy, TagExpr, Target, Term};
use crate::zmtp::SocketType;

/// The names and bounds in some policies.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Where a range of TCP ports begins, or one ends before.
    pub(super) tcp: BTreeSet<u16>,
    /// The same of UDP.
    pub(super) udp: BTreeSet<u16>,
    /// The same of IP protocols.
    pub(super) protocols: BTreeSet<u16>,
    /// The services.
    pub(super) services: BTreeMap<String, NamedService>,
}

/// What is named of a service.
#[derive(Debug, Default)]
pub(super) struct NamedService {
    /// The using sockets that fit it.
    pub(super) sockets: BTreeSet<SocketType>,
    /// The prefixes of topics.
    pub(super) topics: BTreeSet<Vec<u8>>,
}

impl Named {
    /// Adds what `policy` names.
    pub(super) fn add(&mut self, policy: &Policy) {
        for service in policy.services.values() {
            let named = self.services.entry(service.name.clone()).or_default();
            named.topics.extend(service.topics.iter().map(|topic| topic.as_bytes().to_vec()));
            let fits = |using: &SocketType| service.sockets.iter().any(|offered| offered.matches(*using));
            named.sockets.extend(SocketType::ALL.into_iter().filter(fits));
        }
        for allow in &policy.allows {
            self.add_target(&allow.to, &allow.topics);
        }
        for capability in &policy.capabilities {
            self.add_target(&capability.to, &capability.topics);
        }
        for forbid in &policy.forbids {
            if let ForbidTarget::Packets(target) = &forbid.to {
                self.add_packets(&target.packets);
            }
        }
        raw::add(policy, self);
    }

    fn add_target(&mut self, target: &Target, topics: &[String]) {
        match target {
            Target::Service(name) => {
                let named = self.services.entry(name.clone()).or_default();
                named.topics.extend(topics.iter().map(|topic| topic.as_bytes().to_vec()));
            }
            Target::Packets(target) => self.add_packets(&target.packets),
        }
    }

    fn add_packets(&mut self, packets: &Packets) {
        match packets {
            Packets::Tcp(ports) => cut(&mut self.tcp, ports),
            Packets::Udp(ports) => cut(&mut self.udp, ports),
            Packets::Icmp => {}
        }
    }
}

/// Notes where `range` begins and behind its end.
pub(super) fn cut(cuts: &mut BTreeSet<u16>, range: &RangeInclusive<u16>) {
    cuts.insert(*range.start());
    cuts.extend(range.end().checked_add(1));
}

/// The sets of nodes that can matter to an answer under `policy`: nodes that are in the same of them are not told apart.
///
/// Forbids matter to raw rules only: no allow and no capability overlaps one. Raw rules may ask for any tag's value, and for the
/// nodes that they name.
pub(super) fn sets(policy: &Policy) -> Vec<TagExpr> {
    let mut sets: Vec<TagExpr> = policy.services.values().map(|service| service.hosted_by.clone()).collect();
    for allow in &policy.allows {
        sets.push(allow.from.clone());
        sets.extend(nodes_of(&allow.to).cloned());
    }
    for grant in &policy.grants {
        sets.push(only(Term::Node(grant.node.clone())));
        let given = policy.capabilities.iter().find(|capability| capability.name == grant.capability);
        sets.extend(given.and_then(|given| nodes_of(&given.to)).cloned());
    }
    if let Some(rules) = &policy.rules {
        sets.extend(policy.forbids.iter().map(|forbid| forbid.from.clone()));
        sets.extend(policy.forbids.iter().filter_map(|forbid| forbidden(&forbid.to)).cloned());
        let values =
            policy.tags.iter().flat_map(|(tag, values)| values.iter().map(move |value| (tag, value)));
        sets.extend(values.map(|(tag, value)| only(Term::Tag(tag.clone(), value.clone()))));
        let nodes = raw::nodes(&rules.script).into_iter();
        sets.extend(nodes.map(|node| only(Term::Node(node.to_string()))));
    }
    sets
}

fn only(term: Term) -> TagExpr {
    TagExpr::new([term].into())
}

/// What could be a tag's name in the text of raw rules.
pub(super) fn words(text: &str) -> BTreeSet<&str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    text.split(|letter| !plain(letter)).filter(|word| !word.is_empty()).collect()
}

/// The nodes that a target names itself.
pub(super) fn nodes_of(target: &Target) -> Option<&TagExpr> {
    match target {
        Target::Service(_) => None,
        Target::Packets(target) => Some(&target.to),
    }
}

fn forbidden(target: &ForbidTarget) -> Option<&TagExpr> {
    match target {
        ForbidTarget::Everything(to) => Some(to),
        ForbidTarget::Packets(target) => Some(&target.to),
        ForbidTarget::Service(_) => None,
    }
}
