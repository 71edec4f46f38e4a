//! Which of a host's addresses a tunnel speaks from.

use lockgate_tests::network::{Begins, Flow, Implementation, Outer, Plan, SOON, eventually};

use super::{ping, subject_lacks, subjects};

#[test]
fn a_source_address_that_goes_is_replaced_under_traffic() {
    // Linux answers such a source with ENETUNREACH (IPv4) or EINVAL (IPv6), and it only takes the second for what it is.
    if subject_lacks("replace an IPv4 source address at once", &[Implementation::WireguardGo]) {
        return;
    }
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let (left, right) = (&pair.left, &pair.right);
    let flow = Flow::start(&left.namespace, &right.namespace, right.v4.into());
    flow.advance("before", 1_000_000);
    for address in ["10.99.0.11", "10.99.0.12"] {
        left.namespace.ip("-4 address flush dev wire");
        left.namespace.address("wire", &format!("{address}/24"));
        flow.advance(&format!("from {address}"), 1_000_000);
        assert_eq!(
            right.device.peer().endpoint,
            Some(format!("{address}:51820").parse().expect("an address"))
        );
    }
    flow.finish();
}

#[test]
fn a_source_address_that_goes_is_replaced_over_ipv6_too() {
    let plan = Plan { begins: Begins::Left, outer: Outer::V6, ..Plan::default() };
    let Some((_lab, pair)) = subjects(&plan) else { return };
    let (left, right) = (&pair.left, &pair.right);
    let flow = Flow::start(&left.namespace, &right.namespace, right.v6.into());
    flow.advance("before", 1_000_000);
    left.namespace.ip("-6 address del fd00:99::1/64 dev wire");
    left.namespace.address("wire", "fd00:99::11/64");
    flow.advance("from the other address", 1_000_000);
    flow.finish();
    assert_eq!(right.device.peer().endpoint, Some("[fd00:99::11]:51820".parse().expect("an address")));
}

#[test]
fn replies_come_from_the_address_that_was_called() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let (left, right) = (&pair.left, &pair.right);
    ping(&left.namespace, right.v4.into());
    for (number, called) in
        ["10.99.0.22", "10.99.0.2", "10.99.0.23", "fd00:99::22", "fd00:99::2"].iter().enumerate()
    {
        let port = right.device.port();
        let (prefix, endpoint) = if called.contains(':') {
            (64, format!("[{called}]:{port}"))
        } else {
            (24, format!("{called}:{port}"))
        };
        if ![1, 4].contains(&number) {
            right.namespace.address("wire", &format!("{called}/{prefix}"));
        }
        left.device.set(&format!("peer {} endpoint {endpoint}", right.key.public));
        ping(&left.namespace, right.v4.into());
        ping(&right.namespace, left.v4.into());
        // Had the reply come from another address, that would be the endpoint now.
        assert_eq!(left.device.peer().endpoint, Some(endpoint.parse().expect("an address")));
    }
}

#[test]
fn a_route_that_changes_changes_the_source() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let (left, right) = (&pair.left, &pair.right);
    ping(&left.namespace, right.v4.into());
    left.namespace.join("second", &right.namespace, "second", 1500);
    left.namespace.address("second", "10.98.0.1/24");
    right.namespace.address("second", "10.98.0.2/24");
    // The called address is reached over the other wire from now on, and the first one is cut.
    left.namespace.ip("route add 10.99.0.2/32 via 10.98.0.2 dev second src 10.98.0.1");
    left.namespace.ip("link set wire down");
    right.namespace.ip("route add 10.99.0.1/32 via 10.98.0.1 dev second");
    eventually("the other way is taken", SOON, || {
        lockgate_tests::network::answers(&left.namespace, right.v4.into(), 1).then_some(())
    });
    ping(&right.namespace, left.v4.into());
}

#[test]
fn an_address_that_comes_elsewhere_does_not_change_the_source() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let (left, right) = (&pair.left, &pair.right);
    right.namespace.address("wire", "10.99.0.22/24");
    left.device.set(&format!("peer {} endpoint 10.99.0.22:{}", right.key.public, right.device.port()));
    ping(&left.namespace, right.v4.into());
    for line in ["address add 10.200.0.1/32 dev lo", "route add 10.201.0.0/24 dev wire"] {
        right.namespace.ip(line);
        // The first to speak is the one that was called on an address which its routes would not choose.
        ping(&right.namespace, left.v4.into());
        let seen = left.device.peer().endpoint.expect("it has an endpoint");
        assert_eq!(seen.ip().to_string(), "10.99.0.22", "after {line}");
    }
}
