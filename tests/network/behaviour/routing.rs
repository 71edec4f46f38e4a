//! Who may send what to whom: the crypto-routing table, and those whom nobody can reach.

use std::net::IpAddr;

use lockgate_tests::network::{Begins, Device, Implementation, Outer, Plan, answers, transfer};

use super::{count_arriving, count_leaving, counted, ping, subject_lacks, subjects};

/// Bytes that a loop may cost before it is damped: what Linux allows its own implementation.
const DAMPED: u64 = 70_000;

#[test]
fn a_source_that_is_not_the_peers_own_is_dropped() {
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    ping(&pair.right.namespace, pair.left.v4.into());
    let device = pair.left.device.name();
    count_arriving(
        &pair.left.namespace,
        &[
            ("foreign", &format!("iifname {device} ip saddr 10.100.0.99")),
            ("foreign6", &format!("iifname {device} ip6 saddr fd00:100::99")),
            ("own", &format!("iifname {device} ip saddr 10.100.0.2")),
        ],
    );
    pair.right.namespace.address(pair.right.device.name(), "10.100.0.99/24");
    pair.right.namespace.address(pair.right.device.name(), "fd00:100::99/64");
    for (source, target) in [("10.100.0.99", pair.left.inner()[0]), ("fd00:100::99", pair.left.inner()[1])] {
        let said = pair.right.namespace.try_run(&format!("ping -n -c 3 -i 0.1 -W 1 -I {source} {target}"));
        assert!(said.is_err(), "{said:?}");
    }
    ping(&pair.right.namespace, pair.left.v4.into());
    assert_eq!(["foreign", "foreign6", "own"].map(|name| counted(&pair.left.namespace, name)), [0, 0, 3]);
}

#[test]
fn a_more_specific_peer_takes_an_address_out_of_a_wider_prefix() {
    let Some((lab, pair)) = subjects(&Plan { begins: Begins::Right, ..Plan::default() }) else { return };
    let (left, right) = (&pair.left, &pair.right);
    left.device.set(&format!("peer {} allowed-ips 10.100.0.0/24,fd00:100::/64", right.key.public));
    count_arriving(
        &left.namespace,
        &[("requests", &format!("iifname {} icmp type echo-request", left.device.name()))],
    );
    ping(&right.namespace, left.v4.into());
    assert_eq!(counted(&left.namespace, "requests"), 3);
    let nobody = lab.key_pair();
    left.device.set(&format!("peer {} allowed-ips {}/32", nobody.public, right.v4));
    assert!(!answers(&right.namespace, left.v4.into(), 1), "the address is someone else's");
    assert_eq!(
        counted(&left.namespace, "requests"),
        3,
        "nothing came from an address that is someone else's"
    );
    ping(&right.namespace, left.v6.into());
    left.device.set(&format!("peer {} remove", nobody.public));
    ping(&right.namespace, left.v4.into());
    assert_eq!(counted(&left.namespace, "requests"), 6);
}

#[test]
fn an_address_that_no_peer_has_is_unreachable() {
    if subject_lacks("send ICMP", &Implementation::OTHERS) {
        return;
    }
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    for address in ["10.100.0.77", "fd00:100::77"] {
        assert_unreachable(&pair, address);
    }
}

#[test]
fn a_peer_without_an_endpoint_is_unreachable() {
    if subject_lacks("send ICMP", &Implementation::OTHERS) {
        return;
    }
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Right, ..Plan::default() }) else { return };
    for address in pair.right.inner() {
        assert_unreachable(&pair, &address.to_string());
    }
    // It is, once it has called.
    ping(&pair.right.namespace, pair.left.v4.into());
    ping(&pair.left.namespace, pair.right.v4.into());
}

fn assert_unreachable(pair: &lockgate_tests::network::Pair, address: &str) {
    let said =
        pair.left.namespace.try_run(&format!("ping -n -c 1 -W 3 {address}")).expect_err("nobody answers");
    let wanted = if address.contains(':') {
        "Destination unreachable: Address unreachable"
    } else {
        "Destination Host Unreachable"
    };
    assert!(said.contains(wanted), "{address}: {said}");
}

