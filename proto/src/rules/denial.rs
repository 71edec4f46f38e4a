//! Why something was denied, for logs, `status` and `explain`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Admission, Opening, RuleRef, ServiceRule};
use crate::policy::{NodeTags, TagExpr, Term};
use crate::zmtp::SocketType;

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

/// Which terms keep `node` out, and what it carries instead.
pub(super) fn shortfall(expression: &TagExpr, node: &str, tags: &NodeTags) -> String {
    let misses = expression.misses(node, tags).map(|term| match term {
        Term::Tag(tag, _) => match tags.get(tag) {
            Some(value) => format!("{node} has {tag}={value}"),
            None => format!("{node} has no {tag}"),
        },
        Term::Node(_) => format!("this is {node}"),
    });
    misses.collect::<Vec<_>>().join(", ")
}

/// No socket that offers the service can talk to such a one.
pub(super) fn wrong_socket(opening: &Opening<'_>, service: &ServiceRule) -> Denial {
    let (socket, user) = (opening.socket.name(), opening.user);
    Denial {
        reason: format!("a {socket} socket of {user} cannot talk to {}", opening.service),
        nearest: Some(service.rule.clone()),
        why_not: format!("it is offered by {}", names(&service.sockets)),
    }
}

/// No rule matched: the one that fails on the fewest conditions.
pub(super) fn near_miss(opening: &Opening<'_>, service: &ServiceRule, tags: &NodeTags) -> Denial {
    let reason = format!(
        "no rule lets a {} socket of {} use {}",
        opening.socket.name(),
        opening.user,
        opening.service
    );
    let misses = |rule: &&Admission| {
        rule.from.misses(opening.user, tags).count() + usize::from(!rule.takes(opening.socket))
    };
    let Some(nearest) = service.admissions.iter().min_by_key(misses) else {
        return Denial {
            reason,
            nearest: Some(service.rule.clone()),
            why_not: "no rule names this service".to_owned(),
        };
    };
    let mut why_not = Vec::new();
    if !nearest.from.matches(opening.user, tags) {
        why_not.push(format!("it is for {}: {}", nearest.from, shortfall(&nearest.from, opening.user, tags)));
    }
    if !nearest.takes(opening.socket) {
        why_not.push(format!("it is for {} sockets", names(&nearest.sockets)));
    }
    if why_not.is_empty() {
        why_not.push("none of its topics exists in the service".to_owned());
    }
    Denial { reason, nearest: Some(nearest.rule.clone()), why_not: why_not.join("; ") }
}

fn names(sockets: &[SocketType]) -> String {
    sockets.iter().map(|socket| socket.name()).collect::<Vec<_>>().join(", ")
}
