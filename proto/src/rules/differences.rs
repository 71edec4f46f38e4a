//! A candidate beside the rules in force, and where the two judge differently.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;

use super::{Denial, RuleRef, Rules};
use crate::now::Moment;

/// A candidate beside the rules in force. It is asked, and decides nothing.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The candidate.
    pub rules: Arc<Rules>,
    /// Where it judged otherwise since it was staged.
    pub differences: Differences,
}

impl Staged {
    /// A candidate that nothing has been judged by yet.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules, differences: Differences::default() }
    }
}

/// What a promotion would change for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Allowed now, denied by the candidate.
    Denied,
    /// Denied now, allowed by the candidate.
    Allowed,
}

/// What two sets of rules judge differently. It borrows, so that a repetition costs no allocation.
#[derive(Clone, Copy, Debug)]
pub struct Disputed<'a> {
    /// The node that asks or sends.
    pub from: &'a Arc<str>,
    /// The node that is asked, or that it is for.
    pub to: &'a Arc<str>,
    /// What is done: `open`, `subscribe`, `publish`, `message` or `packets`.
    pub act: &'static str,
    /// What with: the service, or what packets they are (`tcp:22`).
    pub object: &'a str,
    /// Which of the two denies it.
    pub change: Change,
    /// The rule that allows it under the other.
    pub allowed_by: &'a RuleRef,
}

/// A difference and how often it has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The node that asks or sends.
    pub from: Arc<str>,
    /// The node that is asked, or that it is for.
    pub to: Arc<str>,
    /// What is done: `open`, `subscribe`, `publish`, `message` or `packets`.
    pub act: &'static str,
    /// What with: the service, or what packets they are (`tcp:22`).
    pub object: Arc<str>,
    /// What a promotion would change.
    pub change: Change,
    /// The rule of the one that allows it.
    pub allowed_by: RuleRef,
    /// The judgement of the other, the first time.
    pub denial: Denial,
    /// How often.
    pub count: u64,
    /// The last time.
    pub last: Moment,
}

/// What one set of rules says in a [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says<'a> {
    /// It passes, by this rule.
    Allow(&'a RuleRef),
    /// It does not, for this reason.
    Deny(&'a Denial),
}

impl Difference {
    /// What the rules in force say: what holds.
    pub const fn enforced(&self) -> Says<'_> {
        match self.change {
            Change::Denied => Says::Allow(&self.allowed_by),
            Change::Allowed => Says::Deny(&self.denial),
        }
    }

    /// What the candidate says: what would hold.
    pub const fn candidate(&self) -> Says<'_> {
        match self.change {
            Change::Denied => Says::Deny(&self.denial),
            Change::Allowed => Says::Allow(&self.allowed_by),
        }
    }

    fn is(&self, disputed: &Disputed<'_>) -> bool {
        self.change == disputed.change
            && self.act == disputed.act
            && self.from == *disputed.from
            && self.to == *disputed.to
            && *self.object == *disputed.object
            && self.allowed_by == *disputed.allowed_by
    }
}

impl fmt::Display for Says<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(rule) => write!(f, "allowed by {rule}"),
            Self::Deny(denial) => write!(f, "denied: {denial}"),
        }
    }
}

/// The latest distinct differences, oldest first, and how many there were in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    kept: VecDeque<Difference>,
    /// Those that nobody has been told of.
    untold: VecDeque<Difference>,
    newly_denied: u64,
    newly_allowed: u64,
}

impl Differences {
    /// Distinct differences that are remembered; as many may wait to be told.
    pub const KEPT: usize = 64;

