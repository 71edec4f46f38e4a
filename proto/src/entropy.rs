//! Randomness as it comes in: the operating system's in production, seeded in tests.

use alloc::boxed::Box;

/// A source of random bytes.
pub trait Entropy: Send {
    /// Fills `bytes`; a source that cannot must not return.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The two sources of a node, kept apart so that what the wire shows never draws on what keys are made of.
pub struct Randomness {
    /// Private key material, nonces, cookie secrets.
    pub secret: Box<dyn Entropy>,
    /// What peers may see: session indices, timer jitter.
    pub public: Box<dyn Entropy>,
}
