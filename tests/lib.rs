//! What the tests share: the rig of real nodes, the rig of network tests, and the entries that fuzzers call and `corpora.rs` replays.

mod fuzzed;
#[path = "network/rig.rs"]
pub mod network;
#[path = "real/rig.rs"]
pub mod rig;
mod zmtp;

pub use fuzzed::{fuzz_flows, fuzz_judging, fuzz_packet, fuzz_policy, fuzz_script, fuzz_speakers, fuzz_uapi};
pub use zmtp::fuzz_zmtp;

/// One datagram from a stranger, as `wire` parses it.
pub fn fuzz_wire(datagram: &[u8]) {
    let mut copy = datagram.to_vec();
    // Total on any bytes; what it answers is held by the tests of `wire`.
    let _ = lockgate_proto::wire::parse(&mut copy);
}
