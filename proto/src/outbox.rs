//! Where results are written: straight into the machine's batch, once.

use core::net::{IpAddr, SocketAddr};

use crate::discard::Discard;

/// Which of our addresses, on which interface, a datagram leaves from: where the peer last reached us (a *sticky source*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Our address.
    pub ip: IpAddr,
    /// The index of the interface; 0 leaves it to the routing table.
    pub interface: u32,
}

/// Both ends of the way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The peer's end.
    pub remote: SocketAddr,
    /// Our end; `None` leaves it to the routing table.
    pub source: Option<Source>,
}

impl From<SocketAddr> for Path {
    fn from(remote: SocketAddr) -> Self {
        Self { remote, source: None }
    }
}

/// What is written on the outside of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// From where to where.
    pub path: Path,
    /// The outer type-of-service or traffic-class byte: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
}

impl Envelope {
    /// To `remote`, from wherever, unmarked.
    pub fn to(remote: SocketAddr) -> Self {
        Self { path: remote.into(), tos: 0 }
    }
}

/// Takes the datagrams that a call produces.
pub trait Outbox {
    /// Adds a datagram of exactly `len` bytes; `fill` writes it in place.
    ///
    /// The slot's content is unspecified before `fill`. Where `fill` fails the slot is taken back and nothing is sent.
    ///
    /// # Errors
    /// Whatever `fill` returned.
    fn datagram(
        &mut self,
        envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard>;

    /// Whether another datagram is welcome now; one that comes all the same may be refused.
    fn has_room(&self) -> bool {
        true
    }
}
