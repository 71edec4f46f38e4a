//! The answer to one question with everything around it: who is who, which rule, who hosts, and what would allow it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Asked, Passes, Piece, Pieces, Question};
use crate::policy::{Allow, NodeTags, PacketTarget, Packets, Policy, TagExpr, Target, Term, size_text};
use crate::rules::{Ask, Denial, PacketKind, RuleRef, Rules, What};

/// An answer.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was asked.
    pub question: Question,
    /// The rule that allows it, or why not. For [`Asked::Everything`] it is the first of what passes.
    pub verdict: Result<RuleRef, Denial>,
    /// What the rule says, as the policy has it; empty for a flow rule.
    pub rule: String,
    /// Why the rule is there, by its author.
    pub why: Option<String>,
    /// The rule's limits, in words; empty where there are none.
    pub limits: String,
    /// What passes between the two of what was asked: topics and sockets of a service, or all there is.
    pub passes: Passes,
    /// Who may host the service.
    pub hosts: Vec<String>,
    /// What would allow it, the smallest change first. Each was tried, except for a rule to be written.
    pub would_allow: Vec<String>,
}

/// Answers a question.
pub fn explain(policy: &Policy, rules: &Rules, question: Question) -> Explanation {
    let passes = passes(policy, rules, &question);
    let verdict = match question.what.what() {
        Some(what) => rules.ask(&Ask { from: &question.from, to: &question.to, what, hold: &[] }),
        None => passes.told().first().map(|(_, rule)| rule.clone()).ok_or_else(|| Denial {
            reason: format!("no rule lets {} reach anything of {}", question.from, question.to),
            nearest: None,
            why_not: String::new(),
        }),
    };
    let allow = verdict.as_ref().ok().and_then(|rule| entry(policy, rule));
    let hosts = match &question.what {
        Asked::Service { name, .. } => rules.hosts(name).map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Explanation {
        rule: allow.map_or_else(String::new, said),
        why: allow.and_then(|allow| allow.why.clone()),
        limits: allow.map_or_else(String::new, |allow| limits(policy, allow)),
        would_allow: if verdict.is_ok() { Vec::new() } else { ways(policy, rules, &question) },
        passes,
        hosts,
        verdict,
        question,
    }
}

/// What passes of what is asked.
fn passes(policy: &Policy, rules: &Rules, question: &Question) -> Passes {
    let pieces = Pieces::of([policy]);
    let mut passing = pieces.passing(rules, &question.from, &question.to);
    passing.retain(|(piece, _)| match (&question.what, piece) {
        (Asked::Everything, _) => true,
        (Asked::Service { name, .. }, Piece::Messages { service, .. }) => **service == **name,
        _ => false,
    });
    Passes::of(&pieces, &passing)
}

fn entry<'p>(policy: &'p Policy, rule: &RuleRef) -> Option<&'p Allow> {
    policy.allows.iter().find(|allow| *allow.id == *rule.id)
}

/// `role=historian to telemetry, topics temp. vib., by sub sockets`.
fn said(allow: &Allow) -> String {
    let mut said = format!("{} to {}", allow.from, allow.to);
    if !allow.topics.is_empty() {
        let topics: Vec<String> =
            allow.topics.iter().map(|topic| super::topics::topic_text(topic.as_bytes())).collect();
        said.push_str(&format!(", topics {}", topics.join(" ")));
    }
    if !allow.sockets.is_empty() {
        let sockets: Vec<String> = allow.sockets.iter().map(|socket| socket.name().to_lowercase()).collect();
        said.push_str(&format!(", by {} sockets", sockets.join(" and ")));
    }
    said
}

/// The narrower of the rule's and the service's.
fn limits(policy: &Policy, allow: &Allow) -> String {
    let service = match &allow.to {
        Target::Service(name) => policy.services.get(name).map(|service| service.limits),
        Target::Packets(_) => None,
    };
    let (here, there) = (allow.limits, service.unwrap_or_default());
    let narrower = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
    let size = narrower(here.max_message, there.max_message);
    let rate = narrower(here.rate.map(|rate| rate.per_second), there.rate.map(|rate| rate.per_second));
    let size = size.map(|size| format!("{} a message", size_text(size)));
    let rate = rate.map(|rate| format!("{rate} messages a second on a connection"));
    size.into_iter().chain(rate).collect::<Vec<_>>().join(", ")
}

/// What would allow it.
fn ways(policy: &Policy, rules: &Rules, question: &Question) -> Vec<String> {
    let Some(what) = question.what.what() else { return Vec::new() };
    if let Asked::Service { name, .. } = &question.what
        && rules.may_host(&question.to, name).is_err()
    {
        let hosts: Vec<&str> = rules.hosts(name).collect();
        let hosts = if hosts.is_empty() { "nobody".to_string() } else { hosts.join(", ") };
        return [format!("ask a node that may host {name}: {hosts}")].into();
    }
    let mut ways: Vec<String> = retagged(policy, question, what).into_iter().collect();
    ways.extend(capable(policy, rules, question, what));
    ways.extend(written(policy, question));
    ways
}

