//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz speakers`; what it finds goes into `corpus/speakers` and is replayed by `cargo test`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lockgate_tests::fuzz_speakers(input));
