//! WireGuard's configuration protocol, as `wg` and `wg-quick` speak it with an implementation in user space.
//!
//! ```text
//! get=1                           set=1
//!                                 private_key=<64 hexadecimal digits>      the device first,
//! private_key=<64 digits>         public_key=<64 hexadecimal digits>       then each peer and what is said of it
//! listen_port=51820               allowed_ip=10.77.0.0/24
//! ...
//! errno=0                         errno=0
//! ```
//! Each request and each answer ends with an empty line; many may follow each other on one connection. Requests are read
//! by [`parse()`], answers written by [`Report::to_text`], both without any IO; [`server`] is the socket. What is set is
//! applied in its order, and a line that is wrong ends a request without taking back what stood before it.

pub mod allowed_ip;
pub mod framing;
mod parse;
pub mod report;
pub mod server;

use std::fmt;
use std::net::SocketAddr;

use lockgate_proto::keys::{PresharedKey, PrivateKey, PublicKey};
use lockgate_proto::prefix::Prefix;

pub use parse::parse;
pub use report::{PeerReport, Report};

/// The longest request, in bytes with its empty line: three million allowed IPs.
pub const REQUEST: usize = 64 << 20;
/// The longest line of a request, in bytes without its end; longer ones are [`Errno::Io`], as the reference has it.
pub const LINE: usize = (64 << 10) - 1;

/// What a client wants.
#[derive(Debug)]
pub enum Request {
    /// The whole state, as a [`Report`].
    Get,
    /// These changes, in this order.
    Set(Vec<Change>),
}

/// A request that was read, perhaps not to its end.
#[derive(Debug)]
pub struct Parsed {
    /// What to do. Of a flawed `set` it is what stood before the flaw, which takes effect all the same.
    pub request: Request,
    /// What ended it early; the answer's number, unless applying the changes fails before.
    pub flaw: Option<Flaw>,
}

/// One change of the device.
#[derive(Debug)]
pub enum Change {
    /// `private_key`, clamped; `None` (all zero) takes it away. Peers of the new key's own public key go.
    ///
    /// Boxed, so that a growing list leaves no copies of it.
    PrivateKey(Option<Box<PrivateKey>>),
    /// `listen_port`; 0 lets the system choose. A port that cannot be had is [`Errno::AddressInUse`].
    ListenPort(u16),
    /// `fwmark`; 0 is none.
    Fwmark(u32),
    /// `replace_peers`: all peers so far go.
    ReplacePeers,
    /// `public_key` and what follows it. The device's own public key is no peer: the change is ignored.
    Peer(PeerChange),
}

/// What a request says of one peer.
#[derive(Debug)]
pub struct PeerChange {
    /// Its name.
    pub public_key: PublicKey,
    /// Whether there is to be one.
    pub presence: Presence,
    /// What changes, in order. Empty where the peer goes.
    pub edits: Vec<Edit>,
}

/// Whether a peer is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is made where there was none.
    Wanted,
    /// `update_only`: where there was none, the change is ignored.
    UpdateOnly,
    /// `remove`: it goes; none is made.
    Removed,
}

/// One change of a peer.
#[derive(Debug)]
pub enum Edit {
    /// `preshared_key`; `None` is all zero. Boxed, so that a growing list leaves no copies of it.
    PresharedKey(Option<Box<PresharedKey>>),
    /// `endpoint`; never a mapped IPv4 address in IPv6.
    Endpoint(SocketAddr),
    /// `persistent_keepalive_interval` in seconds; 0 is off. Turned on, it sends one at once.
    Keepalive(u16),
    /// `replace_allowed_ips`: all of the peer's allowed IPs so far go.
    ReplaceAllowedIps,
    /// `allowed_ip`: from now on this peer's, whoever had it.
    Allow(Prefix),
    /// `allowed_ip` with `-` in front: no longer, if it was this peer's.
    Disallow(Prefix),
}

/// What went wrong, as a Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// Reading failed: a line or a request is too long.
    Io,
    /// A key that is unknown or misplaced, or a value that makes no sense for it.
    Invalid,
    /// Not the protocol: a line without `=`, an unknown operation.
    Protocol,
    /// The port cannot be had.
    AddressInUse,
}

impl Errno {
    /// The number in `errno=`: negative, as Linux counts on x86 and ARM.
    pub const fn number(self) -> i32 {
        match self {
            Self::Io => -5,
            Self::Invalid => -22,
            Self::Protocol => -71,
            Self::AddressInUse => -98,
        }
    }

    /// The whole answer to a `set`: an error number and the empty line. `None` is success.
    pub fn answer(errno: Option<Self>) -> String {
        format!("errno={}\n\n", errno.map_or(0, Self::number))
    }
}

/// Why a request cannot be read, or not to its end. It never repeats what it was given: that may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The number for the client.
    pub errno: Errno,
    /// In which line of the request, from 1.
    pub line: usize,
    /// In words, for the log.
    pub reason: &'static str,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

#[cfg(test)]
mod tests;
