//! `tee` and `watch`: a third node sees the first bytes of what passes between two, and nobody else's copies.
//!
//! ```text
//!  alpha (role=edge) ── udp:7000-7009 ──▶ beta (role=centre)
//!    └ tee 64 (udp:7001, 7009-7010) ─▶ gamma ◀─ watch 1000 (udp:7002) ┘     gamma: with an interface and without
//! ```

use lockgate_tests::network::{Echo, Flow, Lab, SOON, dial, eventually};
use lockgate_tests::rig::put;
use serde_json::Value;

use super::capture::{Capture, Captured, Lines, Observer};
use super::{IN_VAIN, Net, Role};

const REST: &str = "[tags]\nrole = [\"edge\", \"centre\", \"watcher\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\ngamma = { role = \"watcher\" }\n\
    [[allow]]\nid = \"voice\"\nfrom = \"role=edge\"\nto = \"role=centre udp:7000-7009\"\nwhy = \"the test\"\n\
    [[allow]]\nid = \"web\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8080\"\nwhy = \"the test\"\n";
const RULES: &str = "rules = '''\n\
    tee 64 gamma ipprotocol udp and ( dport 7001 or dport 7009-7010 ) and not chr inbound;\n\
    watch 1000 gamma ipprotocol udp and dport 7002;\n\
    tee 52 gamma ipprotocol tcp and dport 8080 and not chr inbound;\n'''\n";
/// Of the TCP flags.
const SYN: u8 = 2;
/// Of a TCP stream, as many as are looked at.
const SEGMENTS: usize = 100;
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
        let arrived = Capture::start(&lab, beta, "udp and dst host 10.77.0.2");
        let observer = Observer::start(gamma, SIZES.len());
        // Nobody complains of a port where nobody listens.
        let _listeners = [7001, 7005].map(|port| Echo::start_at(&beta.namespace, beta.at(port)));
        let to = |port| dial(&alpha.namespace, beta.at(port), IN_VAIN);
        // One that no rule lets pass, and one that no rule copies, leave nothing behind.
        let [denied, other, copied] = [to(7010), to(7005), to(7001)];
        for size in SIZES {
            for socket in [&denied, &other, &copied] {
                socket.send(&payload(size)).expect("sent");
            }
        }
        for size in SIZES {
            let mut answer = [0; 2000];
            assert_eq!(copied.recv(&mut answer).expect("it passes"), size, "and comes back");
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
    let lines = Lines::start(gamma);
    let _listener = Echo::start_at(&beta.namespace, beta.at(7002));
    let socket = dial(&alpha.namespace, beta.at(7002), IN_VAIN);
    let send = |size| socket.send(&payload(size)).expect("sent");
    eventually("the node lets it look", SOON, || {
        send(0);
        (!lines.of_length(28).is_empty()).then_some(())
    });
    for size in SIZES {
        send(size);
        let copies = eventually("a copy of each end", SOON, || {
            Some(lines.of_length(28 + size)).filter(|copies| copies.len() >= 2)
        });
        let said = |copy: &Value| ["from", "judged", "kind"].map(|key| copy[key].as_str().map(str::to_owned));
        let mut by: Vec<_> = copies.iter().map(said).collect();
        by.sort();
        let wanted = [["alpha", "out", "watch"], ["beta", "in", "watch"]];
        assert_eq!(by, wanted.map(|by| by.map(|word| Some(word.to_owned()))), "{size} bytes");
        let first: String =
            payload(size)[..size.min(1000 - 28)].iter().map(|byte| format!("{byte:02x}")).collect();
        for copy in copies {
            let bytes = copy["bytes"].as_str().expect("in hexadecimal");
            assert_eq!(bytes[2 * 28..], first, "{size} bytes");
        }
    }
    net.assert_no_errors();
}

/// The kernel hands them over in one piece.
#[test]
fn a_tcp_stream_is_copied_segment_by_segment() {
    let Some(lab) = Lab::open(&[]) else { return };
    let roles = ["alpha", "beta", "gamma"].map(|name| Role { tun: name != "gamma", ..Role::named(name) });
    let net = Net::start(&lab, roles, &policy(RULES));
    let [alpha, beta, gamma] = &net.hosts;
    let observer = Observer::start(gamma, SEGMENTS);
    let flow = Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(8080));
    flow.advance("beside its copies", 1 << 20);
    let seen = observer.packets();
    flow.finish();
    let number = |packet: &Captured| u32::from_be_bytes(packet.bytes[24..28].try_into().expect("four"));
    assert!(seen[0].bytes[33] & SYN != 0, "{:?}", seen[0]);
    let mut next = number(&seen[0]).wrapping_add(1);
    for packet in &seen[1..] {
        assert!(packet.length <= 1420 && packet.bytes.len() == 52, "{packet:?}");
        assert_eq!(usize::from(packet.bytes[2]) << 8 | usize::from(packet.bytes[3]), packet.length);
        // A busy machine may send some twice; none is left out.
        assert!(next.wrapping_sub(number(packet)) < 1 << 31, "before {packet:?} one is missing");
        let headers = 20 + usize::from(packet.bytes[32] >> 4) * 4;
        let end = number(packet).wrapping_add((packet.length - headers) as u32);
        next = if end.wrapping_sub(next) < 1 << 31 { end } else { next };
    }
    assert!(seen.iter().any(|packet| packet.length == 1420), "some are full");
    assert!(alpha.count("/tun/super_packets_read") >= 1, "{}", alpha.node.status());
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
    let _listener = Echo::start_at(&beta.namespace, beta.at(7001));
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
