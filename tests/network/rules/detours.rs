//! `redirect`: packets of a kind come out at a third node, and not where they were to go.
//!
//! ```text
//!  alpha (role=edge) ── udp:7001 ──────────────────────────▶ lockgate0 of beta (role=centre)
//!    └ udp:7003 for beta ── redirect ──▶ lockgate0 of gamma
//! ```

use lockgate_tests::network::{Lab, SOON, dial, eventually};
use lockgate_tests::rig::put;

use super::capture::Capture;
use super::{IN_VAIN, Net, Role};

const REST: &str = "[tags]\nrole = [\"edge\", \"centre\", \"middle\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\ngamma = { role = \"middle\" }\n\
    [[allow]]\nid = \"voice\"\nfrom = \"role=edge\"\nto = \"role=centre udp:7001\"\nwhy = \"the test\"\n";
const RULES: &str = "rules = '''\nredirect gamma ipprotocol udp and dport 7003;\n'''\n";
const PACKETS: usize = 8;

fn policy(rules: &str) -> String {
    format!("default = \"deny\"\n{rules}{REST}")
}

#[test]
fn redirected_packets_come_out_at_the_third_node_and_nowhere_else() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("tcpdump") {
        return;
    }
    let net = Net::start(&lab, ["alpha", "beta", "gamma"].map(Role::named), &policy(RULES));
    let [alpha, beta, gamma] = &net.hosts;
    let [at_beta, at_gamma] = [beta, gamma].map(|host| Capture::start(&lab, host, "udp"));
    let [straight, detoured] = [7001, 7003].map(|port| dial(&alpha.namespace, beta.at(port), IN_VAIN));
    for number in 0..PACKETS {
        detoured.send(&vec![number as u8; 100 + number]).expect("sent");
    }
    let out = at_gamma.wait("what was redirected", PACKETS);
    // What comes behind them, to the same node, tells that they will not come.
    straight.send(b"straight").expect("sent");
    let in_place = at_beta.wait("what was not redirected", 1);
    assert_eq!(in_place.len(), 1, "{in_place:?}");
    assert_eq!(in_place[0].payload(), b"straight");
    assert_eq!(out.len(), PACKETS, "{out:?}");
    for (number, packet) in out.iter().enumerate() {
        let ends = [packet.bytes[12..16].to_vec(), packet.bytes[16..20].to_vec()];
        assert_eq!(ends, [[10, 77, 0, 1], [10, 77, 0, 2]], "as it was sent");
        assert_eq!(packet.payload(), vec![number as u8; 100 + number]);
    }
    net.assert_no_errors();
}

/// Whoever is sent what its own policy does not send its way does not let it into its host.
#[test]
fn a_node_whose_own_policy_makes_it_no_detour_lets_nothing_of_it_in() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("tcpdump") {
        return;
    }
    let net = Net::start(&lab, ["alpha", "beta", "gamma"].map(Role::named), &policy(RULES));
    let [alpha, beta, gamma] = &net.hosts;
    let skip = gamma.node.log().len();
    put(&gamma.policy, &policy(""));
    gamma.node.hangup();
    assert!(gamma.logs_after(skip, "policy reloaded"));
    let at_gamma = Capture::start(&lab, gamma, "udp");
    let before = gamma.count("/discards/denied");
    let detoured = dial(&alpha.namespace, beta.at(7003), IN_VAIN);
    for _ in 0..PACKETS {
        detoured.send(b"astray").expect("sent");
    }
    eventually("refused detours", SOON, || {
        (gamma.count("/discards/denied") == before + PACKETS as u64).then_some(())
    });
    assert_eq!(at_gamma.packets(), []);
    net.assert_no_errors();
}
