//! What comes out of a device: contents of datagrams, and news.

use core::net::SocketAddr;

use super::PeerId;
use super::copies::{Detour, PacketCopy};
use super::echo::Echo;

/// What a datagram turned out to be.
#[derive(Debug)]
pub struct Received<'d> {
    /// The peer who sent it. Every message that is accepted today has one.
    pub peer: Option<PeerId>,
    /// What was in it.
    pub content: Content<'d>,
}

/// What was in a datagram: borrowed from where it was received, decrypted in place.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'d> {
    /// A handshake message or a keepalive.
    Nothing,
    /// An IP packet, trimmed to its own length field; nothing else of it was checked.
    Ip(&'d mut [u8]),
    /// The datagram of a link frame.
    Link(LinkDatagram<'d>),
    /// The answer to an echo request of ours. Requests of the peer's are answered here and are [`Content::Nothing`].
    Echo(Echo),
    /// The first bytes of a packet, for whoever observes here. Whether the peer may send them was not asked.
    Copy(PacketCopy<'d>),
    /// A packet that was to go elsewhere. Whether the peer may send it was not asked.
    Detour(Detour<'d>),
}

/// The datagram of a link frame, and the proof that the tunnel has authenticated it: nothing else can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkDatagram<'d>(pub(super) &'d [u8]);

impl<'d> LinkDatagram<'d> {
    /// The bytes, as the peer sent them.
    pub const fn bytes(&self) -> &'d [u8] {
        self.0
    }
}

/// News.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session can be used, and there was none before, or the peer had fallen silent.
    Up {
        /// The peer.
        peer: PeerId,
    },
    /// A session was replaced by a newer one while the peer was up.
    Rekeyed {
        /// The peer.
        peer: PeerId,
    },
    /// Data had no answer of any kind for 15 seconds; a handshake begins.
    Silent {
        /// The peer.
        peer: PeerId,
    },
    /// A handshake had no answer for 90 seconds and was given up.
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// Packets that had waited for it and were dropped.
        dropped: usize,
    },
    /// Its keys were not renewed for 540 seconds and were wiped; the next packet begins a handshake.
    Idle {
        /// The peer.
        peer: PeerId,
    },
    /// An authentic packet came from a new address.
    Moved {
        /// The peer.
        peer: PeerId,
        /// Where it was.
        from: Option<SocketAddr>,
        /// Where it is.
        to: SocketAddr,
    },
}
