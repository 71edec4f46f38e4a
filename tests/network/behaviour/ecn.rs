//! Congestion marks cross the tunnel both ways (RFC 6040), and nothing else of the traffic class does.
//!
//! ```text
//!  left ── inner ECT(0) ──▶ outer ECT(0) ──▶ wire, where nft marks CE ──▶ right ──▶ inner CE
//! ```

use lockgate_tests::network::{Implementation, Outer, Pair, Plan};

use super::{count_arriving, counted, ping, ping_with, subject_lacks, subjects};

const ECT0: u8 = 2;
const HANDSHAKE_CLASS: &str = "af41";

#[test]
fn what_is_inside_is_seen_outside() {
    for outer in [Outer::V4, Outer::V6] {
        let Some(pair) = marking_pair(outer) else { return };
        let ip = family(outer);
        count_arriving(
            &pair.right.namespace,
            &[
                ("none", &format!("iifname wire udp dport 51820 {ip} ecn not-ect {ip} dscp 0")),
                ("capable", &format!("iifname wire udp dport 51820 {ip} ecn ect0 {ip} dscp 0")),
                ("other", &format!("iifname wire udp dport 51820 {ip} ecn {{ ect1, ce }}")),
                ("class", &format!("iifname wire udp dport 51820 {ip} dscp != 0")),
            ],
        );
        for target in pair.right.inner() {
            ping(&pair.left.namespace, target);
            // DSCP EF stays inside.
            ping_with(&pair.left.namespace, target, &format!("-Q {}", 0xb8 | ECT0));
        }
        let seen = ["none", "capable", "other", "class"].map(|name| counted(&pair.right.namespace, name));
        assert_eq!(seen, [6, 6, 0, 0], "by {outer:?}: not capable, capable, other marks, other classes");
    }
}

#[test]
fn a_mark_from_the_path_is_seen_inside() {
    for outer in [Outer::V4, Outer::V6] {
        let Some(pair) = marking_pair(outer) else { return };
        let (ip, device) = (family(outer), pair.right.device.name());
        pair.right.namespace.nft(&format!(
            "table inet marking {{ chain c {{ type filter hook prerouting priority -300;
             iifname wire udp dport 51820 {ip} ecn ect0 {ip} ecn set ce\n}}\n}}"
        ));
        count_arriving(
            &pair.right.namespace,
            &[
                ("marked", &format!("iifname {device} meta l4proto {{ icmp, icmpv6 }} ip ecn ce")),
                ("marked6", &format!("iifname {device} meta l4proto {{ icmp, icmpv6 }} ip6 ecn ce")),
                ("plain", &format!("iifname {device} meta l4proto {{ icmp, icmpv6 }} ip ecn not-ect")),
                ("class", &format!("iifname {device} ip dscp ef")),
            ],
        );
        for target in pair.right.inner() {
            ping(&pair.left.namespace, target);
            ping_with(&pair.left.namespace, target, &format!("-Q {}", 0xb8 | ECT0));
        }
        let seen = ["marked", "marked6", "plain", "class"].map(|name| counted(&pair.right.namespace, name));
        assert_eq!(seen, [3, 3, 3, 3], "by {outer:?}: marked by IPv4, by IPv6, unmarked, of class EF");
    }
}

#[test]
fn a_mark_on_a_packet_that_is_not_capable_drops_it() {
    let Some(pair) = marking_pair(Outer::V4) else { return };
    pair.right.namespace.nft(
        "table inet marking { chain c { type filter hook prerouting priority -300;
         iifname wire udp dport 51820 ip ecn not-ect ip ecn set ce\n}\n}",
    );
    let device = pair.right.device.name();
    count_arriving(
        &pair.right.namespace,
        &[("requests", &format!("iifname {device} icmp type echo-request"))],
    );
    let said = pair.left.namespace.try_run(&format!("ping -n -q -c 3 -i 0.1 -W 1 {}", pair.right.v4));
    assert!(said.is_err(), "{said:?}");
    assert_eq!(counted(&pair.right.namespace, "requests"), 0, "RFC 6040, 4.2: drop");
}

#[test]
fn a_handshake_is_of_the_class_for_what_must_get_through() {
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    if subject_lacks("mark handshakes", &Implementation::OTHERS) {
        return;
    }
    count_arriving(
        &pair.right.namespace,
        &[("class", &format!("iifname wire udp length 156 ip dscp {HANDSHAKE_CLASS} ip ecn not-ect"))],
    );
    ping(&pair.left.namespace, pair.right.v4.into());
    assert_eq!(counted(&pair.right.namespace, "class"), 1, "initiations of class {HANDSHAKE_CLASS}");
}

/// A pair with a session, whose own groups and probes do not disturb the counting.
fn marking_pair(outer: Outer) -> Option<Pair> {
    if subject_lacks("carry congestion marks", &Implementation::OTHERS) {
        return None;
    }
    let (_lab, pair) = subjects(&Plan { outer, ..Plan::default() })?;
    ping(&pair.left.namespace, pair.right.v4.into());
    Some(pair)
}

fn family(outer: Outer) -> &'static str {
    if outer == Outer::V4 { "ip" } else { "ip6" }
}