/// Tags that the two would need for the rule that misses the fewest of them; tried on a copy of the policy.
fn retagged(policy: &Policy, question: &Question, what: What<'_>) -> Option<String> {
    let mut candidates: Vec<(usize, Vec<(&str, &Term)>)> = Vec::new();
    for allow in &policy.allows {
        let mut missing = misses(policy, &allow.from, &question.from);
        if let Target::Packets(target) = &allow.to {
            missing.extend(misses(policy, &target.to, &question.to));
        }
        if !missing.is_empty() && missing.iter().all(|(_, term)| matches!(term, Term::Tag(..))) {
            candidates.push((missing.len(), missing));
        }
    }
    candidates.sort_by_key(|(many, _)| *many);
    candidates.into_iter().take(MOST_TRIED).find_map(|(_, missing)| {
        let mut other = policy.clone();
        for (node, term) in &missing {
            if let (Some(tags), Term::Tag(tag, value)) = (other.nodes.get_mut(*node), term) {
                tags.insert(tag.clone(), value.clone());
            }
        }
        let rules = Rules::compile(&other, 1);
        let ask = Ask { from: &question.from, to: &question.to, what, hold: &[] };
        let rule = rules.ask(&ask).ok()?;
        let given: Vec<String> = missing.iter().map(|(node, term)| format!("give {node} {term}")).collect();
        Some(format!("{} in [nodes]: then {rule} allows it", given.join(" and ")))
    })
}

fn misses<'p>(policy: &'p Policy, set: &'p TagExpr, node: &'p str) -> Vec<(&'p str, &'p Term)> {
    static NONE: NodeTags = NodeTags::new();
    let tags = policy.node(node).unwrap_or(&NONE);
    set.misses(node, tags).map(|term| (node, term)).collect()
}

/// Capabilities with which it would pass.
fn capable(policy: &Policy, rules: &Rules, question: &Question, what: What<'_>) -> Vec<String> {
    let may_hold =
        |set: &TagExpr| policy.node(&question.from).is_some_and(|tags| set.matches(&question.from, tags));
    let some = policy.capabilities.iter().filter(|capability| capability.from.as_ref().is_none_or(may_hold));
    let passes = some.filter(|capability| {
        let hold = [capability.name.as_str()];
        rules.ask(&Ask { from: &question.from, to: &question.to, what, hold: &hold }).is_ok()
    });
    passes
        .map(|capability| {
            format!("grant {} the capability {} (line {})", question.from, capability.name, capability.line)
        })
        .collect()
}

/// A rule that somebody could write, unless a forbid rules it out.
fn written(policy: &Policy, question: &Question) -> Option<String> {
    let from = carried(policy, &question.from);
    let (to, text) = match &question.what {
        Asked::Everything => return None,
        Asked::Service { name, topic } => {
            let topics = topic.as_ref().map(|topic| format!("  topics = [{topic:?}]")).unwrap_or_default();
            let known = policy.services.get(name)?;
            let exists = topic.as_ref().is_none_or(|topic| {
                known.topics.is_empty() || known.topics.iter().any(|start| topic.starts_with(start.as_str()))
            });
            if !exists {
                return Some(format!(
                    "add the topic to  topics  of service.{name} (line {}) first",
                    known.line
                ));
            }
            (Target::Service(name.clone()), format!("\"{name}\"{topics}"))
        }
        Asked::Packets(kind) => {
            let packets = match kind {
                PacketKind::Tcp(port) => Packets::Tcp(*port..=*port),
                PacketKind::Udp(port) => Packets::Udp(*port..=*port),
                PacketKind::Icmp => Packets::Icmp,
                PacketKind::Other(_) | PacketKind::Unparsed => {
                    return Some("raw flow rules: an [[allow]] names tcp, udp and icmp alone".to_string());
                }
            };
            let target = PacketTarget { to: carried(policy, &question.to), packets };
            let text = format!("\"{target}\"");
            (Target::Packets(target), text)
        }
    };
    if let Some(forbid) = policy.forbids.iter().find(|forbid| forbid.overlaps(policy, Some(&from), &to)) {
        let (id, line) = (&forbid.id, forbid.line);
        return Some(format!("no new rule: the forbid {id} (line {line}) rules it out"));
    }
    Some(format!("a new [[allow]] with  from = \"{from}\"  to = {text}"))
}

/// The set that a node's tags describe; the node itself where it has none.
fn carried(policy: &Policy, node: &str) -> TagExpr {
    let tags = policy.node(node).filter(|tags| !tags.is_empty());
    TagExpr::new(match tags {
        Some(tags) => tags.iter().map(|(tag, value)| Term::Tag(tag.clone(), value.clone())).collect(),
        None => [Term::Node(node.to_string())].into(),
    })
}

/// Each costs a policy compiled anew.
const MOST_TRIED: usize = 16;
