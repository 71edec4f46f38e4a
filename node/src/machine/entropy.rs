//! Randomness of the operating system. (A stand-in until the machine branch is merged.)
#![expect(clippy::disallowed_methods, reason = "the machine is where files are opened")]

use std::fs::File;
use std::io::Read;

use lockgate_proto::entropy::{Entropy, Randomness};

struct Os(File);

impl Entropy for Os {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.read_exact(bytes).expect("the kernel's random source never ends");
    }
}

/// Both sources, from the operating system.
pub fn randomness() -> Randomness {
    let open = || Box::new(Os(File::open("/dev/urandom").expect("a Linux host has /dev/urandom")));
    Randomness { secret: open(), public: open() }
}
