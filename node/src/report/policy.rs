//! What `status` says about the policy: the one in force, its file, a candidate beside it, and foreign offers.

use std::path::{Path, PathBuf};

use lockgate_proto::now::{Moment, Now};
use lockgate_proto::rules::{Change, Difference, Says};
use serde_json::{Value, json};

use crate::node::{Comparison, Node};

/// What the event loop knows about the policy.
#[derive(Clone, Debug, Default)]
pub struct PolicyFacts {
    /// The file that the configuration names.
    pub file: Option<PathBuf>,
    /// When the policy in force came into force.
    pub since: Moment,
    /// The candidate that it was before it was promoted; `None` where it came from `file`.
    pub promoted: Option<PathBuf>,
    /// Since when each look at `file` has found it unusable, and what the last one found.
    pub bad: Option<(Moment, String)>,
    /// The file of the staged candidate, and since when it has been staged.
    pub staged: Option<(PathBuf, Moment)>,
}

pub(super) fn policy(node: &Node, facts: &PolicyFacts, now: Now) -> Value {
    let rules = node.broker_report().rules();
    let bad = facts
        .bad
        .as_ref()
        .map(|(since, mistakes)| json!({ "seconds_ago": seconds(now, *since), "mistakes": mistakes }));
    let staged = facts.staged.as_ref().zip(node.comparison());
    let staged = staged.map(|((file, since), comparison)| staged_policy(file, *since, &comparison, now));
    json!({
        "in_force": !rules.is_nothing(),
        "generation": rules.generation(),
        "file": facts.file.as_deref().map(shown),
        "since_seconds": seconds(now, facts.since),
        "promoted": facts.promoted.as_deref().map(shown),
        "bad_file": bad,
        "staged": staged,
    })
}

fn staged_policy(file: &Path, since: Moment, comparison: &Comparison<'_>, now: Now) -> Value {
    let differences = comparison.differences.iter().map(|difference| one(difference, now));
    json!({
        "file": shown(file),
        "since_seconds": seconds(now, since),
        "newly_denied": comparison.newly_denied,
        "newly_allowed": comparison.newly_allowed,
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn one(difference: &Difference, now: Now) -> Value {
    json!({
        "from": &*difference.from,
        "to": &*difference.to,
        "what": difference.act,
        "object": &*difference.object,
        "change": if difference.change == Change::Denied { "denied" } else { "allowed" },
        "enforced": says(difference.enforced()),
        "candidate": says(difference.candidate()),
        "count": difference.count,
        "seconds_ago": seconds(now, difference.last),
    })
}

fn says(says: Says<'_>) -> Value {
    match says {
        Says::Allow(rule) => json!({ "verdict": "allow", "rule": rule.to_string(), "reason": null }),
        Says::Deny(denial) => {
            let nearest = denial.nearest.as_ref().map(ToString::to_string);
            json!({ "verdict": "deny", "rule": nearest, "reason": denial.to_string() })
        }
    }
}

/// The foreign offers under the rules in force.
pub(super) fn foreign_offers(node: &Node, now: Now) -> Value {
    let broker = node.broker_report();
    let offers = broker.foreign_offers().map(|offer| {
        json!({
            "node": &*offer.node,
            "service": &*offer.service,
            "declared": offer.denial.nearest.as_ref().map(ToString::to_string),
            "reason": offer.denial.to_string(),
            "count": offer.count,
            "seconds_ago": seconds(now, offer.last),
        })
    });
    json!({ "noticed": broker.foreign_offers_noticed(), "now": offers.collect::<Vec<_>>() })
}

fn seconds(now: Now, then: Moment) -> f64 {
    now.since(then).as_secs_f64()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
