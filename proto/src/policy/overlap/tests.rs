//! Overlap against the obvious: every node that a small vocabulary permits is tried.

use alloc::string::ToString;

use super::*;
use crate::policy::PacketTarget;

/// Numbers that look random; the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
}

const TAGS: [(&str, &[&str]); 3] =
    [("role", &["gw", "hmi", "his"]), ("site", &["n", "s"]), ("zone", &["one"])];

/// A set of nodes as text; the terms of each are about different things.
fn expression(random: &mut Random, nodes: usize) -> String {
    let mut terms = Vec::new();
    if nodes > 0 && random.below(5) == 0 {
        terms.push(format!("node=n{}", random.below(nodes)));
    }
    for (tag, values) in TAGS {
        if random.below(2) == 0 {
            terms.push(format!("{tag}={}", values[random.below(values.len())]));
        }
    }
    if terms.is_empty() { "role=gw".to_string() } else { terms.join(" ") }
}

fn packets(random: &mut Random) -> String {
    let first = 1 + random.below(5);
    match random.below(3) {
        0 => "icmp".to_string(),
        1 => format!("tcp:{first}-{}", first + random.below(3)),
        _ => format!("udp:{first}"),
    }
}

fn target(random: &mut Random, nodes: usize) -> String {
    match random.below(3) {
        0 => "a".to_string(),
        1 => "b".to_string(),
        _ => format!("{} {}", expression(random, nodes), packets(random)),
    }
}

/// A policy of one rule and one forbid.
fn random_policy(random: &mut Random) -> String {
    let mut text = "default = \"deny\"\n[tags]\n".to_string();
    for (tag, values) in TAGS {
        text += &format!("{tag} = {values:?}\n");
    }
    let nodes = random.below(4);
    text += "[nodes]\n";
    for node in 0..nodes {
        let mut tags = Vec::new();
        for (tag, values) in TAGS {
            if random.below(4) > 0 {
                tags.push(format!("{tag} = {:?}", values[random.below(values.len())]));
            }
        }
        text += &format!("n{node} = {{ {} }}\n", tags.join(", "));
    }
    for name in ["a", "b"] {
        text += &format!("[service.{name}]\nhosted-by = {:?}\nsocket = \"pub\"\n", expression(random, nodes));
        // So that every service has a rule; without `from`, no forbid is held against it.
        text += &format!("[capability.c{name}]\nto = {name:?}\nmax-ttl = \"1h\"\n");
    }
    let from = expression(random, nodes);
    match random.below(3) {
        0 => {
            let to = target(random, nodes);
            text += &format!("[capability.rule]\nmax-ttl = \"1h\"\nfrom = {from:?}\nto = {to:?}\n");
        }
        1 if nodes > 0 => {
            let (to, node) = (target(random, nodes), random.below(nodes));
            text += &format!("[capability.rule]\nmax-ttl = \"1h\"\nto = {to:?}\n");
            let times = "from = 2026-12-01T08:00:00Z\nuntil = 2026-12-01T09:00:00Z";
            text += &format!("[[grant]]\ncapability = \"rule\"\nnode = \"n{node}\"\n{times}\n");
        }
        _ => {
            text += &format!("[[allow]]\nid = \"rule\"\nfrom = {from:?}\nto = {:?}\n", target(random, nodes));
        }
    }
    text
}

fn random_forbid(random: &mut Random, nodes: usize) -> String {
    let to = if random.below(2) == 0 { expression(random, nodes) } else { target(random, nodes) };
    format!("[[forbid]]\nid = \"never\"\nfrom = {:?}\nto = {to:?}\n", expression(random, nodes))
}

/// Every node that there can be: those that are listed, and one nobody named for each choice of tags.
fn everybody(policy: &Policy) -> Vec<(String, NodeTags)> {
    let mut all = [NodeTags::new()].to_vec();
    for (tag, values) in TAGS {
        let with = |tags: &NodeTags, value: &str| {
            let mut tags = tags.clone();
            tags.insert(tag.to_string(), value.to_string());
            tags
        };
        let more: Vec<NodeTags> =
            all.iter().flat_map(|tags| values.iter().map(move |value| with(tags, value))).collect();
        all.extend(more);
    }
    let unnamed = all.into_iter().map(|tags| ("somebody".to_string(), tags));
    unnamed.chain(policy.nodes.iter().map(|(name, tags)| (name.clone(), tags.clone()))).collect()
}

