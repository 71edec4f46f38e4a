//! Where results are written: straight into the machine's batch, once.

use core::net::SocketAddr;

use crate::discard::Discard;

/// Takes the datagrams that a call produces.
pub trait Outbox {
    /// Adds a datagram of exactly `len` bytes for `to`; `fill` writes it in place.
    ///
    /// The slot's content is unspecified before `fill`. Where `fill` fails the slot is taken back and nothing is sent.
    ///
    /// # Errors
    /// Whatever `fill` returned.
    fn datagram(
        &mut self,
        to: SocketAddr,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard>;

    /// Whether another datagram is welcome now; one that comes all the same may be refused.
    fn has_room(&self) -> bool {
        true
    }
}
