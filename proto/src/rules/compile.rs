//! From the policy's entries to flat lists.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::lists::Lists;
use super::{Admission, Grant, RuleRef, ServiceRule};
use crate::policy::{Forbid, ForbidTarget, PacketTarget, Packets, TagExpr, Term};
use crate::program::{Act, Action, Entry, Join, List, Sense, Test, ZmqTest};
use crate::zmtp::SocketType;

/// The matches of one rule under way.
#[derive(Default)]
struct Matches(Vec<Entry>);

impl Matches {
    fn and(mut self, test: Test) -> Self {
        self.0.push(Entry::Match { join: Join::And, sense: Sense::Plain, test });
        self
    }

    fn and_not(mut self, test: Test) -> Self {
        self.0.push(Entry::Match { join: Join::And, sense: Sense::Not, test });
        self
    }

    /// All of `terms` as tests made by `test`.
    fn all(self, expression: &TagExpr, test: impl Fn(Term) -> Test) -> Self {
        expression.terms().iter().fold(self, |matches, term| matches.and(test(term.clone())))
    }

    /// One of these; what it was where there is none.
    fn any(mut self, sense: Sense, tests: impl IntoIterator<Item = Test>) -> Self {
        let parts = tests.into_iter().map(|test| [Entry::Match { join: Join::Or, sense, test }].into());
        self.push_group(Join::And, parts.collect());
        self
    }

    /// A group of alternatives; each is a run of entries whose first says how it is joined.
    fn push_group(&mut self, join: Join, parts: Vec<Vec<Entry>>) {
        let mut inner: Vec<Entry> = parts.concat();
        match inner.first_mut() {
            None => return,
            Some(Entry::Match { join: first, .. } | Entry::Open { join: first, .. }) => *first = Join::And,
            Some(Entry::Close | Entry::Act(_)) => {}
        }
        if let [Entry::Match { join: only, .. }] = inner.as_mut_slice() {
            *only = join;
            self.0.append(&mut inner);
            return;
        }
        let skip = u16::try_from(inner.len() + 1).expect("a rule has few matches");
        self.0.push(Entry::Open { join, skip });
        self.0.append(&mut inner);
        self.0.push(Entry::Close);
    }

    fn packets(mut self, packets: &Packets) -> Self {
        match packets {
            Packets::Tcp(ports) => {
                self.and(Test::IpProtocol(6)).and(Test::DestinationPort(*ports.start(), *ports.end()))
            }
            Packets::Udp(ports) => {
                self.and(Test::IpProtocol(17)).and(Test::DestinationPort(*ports.start(), *ports.end()))
            }
            Packets::Icmp => {
                // Each version has its own; the other's number is no ICMP.
                let one = |ethertype, protocol| {
                    let mut alternative = Self::default();
                    let both =
                        Self::default().and(Test::EtherType(ethertype)).and(Test::IpProtocol(protocol));
                    alternative.push_group(Join::Or, [both.0].into());
                    alternative.0
                };
                self.push_group(Join::And, [one(0x0800, 1), one(0x86dd, 58)].into());
                self
            }
        }
    }

    fn ends(self, action: Action, rule: &RuleRef, entries: &mut Vec<Entry>) {
        entries.extend(self.0);
        entries.push(Entry::Act(Act { action, rule: rule.clone() }));
    }
}

/// Entries under way for packets and for messages.
#[derive(Default)]
pub(super) struct Compiler {
    packets: Wing,
    messages: Wing,
}

#[derive(Default)]
struct Wing {
    forbids: Vec<Entry>,
    allows: Vec<Entry>,
}

impl Wing {
    fn finish(self) -> Lists {
        let list = |entries| List::new(entries).expect("the compiler writes whole rules");
        Lists { forbids: list(self.forbids), allows: list(self.allows), ..Lists::default() }
    }
}

impl Compiler {
    /// What a service is to everybody: nothing else can let pass what it excludes.
    pub(super) fn service(&mut self, name: &str, service: &ServiceRule) {
        let about = || Matches::default().and(Test::Zmq(ZmqTest::Service(name.into())));
        let entries = &mut self.messages.forbids;
        let mut drop = |matches: Matches| matches.ends(Action::Drop, &service.rule, entries);
        drop(about().any(Sense::Not, service.hosted_by.terms().iter().cloned().map(Test::To)));
        let fits = |socket: &SocketType| service.sockets.iter().any(|offered| offered.matches(*socket));
        let using = SocketType::ALL.iter().copied().filter(fits);
        drop(using.fold(about(), |all, socket| all.and_not(Test::Zmq(ZmqTest::Socket(socket)))));
        if !service.topics.is_empty() {
            let topics = service.topics.iter().map(|topic| topic_test(topic));
            drop(topics.fold(about(), Matches::and_not));
        }
        if let Some(most) = service.limits.max_message {
            drop(about().and_not(Test::Zmq(ZmqTest::Size(0, most))));
        }
    }

