//! What the tests share: the entries that fuzzers call and that `corpora.rs` replays.

mod zmtp;

pub use zmtp::fuzz_zmtp;

/// One datagram from a stranger. The messages' parsers are called here once `wire` has them.
pub fn fuzz_wire(datagram: &[u8]) {
    let _ = datagram;
}
