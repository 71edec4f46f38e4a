//! Peers that are somewhere else all of a sudden, and wires that come and go.

use std::net::IpAddr;

use lockgate_tests::network::{Begins, Flow, Outer, Pair, Plan, SOON, answers, eventually, transfer};

use super::{ping, subjects};

#[test]
fn an_endpoint_may_change_its_family() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let (left, right) = (&pair.left, &pair.right);
    for outer in [Outer::V4, Outer::V6, Outer::V4, Outer::V6] {
        let endpoint = right.endpoint(outer);
        // An answer of the last transfer that is still on its way by the old family takes the endpoint back: set again.
        eventually("both are where they were set to", SOON, || {
            left.device.set(&format!("peer {} endpoint {endpoint}", right.key.public));
            ping(&left.namespace, right.v4.into());
            let seen = [left, right].map(|end| end.device.peer().endpoint);
            (seen == [Some(endpoint), Some(left.endpoint(outer))]).then_some(())
        });
        transfer(&left.namespace, &right.namespace, right.v6.into(), 1_000_000);
        transfer(&right.namespace, &left.namespace, left.v4.into(), 1_000_000);
    }
}

#[test]
fn a_wire_that_was_down_carries_again() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    pair.left.namespace.ip("link set wire down");
    assert!(!answers(&pair.left.namespace, pair.right.v4.into(), 1));
    pair.left.namespace.ip("link set wire up");
    heals(&pair, pair.right.v4.into());
    ping(&pair.right.namespace, pair.left.v4.into());
}

#[test]
fn an_interface_that_was_down_carries_again() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let device = pair.left.device.name();
    for _ in 0..2 {
        ping(&pair.left.namespace, pair.right.v4.into());
        pair.left.namespace.ip(&format!("link set {device} down"));
        assert!(!answers(&pair.right.namespace, pair.left.v4.into(), 1));
        pair.left.namespace.ip(&format!("link set {device} up"));
        heals(&pair, pair.right.v4.into());
    }
    // Linux takes the IPv6 addresses of an interface that goes down, and does not use a new one at once.
    pair.left.namespace.address(device, "fd00:100::1/64");
    heals(&pair, pair.right.v6.into());
}

fn heals(pair: &Pair, target: IpAddr) {
    eventually("the tunnel carries again", SOON, || answers(&pair.left.namespace, target, 1).then_some(()));
}

#[test]
fn a_listen_port_may_change_under_traffic() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let flow = Flow::start(&pair.left.namespace, &pair.right.namespace, pair.right.v4.into());
    for port in [51_900, 51_901] {
        pair.left.device.set(&format!("listen-port {port}"));
        assert_eq!(pair.left.device.port(), port);
        flow.advance(&format!("from port {port}"), 1_000_000);
        let seen = pair.right.device.peer().endpoint.expect("it has been heard");
        assert_eq!(seen.port(), port);
    }
    flow.finish();
}

#[test]
fn a_port_that_the_system_chose_stays_while_the_interface_is_down() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let device = &pair.left.device;
    device.set("listen-port 0");
    let port = device.port();
    assert_ne!(port, 0);
    pair.left.namespace.ip(&format!("link set {} down", device.name()));
    pair.left.namespace.ip(&format!("link set {} up", device.name()));
    heals(&pair, pair.right.v4.into());
    assert_eq!(device.port(), port);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "somebody else's socket is in the way")]
fn a_port_that_was_taken_is_had_once_it_is_free() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let (device, host) = (&pair.left.device, &pair.left.namespace);
    let port = device.port();
    host.ip(&format!("link set {} down", device.name()));
    eventually("the port is free", SOON, || {
        let _taken = host.enter(|| std::net::UdpSocket::bind(("0.0.0.0", port)).ok())?;
        host.ip(&format!("link set {} up", device.name()));
        assert!(!answers(host, pair.right.v4.into(), 1), "somebody else has the port");
        Some(())
    });
    heals(&pair, pair.right.v4.into());
    assert_eq!(device.port(), port);
}
