//! The device: our identity, our peers, and every datagram between them.
//!
//! Datagrams and moments go in, datagrams go out through the [`Outbox`], news is polled. It knows no rules and no sockets.
//! Nobody who cannot prove to be a peer gets an answer; the one exception, as in WireGuard, is a cookie, for somebody who
//! knows our public key and asks too often.

mod copies;
mod echo;
mod handshake;
mod indices;
mod news;
mod own;
mod payload;
mod peers;
mod receive;
mod routing;
mod send;
mod timeouts;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use self::indices::Indices;
use self::own::Own;
use crate::discard::Discard;
use crate::entropy::Randomness;
use crate::keys::{PrivateKey, PublicKey};
use crate::now::{Moment, Now};
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::peer::limits::Limits;
pub use crate::peer::timers::Wake;
use crate::routes::Routes;

pub use self::copies::{
    COPY_FRAME, COPY_OVERHEAD, CopyKind, CopyOrder, DETOUR_FRAME, DETOUR_OVERHEAD, Detour, Judged, PacketCopy,
};
pub use self::echo::{ECHO_FRAME, Echo, MIN_ECHO};
pub use self::news::{Content, Event, LinkDatagram, Received};
pub use self::payload::{DEFAULT_MTU, LINK_FRAME, LINK_OVERHEAD, max_link_datagram};
pub use self::peers::{AddPeerError, PeerConfig, PeerStatus};
pub use self::timeouts::MAX_WAKES;

/// News that wait for [`Device::poll_event`] at most; then the oldest is lost.
const MAX_EVENTS: usize = 1024;

/// Names a peer of one [`Device`]; never used again after the peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u32);

impl PeerId {
    /// The number, for logs.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Our end of all tunnels.
pub struct Device {
    core: Core,
    peers: BTreeMap<PeerId, Peer>,
    by_key: BTreeMap<PublicKey, PeerId>,
    routes: Routes<PeerId>,
    next_id: u32,
}

/// All of a device but its peers: what handling one peer needs beside the peer itself.
struct Core {
    /// `None` until we have a key.
    own: Option<Own>,
    is_stopped: bool,
    limits: Limits,
    randomness: Randomness,
    indices: Indices,
    events: VecDeque<Event>,
    deadlines: BTreeSet<(Moment, PeerId, Wake)>,
    mtu: usize,
    /// Where a packet is made that is to be copied: nothing of it is looked at again.
    scratch: Vec<u8>,
}

impl Device {
    /// A device without peers; without a key it neither sends nor accepts anything until [`Device::set_identity`] brings one.
    pub fn new(key: impl Into<Option<PrivateKey>>, randomness: Randomness, _now: Now) -> Self {
        let core = Core {
            own: key.into().map(Own::new),
            is_stopped: false,
            limits: Limits::default(),
            randomness,
            indices: Indices::default(),
            events: VecDeque::new(),
            deadlines: BTreeSet::new(),
            mtu: DEFAULT_MTU,
            scratch: Vec::new(),
        };
        let (peers, by_key) = (BTreeMap::new(), BTreeMap::new());
        Self { core, peers, by_key, routes: Routes::new(), next_id: 0 }
    }

    /// The largest payload that padding may fill: the TUN device's MTU. Larger packets still go, without padding.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.core.mtu = usize::from(mtu);
    }

    /// Begins a handshake, unless one is under way.
    ///
    /// # Errors
    /// [`Discard::NoSuchPeer`], [`Discard::NoEndpoint`], [`Discard::NoIdentity`], [`Discard::Stopped`] or, for a mute peer,
    /// [`Discard::LowOrder`].
    pub fn begin_handshake(&mut self, peer: PeerId, now: Now, out: &mut impl Outbox) -> Result<(), Discard> {
        let state = self.peers.get_mut(&peer).ok_or(Discard::NoSuchPeer)?;
        self.core.begin(peer, state, now, out)
    }

    /// When to call [`Device::handle_timeout`] next, and why: in the past, if a call left something to do. Now and then it is
    /// early: what it was for has meanwhile happened.
    pub fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        self.core.deadlines.first().map(|(moment, _, wake)| (*moment, *wake))
    }

    /// The next news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Whether what is sent to a peer now goes out at once.
    pub fn session_ready(&self, peer: PeerId, now: Now) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.keyring.is_ready(now))
    }
}

impl Core {
    fn tell(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Queues the peer's earliest deadline. One that moved back is left where it was: waking for nothing once is cheaper
    /// than moving it with every packet. At rest nothing is due.
    fn schedule(&mut self, id: PeerId, peer: &mut Peer) {
        if self.is_stopped {
            return;
        }
        let Some((moment, wake)) = peer.timers.next() else {
            return;
        };
        if peer.scheduled.is_some_and(|(scheduled, _)| scheduled <= moment) {
            return;
        }
        self.unschedule(id, peer);
        self.deadlines.insert((moment, id, wake));
        peer.scheduled = Some((moment, wake));
    }

    fn unschedule(&mut self, id: PeerId, peer: &mut Peer) {
        if let Some((moment, wake)) = peer.scheduled.take() {
            self.deadlines.remove(&(moment, id, wake));
        }
    }

    fn drop_sessions(&mut self, peer: &mut Peer) {
        self.drop_attempt(peer);
        self.indices.retire(peer.keyring.clear());
    }

    fn drop_attempt(&mut self, peer: &mut Peer) {
        if let Some(attempt) = peer.attempt.take() {
            self.indices.free(attempt.local);
        }
    }
}

#[cfg(test)]
mod tests;
