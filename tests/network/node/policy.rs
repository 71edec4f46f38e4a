//! What the policy allows crosses, with its answers; what it does not is denied, counted and told.
//!
//! ```text
//!  alpha (role=edge) 10.77.0.1 fd77::1                   beta (role=centre) 10.77.0.2 fd77::2
//!    └ wire ═══ veth: tcp:8080, udp:5000-5010, icmp from edge to centre, nothing back ═══ wire ┘
//! ```

use std::time::Duration;

use lockgate_tests::network::{Echo, Flow, Lab, answers, connects, dial, ping};

use super::{CLOSED, Hosts, OPEN, Plan, soon};

/// More than one TSO packet and less than a second of a slow machine.
const STREAM: u64 = 4 << 20;
/// How long to wait for what must not happen.
const IN_VAIN: Duration = Duration::from_millis(500);

#[test]
fn an_allowed_tcp_flow_passes_with_its_answers_over_both_families() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    let check = super::stdout(&hosts.alpha.lockgate(&["check"]));
    assert!(check.contains(": ok: 1 peers") && !check.contains("warning"), "{check}");
    for address in hosts.beta.inner() {
        let flow = Flow::start_at(&hosts.alpha.namespace, &hosts.beta.namespace, (address, OPEN).into());
        flow.advance("an allowed flow", STREAM);
        flow.finish();
    }
    let status = hosts.alpha.node.status();
    assert_eq!(status["packets"]["rules"], "policy", "{status}");
    assert!(status["tun"]["read_bytes"].as_u64() > Some(2 * STREAM), "{status}");
    assert_eq!(hosts.beta.count("/packets/flows/denied"), 0, "{}", hosts.beta.node.status());
    hosts.assert_no_errors();
}

#[test]
fn a_port_without_a_rule_is_denied_counted_and_told_with_the_nearest_rule() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    let before = hosts.alpha.count("/discards/denied");
    assert!(!connects(&hosts.alpha.namespace, hosts.beta.at(CLOSED), IN_VAIN));
    let denial = hosts.alpha.node.await_denial(&["tcp:8081", "alpha", "beta", "web", "toml:"]);
    assert!(denial["count"].as_u64() >= Some(1), "{denial}");
    assert!(hosts.alpha.count("/discards/denied") > before);
    hosts.alpha.node.await_line("packets denied");
    let said = super::stdout(&hosts.alpha.lockgate(&["status"]));
    assert!(said.contains("DENIED") && said.contains("tcp:8081 from alpha to beta"), "{said}");
    assert!(said.contains("packets  lockgate0: ") && !said.contains(" 0 packets denied"), "{said}");
    // The other direction of an allowed port is not allowed with it.
    assert!(!connects(&hosts.beta.namespace, hosts.alpha.at(OPEN), IN_VAIN));
    hosts.beta.node.await_denial(&["tcp:8080", "beta"]);
    hosts.assert_no_errors();
}

/// The sender's own judgement is not what protects the receiver.
#[test]
fn the_receiver_judges_too() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    let wider = super::POLICY.replace("tcp:8080", "tcp:8080-8081");
    hosts.alpha.put_rules(&wider);
    hosts.alpha.node.await_line("policy reloaded");
    assert!(!connects(&hosts.alpha.namespace, hosts.beta.at(CLOSED), IN_VAIN));
    hosts.beta.node.await_denial(&["tcp:8081", "alpha", "web"]);
    assert_eq!(hosts.alpha.count("/packets/flows/denied"), 0);
}

#[test]
fn pings_pass_one_way_only_and_their_answers_pass_back() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    for (there, back) in hosts.beta.inner().into_iter().zip(hosts.alpha.inner()) {
        ping(&hosts.alpha.namespace, there);
        assert!(!answers(&hosts.beta.namespace, back, 1), "beta may not ping {back}");
    }
    hosts.beta.node.await_denial(&["icmp", "pings", "beta"]);
    assert_eq!(hosts.alpha.count("/packets/flows/denied"), 0, "it never left beta");
    hosts.assert_no_errors();
}

#[test]
fn a_udp_range_ends_where_it_says_and_big_datagrams_cross_in_fragments() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    for address in hosts.beta.inner() {
        for port in [5000, 5010] {
            let echo = Echo::start_at(&hosts.beta.namespace, (address, port).into());
            echo.try_sizes(&hosts.alpha.namespace, [1, 1200, 1393, 4000, 9000, 60_000]);
        }
    }
    assert_eq!(hosts.alpha.count("/packets/flows/denied"), 0, "{}", hosts.alpha.node.status());
    assert_eq!(hosts.beta.count("/packets/flows/denied"), 0, "{}", hosts.beta.node.status());
    for port in [4999, 5011] {
        // In fragments: with the first one, the others are denied too.
        let socket = dial(&hosts.alpha.namespace, hosts.beta.at(port), IN_VAIN);
        socket.send(&[1; 4000]).expect("it is sent");
        hosts.alpha.node.await_denial(&[&format!("udp:{port}"), "voice"]);
    }
    assert!(soon(|| hosts.alpha.count("/packets/flows/denied") >= 6), "three fragments of two datagrams");
    hosts.assert_no_errors();
}

/// Nobody listens there: the host's own complaint belongs to the flow that it is about, and needs no rule.
#[test]
fn an_icmp_error_about_an_allowed_flow_passes_back() {
    let Some(lab) = Lab::open(&[]) else { return };
    let voice = "[[allow]]\nid = \"voice\"\nfrom = \"role=edge\"\nto = \"role=centre udp:5000-5010\"\nwhy = \"the test\"\n";
    let hosts = Hosts::start(&lab, &Plan { policy: Some(voice), ..Plan::default() });
    for address in hosts.beta.inner() {
        let socket = dial(&hosts.alpha.namespace, (address, 5003).into(), IN_VAIN * 10);
        socket.send(b"anybody?").expect("sent");
        let error = socket.recv(&mut [0; 8]).expect_err("nobody answers");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
    }
    assert_eq!(hosts.beta.count("/packets/flows/denied"), 0, "{}", hosts.beta.node.status());
}

#[test]
fn without_a_policy_nothing_passes_and_check_and_up_say_so() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan { policy: None, ..Plan::default() });
    hosts.alpha.node.await_line("no policy: nothing passes");
    let check = super::stdout(&hosts.alpha.lockgate(&["check"]));
    assert!(check.contains("no policy: nothing passes"), "{check}");
    for address in hosts.beta.inner() {
        assert!(!answers(&hosts.alpha.namespace, address, 1));
    }
    hosts.alpha.node.await_denial(&["icmp", "there is no policy"]);
    assert_eq!(hosts.beta.count("/tun/writes"), 0, "nothing came out");
    hosts.assert_no_errors();
}

#[test]
fn an_interface_that_no_rule_lets_a_packet_cross_is_a_warning() {
    let Some(lab) = Lab::open(&[]) else { return };
    let rules = lockgate_tests::rig::one_service("command", "rep", "");
    let hosts = Hosts::start(&lab, &Plan { policy: Some(&rules), ..Plan::default() });
    hosts.alpha.node.await_line("lets no IP packet pass between this node and its peers");
    let check = super::stdout(&hosts.beta.lockgate(&["check"]));
    assert!(check.contains("beta.toml:") && check.contains("lets no IP packet pass"), "{check}");
    assert!(!answers(&hosts.alpha.namespace, hosts.beta.v4(), 1));
    hosts.alpha.node.await_denial(&["icmp", "the policy has no rule for packets"]);
}
