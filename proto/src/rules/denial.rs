//! Why something was denied, for logs, `status` and `explain`.

use alloc::string::String;
use core::fmt;

use super::RuleRef;

/// A denial: what, who and why, and the rule that came nearest. For our own operator; a peer is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was denied to whom, as a sentence without a full stop.
    pub reason: String,
    /// The rule that came nearest.
    pub nearest: Option<RuleRef>,
    /// Why that rule does not match; what to do where no rule came near.
    pub why_not: String,
}

impl Denial {
    /// One that no rule came near.
    pub(super) fn bare(reason: impl Into<String>, why_not: impl Into<String>) -> Self {
        Self { reason: reason.into(), nearest: None, why_not: why_not.into() }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest {
            Some(rule) => write!(f, "{}; nearest rule {rule}: {}", self.reason, self.why_not),
            None => write!(f, "{}; {}", self.reason, self.why_not),
        }
    }
}

impl core::error::Error for Denial {}
