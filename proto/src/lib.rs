//! The bytes of Lockgate: keys, Noise sessions, tunnel packets, the policy and ZMTP.
//!
//! Nothing here does IO, reads a clock or asks for randomness: moments come in with every input
//! ([`now`]), randomness at construction ([`entropy`]), and results leave through an [`outbox`].
//! `#![no_std]` makes the compiler hold that (std is there for tests only).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod discard;
pub mod entropy;
pub mod now;
pub mod outbox;
pub mod parcel;
pub mod prefix;
pub mod routes;

// The tunnel, bottom up.
pub mod crypto;
pub mod device;
pub mod keys;
pub mod noise;
pub mod packet;
pub mod peer;
pub mod wire;

// The policy, bottom up.
pub mod analysis;
pub mod document;
pub mod flows;
pub mod policy;
pub mod program;
pub mod rules;
pub mod script;
pub mod trial;

// What applications speak.
pub mod zmtp;
