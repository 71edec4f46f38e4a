//! Lockgate's tunnel among others: network namespaces, real WireGuard implementations, real traffic.
//!
//! Needs root. A test that cannot run says why and passes; with `LOCKGATE_NETWORK=required` it fails instead.
//! `LOCKGATE_PEERS` names a folder with the other implementations, `LOCKGATE_TEST_SUBJECT=wireguard-go` puts another
//! program in Lockgate's place, to test the tests.

/// A test for each implementation that is not ours: `with_each!(claim, check)` calls `check(other)`.
macro_rules! with_each {
    ($claim:ident, $check:expr) => {
        mod $claim {
            use super::*;

            #[test]
            fn wireguard_go() {
                $check(Implementation::WireguardGo);
            }

            #[test]
            fn boringtun() {
                $check(Implementation::Boringtun);
            }

            #[test]
            fn gotatun() {
                $check(Implementation::Gotatun);
            }
        }
    };
}

mod behaviour;
mod differential;
mod interop;
mod lifetime;
mod nat;
mod node;
mod rekey;
mod roaming;
mod rules;
mod torture;
mod wg;
mod wg_quick;
