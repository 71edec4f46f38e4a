//! Randomness from the operating system.

use lockgate_proto::entropy::{Entropy, Randomness};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel's generator (`getrandom(2)`), which blocks only until it has been seeded once after boot.
#[derive(Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
                Ok(more) => filled += more,
                Err(Errno::INTR) => {}
                // Nothing may go on without randomness, and every Linux since 3.17 has it.
                Err(error) => panic!("the operating system gives no randomness: {error}"),
            }
        }
    }
}

/// The two sources of a node. Both are the kernel's generator, whose output does not reveal its state.
pub fn randomness() -> Randomness {
    Randomness { secret: Box::new(OsEntropy), public: Box::new(OsEntropy) }
}

/// A number that nobody else can know: for tables that others must not fill to their liking.
pub fn seed() -> u128 {
    let mut bytes = [0; 16];
    OsEntropy.fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_filled_and_no_two_draws_are_alike() {
        let mut randomness = randomness();
        // Longer than the 256 bytes that the kernel hands over without a chance of interruption.
        let mut secret = vec![0; 4096];
        let mut public = vec![0; 4096];
        randomness.secret.fill(&mut secret);
        randomness.public.fill(&mut public);
        assert_ne!(secret, public);
        for bytes in [&secret, &public] {
            // A run of 16 zeroes by chance: 2^-116.
            assert!(bytes.windows(16).all(|run| run.iter().any(|byte| *byte != 0)));
        }
        randomness.secret.fill(&mut []);
    }
}