/// What can be asked for, as far as these policies tell it apart.
#[derive(Clone, Copy)]
enum Asked {
    Tcp(u16),
    Udp(u16),
    Icmp,
    Service(&'static str),
}

fn all_asked() -> Vec<Asked> {
    let ports = (1..10).flat_map(|port| [Asked::Tcp(port), Asked::Udp(port)]);
    ports.chain([Asked::Icmp, Asked::Service("a"), Asked::Service("b")]).collect()
}

fn packets_take(target: &PacketTarget, to: (&str, &NodeTags), asked: Asked) -> bool {
    let kind = match (&target.packets, asked) {
        (Packets::Tcp(ports), Asked::Tcp(port)) | (Packets::Udp(ports), Asked::Udp(port)) => {
            ports.contains(&port)
        }
        (Packets::Icmp, Asked::Icmp) => true,
        _ => false,
    };
    kind && target.to.matches(to.0, to.1)
}

/// Whether a service is what is asked for, and that node may offer it.
fn serves(policy: &Policy, service: &str, to: (&str, &NodeTags), asked: Asked) -> bool {
    matches!(asked, Asked::Service(name) if name == service)
        && policy.services[service].hosted_by.matches(to.0, to.1)
}

fn permits(policy: &Policy, target: &Target, to: (&str, &NodeTags), asked: Asked) -> bool {
    match target {
        Target::Service(name) => serves(policy, name, to, asked),
        Target::Packets(target) => packets_take(target, to, asked),
    }
}

fn forbids(policy: &Policy, forbid: &Forbid, to: (&str, &NodeTags), asked: Asked) -> bool {
    match &forbid.to {
        ForbidTarget::Everything(nodes) => nodes.matches(to.0, to.1),
        ForbidTarget::Service(name) => serves(policy, name, to, asked),
        ForbidTarget::Packets(target) => packets_take(target, to, asked),
    }
}

/// The rule of a policy: who, and what.
fn rule(policy: &Policy) -> (Option<TagExpr>, Target) {
    if let Some(allow) = policy.allows.first() {
        return (Some(allow.from.clone()), allow.to.clone());
    }
    let capability = policy.capabilities.iter().find(|one| one.name == "rule").expect("there is one rule");
    let node = policy.grants.first().map(|grant| TagExpr::new([Term::Node(grant.node.clone())].into()));
    (capability.from.clone().or(node), capability.to.clone())
}

/// Whether any two nodes and anything asked for fall under both.
fn exists(policy: &Policy, from: &TagExpr, to: &Target, forbid: &Forbid) -> bool {
    let everybody = everybody(policy);
    let sends =
        |(name, tags): &&(String, NodeTags)| from.matches(name, tags) && forbid.from.matches(name, tags);
    let both = |(name, tags): &(String, NodeTags)| {
        let node = (name.as_str(), tags);
        all_asked()
            .into_iter()
            .any(|asked| permits(policy, to, node, asked) && forbids(policy, forbid, node, asked))
    };
    everybody.iter().any(|node| sends(&node)) && everybody.iter().any(both)
}

#[test]
fn a_rule_is_refused_exactly_where_two_possible_nodes_fall_under_it_and_a_forbid() {
    let (mut refused, mut accepted) = (0, 0);
    for seed in 0..4000 {
        let mut random = Random(seed);
        let text = random_policy(&mut random);
        let policy =
            Policy::parse("p", &text).unwrap_or_else(|found| panic!("seed {seed}: {text}{found:#?}"));
        let with_forbid = format!("{text}{}", random_forbid(&mut random, policy.nodes.len()));
        let (from, to) = rule(&policy);
        let from = from.expect("every rule here says who");
        match Policy::parse("p", &with_forbid) {
            Ok(policy) => {
                accepted += 1;
                let forbid = &policy.forbids[0];
                assert!(!exists(&policy, &from, &to, forbid), "seed {seed}: {with_forbid}");
                assert!(!forbid.overlaps(&policy, Some(&from), &to), "seed {seed}: {with_forbid}");
            }
            Err(found) => {
                refused += 1;
                assert!(found.len() == 1 && found[0].problem.contains("overlaps"), "seed {seed}: {found:#?}");
                let forbid = only_forbid(&with_forbid);
                assert!(exists(&policy, &from, &to, &forbid), "seed {seed}: {with_forbid}");
                assert!(forbid.overlaps(&policy, Some(&from), &to), "seed {seed}: {with_forbid}");
            }
        }
    }
    assert!(refused > 500 && accepted > 500, "{refused} refused, {accepted} accepted");
}

/// The forbid of a policy whose rule it refuses: of the same policy without that rule.
fn only_forbid(text: &str) -> Forbid {
    let mut kept: Vec<&str> = text.split_inclusive("\n[").collect();
    kept.retain(|part| {
        !part.starts_with("capability.rule") && !part.starts_with("[allow]") && !part.starts_with("[grant]")
    });
    let policy = Policy::parse("p", &kept.concat()).unwrap_or_else(|found| panic!("{text}{found:#?}"));
    policy.forbids[0].clone()
}

#[test]
fn a_named_node_is_that_node_with_its_tags() {
    let nodes: Nodes = [("gw-1".to_string(), [("role".to_string(), "gw".to_string())].into())].into();
    let tag = |tag: &str, value: &str| Term::Tag(tag.to_string(), value.to_string());
    let node = |name: &str| Term::Node(name.to_string());
    let set = |terms: &[Term]| TagExpr::new(terms.to_vec());
    for (a, b, meets) in [
        (set(&[node("gw-1")]), set(&[tag("role", "gw")]), true),
        (set(&[node("gw-1")]), set(&[tag("role", "hmi")]), false),
        (set(&[node("gw-1")]), set(&[tag("site", "north")]), false),
        (set(&[node("gw-1")]), set(&[node("gw-1")]), true),
        (set(&[node("gw-1")]), set(&[node("gw-2")]), false),
        (set(&[node("gw-2")]), set(&[node("gw-2")]), false),
        (set(&[tag("role", "gw")]), set(&[tag("site", "north")]), true),
        (set(&[]), set(&[tag("site", "north")]), false),
    ] {
        assert_eq!(can_meet(&a, &b, &nodes), meets, "{a} and {b}");
        assert_eq!(can_meet(&b, &a, &nodes), meets, "{b} and {a}");
    }
}
