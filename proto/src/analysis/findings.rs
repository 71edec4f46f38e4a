//! What is valid in a policy and probably not meant so: rules that do nothing, rules that are too broad, dates that have passed, and
//! words that nobody uses.

mod broad;
mod dates;
mod needless;
mod unused;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Reach;
use crate::document::Mistake;
use crate::policy::Policy;
use crate::rules::Rules;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Where, what, and what to do.
    pub told: Mistake,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// What the parser or the compiler of the policy warns of.
    Suspicious,
    /// A rule that lets nothing pass between the nodes of the policy.
    Dead,
    /// A rule that lets nothing pass that others do not let pass too.
    Shadowed,
    /// A rule that lets more pass than one usually should.
    Broad,
    /// A grant that has ended.
    Expired,
    /// A rule whose review is due.
    Overdue,
    /// A word that no rule, or no node, uses.
    Unused,
}

impl FindingKind {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspicious => "suspicious",
            Self::Dead => "dead",
            Self::Shadowed => "shadowed",
            Self::Broad => "broad",
            Self::Expired => "expired",
            Self::Overdue => "overdue",
            Self::Unused => "unused",
        }
    }

    /// Whether it is something to mend, and not only something to know.
    pub const fn is_warning(self) -> bool {
        !matches!(self, Self::Unused)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.told.as_warning().to_string();
        match told.strip_prefix("warning:") {
            Some(told) if !self.kind.is_warning() => write!(f, "note:{told}"),
            _ => f.write_str(&told),
        }
    }
}

/// Everything that is to be said about a policy, with the rules that it compiled to, in the order of the file. `wall` is the time since the Unix
/// epoch, for dates; reviews and grants are held against it.
pub fn findings(policy: &Policy, rules: &Rules, wall: Duration) -> Vec<Finding> {
    let mut list = List { file: &policy.file, found: Vec::new() };
    for warning in &policy.warnings {
        list.found.push(Finding { kind: FindingKind::Suspicious, told: warning.clone() });
    }
    needless::find(policy, &mut list);
    let reach = Reach::of(policy, rules);
    broad::find(policy, rules, &reach, &mut list);
    dates::find(policy, wall, &mut list);
    unused::find(policy, &reach, &mut list);
    list.found.sort_by_key(|finding| finding.told.line);
    list.found
}

/// The findings so far.
struct List<'p> {
    file: &'p str,
    found: Vec<Finding>,
}

impl List<'_> {
    fn note(&mut self, kind: FindingKind, line: usize, key: &str, problem: String, mend: impl Into<String>) {
        let (file, key, mend) = (self.file.to_string(), key.to_string(), mend.into());
        self.found.push(Finding { kind, told: Mistake { file, line, key, problem, mend } });
    }

    fn has(&self, kind: FindingKind, line: usize) -> bool {
        self.found.iter().any(|finding| finding.kind == kind && finding.told.line == line)
    }
}

#[cfg(test)]
mod tests;
