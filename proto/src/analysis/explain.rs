//! The answer to one question with everything around it: who is who, which rule, who hosts, and what would allow it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::topics::topic_text;
use super::{Asked, Passes, Piece, Pieces, Question};
use crate::policy::{
    Allow, Capability, Limits, NodeTags, PacketTarget, Packets, Policy, TagExpr, Target, Term, size_text,
};
use crate::rules::{Ask, Denial, PacketKind, RuleRef, Rules, What};
use crate::zmtp::SocketType;

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
    let entry = verdict.as_ref().ok().and_then(|rule| Entry::of(policy, rule));
    let hosts = match &question.what {
        Asked::Service { name, .. } => rules.hosts(name).map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Explanation {
        rule: entry.as_ref().map_or_else(String::new, Entry::said),
        why: entry.as_ref().and_then(|entry| entry.why.clone()),
        limits: entry.as_ref().map_or_else(String::new, |entry| entry.limits(policy)),
        would_allow: match &verdict {
            Ok(_) => Vec::new(),
            Err(denial) => match dropped_by(policy, denial) {
                Some(rule) => alloc::vec![format!("another flow rule than {rule}: no [[allow]] passes it")],
                None => ways(policy, rules, &question),
            },
        },
        passes,
        hosts,
        verdict,
        question,
    }
}

/// The flow rule that drops it, if one does: it stands in the text of `rules`.
fn dropped_by<'d>(policy: &Policy, denial: &'d Denial) -> Option<&'d RuleRef> {
    let raw = policy.rules.as_ref()?;
    let lines = raw.line..=raw.line + raw.text.lines().count();
    denial.nearest.as_ref().filter(|rule| lines.contains(&(rule.line as usize)))
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

/// What the policy says of a rule: an allow, or a capability.
struct Entry<'p> {
    from: String,
    to: &'p Target,
    sockets: &'p [SocketType],
    topics: &'p [String],
    limits: Limits,
    why: &'p Option<String>,
}

impl<'p> Entry<'p> {
    fn of(policy: &'p Policy, rule: &RuleRef) -> Option<Self> {
        if let Some(allow) = policy.allows.iter().find(|allow| *allow.id == *rule.id) {
            let Allow { to, sockets, topics, limits, why, .. } = allow;
            return Some(Self { from: allow.from.to_string(), to, sockets, topics, limits: *limits, why });
        }
        let name = rule.id.strip_prefix("capability.").unwrap_or(&rule.id);
        let capability = policy.capabilities.iter().find(|capability| capability.name == name)?;
        let Capability { to, sockets, topics, limits, why, .. } = capability;
        Some(Self { from: "a capability".to_string(), to, sockets, topics, limits: *limits, why })
    }

    /// `role=historian to telemetry, topics temp. vib., by sub sockets`.
    fn said(&self) -> String {
        let mut said = format!("{} to {}", self.from, self.to);
        if !self.topics.is_empty() {
            let topics: Vec<String> = self.topics.iter().map(|topic| topic_text(topic.as_bytes())).collect();
            said.push_str(&format!(", topics {}", topics.join(" ")));
        }
        if !self.sockets.is_empty() {
            let sockets: Vec<String> =
                self.sockets.iter().map(|socket| socket.name().to_lowercase()).collect();
            said.push_str(&format!(", by {} sockets", sockets.join(" and ")));
        }
        said
    }

