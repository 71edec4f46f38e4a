//! `tee` and `watch`: a third node sees the first bytes of what passes between two, and nobody else's copies.
//!
//! ```text
//!  alpha (role=edge) ── udp:7000-7009 ──▶ beta (role=centre)
//!    └ tee 64 (udp:7001, 7009-7010) ─▶ gamma ◀─ watch 1000 (udp:7002) ┘     gamma: with an interface and without
//! ```

use lockgate_tests::network::{Lab, SOON, dial, eventually};
use lockgate_tests::rig::put;

use super::capture::{Capture, Observer};
use super::{IN_VAIN, Net, Role};

const REST: &str = "[tags]\nrole = [\"edge\", \"centre\", \"watcher\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\ngamma = { role = \"watcher\" }\n\
    [[allow]]\nid = \"voice\"\nfrom = \"role=edge\"\nto = \"role=centre udp:7000-7009\"\nwhy = \"the test\"\n";
const RULES: &str = "rules = '''\n\
    tee 64 gamma ipprotocol udp and ( dport 7001 or dport 7009-7010 ) and not chr inbound;\n\
    watch 1000 gamma ipprotocol udp and dport 7002;\n'''\n";
/// Payloads: within 64 bytes with their headers, exactly, and beyond.
const SIZES: [usize; 5] = [1, 35, 36, 37, 1200];

fn policy(rules: &str) -> String {
    format!("default = \"deny\"\n{rules}{REST}")
}

/// Bytes that tell payloads of all sizes apart.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + size) as u8).collect()
}

#[test]
fn an_observer_sees_the_first_bytes_of_exactly_what_passed() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("tcpdump") {
        return;
    }
    for tun in [true, false] {
        let roles =
            ["alpha", "beta", "gamma"].map(|name| Role { tun: tun || name != "gamma", ..Role::named(name) });
        let net = Net::start(&lab, roles, &policy(RULES));
        let [alpha, beta, gamma] = &net.hosts;
        let arrived = Capture::start(&lab, beta, "udp");
        let observer = Observer::start(gamma, SIZES.len());
        let to = |port| dial(&alpha.namespace, beta.at(port), IN_VAIN);
        // One that no rule lets pass, and one that no rule copies, leave nothing behind.
        let [denied, other, copied] = [to(7010), to(7005), to(7001)];
        for size in SIZES {
            for socket in [&denied, &other, &copied] {
                socket.send(&payload(size)).expect("sent");
            }
        }
        let seen = observer.packets();
        let whole: Vec<_> = arrived.wait("everything that may pass", 2 * SIZES.len());
        let whole = whole.iter().filter(|packet| packet.bytes[22..24] == 7001_u16.to_be_bytes());
        let wanted: Vec<_> = whole.map(|packet| packet.cut(64)).collect();
        assert_eq!(seen, wanted, "what was observed, and the beginning of what arrived");
        for (packet, size) in seen.iter().zip(SIZES) {
            assert_eq!(packet.length, 28 + size);
            assert_eq!(packet.payload(), &payload(size)[..size.min(36)], "{size} bytes");
        }
        assert_eq!(gamma.count("/copies/received"), SIZES.len() as u64, "{}", gamma.node.status());
        net.assert_no_errors();
    }
}

#[test]
fn both_ends_send_what_is_watched_and_say_how_they_judged_it() {
    let Some(lab) = Lab::open(&[]) else { return };
    let roles = ["alpha", "beta", "gamma"].map(|name| Role { tun: name != "gamma", ..Role::named(name) });
    let net = Net::start(&lab, roles, &policy(RULES));
    let [alpha, beta, gamma] = &net.hosts;
    let observer = Observer::start(gamma, 2 * SIZES.len());
    let socket = dial(&alpha.namespace, beta.at(7002), IN_VAIN);
    for size in SIZES {
        socket.send(&payload(size)).expect("sent");
    }
    let mut seen = observer.packets();
    seen.sort();
    for (copies, size) in seen.chunks(2).zip(SIZES) {
        assert_eq!(copies[0], copies[1], "one of each end");
        assert_eq!(copies[0].length, 28 + size);
        assert_eq!(copies[0].payload(), &payload(size)[..size.min(1000 - 28)], "{size} bytes");
    }
    net.assert_no_errors();
}

/// What a node's own policy does not make it observe is not its business, whoever sends it.
#[test]
fn a_node_that_its_own_policy_makes_no_observer_refuses_copies() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = Net::start(&lab, ["alpha", "beta", "gamma"].map(Role::named), &policy(RULES));
    let [alpha, beta, gamma] = &net.hosts;
    let skip = gamma.node.log().len();
    put(&gamma.policy, &policy(""));
    gamma.node.hangup();
    assert!(gamma.logs_after(skip, "policy reloaded"));
    let observer = Observer::start(gamma, 1);
    let socket = dial(&alpha.namespace, beta.at(7001), IN_VAIN);
    for size in SIZES {
        socket.send(&payload(size)).expect("sent");
    }
    eventually("refused copies", SOON, || {
        (gamma.count("/copies/refused") == SIZES.len() as u64).then_some(())
    });
    assert_eq!(gamma.count("/copies/received"), 0, "{}", gamma.node.status());
    assert_eq!(gamma.count("/discards/denied"), SIZES.len() as u64, "{}", gamma.node.status());
    drop(observer);
    net.assert_no_errors();
}
