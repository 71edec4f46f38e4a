//! A candidate beside the policy in force: it decides nothing, what it would decide is counted, and `promote` makes it so.
//!
//! ```text
//!  alpha (role=edge; a candidate whose flow rules drop tcp:8081) ── tcp:8080, tcp:8081 ──▶ beta (role=centre)
//! ```

use lockgate_tests::network::{Flow, Lab, SOON, connects, eventually};
use lockgate_tests::rig::put;

use super::{IN_VAIN, Net, PROMISE, Role, end_of, now};

const POLICY: &str = "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\n\
    [[allow]]\nid = \"web\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8080-8081\"\nwhy = \"the test\"\n";
const SOME: u64 = 1 << 20;

#[test]
fn flow_rules_of_a_candidate_let_flows_go_on_and_count_and_promoted_they_end_them() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = Net::start(&lab, ["alpha", "beta"].map(Role::named), POLICY);
    let [alpha, beta] = &net.hosts;
    let candidate = lab.dir().join("candidate.toml");
    put(
        &candidate,
        &POLICY.replacen('\n', "\nrules = '''\ndrop ipprotocol tcp and dport 8081 as closed;\n'''\n", 1),
    );
    let flow = |port| Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(port));
    let other = flow(8080);
    alpha.fine(&["policy", "stage", candidate.to_str().expect("a temporary path")]);
    assert_eq!(alpha.count("/policy/staged/newly_denied"), 0, "{}", alpha.node.status());
    let denied = flow(8081);
    denied.advance("under a candidate that denies it", SOME);
    other.advance("under a candidate that allows it", SOME);
    let staged = eventually("a difference", SOON, || {
        let staged = alpha.node.status()["policy"]["staged"].clone();
        (staged["newly_denied"].as_u64() >= Some(1)).then_some(staged)
    });
    let difference = &staged["differences"][0];
    for (key, value) in [("from", "alpha"), ("to", "beta"), ("change", "denied")] {
        assert_eq!(difference[key], value, "{staged}");
    }
    assert_eq!(difference["object"], "tcp:8081", "{staged}");
    assert!(difference["candidate"].to_string().contains("closed"), "{staged}");
    assert_eq!(staged["differences"].as_array().map(Vec::len), Some(1), "{staged}");
    assert_eq!((&staged["newly_allowed"], alpha.count("/discards/denied")), (&0.into(), 0), "{staged}");

    let asked = now();
    alpha.fine(&["policy", "promote"]);
    let took = end_of("the flow", || denied.received()).saturating_duration_since(asked);
    eprintln!("a promoted candidate has ended a TCP flow after {took:?}");
    assert!(took <= PROMISE, "it took {took:?}");
    other.advance("after the other was ended", SOME);
    other.finish();
    assert!(!connects(&alpha.namespace, beta.at(8081), IN_VAIN), "it is the policy in force");

    let skip = alpha.node.log().len();
    alpha.node.hangup();
    assert!(alpha.logs_after(skip, "policy reloaded"), "the file is as it was");
    let again = flow(8081);
    again.advance("under the file's policy", SOME);
    again.finish();
    net.assert_no_errors();
}
