//! An end that moves takes its tunnel along.
//!
//! ```text
//!  left: subject  10.100.0.1 ── wire 10.99.0.1 ═════ veth ═════ wire 10.99.0.2 ── 10.100.0.2  right: other
//!                                    10.99.0.101                     10.99.0.102
//!       └──────────────────────────── a stream that never rests ───────────────────────────┘
//! ```

use std::net::SocketAddr;

use lockgate_tests::network::{
    Begins, End, Flow, Implementation, Lab, Outer, PORT, Pair, Plan, SOON, WIRE, answers, eventually, ping,
};

/// Bytes that are to cross before and after each move.
const STRETCH: u64 = 1_000_000;
/// A port to move to.
const OTHER_PORT: u16 = 51_999;

with_each!(our_new_address_is_followed, |other| under_traffic(other, |pair| {
    new_address(&pair.left, &pair.right, "10.99.0.1", "10.99.0.101");
}));
with_each!(the_others_new_address_is_followed, |other| under_traffic(other, |pair| {
    new_address(&pair.right, &pair.left, "10.99.0.2", "10.99.0.102");
}));
with_each!(our_new_port_is_followed, |other| under_traffic(other, |pair| {
    new_port(&pair.left, &pair.right);
}));
with_each!(the_others_new_port_is_followed, |other| under_traffic(other, |pair| {
    new_port(&pair.right, &pair.left);
}));
with_each!(we_answer_from_the_address_that_was_asked, |other| {
    let Some(lab) = Lab::open(&[other]) else { return };
    let pair = Pair::start(&lab, &Plan { right: other, begins: Begins::Left, ..Plan::default() });
    // The subject has a second address, which is not the one that it would choose by itself.
    pair.left.namespace.address(WIRE, "10.99.0.101/24");
    let asked: SocketAddr = ([10, 99, 0, 101], PORT).into();
    // boringtun cannot change a peer that it has.
    for (end, other, endpoint) in [(&pair.right, &pair.left, Some(asked)), (&pair.left, &pair.right, None)] {
        end.device.set(&format!("peer {} remove", other.key.public));
        end.knows(other, endpoint, "");
    }
    ping(&pair.right.namespace, pair.left.v4.into());
    ping(&pair.right.namespace, pair.left.v6.into());
    assert_eq!(pair.right.device.peer().endpoint, Some(asked), "an answer came from elsewhere");
});

/// A stream crosses before and after `change`.
fn under_traffic(other: Implementation, change: impl FnOnce(&Pair)) {
    let Some(lab) = Lab::open(&[other]) else { return };
    let pair = Pair::start(&lab, &Plan { right: other, ..Plan::default() });
    let flow = Flow::start(&pair.left.namespace, &pair.right.namespace, pair.right.v4.into());
    flow.advance("before the move", STRETCH);
    change(&pair);
    flow.advance("after the move", STRETCH);
    flow.finish();
}

fn new_address(mover: &End, follower: &End, old: &str, new: &str) {
    mover.namespace.sysctl("net.ipv4.conf.all.promote_secondaries", "1");
    mover.namespace.address(WIRE, &format!("{new}/24"));
    mover.namespace.ip(&format!("address del {old}/24 dev {WIRE}"));
    if mover.device.implementation() == Implementation::WireguardGo {
        // It keeps to a source address that is gone: it expects EINVAL from the kernel, which says ENETUNREACH today.
        mover.knows(follower, Some(follower.endpoint(Outer::V4)), "");
    }
    await_endpoint(mover, follower, format!("{new}:{PORT}").parse().expect("an address"));
}

fn new_port(mover: &End, follower: &End) {
    mover.device.set(&format!("listen-port {OTHER_PORT}"));
    await_endpoint(mover, follower, (mover.wire_v4, OTHER_PORT).into());
}

/// The mover speaks, as it must to be found; the follower then has its new endpoint.
fn await_endpoint(mover: &End, follower: &End, endpoint: SocketAddr) {
    eventually("the mover is answered", SOON, || {
        answers(&mover.namespace, follower.v4.into(), 1).then_some(())
    });
    assert_eq!(follower.device.peer().endpoint, Some(endpoint));
}
