//! `lockgate ping` and `lockgate peers`: the way to a peer, as its operator sees it.
//!
//! ```text
//!  alpha 10.77.0.1 (with or without lockgate0)           beta 10.77.0.2
//!    └ wire 10.99.0.1 ══ veth, nft drops on the way in at alpha ══ wire 10.99.0.2 ┘
//! ```

use std::time::Duration;

use lockgate_tests::network::{Echo, Lab, dial, ping};
use lockgate_tests::rig::{offer, one_service, uses};

use super::{Host, Hosts, POLICY, Plan, soon, stderr, stdout};

/// Enough that a loss of one in ten shows.
const DATAGRAMS: usize = 400;

fn assert_answered(host: &Host, peer: &str) {
    let output = host.lockgate(&["ping", peer, "--count", "3", "--interval", "10ms"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
    for words in ["3 of 3 answered", "round trip min/p50/p99/max", "path MTU 1500 bytes", "(10.99.0."] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, report) = host.lockgate_json(&["ping", peer, "--count", "3", "--interval", "10ms"]);
    assert_eq!((code, &report["sent"], &report["answered"]), (Some(0), &3.into(), &3.into()), "{report}");
    assert_eq!((&report["peer"], &report["path_mtu"]), (&peer.into(), &1500.into()), "{report}");
    let times =
        ["min", "p50", "p99", "max"].map(|name| report["round_trip_us"][name].as_f64().expect("a time"));
    assert!(times.is_sorted() && times[0] > 0.0 && times[3] < 1e6, "{report}");
}

#[test]
fn a_peer_answers_with_and_without_an_interface_and_whatever_the_policy_says() {
    let Some(lab) = Lab::open(&[]) else { return };
    for (tun, policy) in [([true; 2], Some(POLICY)), ([false; 2], Some(POLICY)), ([true, false], None)] {
        let hosts = Hosts::start(&lab, &Plan { tun, policy, ..Plan::default() });
        assert_answered(&hosts.alpha, "beta");
        assert_answered(&hosts.beta, "alpha");
        hosts.assert_no_errors();
    }
}

#[test]
fn a_ping_to_a_service_says_what_the_policy_says() {
    let Some(lab) = Lab::open(&[]) else { return };
    let rules = one_service("command", "rep", "");
    for tun in [[true; 2], [false; 2]] {
        let plan = Plan {
            policy: Some(&rules),
            alpha: &offer("command", "tcp://127.0.0.1:5555"),
            beta: &uses("command", "tcp://127.0.0.1:5556"),
            tun,
            ..Plan::default()
        };
        let hosts = Hosts::start(&lab, &plan);
        let output = hosts.beta.lockgate(&["ping", "alpha/command", "--count", "1"]);
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("policy: applications here may use command of alpha"), "{said}");
        let (code, report) = hosts.beta.lockgate_json(&["ping", "alpha/command", "--count", "1"]);
        assert_eq!((code, &report["policy"]["allowed"]), (Some(0), &true.into()), "{report}");
        // The other way the policy says no, and the tunnel answers all the same.
        let (_, report) = hosts.alpha.lockgate_json(&["ping", "beta/command", "--count", "1"]);
        assert_eq!(
            (&report["answered"], &report["policy"]["allowed"]),
            (&1.into(), &false.into()),
            "{report}"
        );
        let (_, report) = hosts.beta.lockgate_json(&["ping", "alpha/comand", "--count", "1"]);
        assert_eq!(report["policy"]["allowed"], false, "{report}");
        let says = report["policy"]["says"].as_str().unwrap_or_default();
        assert!(says.contains("comand"), "{says}");
    }
}

#[test]
fn a_wrong_name_and_a_silent_peer_are_failures_that_say_why() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut hosts = Hosts::start(&lab, &Plan::default());
    let output = hosts.alpha.lockgate(&["ping", "bela"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no [[peer]] is called bela"), "{}", stderr(&output));
    assert!(stderr(&output).contains("beta"), "the nearest name: {}", stderr(&output));

    hosts.beta.node.kill();
    let arguments = ["ping", "beta", "--count", "2", "--interval", "10ms", "--timeout", "200ms"];
    let output = hosts.alpha.lockgate(&arguments);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no answer") && said.contains("0 of 2 answered"), "{said}");
    let (code, report) = hosts.alpha.lockgate_json(&arguments);
    assert_eq!((code, &report["answered"]), (Some(1), &0.into()), "{report}");
    assert!(report["round_trip_us"]["p50"].is_null(), "{report}");

    hosts.alpha.node.kill();
    let output = hosts.alpha.lockgate(&["ping", "beta"]);
    assert_eq!(output.status.code(), Some(3), "no node, no answer: {}", stderr(&output));
}

#[test]
fn peers_shows_the_way_and_the_loss_on_it() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    ping(&hosts.alpha.namespace, hosts.beta.v4());
    let peer = || hosts.alpha.lockgate_json(&["peers"]).1[0].clone();
    let before = peer();
    assert_eq!((&before["name"], &before["state"]), (&"beta".into(), &"up".into()), "{before}");
    assert_eq!(
        (&before["endpoint"], &before["path_mtu"]),
        (&"10.99.0.2:51820".into(), &1500.into()),
        "{before}"
    );
    assert!(before["handshake_age_seconds"].as_f64().is_some_and(|age| age < 30.0), "{before}");
    assert!(
        before["rx_bytes"].as_u64() > Some(3 * 100) && before["tx_bytes"].as_u64() > Some(3 * 100),
        "{before}"
    );
    assert_eq!(before["rx_lost"], 0, "{before}");

    hosts.alpha.namespace.nft(
        "table inet loss { chain in { type filter hook input priority 0; iifname wire udp dport 51820 numgen inc mod 10 == 3 drop; }; }",
    );
    let echo = Echo::start_at(&hosts.beta.namespace, hosts.beta.at(5000));
    let socket = dial(&hosts.alpha.namespace, echo.address(), Duration::from_millis(100));
    let mut answers = 0;
    for _ in 0..DATAGRAMS {
        socket.send(&[7; 500]).expect("sent");
        answers += usize::from(socket.recv(&mut [0; 600]).is_ok());
    }
    assert!((DATAGRAMS * 8 / 10..DATAGRAMS * 95 / 100).contains(&answers), "nft dropped: {answers}");
    let lost = || peer()["rx_lost"].as_u64().expect("a number") as usize;
    let missing = DATAGRAMS - answers;
    assert!(soon(|| lost() + 1 >= missing), "{missing} were dropped, {} are told", lost());
    assert!(lost() <= missing + 2, "{missing} were dropped, {} are told", lost());
    let said = stdout(&hosts.alpha.lockgate(&["peers"]));
    let line = said.lines().find(|line| line.starts_with("beta")).expect("a line for beta");
    for word in ["up", "10.99.0.2:51820", "1500", "ago", "10.77.0.2", "fd77::2", "%"] {
        assert!(line.contains(word), "{word}: {said}");
    }
    assert!(!line.contains("0.00%"), "{said}");
    hosts.assert_no_errors();
}
