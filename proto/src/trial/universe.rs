//! Every question that a claim of a test can ask about a network, as far as the answers can differ.
//!
//! Nodes that carry the same tags and that nothing names are told apart by no rule: two of them stand for all. Ports are
//! asked about at the ends of every range and beside them, topics by every prefix, by what is one character short of it,
//! and by one that no prefix covers. So two policies that answer all of these alike answer every claim alike.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::flow_rules;
use super::scope::Scope;
use crate::policy::{ForbidTarget, Packets, Policy, TagExpr, Target, Term};
use crate::program::{Test, ZmqTest};
use crate::rules::{Ask, Denial, PacketKind, RuleRef, Rules, What};
use crate::zmtp::SocketType;

/// A question: [`Ask`] with a list of its own.
#[derive(Clone, Debug)]
pub(super) struct Question<'p> {
    pub(super) from: &'p str,
    pub(super) to: &'p str,
    pub(super) what: What<'p>,
    pub(super) hold: Vec<&'p str>,
}

impl<'p> Question<'p> {
    /// What shorter and plainer questions have less of.
    pub(super) fn length(&self) -> (usize, usize, String, &'p str) {
        let claim = self.claim();
        (self.hold.len(), claim.len(), claim, self.from)
    }

    pub(super) fn ask(&self, rules: &Rules) -> Result<RuleRef, Denial> {
        let Self { from, to, what, ref hold } = *self;
        rules.ask(&Ask { from, to, what, hold })
    }

    pub(super) fn is_allowed(&self, rules: &Rules) -> bool {
        let Self { from, to, what, ref hold } = *self;
        rules.permits(&Ask { from, to, what, hold }).is_some()
    }

    /// The claim that asks it: `edge-north/telemetry#temp.`, `edge-north/tcp:22`.
    pub(super) fn claim(&self) -> String {
        match self.what {
            What::Packets(kind) => format!("{}/{kind}", self.to),
            What::Service { name, topic: None, .. } => format!("{}/{name}", self.to),
            What::Service { name, topic: Some(topic), .. } => {
                format!("{}/{name}#{}", self.to, String::from_utf8_lossy(topic))
            }
        }
    }
}

/// What the questions are made of.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// Each service with the topics to ask for.
    topics: BTreeMap<String, BTreeSet<String>>,
    ports: BTreeSet<u16>,
    /// Each with what it can have a say in.
    capabilities: Vec<(String, Scope)>,
}

impl Points {
    /// Those of a policy.
    pub(super) fn of(policy: &Policy) -> Self {
        let capabilities =
            policy.capabilities.iter().map(|held| (held.name.clone(), Scope::of(&held.to))).collect();
        let mut points = Self { capabilities, ..Self::default() };
        for service in policy.services.values() {
            points.topics.entry(service.name.clone()).or_default();
            points.add_topics(&service.name, &service.topics);
        }
        for (target, topics) in targets(policy) {
            match target {
                Target::Service(name) => points.add_topics(name, topics),
                Target::Packets(target) => points.add_ports(&target.packets),
            }
        }
        for forbid in &policy.forbids {
            if let ForbidTarget::Packets(target) = &forbid.to {
                points.add_ports(&target.packets);
            }
        }
        for test in flow_rules::tests(policy) {
            points.add_test(test);
        }
        for topics in points.topics.values_mut().filter(|topics| !topics.is_empty()) {
            let other =
                OTHER_TOPICS.iter().find(|other| !topics.iter().any(|one| other.starts_with(one.as_str())));
            topics.extend(other.map(ToString::to_string));
        }
        points
    }

    fn add_topics(&mut self, service: &str, topics: &[String]) {
        let known = self.topics.entry(service.to_string()).or_default();
        for topic in topics {
            known.insert(topic.clone());
            known.extend(shortened(topic));
        }
    }

    fn add_ports(&mut self, packets: &Packets) {
        if let Packets::Tcp(ports) | Packets::Udp(ports) = packets {
            self.add_range(*ports.start(), *ports.end());
        }
    }

    /// What a flow rule asks.
    fn add_test(&mut self, test: &Test) {
        match test {
            Test::DestinationPort(first, last) => self.add_range(*first, *last),
            Test::DestinationPortIn(set) => {
                for (first, last) in set.ranges() {
                    self.add_range(*first, *last);
                }
            }
            Test::Zmq(ZmqTest::Topic(topic)) => {
                // One that is no text stands in no claim either.
                let Ok(topic) = core::str::from_utf8(topic) else { return };
                for topics in self.topics.values_mut().filter(|_| !topic.is_empty()) {
                    topics.insert(topic.to_string());
                }
            }
            _ => {}
        }
    }

    fn add_range(&mut self, first: u16, last: u16) {
        let around = [first.saturating_sub(1), first, last, last.saturating_add(1)];
        self.ports.extend(around.into_iter().filter(|port| *port > 0));
    }