    /// The narrower of the rule's and the service's.
    fn limits(&self, policy: &Policy) -> String {
        let service = match self.to {
            Target::Service(name) => policy.services.get(name).map(|service| service.limits),
            Target::Packets(_) => None,
        };
        let (here, there) = (self.limits, service.unwrap_or_default());
        let narrower = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        let size = narrower(here.max_message, there.max_message);
        let rate = narrower(here.rate.map(|rate| rate.per_second), there.rate.map(|rate| rate.per_second));
        let size = size.map(|size| format!("{} a message", size_text(size)));
        let rate = rate.map(|rate| format!("{rate} messages a second on a connection"));
        size.into_iter().chain(rate).collect::<Vec<_>>().join(", ")
    }
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
            let service = policy.services.get(name)?;
            let exists = |topic: &String| {
                service.topics.is_empty()
                    || service.topics.iter().any(|start| topic.starts_with(start.as_str()))
            };
            if !topic.as_ref().is_none_or(exists) {
                let line = service.line;
                return Some(format!("add the topic to  topics  of service.{name} (line {line}) first"));
            }
            let topics = topic
                .as_ref()
                .filter(|topic| !topic.is_empty())
                .map(|topic| format!("  topics = [{topic:?}]"))
                .unwrap_or_default();
            (Target::Service(name.clone()), format!("\"{name}\"{topics}"))
        }
        Asked::Packets(kind) => {
            let Some(packets) = packets(*kind) else {
                return Some("flow rules (`rules`): an [[allow]] names tcp, udp and icmp alone".to_string());
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

/// As a rule names them.
fn packets(kind: PacketKind) -> Option<Packets> {
    match kind {
        PacketKind::Tcp(port) => Some(Packets::Tcp(port..=port)),
        PacketKind::Udp(port) => Some(Packets::Udp(port..=port)),
        PacketKind::Icmp => Some(Packets::Icmp),
        PacketKind::Other(_) | PacketKind::Unparsed => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"default = "deny"
[tags]
role = ["gw", "hist", "hmi"]
[nodes]
g1 = { role = "gw" }
g2 = { role = "gw" }
h1 = { role = "hist" }
plain = {}
[service.tele]
hosted-by = "role=gw"
socket = "pub"
topics = ["temp."]
[[allow]]
id = "temp"
from = "role=hist"
to = "tele"
[[forbid]]
id = "apart"
from = "role=gw"
to = "role=gw"
"#;

    /// What would allow it.
    fn ways_to(from: &str, to: &str) -> Vec<String> {
        let policy = Policy::parse("p.toml", POLICY).expect("it is valid");
        let rules = Rules::compile(&policy, 1);
        let question = Question::parse(&policy, from, to, None).expect("it is one");
        explain(&policy, &rules, question).would_allow
    }

    #[test]
    fn what_a_flow_rule_drops_no_allow_would_let_pass() {
        let text = format!("rules = '''drop ipprotocol tcp and dport 23 as no-telnet;'''\n{POLICY}");
        let policy = Policy::parse("p.toml", &text).expect("it is valid");
        let rules = Rules::compile(&policy, 1);
        let question = Question::parse(&policy, "h1", "g1/tcp:23", None).expect("it is one");
        assert_eq!(
            explain(&policy, &rules, question).would_allow,
            ["another flow rule than no-telnet (p.toml:1): no [[allow]] passes it"]
        );
    }

    #[test]
    fn what_would_allow_it_is_the_smallest_change_first_and_never_against_a_forbid() {
        for (from, to, ways) in [
            ("h1", "g1/tele", &[][..]),
            (
                "plain",
                "g1/tele#temp.1",
                &[
                    "give plain role=hist in [nodes]: then temp (p.toml:13) allows it",
                    "a new [[allow]] with  from = \"node=plain\"  to = \"tele\"  topics = [\"temp.1\"]",
                ],
            ),
            ("h1", "g1/tele#raw", &["add the topic to  topics  of service.tele (line 9) first"]),
            ("h1", "plain/tele", &["ask a node that may host tele: g1, g2"]),
            ("h1", "g1/tcp:22", &["a new [[allow]] with  from = \"role=hist\"  to = \"role=gw tcp:22\""]),
            ("g1", "g2/icmp", &["no new rule: the forbid apart (line 17) rules it out"]),
            ("h1", "g1/ip:47", &["flow rules (`rules`): an [[allow]] names tcp, udp and icmp alone"]),
            ("g1", "h1", &[]),
        ] {
            assert_eq!(ways_to(from, to), ways, "{from} {to}");
        }
    }
}
