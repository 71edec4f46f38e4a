//! Lockgate with every other implementation at the other end, each in both roles.
//!
//! ```text
//!  left: subject  10.100.0.1 fd00:100::1          right: other  10.100.0.2 fd00:100::2
//!    └── wire 10.99.0.1 fd00:99::1 ═════ veth ═════ wire 10.99.0.2 fd00:99::2 ──┘
//! ```

use lockgate_tests::network::{Begins, Echo, Implementation, Lab, Pair, Plan, ping, transfer};

/// Bytes of each TCP transfer.
const TRANSFER: u64 = 2_000_000;
/// The largest UDP payload in one packet of 1420 bytes, by IPv4 and by IPv6.
const WHOLE: [usize; 2] = [1420 - 20 - 8, 1420 - 40 - 8];

#[test]
fn wireguard_go_hears_us_first() {
    everything_crosses(Implementation::WireguardGo, Begins::Left);
}

fn everything_crosses(other: Implementation, begins: Begins) {
    let Some(lab) = Lab::open(&[other]) else { return };
    let pair = Pair::start(&lab, &Plan { right: other, begins, ..Plan::default() });
    let (first, second) =
        if begins == Begins::Left { (&pair.left, &pair.right) } else { (&pair.right, &pair.left) };
    for address in second.inner() {
        ping(&first.namespace, address);
    }
    for address in first.inner() {
        ping(&second.namespace, address);
    }
    for (from, to) in [(first, second), (second, first)] {
        for (address, whole) in to.inner().into_iter().zip(WHOLE) {
            transfer(&from.namespace, &to.namespace, address, TRANSFER);
            let echo = Echo::start(&to.namespace, address);
            echo.try_sizes(&from.namespace, (0..80).chain((80..whole).step_by(97)).chain(whole - 20..=whole));
            echo.try_sizes(&from.namespace, [whole + 1, 1500, 4000, 9000, 30_000]);
        }
    }
}

#[test]
fn wireguard_go_begins() {
    everything_crosses(Implementation::WireguardGo, Begins::Right);
}

#[test]
fn boringtun_hears_us_first() {
    everything_crosses(Implementation::Boringtun, Begins::Left);
}

#[test]
fn boringtun_begins() {
    everything_crosses(Implementation::Boringtun, Begins::Right);
}

#[test]
fn gotatun_hears_us_first() {
    everything_crosses(Implementation::Gotatun, Begins::Left);
}

#[test]
fn gotatun_begins() {
    everything_crosses(Implementation::Gotatun, Begins::Right);
}
