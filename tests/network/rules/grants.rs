//! A capability that a node is granted for a while ends with its time, without a reload.
//!
//! ```text
//!  alpha (role=edge, holds maintenance until T) ── tcp:8080 ──▶ beta (role=centre)
//! ```

use std::process::Command;
use std::time::{Duration, SystemTime};

use lockgate_tests::network::{Flow, Lab, connects};

use super::{IN_VAIN, Net, PROMISE, Role, end_of, now, said};

/// How long the grant holds from now on: whole seconds, as `until` is written.
const HELD: u64 = 5;

const POLICY: &str = "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\n\
    [[allow]]\nid = \"web\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8081\"\nwhy = \"the test\"\n\
    [capability.maintenance]\nfrom = \"role=edge\"\nto = \"role=centre tcp:8080\"\nmax-ttl = \"1h\"\n";

#[expect(clippy::disallowed_methods, reason = "the time that the grant is written in")]
fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}

/// As a policy writes it.
fn written(seconds: u64) -> String {
    let at = format!("@{seconds}");
    said(Command::new("date").args(["-u", "-d", &at, "+%Y-%m-%dT%H:%M:%SZ"])).trim().to_owned()
}

#[test]
fn a_flow_under_a_grant_ends_within_a_second_of_its_until_without_a_reload() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = Net::start(&lab, ["alpha", "beta"].map(Role::named), POLICY);
    let [alpha, beta] = &net.hosts;
    assert!(!connects(&alpha.namespace, beta.at(8080), IN_VAIN), "nobody holds it yet");
    let skip = net.hosts.each_ref().map(|host| host.node.log().len());
    let until = wall().as_secs() + HELD;
    net.put(&format!(
        "{POLICY}[[grant]]\ncapability = \"maintenance\"\nnode = \"alpha\"\nfrom = {}\nuntil = {}\nwhy = \"the test\"\n",
        written(until - 1800),
        written(until),
    ));
    for (host, skip) in net.hosts.iter().zip(skip) {
        assert!(host.logs_after(skip, "policy reloaded"));
    }
    let flow = |port| Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(port));
    let (granted, other) = (flow(8080), flow(8081));
    granted.advance("while it is granted", 1 << 20);
    other.advance("beside it", 1 << 20);
    let end = end_of("the flow under the grant", || granted.received());
    // The wall clock at its end, from a moment of which both clocks are known.
    let ended = wall().saturating_sub(now().saturating_duration_since(end));
    let until = Duration::from_secs(until);
    eprintln!("the flow ended {:?} after the grant", ended.saturating_sub(until));
    assert!(ended + Duration::from_millis(100) >= until, "it ended at {ended:?}, before {until:?}");
    assert!(ended <= until + PROMISE, "it went on to {ended:?}, past {until:?}");
    other.advance("after the grant", 1 << 20);
    other.finish();
    assert!(!connects(&alpha.namespace, beta.at(8080), IN_VAIN), "it cannot begin again");
    net.assert_no_errors();
}
