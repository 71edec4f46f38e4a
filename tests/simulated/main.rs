//! The simulated world: real nodes on a virtual clock; one seed gives links, faults, keys and the order of events.
//!
//! A failure prints its seed; `LOCKGATE_SEED=<seed>` runs every test with that one.

mod backpressure;
mod clocks;
mod links;
mod outages;
mod packets;
mod policies;
mod restarts;
mod roaming;
mod sessions;
mod staging;
mod strangers;
mod walks;
mod world;
