//! Many TCP flows at once, and packets as large as they may be.

use lockgate_tests::network::{Echo, Implementation, Outer, Pair, Plan, transfer};

use super::{ping, subject_lacks, subjects};

/// The largest MTU of WireGuard's own tests.
const BIG: u32 = 34_736;

#[test]
fn parallel_flows_all_arrive() {
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    for (count, bytes) in [(4, 2_000_000), (5, 2_000_000), (50, 200_000)] {
        std::thread::scope(|scope| {
            for number in 0..count {
                let [from, to] =
                    if number % 2 == 0 { [&pair.left, &pair.right] } else { [&pair.right, &pair.left] };
                scope.spawn(move || {
                    transfer(&from.namespace, &to.namespace, to.inner()[number / 2 % 2], bytes);
                });
            }
        });
    }
}

#[test]
fn a_big_mtu_may_come_later() {
    if subject_lacks("carry such an MTU", &[Implementation::Gotatun, Implementation::Boringtun]) {
        return;
    }
    for outer in [Outer::V4, Outer::V6] {
        let Some((_lab, pair)) = subjects(&Plan { outer, ..Plan::default() }) else { return };
        transfer(&pair.left.namespace, &pair.right.namespace, pair.right.v4.into(), 1_000_000);
        for end in [&pair.left, &pair.right] {
            end.namespace.ip(&format!("link set {} mtu {BIG}", end.device.name()));
        }
        big_packets_cross(&pair);
    }
}

fn big_packets_cross(pair: &Pair) {
    for (from, to) in [(&pair.left, &pair.right), (&pair.right, &pair.left)] {
        for address in to.inner() {
            ping(&from.namespace, address);
            transfer(&from.namespace, &to.namespace, address, 5_000_000);
            let echo = Echo::start(&to.namespace, address);
            echo.try_sizes(&from.namespace, [1, 1500, 9000, 20_000, BIG as usize - 48, 40_000, 65_000]);
        }
    }
}
