//! The rig of network tests: namespaces, cables, WireGuard implementations and verified traffic.
//!
//! ```text
//!  left namespace [ device ── wire ] ══ veth ══ [ wire ── device ] right namespace
//! ```
//!
//! Everything carries the number of the test's process in its name and goes away with the value that stands for it.
#![expect(
    clippy::disallowed_methods,
    reason = "the rig is a machine of its own: it opens files and sockets inside its namespaces"
)]

pub use command::{run, try_run};
pub use device::{Device, Peer, socket, unique_name};
pub use implementation::Implementation;
pub use keys::{KeyPair, preshared_key};
pub use lab::Lab;
pub use namespace::Namespace;
pub use pair::{Begins, End, Outer, PORT, Pair, Plan, WIRE};
pub use quick::Quick;
pub use traffic::{Echo, Flow, answers, answers_sized, connects, dial, ping, ping_sized, transfer};

pub use crate::rig::{SOON, eventually, within};

#[path = "rig/command.rs"]
mod command;
#[path = "rig/device.rs"]
mod device;
#[path = "rig/implementation.rs"]
mod implementation;
#[path = "rig/keys.rs"]
mod keys;
#[path = "rig/lab.rs"]
mod lab;
#[path = "rig/namespace.rs"]
mod namespace;
#[path = "rig/pair.rs"]
mod pair;
#[path = "rig/quick.rs"]
mod quick;
#[path = "rig/traffic.rs"]
mod traffic;