    /// What nobody may do, whatever else is allowed.
    pub(super) fn forbid(&mut self, rule: &RuleRef, forbid: &Forbid) {
        let from = || Matches::default().all(&forbid.from, Test::From);
        match &forbid.to {
            ForbidTarget::Everything(to) => {
                from().all(to, Test::To).ends(Action::Drop, rule, &mut self.packets.forbids);
                from().all(to, Test::To).ends(Action::Drop, rule, &mut self.messages.forbids);
            }
            ForbidTarget::Packets(target) => from().all(&target.to, Test::To).packets(&target.packets).ends(
                Action::Drop,
                rule,
                &mut self.packets.forbids,
            ),
            ForbidTarget::Service(name) => from()
                .and(Test::Zmq(ZmqTest::Service(name.as_str().into())))
                .ends(Action::Drop, rule, &mut self.messages.forbids),
        }
    }

    /// What may begin, packets.
    pub(super) fn allow_packets(&mut self, rule: &RuleRef, from: &TagExpr, target: &PacketTarget) {
        if from.terms().is_empty() || target.to.terms().is_empty() {
            return;
        }
        Matches::default().all(from, Test::From).all(&target.to, Test::To).packets(&target.packets).ends(
            Action::Accept,
            rule,
            &mut self.packets.allows,
        );
    }

    /// What may begin, messages.
    pub(super) fn allow_messages(&mut self, name: &str, service: &ServiceRule, admission: &Admission) {
        let topics = topics(service, admission);
        if admission.from.terms().is_empty() || topics.is_empty() {
            return;
        }
        let sockets = admission.sockets.iter().map(|socket| Test::Zmq(ZmqTest::Socket(*socket)));
        let mut matches = Matches::default()
            .all(&admission.from, Test::From)
            .and(Test::Zmq(ZmqTest::Service(name.into())))
            .any(Sense::Plain, sockets);
        if topics.iter().all(|topic| !topic.is_empty()) {
            matches = matches.any(Sense::Plain, topics.iter().map(|topic| topic_test(topic)));
        }
        let most = size(service, admission);
        if most < Grant::MAX_MESSAGE {
            matches = matches.and(Test::Zmq(ZmqTest::Size(0, most)));
        }
        matches.ends(Action::Accept, &admission.rule, &mut self.messages.allows);
    }

    /// Every allow of every service: those of the largest messages first, so that the first that fits is the most generous.
    pub(super) fn services(&mut self, services: &BTreeMap<String, ServiceRule>) {
        for (name, service) in services {
            self.service(name, service);
            let mut admissions: Vec<&Admission> = service.admissions.iter().collect();
            admissions.sort_by_key(|admission| core::cmp::Reverse(size(service, admission)));
            for admission in admissions {
                self.allow_messages(name, service, admission);
            }
        }
    }

    /// The lists for packets and for messages.
    pub(super) fn finish(self) -> (Lists, Lists) {
        (self.packets.finish(), self.messages.finish())
    }
}

fn topic_test(topic: &str) -> Test {
    Test::Zmq(ZmqTest::Topic(topic.as_bytes().into()))
}

/// The largest message of a rule within its service.
fn size(service: &ServiceRule, admission: &Admission) -> u64 {
    let limits = [admission.limits.max_message, service.limits.max_message];
    limits.into_iter().flatten().min().unwrap_or(Grant::MAX_MESSAGE)
}

/// The topics of a rule inside those of its service: for each pair the longer, if one begins with the other.
/// The empty prefix stands for every topic; an empty list for none.
fn topics<'r>(service: &'r ServiceRule, admission: &'r Admission) -> Vec<&'r str> {
    let all = |topics: &'r [String]| -> Vec<&'r str> {
        if topics.is_empty() { [""].into() } else { topics.iter().map(String::as_str).collect() }
    };
    let mut both = BTreeSet::new();
    for theirs in all(&service.topics) {
        for ours in all(&admission.topics) {
            if ours.starts_with(theirs) {
                both.insert(ours);
            } else if theirs.starts_with(ours) {
                both.insert(theirs);
            }
        }
    }
    // One that begins with another says nothing beside it; sorted, the shorter one stands before it.
    let mut needed: Vec<&str> = Vec::new();
    for topic in both {
        if !needed.last().is_some_and(|shorter| topic.starts_with(shorter)) {
            needed.push(topic);
        }
    }
    needed
}
