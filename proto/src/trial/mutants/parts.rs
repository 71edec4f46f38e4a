//! Slips in services, forbids, capabilities and raw flow rules.

use alloc::format;

use super::{Maker, Scope, everybody};
use crate::policy::{Allow, Policy, Target};
use crate::trial::flow_rules;

pub(super) fn mutate_services(maker: &mut Maker<'_>) {
    let policy = maker.policy;
    for (name, service) in &policy.services {
        maker.at(service.line, format!("service.{name}"), Scope::Service(name.clone()));
        maker.slips_of_topics(&service.topics, |policy, topics| {
            if let Some(service) = policy.services.get_mut(name) {
                service.topics = topics;
            }
        });
        maker.slips_of_nodes("hosted-by", &service.hosted_by, |policy, hosts| {
            if let Some(service) = policy.services.get_mut(name) {
                service.hosted_by = hosts;
            }
        });
    }
}

pub(super) fn mutate_forbids(maker: &mut Maker<'_>) {
    let policy = maker.policy;
    for (at, forbid) in policy.forbids.iter().enumerate() {
        maker.at(forbid.line, &*forbid.id, Scope::Everything);
        maker.make("the forbid is gone", |policy| drop(policy.forbids.remove(at)));
    }
}

pub(super) fn mutate_capabilities(maker: &mut Maker<'_>) {
    let policy = maker.policy;
    for capability in &policy.capabilities {
        maker.at(capability.line, format!("capability.{}", capability.name), Scope::of(&capability.to));
        let at = maker.part.capabilities.iter().position(|one| one.name == capability.name).unwrap_or(0);
        maker.make("it lets nothing through any more", |policy| drop(policy.capabilities.remove(at)));
        maker.make("what it lets reach is for every node, always", |policy| give_to_everybody(policy, at));
        if let Some(from) = &capability.from {
            maker.slips_of_nodes("from", from, |policy, from| policy.capabilities[at].from = Some(from));
        }
        maker.slips_of_topics(&capability.topics, |policy, topics| policy.capabilities[at].topics = topics);
        if let Target::Packets(target) = &capability.to {
            maker.slips_of_nodes("to", &target.to, |policy, to| {
                if let Target::Packets(target) = &mut policy.capabilities[at].to {
                    target.to = to;
                }
            });
            for (change, packets) in super::allows::other_packets(&target.packets) {
                maker.make(change, |policy| {
                    if let Target::Packets(target) = &mut policy.capabilities[at].to {
                        target.packets = packets;
                    }
                });
            }
        }
    }
}

fn give_to_everybody(policy: &mut Policy, at: usize) {
    let capability = &policy.capabilities[at];
    policy.allows.push(Allow {
        id: capability.name.clone(),
        line: capability.line,
        from: everybody(),
        to: capability.to.clone(),
        sockets: capability.sockets.clone(),
        topics: capability.topics.clone(),
        limits: capability.limits,
        why: None,
        review: None,
    });
}

pub(super) fn mutate_flow_rules(maker: &mut Maker<'_>) {
    let policy = maker.policy;
    for flow_rule in flow_rules::deciding(policy) {
        maker.at(flow_rule.rule.line as usize, &*flow_rule.rule.id, Scope::Everything);
        for (change, script) in flow_rule.slips(policy) {
            maker.make(change, |policy| {
                if let Some(raw) = &mut policy.rules {
                    raw.script = script;
                }
            });
        }
    }
}
