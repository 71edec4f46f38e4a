//! What an open connection may carry: asked per message, so without an allocation.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Admission, RuleRef, ServiceRule};
use crate::policy::Rate;
use crate::zmtp::SocketType;

/// The union of the allow rules that match a connection, each capped by the limits of the service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Grant(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    rules: Vec<RuleRef>,
    /// The largest message under each rule.
    sizes: Vec<u64>,
    host_sockets: Vec<SocketType>,
    rate: Option<Rate>,
    /// The rules that allow the largest messages first, so that the first prefix that fits is the most generous.
    prefixes: Vec<Prefix>,
    longest_topic: usize,
}

/// A prefix of topics; empty for every topic.
#[derive(Debug)]
struct Prefix {
    topic: Box<[u8]>,
    rule: usize,
}

impl Grant {
    /// The most that a message may have where nobody said anything: 64 MiB.
    pub const MAX_MESSAGE: u64 = 64 << 20;

    /// What `matching` rules together allow; `None` where that is nothing.
    pub(super) fn union(
        service: &ServiceRule,
        matching: &[&Admission],
        host_sockets: Vec<SocketType>,
    ) -> Option<Self> {
        let capped = matching.iter().map(|rule| (*rule, Self::size(service, rule)));
        let mut granting: Vec<(&Admission, u64, Vec<&str>)> = capped
            .map(|(rule, size)| (rule, size, topics(service, rule)))
            .filter(|(_, _, topics)| !topics.is_empty())
            .collect();
        granting.sort_by_key(|(_, size, _)| core::cmp::Reverse(*size));
        let mut prefixes: Vec<Prefix> = Vec::new();
        for (rule, (_, _, topics)) in granting.iter().enumerate() {
            for topic in topics {
                // An earlier prefix that covers this one answers first and allows no less.
                if !prefixes.iter().any(|earlier| topic.as_bytes().starts_with(&earlier.topic)) {
                    prefixes.push(Prefix { topic: topic.as_bytes().into(), rule });
                }
            }
        }
        (!granting.is_empty()).then(|| {
            Self(Arc::new(Parts {
                rules: granting.iter().map(|(rule, ..)| rule.rule.clone()).collect(),
                sizes: granting.iter().map(|(_, size, _)| *size).collect(),
                host_sockets,
                rate: rate(service, granting.iter().map(|(rule, ..)| *rule)),
                longest_topic: prefixes.iter().map(|prefix| prefix.topic.len()).max().unwrap_or(0),
                prefixes,
            }))
        })
    }

    fn size(service: &ServiceRule, rule: &Admission) -> u64 {
        let (here, there) = (rule.limits.max_message, service.limits.max_message);
        match (here, there) {
            (Some(here), Some(there)) => here.min(there),
            (one, other) => one.or(other).unwrap_or(Self::MAX_MESSAGE),
        }
    }

    /// The rules that matched; at least one, those that allow the largest messages first.
    pub fn rules(&self) -> &[RuleRef] {
        &self.0.rules
    }

    /// The offering socket types that can answer; at least one.
    pub fn host_sockets(&self) -> &[SocketType] {
        &self.0.host_sockets
    }

    /// The largest message that any of the rules allows: all its parts together, in bytes.
    pub fn max_message(&self) -> u64 {
        self.0.sizes.first().copied().unwrap_or(0)
    }

    /// The largest message under one rule (an index into [`Grant::rules`], as [`Grant::publish`] returns it), in
    /// bytes. It matters where rules differ: one may allow large messages on one topic and another small ones on all.
    pub fn max_message_under(&self, rule: usize) -> u64 {
        self.0.sizes.get(rule).copied().unwrap_or(0)
    }

    /// The highest rate that any of the rules allows; `None` where there is no limit.
    pub fn rate(&self) -> Option<Rate> {
        self.0.rate
    }

    /// Whether the topic decides: whether each message and subscription has to be asked about.
    pub fn restricts_topics(&self) -> bool {
        self.0.prefixes.iter().any(|prefix| !prefix.topic.is_empty())
    }

    /// How many bytes of a first frame decide; at most 255.
    pub fn longest_topic(&self) -> usize {
        self.0.longest_topic
    }

    /// Whether a message may pass whose first frame begins with these bytes, and under which rule (an index into
    /// [`Grant::rules`]; the one that allows the largest message, where several fit).
    ///
    /// Give at least [`Grant::longest_topic`] bytes, or the whole frame where it is shorter.
    ///
    /// # Errors
    /// No rule allows the topic: drop the message whole, and count it.
    #[expect(clippy::result_unit_err, reason = "asked per message: there is nothing to say beyond no")]
    pub fn publish(&self, start_of_first_frame: &[u8]) -> Result<usize, ()> {
        let fits = |prefix: &&Prefix| start_of_first_frame.starts_with(&prefix.topic);
        self.0.prefixes.iter().find(fits).map(|prefix| prefix.rule).ok_or(())
    }

    /// Whether a subscription may pass, and under which rule. It may be wider than a rule (`""`, "everything"),
    /// because each delivery is judged again by [`Grant::publish`].
    ///
    /// # Errors
    /// Nothing that it could match is allowed: drop it, and count it.
    #[expect(clippy::result_unit_err, reason = "asked per subscription: there is nothing to say beyond no")]
    pub fn subscribe(&self, topic: &[u8]) -> Result<usize, ()> {
        self.publish(topic).or_else(|()| {
            let wider = |prefix: &&Prefix| prefix.topic.starts_with(topic);
            self.0.prefixes.iter().find(wider).map(|prefix| prefix.rule).ok_or(())
        })
    }
}

/// The topics of a rule inside those of its service: for each pair the longer, if one begins with the other.
/// The empty prefix stands for every topic; an empty list for none.
fn topics<'r>(service: &'r ServiceRule, rule: &'r Admission) -> Vec<&'r str> {
    let all = |topics: &'r [alloc::string::String]| -> Vec<&'r str> {
        if topics.is_empty() { [""].into() } else { topics.iter().map(|topic| topic.as_str()).collect() }
    };
    let mut both = Vec::new();
    for theirs in all(&service.topics) {
        for ours in all(&rule.topics) {
            if ours.starts_with(theirs) {
                both.push(ours);
            } else if theirs.starts_with(ours) {
                both.push(theirs);
            }
        }
    }
    both
}

/// The highest rate of the rules, and never more than the service's own.
fn rate<'r>(service: &ServiceRule, rules: impl Iterator<Item = &'r Admission>) -> Option<Rate> {
    let widest = rules.map(|rule| rule.limits.rate).reduce(|one, other| Some(one?.max(other?))).flatten();
    match (widest, service.limits.rate) {
        (Some(here), Some(there)) => Some(here.min(there)),
        (here, there) => here.or(there),
    }
}
