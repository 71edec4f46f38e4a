//! Lockgate's tunnel among others: network namespaces, real WireGuard implementations, real traffic.
//!
//! Needs root. A test that cannot run says why and passes; with `LOCKGATE_NETWORK=required` it fails instead.
//! `LOCKGATE_PEERS` names a folder with the other implementations, `LOCKGATE_TEST_SUBJECT=wireguard-go` puts another
//! program in Lockgate's place, to test the tests.

mod interop;
