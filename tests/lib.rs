//! What the tests share: the rig of real nodes, and the entries that fuzzers call and `corpora.rs` replays.

#[path = "real/rig.rs"]
pub mod rig;
mod zmtp;

pub use zmtp::fuzz_zmtp;

/// One datagram from a stranger. The messages' parsers are called here once `wire` has them.
pub fn fuzz_wire(datagram: &[u8]) {
    let _ = datagram;
}
