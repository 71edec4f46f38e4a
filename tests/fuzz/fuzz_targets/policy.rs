//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz policy`; what it finds goes into `corpus/policy` and is replayed by `cargo test`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lockgate_tests::fuzz_policy(input));