    /// Notes a difference at `now`: a known one is counted, another is put into words by `denial`, the judgement of
    /// whichever denies it.
    pub fn note(&mut self, disputed: &Disputed<'_>, now: Moment, denial: impl FnOnce() -> Denial) {
        match disputed.change {
            Change::Denied => self.newly_denied += 1,
            Change::Allowed => self.newly_allowed += 1,
        }
        if let Some(known) = self.kept.iter_mut().find(|known| known.is(disputed)) {
            known.count += 1;
            known.last = now;
            return;
        }
        let difference = Difference {
            from: disputed.from.clone(),
            to: disputed.to.clone(),
            act: disputed.act,
            object: disputed.object.into(),
            change: disputed.change,
            allowed_by: disputed.allowed_by.clone(),
            denial: denial(),
            count: 1,
            last: now,
        };
        if self.untold.len() < Self::KEPT {
            self.untold.push_back(difference.clone());
        }
        if self.kept.len() == Self::KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(difference);
    }

    /// The latest distinct ones, oldest first; at most [`Differences::KEPT`].
    pub fn iter(&self) -> impl Iterator<Item = &Difference> {
        self.kept.iter()
    }

    /// What passed and would not under the candidate, so many times.
    pub const fn newly_denied(&self) -> u64 {
        self.newly_denied
    }

    /// What was denied and would pass under the candidate, so many times.
    pub const fn newly_allowed(&self) -> u64 {
        self.newly_allowed
    }

    /// A difference that nobody has been told of, for the log.
    pub fn poll_untold(&mut self) -> Option<Difference> {
        self.untold.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    fn rule(id: &str) -> RuleRef {
        RuleRef { id: id.into(), file: "policy.toml".into(), line: 7 }
    }

    fn no() -> Denial {
        Denial::bare("it may not", "add a rule")
    }

    #[test]
    fn a_repetition_is_counted_told_once_and_put_into_words_once() {
        let (from, to, rule): (Arc<str>, Arc<str>, _) = ("a".into(), "b".into(), rule("one"));
        let disputed = |change| Disputed {
            from: &from,
            to: &to,
            act: "publish",
            object: "telemetry",
            change,
            allowed_by: &rule,
        };
        let mut differences = Differences::default();
        let mut worded = 0;
        for second in 1..=5 {
            let now = Moment::ZERO + core::time::Duration::from_secs(second);
            differences.note(&disputed(Change::Denied), now, || {
                worded += 1;
                no()
            });
        }
        differences.note(&disputed(Change::Allowed), Moment::ZERO, no);
        assert_eq!(worded, 1);
        assert_eq!((differences.newly_denied(), differences.newly_allowed()), (5, 1));
        let kept: Vec<_> = differences.iter().map(|one| (one.change, one.count)).collect();
        assert_eq!(kept, [(Change::Denied, 5), (Change::Allowed, 1)]);
        let first = differences.iter().next().unwrap();
        assert_eq!(first.last, Moment::ZERO + core::time::Duration::from_secs(5));
        assert_eq!(format!("{}", first.enforced()), "allowed by one (policy.toml:7)");
        assert_eq!(format!("{}", first.candidate()), "denied: it may not; add a rule");
        assert_eq!(core::iter::from_fn(|| differences.poll_untold()).count(), 2);
    }

    #[test]
    fn the_list_is_bounded_and_the_counts_are_not() {
        let (from, to, rule): (Arc<str>, Arc<str>, _) = ("a".into(), "b".into(), rule("one"));
        let mut differences = Differences::default();
        for port in 0..1000 {
            let object = format!("tcp:{port}");
            let (change, allowed_by) = (Change::Allowed, &rule);
            let disputed =
                Disputed { from: &from, to: &to, act: "packets", object: &object, change, allowed_by };
            differences.note(&disputed, Moment::ZERO, no);
        }
        assert_eq!(differences.newly_allowed(), 1000);
        assert_eq!(differences.iter().count(), Differences::KEPT);
        assert_eq!(&*differences.iter().next().unwrap().object, "tcp:936", "the oldest make room");
        assert_eq!(core::iter::from_fn(|| differences.poll_untold()).count(), Differences::KEPT);
    }
}
