//! The policy on the screen of `status`: where it came from, whether its file is still good, and a staged candidate.

use serde_json::{Value, json};

use super::{age, list, text};

/// The lines about the policy and the services of those who may not have them.
pub(super) fn lines(status: &Value) -> Vec<String> {
    let policy = &status["policy"];
    let mut lines = Vec::new();
    if policy["in_force"] != json!(true) {
        lines.push(
            "policy  none: nothing passes. Name one with  policy = \"policy.toml\"  under [node]".into(),
        );
    }
    if let Some(promoted) = policy["promoted"].as_str() {
        lines.push(format!(
            "policy  in force: {promoted}, promoted {} ago; a SIGHUP or a restart reads {} instead",
            age(policy["since_seconds"].as_f64()),
            policy["file"].as_str().unwrap_or("no policy at all"),
        ));
    }
    if let Some(bad) = policy["bad_file"].as_object() {
        lines.push(format!(
            "policy  {} on disk is unusable (found {} ago): the last good policy stays in force, and a restart would fail",
            text(&policy["file"]),
            age(bad["seconds_ago"].as_f64()),
        ));
        lines.extend(text(&bad["mistakes"]).lines().map(|line| format!("  {line}")));
    }
    if policy["staged"].is_object() {
        lines.extend(staged(&policy["staged"]));
    }
    lines.extend(list(&status["foreign_offers"]["now"]).iter().map(|offer| {
        format!(
            "foreign {} offers {}, and may not: refused ({} times, last {} ago): {}",
            text(&offer["node"]),
            text(&offer["service"]),
            offer["count"],
            age(offer["seconds_ago"].as_f64()),
            text(&offer["reason"]),
        )
    }));
    lines
}

fn staged(staged: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "staged  {} for {}, judged beside the policy in force: would newly deny {}, would newly allow {}",
        text(&staged["file"]),
        age(staged["since_seconds"].as_f64()),
        staged["newly_denied"],
        staged["newly_allowed"],
    )];
    lines.extend(super::latest(list(&staged["differences"])).iter().map(difference));
    lines
}

fn difference(difference: &Value) -> String {
    let says = |side: &Value| match (side["verdict"].as_str(), side["reason"].as_str()) {
        (Some("deny"), Some(reason)) => format!("denied: {reason}"),
        _ => format!("allowed by {}", text(&side["rule"])),
    };
    format!(
        "  {} x {} {} from {} to {}, last {} ago: now {}; then {}",
        difference["count"],
        text(&difference["what"]),
        text(&difference["object"]),
        text(&difference["from"]),
        text(&difference["to"]),
        age(difference["seconds_ago"].as_f64()),
        says(&difference["enforced"]),
        says(&difference["candidate"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_candidate_is_shown_with_both_verdicts() {
        let status = json!({ "policy": {
            "in_force": true, "file": "/etc/policy.toml", "promoted": null, "bad_file": null,
            "staged": {
                "file": "/tmp/next.toml", "since_seconds": 300.0, "newly_denied": 7, "newly_allowed": 0,
                "differences": [{
                    "from": "alpha", "to": "beta", "what": "publish", "object": "telemetry", "change": "denied",
                    "enforced": { "verdict": "allow", "rule": "wide (/etc/policy.toml:9)", "reason": null },
                    "candidate": { "verdict": "deny", "rule": null, "reason": "no such topic" },
                    "count": 7, "seconds_ago": 2.0,
                }],
            },
        } });
        assert_eq!(
            lines(&status),
            [
                "staged  /tmp/next.toml for 5m, judged beside the policy in force: would newly deny 7, would newly allow 0",
                "  7 x publish telemetry from alpha to beta, last 2s ago: now allowed by wide (/etc/policy.toml:9); then denied: no such topic",
            ]
        );
    }

    #[test]
    fn a_bad_file_and_a_promotion_are_told_and_a_good_policy_needs_no_line() {
        let policy = |promoted: Value, bad: Value| {
            json!({ "policy": {
                "in_force": true, "file": "p.toml", "since_seconds": 1.0, "promoted": promoted, "bad_file": bad, "staged": null,
            } })
        };
        assert!(lines(&policy(Value::Null, Value::Null)).is_empty());
        let said = lines(&policy("next.toml".into(), Value::Null));
        assert!(said[0].contains("in force: next.toml") && said[0].contains("reads p.toml"), "{said:?}");
        let said = lines(&policy(
            Value::Null,
            json!({ "seconds_ago": 3.0, "mistakes": "error: p.toml:1: x\n  hint: y" }),
        ));
        assert!(said[0].contains("p.toml on disk is unusable (found 3s ago)"), "{said:?}");
        assert_eq!(said[1..], ["  error: p.toml:1: x", "    hint: y"]);
    }
}
