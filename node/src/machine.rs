//! The operating system, and nothing but: the only folder that may ask for time, randomness, files and sockets.
//!
//! Everything above it is told what happened and answers with what to do, so that it replays in a simulator.
//! What is here has no opinion: it reads, writes, waits and counts. Linux only (epoll, eventfd, UDP GSO and GRO).
#![allow(
    clippy::disallowed_methods,
    reason = "this folder is the one place where clocks, files and sockets are touched"
)]

pub mod apps;
pub mod bind;
pub mod clock;
pub mod entropy;
pub mod files;
pub mod files_write;
pub mod host;
pub mod locals;
pub mod logging;
mod namespace;
pub mod netlink;
pub mod outbox;
pub mod poller;
pub mod signals;
pub mod tun;
pub mod udp;
pub mod unix;

#[cfg(test)]
pub(crate) mod private_network;
#[cfg(test)]
pub(crate) mod scratch;