#[test]
fn a_route_into_the_tunnel_itself_is_damped() {
    if subject_lacks("stop such a loop", &Implementation::OTHERS) {
        return;
    }
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    let (left, right) = (&pair.left, &pair.right);
    ping(&left.namespace, right.v4.into());
    left.device.set(&format!("peer {} endpoint {}:51820", right.key.public, right.v4));
    let before = left.device.peer().sent;
    let target: IpAddr = right.v4.into();
    let said = left.namespace.try_run(&format!("ping -n -q -c 10 -i 0.1 -W 1 {target}"));
    assert!(said.is_err(), "{said:?}");
    let sent = left.device.peer().sent - before;
    assert!(sent < DAMPED, "10 pings became {sent} bytes");
    left.device.set(&format!("peer {} endpoint {}:51820", right.key.public, right.wire_v4));
    ping(&left.namespace, target);
}

#[test]
fn every_datagram_carries_the_mark() {
    for outer in [Outer::V4, Outer::V6] {
        let Some((_lab, pair)) = subjects(&Plan { outer, ..Plan::default() }) else { return };
        let host = &pair.left.namespace;
        count_leaving(
            host,
            &[("right", "udp dport 51820 meta mark 0xabcd"), ("wrong", "udp dport 51820 meta mark 0")],
        );
        pair.left.device.set("fwmark 0xabcd");
        ping(host, pair.right.v4.into());
        assert_eq!(
            ["right", "wrong"].map(|name| counted(host, name)),
            [4, 0],
            "an initiation and three pings"
        );
        pair.left.device.set("fwmark 0");
        ping(host, pair.right.v6.into());
        assert_eq!(["right", "wrong"].map(|name| counted(host, name)), [4, 3]);
    }
}

/// ```text
///  left [ device 10.102.0.1 ── device 10.100.0.1 ── wire ] ══ veth ══ [ wire ── device 10.100.0.2 ── device 10.102.0.2 ] right
/// ```
#[test]
fn a_tunnel_goes_through_a_tunnel() {
    let Some((lab, pair)) = subjects(&Plan::default()) else { return };
    let ends = [&pair.left, &pair.right];
    let inner = ends.map(|end| {
        let device = Device::start(&lab, &end.namespace, Implementation::subject());
        let key = lab.key_pair();
        device.set(&format!("private-key {} listen-port 51822", key.file.display()));
        end.namespace.ip(&format!("link set {} mtu 1340 up", device.name()));
        (device, key)
    });
    for (own, other) in [(0, 1), (1, 0)] {
        ends[own].namespace.address(inner[own].0.name(), &format!("10.102.0.{}/24", own + 1));
        inner[own].0.set(&format!(
            "peer {} allowed-ips 10.102.0.{}/32 endpoint {}:51822",
            inner[other].1.public,
            other + 1,
            ends[other].v4
        ));
    }
    ping(&pair.left.namespace, [10, 102, 0, 2].into());
    transfer(&pair.left.namespace, &pair.right.namespace, [10, 102, 0, 2].into(), 2_000_000);
    transfer(&pair.right.namespace, &pair.left.namespace, [10, 102, 0, 1].into(), 2_000_000);
}

/// Everything goes through the tunnel but the tunnel itself, as wg-quick sets it up for a default route.
#[test]
fn fragments_to_the_address_of_the_endpoint_are_carried() {
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    let (left, right) = (&pair.left, &pair.right);
    left.device
        .set(&format!("fwmark 7 peer {} allowed-ips {}/32,{}/32", right.key.public, right.v4, right.wire_v4));
    left.namespace.ip(&format!("route add {}/32 dev {} table 7", right.wire_v4, left.device.name()));
    left.namespace.ip("rule add not fwmark 7 table 7");
    let before = left.device.peer().sent;
    super::ping_with(&left.namespace, right.wire_v4.into(), "-s 3000");
    assert!(left.device.peer().sent - before > 3 * 3000, "through the tunnel");
}
