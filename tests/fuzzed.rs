//! Packets, requests, rules and flows with every byte chosen by someone else: what the fuzzers of `fuzz/` call.

mod flows;
mod judging;
mod packet;
mod policy;
mod script;
mod speakers;
mod uapi;

pub use flows::fuzz_flows;
pub use judging::fuzz_judging;
pub use packet::fuzz_packet;
pub use policy::fuzz_policy;
pub use script::fuzz_script;
pub use speakers::fuzz_speakers;
pub use uapi::fuzz_uapi;
