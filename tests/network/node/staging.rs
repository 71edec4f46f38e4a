//! A candidate beside the policy: flows of packets are judged by both, the policy decides, and a promotion holds at once.

use std::time::Duration;

use lockgate_tests::network::{Flow, Lab, SOON, connects, eventually, ping};
use lockgate_tests::rig::put;
use serde_json::Value;

use super::reload::{PROMISE, end_of, now};
use super::{CLOSED, Host, Hosts, OPEN, POLICY, Plan, policy_text};

/// How long to wait for what must not happen.
const IN_VAIN: Duration = Duration::from_millis(500);
/// Of a stream, before and after.
const SOME: u64 = 1 << 20;

/// What the candidate would change, as (what, change, count).
fn differences(host: &Host) -> Vec<(String, String, u64)> {
    let status = host.node.status();
    let list = status["policy"]["staged"]["differences"].as_array().expect("a candidate is staged");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let one = |one: &Value| {
        assert_eq!((&one["from"], &one["to"]), (&"alpha".into(), &"beta".into()), "{one}");
        assert_eq!(one["what"], "packets", "{one}");
        (text(&one["object"]), text(&one["change"]), one["count"].as_u64().expect("a number"))
    };
    list.iter().map(one).collect()
}

#[test]
fn a_candidate_is_compared_flow_by_flow_and_a_promotion_ends_what_it_forbids() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    let (alpha, beta) = (&hosts.alpha, &hosts.beta);
    let flow = Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(OPEN));
    flow.advance("before anything is staged", SOME);
    let candidate = lab.dir().join("candidate.toml");
    put(&candidate, &policy_text(&POLICY.replace("tcp:8080", "tcp:8081")));
    super::stdout(&alpha.lockgate(&["policy", "stage", candidate.to_str().expect("text")]));
    flow.advance("while the candidate forbids it", SOME);
    assert!(!connects(&alpha.namespace, beta.at(CLOSED), IN_VAIN), "the policy decides");
    ping(&alpha.namespace, beta.v4());
    let found =
        eventually("both are listed", SOON, || Some(differences(alpha)).filter(|found| found.len() == 2));
    assert_eq!(found[0], ("tcp:8080".into(), "denied".into(), 1), "a flow is one difference: {found:?}");
    assert_eq!((&*found[1].0, &*found[1].1), ("tcp:8081", "allowed"), "{found:?}");
    let said = super::stdout(&alpha.lockgate(&["status"]));
    assert!(
        said.contains("1 x packets tcp:8080 from alpha to beta") && said.contains("newly deny 1"),
        "{said}"
    );

    // Another look at the same file begins to count anew; what is under way is asked about again.
    alpha.put_rules(POLICY);
    alpha.node.await_line("the candidate is still staged");
    assert!(differences(alpha).iter().all(|found| found.0 != "tcp:8081"), "{:?}", differences(alpha));
    flow.advance("after the reload", SOME);
    assert_eq!(differences(alpha), [("tcp:8080".into(), "denied".into(), 1)]);

    let asked = now();
    super::stdout(&alpha.lockgate(&["policy", "promote"]));
    let took = end_of(&flow).saturating_duration_since(asked);
    assert!(took < PROMISE, "it took {took:?}");
    assert!(!connects(&alpha.namespace, beta.at(OPEN), IN_VAIN));
    alpha.node.await_denial(&["tcp:8080", "candidate.toml"]);
    hosts.assert_no_errors();
}
