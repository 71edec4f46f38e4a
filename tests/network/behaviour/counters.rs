//! Every byte is counted at both ends, and padded as it should be.

use lockgate_tests::network::{Begins, Implementation, Lab, Pair, Plan, SOON, eventually};

use super::{ping, ping_with, subject_lacks, subjects};

const INITIATION: u64 = 148;
const RESPONSE: u64 = 92;
/// The header and the tag of a data message.
const FRAME: u64 = 16 + 16;
const ICMP: u32 = 20 + 8;

#[test]
fn both_ends_count_the_same_bytes_and_each_is_accounted_for() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    // Three pings of 84 bytes, padded to 96.
    let pings = 3 * (96 + FRAME);
    settle(&pair, INITIATION + pings, RESPONSE + pings);
}

#[test]
fn padding_is_to_sixteen_and_never_beyond_the_mtu() {
    for mtu in [1299, 1300, 1420] {
        padding_stays_within(mtu);
    }
}

fn padding_stays_within(mtu: u32) {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, mtu, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    let pings = 3 * (96 + FRAME);
    let (mut left, mut right) = (INITIATION + pings, RESPONSE + pings);
    for size in [0, 1, 4, 5, 100, 1255, mtu - ICMP - 18, mtu - ICMP - 2, mtu - ICMP - 1, mtu - ICMP] {
        ping_with(&pair.left.namespace, pair.right.v4.into(), &format!("-s {}", size));
        let padded = (size + ICMP).next_multiple_of(16).min(mtu);
        let each = 3 * (u64::from(padded) + FRAME);
        left += each;
        right += each;
        settle(&pair, left, right);
    }
}

#[test]
fn a_route_with_an_odd_mtu_of_its_own_is_no_hurdle() {
    let Some((_lab, pair)) = subjects(&Plan { mtu: 1300, ..Plan::default() }) else { return };
    for (end, other) in [(&pair.left, &pair.right), (&pair.right, &pair.left)] {
        end.namespace.ip(&format!("route add {}/32 dev {} mtu 1299", other.v4, end.device.name()));
    }
    for size in [1269, 1270, 1271] {
        ping_with(&pair.right.namespace, pair.left.v4.into(), &format!("-s {}", size));
    }
}

#[test]
fn an_mtu_may_change_under_way() {
    // wireguard-go hears of it by netlink a moment later.
    if subject_lacks("take a new MTU at once", &[Implementation::Boringtun, Implementation::Gotatun]) {
        return;
    }
    let Some(_lab) = Lab::open(&[]) else { return };
    let Some((_files, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    for end in [&pair.left, &pair.right] {
        end.namespace.ip(&format!("link set {} mtu 1311", end.device.name()));
    }
    eventually("padding stops at the new MTU", SOON, || {
        let before = pair.left.device.peer().sent;
        ping_with(&pair.left.namespace, pair.right.v4.into(), &format!("-s {}", 1311 - ICMP));
        (pair.left.device.peer().sent - before == 3 * (1311 + FRAME)).then_some(())
    });
}

/// Waits until the ends have sent so many bytes, and have received what the other sent.
fn settle(pair: &Pair, left: u64, right: u64) {
    let mut last = None;
    eventually(&format!("left sends {left} and right {right} bytes"), SOON, || {
        let [ours, theirs] = [&pair.left, &pair.right].map(|end| end.device.peer());
        let seen = [ours.sent, theirs.received, theirs.sent, ours.received];
        if last != Some(seen) {
            last = Some(seen);
            eprintln!(
                "left sent {}, right has {}, right sent {}, left has {}",
                seen[0], seen[1], seen[2], seen[3]
            );
        }
        assert!(seen[0] <= left && seen[2] <= right, "more than {left} and {right} were sent: {seen:?}");
        (seen == [left, left, right, right]).then_some(())
    });
}
