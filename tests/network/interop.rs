//! Lockgate with every other implementation at the other end, each in both roles.
//!
//! ```text
//!  left: subject  10.100.0.1 fd00:100::1          right: other  10.100.0.2 fd00:100::2
//!    └── wire 10.99.0.1 fd00:99::1 ═════ veth ═════ wire 10.99.0.2 fd00:99::2 ──┘
//! ```

use lockgate_tests::network::{
    Begins, Echo, End, Implementation, Lab, Outer, Pair, Plan, answers, answers_sized, ping, ping_sized,
    preshared_key, transfer,
};

/// Bytes of each TCP transfer.
const TRANSFER: u64 = 2_000_000;
/// Bytes of an IP and a UDP header, by IPv4 and by IPv6.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];
/// A ping that fits into gotatun's buffers with all its headers.
const GOTATUN_PAYLOAD: u32 = 4000;

with_each!(everything_crosses_when_we_begin, |other| {
    everything_crosses(&Plan { right: other, begins: Begins::Left, ..Plan::default() });
});
with_each!(everything_crosses_when_the_other_begins, |other| {
    everything_crosses(&Plan { right: other, begins: Begins::Right, ..Plan::default() });
});
with_each!(everything_crosses_over_ipv6_with_a_preshared_key, |other| {
    everything_crosses(&Plan { right: other, outer: Outer::V6, preshared: true, ..Plan::default() });
});
with_each!(a_preshared_key_joins_when_the_other_begins, |other| {
    let Some(lab) = Lab::open(&[other]) else { return };
    let plan = Plan { right: other, begins: Begins::Right, preshared: true, ..Plan::default() };
    let pair = Pair::start(&lab, &plan);
    ping(&pair.right.namespace, pair.left.v4.into());
    ping(&pair.left.namespace, pair.right.v6.into());
});
with_each!(another_preshared_key_joins_nobody, |other| {
    let Some(lab) = Lab::open(&[other]) else { return };
    let pair = Pair::start(&lab, &Plan { right: other, preshared: true, ..Plan::default() });
    let file = preshared_key(&lab);
    pair.left.device.set(&format!("peer {} preshared-key {}", pair.right.key.public, file.display()));
    assert!(!answers(&pair.left.namespace, pair.right.v4.into(), 1));
    assert!(!answers(&pair.right.namespace, pair.left.v4.into(), 1));
    // A responder may have counted its half of it, as gotatun does.
    assert_eq!(pair.left.device.peer().latest_handshake, 0);
});
with_each!(packets_of_9000_bytes_cross, |other| {
    large_packets_cross(&Plan { right: other, mtu: 9000, wire_mtu: 9100, ..Plan::default() });
});
with_each!(packets_of_9000_bytes_cross_in_fragments, |other| {
    large_packets_cross(&Plan { right: other, mtu: 9000, ..Plan::default() });
});
with_each!(packets_of_34000_bytes_cross, |other| {
    large_packets_cross(&Plan { right: other, mtu: 34_000, wire_mtu: 65_535, ..Plan::default() });
});
with_each!(packets_of_34000_bytes_cross_in_fragments, |other| {
    large_packets_cross(&Plan { right: other, mtu: 34_000, ..Plan::default() });
});

fn everything_crosses(plan: &Plan) {
    let Some(lab) = Lab::open(&[plan.right]) else { return };
    let pair = Pair::start(&lab, plan);
    let (first, second) = match plan.begins {
        Begins::Right => (&pair.right, &pair.left),
        Begins::Left | Begins::Both => (&pair.left, &pair.right),
    };
    ping_all(first, second);
    ping_all(second, first);
    for (from, to) in [(first, second), (second, first)] {
        for (address, headers) in to.inner().into_iter().zip(HEADERS) {
            transfer(&from.namespace, &to.namespace, address, TRANSFER);
            let whole = plan.mtu as usize - headers;
            let echo = Echo::start(&to.namespace, address);
            echo.try_sizes(&from.namespace, (0..80).chain((80..whole).step_by(97)).chain(whole - 20..=whole));
            echo.try_sizes(&from.namespace, [whole + 1, 1500, 4000, 9000, 30_000]);
        }
    }
    assert_counted(&pair);
}

fn ping_all(from: &End, to: &End) {
    for address in to.inner() {
        ping(&from.namespace, address);
    }
}

/// Both ends counted what crossed, each what the other did.
fn assert_counted(pair: &Pair) {
    let [left, right] = [&pair.left, &pair.right].map(|end| end.device.peer());
    for (sent, received) in [(left.sent, right.received), (right.sent, left.received)] {
        assert!(received > 2 * TRANSFER, "two transfers and more came: {received}");
        // Congestion control lets a stream lose packets; and implementations count headers differently.
        assert!(sent > received / 10 * 9, "{sent} bytes sent, {received} received");
    }
}

/// Packets that fill the MTU, streams that use it, and datagrams in and above it.
fn large_packets_cross(plan: &Plan) {
    let Some(lab) = Lab::open(&[plan.right]) else { return };
    let pair = Pair::start(&lab, plan);
    if plan.right == Implementation::Gotatun {
        return gotatun_drops_large_packets(&pair, plan.mtu);
    }
    for (from, to) in [(&pair.left, &pair.right), (&pair.right, &pair.left)] {
        for (address, headers) in to.inner().into_iter().zip(HEADERS) {
            ping_sized(&from.namespace, address, plan.mtu - u32::try_from(headers).expect("small"));
            transfer(&from.namespace, &to.namespace, address, 2 * TRANSFER);
            let whole = plan.mtu as usize - headers;
            let echo = Echo::start(&to.namespace, address);
            echo.try_sizes(&from.namespace, [0, 1, 1393, whole - 1, whole, whole + 1, 65_000]);
        }
    }
}

/// gotatun keeps packets in buffers of 4096 bytes: what is larger is lost, and must hurt nothing else.
fn gotatun_drops_large_packets(pair: &Pair, mtu: u32) {
    for (from, to) in [(&pair.left, &pair.right), (&pair.right, &pair.left)] {
        ping_sized(&from.namespace, to.v4.into(), GOTATUN_PAYLOAD);
        assert!(
            !answers_sized(&from.namespace, to.v4.into(), 1, mtu - 28),
            "gotatun has learnt it: test it in full"
        );
        ping_sized(&from.namespace, to.v6.into(), GOTATUN_PAYLOAD);
    }
}
