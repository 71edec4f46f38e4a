//! Rules that let more pass than one usually should.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{FindingKind, List};
use crate::analysis::{Pair, Reach};
use crate::policy::{Allow, Packets, Policy, TagExpr, Target};
use crate::rules::Rules;

/// Notes them.
pub(super) fn find(policy: &Policy, rules: &Rules, reach: &Reach, list: &mut List<'_>) {
    for allow in &policy.allows {
        for (problem, mend) in of_rule(policy, allow) {
            list.note(FindingKind::Broad, allow.line, "allow", format!("{} {problem}", allow.id), mend);
        }
    }
    for (name, line) in everybodys(policy, rules, reach, list) {
        let problem = format!("every node may use {name}, by one rule or another");
        let mend = "narrow `from` of the rules for it, if that is not meant";
        list.note(FindingKind::Broad, line, &format!("service.{name}"), problem, mend);
    }
}

fn of_rule(policy: &Policy, allow: &Allow) -> Vec<(String, &'static str)> {
    let everybody = |set: &TagExpr| {
        policy.nodes.len() > 1 && policy.nodes.iter().all(|(node, tags)| set.matches(node, tags))
    };
    let mut broad = Vec::new();
    if everybody(&allow.from) {
        broad.push((format!("is for every node: all are {}", allow.from), "narrow `from`"));
    }
    match &allow.to {
        Target::Service(name) => {
            let has_topics = policy.services.get(name).is_some_and(|service| !service.topics.is_empty());
            if has_topics && allow.topics.is_empty() {
                broad.push((
                    format!("lets every topic of {name} pass"),
                    "list the ones that are needed in `topics`",
                ));
            }
        }
        Target::Packets(target) => {
            if everybody(&target.to) {
                broad.push((format!("reaches every node: all are {}", target.to), "narrow `to`"));
            }
            if let Packets::Tcp(ports) | Packets::Udp(ports) = &target.packets
                && ports.len() > MOST_PORTS
            {
                let problem = format!("opens {} ports: {}", ports.len(), target.packets);
                broad.push((problem, "name the ports that are needed"));
            }
        }
    }
    broad
}

/// Services that every node may use that is not the only host itself, where no single rule is too broad already.
fn everybodys<'p>(
    policy: &'p Policy,
    rules: &Rules,
    reach: &Reach,
    list: &List<'_>,
) -> Vec<(&'p str, usize)> {
    let told = |name: &str| {
        let mut rules = policy.allows.iter().filter(|allow| allow.to == Target::Service(name.into()));
        rules.any(|allow| list.has(FindingKind::Broad, allow.line))
    };
    let all = |name: &str| {
        let hosts = |pair: &&Pair| rules.may_host(reach.classes[pair.to].example(), name).is_ok();
        let passes = |pair: &Pair| pair.passes.services.iter().any(|service| *service.name == *name);
        let mut who: BTreeMap<usize, bool> = BTreeMap::new();
        for pair in reach.pairs.iter().filter(hosts) {
            *who.entry(pair.from).or_default() |= passes(pair);
        }
        who.len() > 1 && who.values().all(|uses| *uses)
    };
    let services = policy.services.values().filter(|service| all(&service.name) && !told(&service.name));
    services.map(|service| (service.name.as_str(), service.line)).collect()
}

/// More than a program needs, even one that takes what is free.
const MOST_PORTS: usize = 1024;