    /// What can be asked of a node.
    fn asked(&self) -> Vec<What<'_>> {
        let mut asked = vec![What::Packets(PacketKind::Icmp)];
        for port in &self.ports {
            asked.extend([PacketKind::Tcp(*port), PacketKind::Udp(*port)].map(What::Packets));
        }
        for (name, topics) in &self.topics {
            let topics = topics.iter().map(|topic| Some(topic.as_bytes()));
            for topic in core::iter::once(None).chain(topics) {
                asked.push(What::Service { name, topic, socket: None });
            }
        }
        asked
    }

    /// What rules look at but no claim can ask for: the type of the using application's socket.
    fn beyond_claims(&self) -> Vec<What<'_>> {
        let each = self.topics.keys().flat_map(|name| {
            let of = |socket| What::Service { name, topic: None, socket: Some(socket) };
            SocketType::ALL.into_iter().map(of)
        });
        each.collect()
    }

    /// Every question between the nodes of `policy`, those with the shortest claims first.
    pub(super) fn questions<'p>(&'p self, policy: &'p Policy) -> Vec<Question<'p>> {
        let mut questions = self.between(pairs(&kinds(policy)).into_iter(), &self.asked());
        questions.sort_by_cached_key(Question::length);
        questions
    }

    /// What no claim can ask: about sockets, and about the nodes `strangers`, which are in `policy` for this.
    pub(super) fn unaskable<'p>(&'p self, policy: &'p Policy, strangers: &'p [String]) -> Vec<Question<'p>> {
        let is_stranger = |kind: &Kind<'p>| strangers.iter().any(|stranger| stranger == kind.one);
        let kinds: Vec<Kind<'p>> = kinds(policy).into_iter().filter(|kind| !is_stranger(kind)).collect();
        let mut questions = self.between(pairs(&kinds).into_iter(), &self.beyond_claims());
        let met = strangers.iter().flat_map(|stranger| {
            kinds.iter().flat_map(move |kind| [(stranger.as_str(), kind.one), (kind.one, stranger.as_str())])
        });
        questions.extend(self.between(met, &self.asked()));
        questions
    }

    fn between<'p>(
        &'p self,
        pairs: impl Iterator<Item = (&'p str, &'p str)>,
        asked: &[What<'p>],
    ) -> Vec<Question<'p>> {
        let mut questions = Vec::new();
        for (from, to) in pairs {
            for what in asked {
                questions.push(Question { from, to, what: *what, hold: Vec::new() });
                let held = self.capabilities.iter().filter(|(_, scope)| scope.has(what));
                let held = held.map(|(name, _)| Question { from, to, what: *what, hold: vec![name] });
                questions.extend(held);
            }
        }
        questions
    }
}

/// Every prefix of `topic` that is one character short; none where that would be every topic.
pub(super) fn shortened(topic: &str) -> Option<String> {
    let mut shorter = topic.to_string();
    shorter.pop();
    (!shorter.is_empty()).then_some(shorter)
}

/// Nodes that no rule can tell apart.
struct Kind<'p> {
    one: &'p str,
    another: Option<&'p str>,
}

fn kinds(policy: &Policy) -> Vec<Kind<'_>> {
    let named = named(policy);
    let mut kinds: BTreeMap<_, Kind<'_>> = BTreeMap::new();
    for (name, tags) in &policy.nodes {
        let name = name.as_str();
        let raw = policy.rules.as_ref().is_some_and(|rules| rules.text.contains(name));
        let own = (raw || named.contains(name)).then_some(name);
        let kind = kinds.entry((tags, own)).or_insert(Kind { one: name, another: None });
        if kind.one != name {
            kind.another.get_or_insert(name);
        }
    }
    kinds.into_values().collect()
}

/// A pair of nodes for each pair of kinds, also of a kind with itself.
fn pairs<'p>(kinds: &[Kind<'p>]) -> Vec<(&'p str, &'p str)> {
    let mut pairs = Vec::new();
    for (at, from) in kinds.iter().enumerate() {
        for (other, to) in kinds.iter().enumerate() {
            let to = if at == other { to.another } else { Some(to.one) };
            pairs.extend(to.map(|to| (from.one, to)));
        }
    }
    pairs
}

/// What every allow and capability lets reach.
fn targets(policy: &Policy) -> impl Iterator<Item = (&Target, &[String])> {
    let allows = policy.allows.iter().map(|allow| (&allow.to, &allow.topics[..]));
    let capabilities = policy.capabilities.iter();
    allows.chain(capabilities.map(|capability| (&capability.to, &capability.topics[..])))
}

/// The nodes that a rule or a grant names.
fn named(policy: &Policy) -> BTreeSet<&str> {
    let reached = targets(policy).filter_map(|(target, _)| match target {
        Target::Packets(target) => Some(&target.to),
        Target::Service(_) => None,
    });
    let forbidden = policy.forbids.iter().filter_map(|forbid| match &forbid.to {
        ForbidTarget::Everything(to) => Some(to),
        ForbidTarget::Packets(target) => Some(&target.to),
        ForbidTarget::Service(_) => None,
    });
    let sets = policy.allows.iter().map(|allow| &allow.from);
    let sets = sets.chain(policy.forbids.iter().map(|forbid| &forbid.from));
    let sets = sets.chain(policy.capabilities.iter().filter_map(|capability| capability.from.as_ref()));
    let sets = sets.chain(policy.services.values().map(|service| &service.hosted_by));
    let names = sets.chain(reached).chain(forbidden).flat_map(TagExpr::terms).filter_map(|term| match term {
        Term::Node(name) => Some(name.as_str()),
        Term::Tag(..) => None,
    });
    names.chain(policy.grants.iter().map(|grant| grant.node.as_str())).collect()
}

/// Topics that look like none of a plant's.
const OTHER_TOPICS: [&str; 4] = ["other", "zzz", "~~~", "\u{a4}"];
