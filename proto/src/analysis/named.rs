//! What a policy names: everything at which the answer of a rule can change. What the policy's language gains, this file has to learn.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::policy::{Packets, Policy, TagExpr, Target};
use crate::zmtp::SocketType;

/// The names and bounds in some policies.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Where a range of TCP ports begins, or one ends before.
    pub(super) tcp: BTreeSet<u16>,
    /// The same of UDP.
    pub(super) udp: BTreeSet<u16>,
    /// IP protocols.
    pub(super) protocols: BTreeSet<u8>,
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

fn cut(cuts: &mut BTreeSet<u16>, ports: &RangeInclusive<u16>) {
    cuts.insert(*ports.start());
    cuts.extend(ports.end().checked_add(1));
}

/// Every set of nodes that `policy` names.
pub(super) fn expressions(policy: &Policy) -> Vec<&TagExpr> {
    let mut all: Vec<&TagExpr> = policy.services.values().map(|service| &service.hosted_by).collect();
    for allow in &policy.allows {
        all.push(&allow.from);
        all.extend(nodes_of(&allow.to));
    }
    all
}

/// The nodes that a target names itself.
pub(super) fn nodes_of(target: &Target) -> Option<&TagExpr> {
    match target {
        Target::Service(_) => None,
        Target::Packets(target) => Some(&target.to),
    }
}
