//! The device: our identity, our peers, and every datagram between them.
//!
//! Datagrams and moments go in, datagrams go out through the [`Outbox`], news is polled. It knows no rules and no sockets.
//! Nobody who cannot prove to be a peer gets an answer; the one exception, as in WireGuard, is a cookie, for somebody who
//! knows our public key and asks too often.

mod handshake;
mod indices;
mod payload;
mod receive;
mod send;
mod timeouts;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

use self::indices::Indices;
use crate::discard::Discard;
use crate::entropy::Randomness;
use crate::keys::{PresharedKey, PrivateKey, PublicKey};
use crate::noise::Identity;
use crate::now::{Moment, Now};
use crate::outbox::Outbox;
use crate::peer::cookie::Guard;
use crate::peer::limits::Limits;
pub use crate::peer::timers::Wake;
use crate::peer::{Peer, Reach};

pub use self::payload::{DEFAULT_MTU, LINK_FRAME, LINK_OVERHEAD, max_link_datagram};

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

/// What the operator says about a peer.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its name.
    pub public_key: PublicKey,
    /// A key that both sides were given, if any.
    pub preshared_key: Option<PresharedKey>,
    /// Where it is, if known; it may move.
    pub endpoint: Option<SocketAddr>,
    /// How often to keep the path open; `None` or zero is never.
    pub keepalive: Option<Duration>,
}

/// Why a peer was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddPeerError {
    /// The key is our own.
    #[error("this public key is the node's own")]
    OwnKey,
    /// There is a peer with this key.
    #[error("there is already a peer with this public key")]
    Duplicate,
    /// Everybody can compute what this key agrees on.
    #[error("this public key is of low order and belongs to nobody")]
    LowOrder,
}

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
}

/// The datagram of a link frame, and the proof that the tunnel has authenticated it: nothing else can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkDatagram<'d>(&'d [u8]);

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

/// How a peer is doing.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its name.
    pub public_key: PublicKey,
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// In one word.
    pub reach: Reach,
    /// When a session was last confirmed.
    pub last_handshake: Option<Now>,
    /// Bytes of authentic datagrams received.
    pub received: u64,
    /// Bytes of datagrams sent.
    pub sent: u64,
    /// Sessions held: previous, current and next.
    pub sessions: usize,
    /// Packets that wait for a session.
    pub staged: usize,
    /// How long our last initiation waited for its answer.
    pub round_trip: Option<Duration>,
}

/// Our end of all tunnels.
pub struct Device {
    core: Core,
    peers: BTreeMap<PeerId, Peer>,
    by_key: BTreeMap<PublicKey, PeerId>,
    next_id: u32,
}

/// All of a device but its peers: what handling one peer needs beside the peer itself.
struct Core {
    identity: Identity,
    guard: Guard,
    limits: Limits,
    randomness: Randomness,
    indices: Indices,
    events: VecDeque<Event>,
    deadlines: BTreeSet<(Moment, PeerId, Wake)>,
    mtu: usize,
}

impl Device {
    /// A device without peers.
    pub fn new(identity: PrivateKey, randomness: Randomness, _now: Now) -> Self {
        let identity = Identity::new(identity);
        let core = Core {
            guard: Guard::new(&identity.public()),
            identity,
            limits: Limits::default(),
            randomness,
            indices: Indices::default(),
            events: VecDeque::new(),
            deadlines: BTreeSet::new(),
            mtu: DEFAULT_MTU,
        };
        Self { core, peers: BTreeMap::new(), by_key: BTreeMap::new(), next_id: 0 }
    }

    /// Our name.
    pub fn public_key(&self) -> PublicKey {
        self.core.identity.public()
    }

    /// The largest payload that padding may fill: the TUN device's MTU. Larger packets still go, without padding.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.core.mtu = usize::from(mtu);
    }

    /// Adds a peer. With a keepalive interval its handshake begins at the next [`Device::handle_timeout`].
    ///
    /// # Errors
    /// [`AddPeerError`]: nothing was added.
    pub fn add_peer(&mut self, config: PeerConfig, now: Now) -> Result<PeerId, AddPeerError> {
        let key = config.public_key;
        if key == self.public_key() {
            return Err(AddPeerError::OwnKey);
        }
        if self.by_key.contains_key(&key) {
            return Err(AddPeerError::Duplicate);
        }
        self.core.identity.know(key).map_err(|_| AddPeerError::LowOrder)?;
        let id = PeerId(self.next_id);
        self.next_id = self.next_id.checked_add(1).expect("a device sees fewer than 2^32 peers in its life");
        let preshared = config.preshared_key.unwrap_or_else(PresharedKey::absent);
        let mut peer = Peer::new(key, preshared, config.endpoint);
        peer.timers.set_interval(config.keepalive, now);
        self.core.schedule(id, &mut peer);
        self.peers.insert(id, peer);
        self.by_key.insert(key, id);
        Ok(id)
    }

    /// Removes a peer with its sessions and indices; whether there was one.
    pub fn remove_peer(&mut self, peer: PeerId) -> bool {
        let Some(mut gone) = self.peers.remove(&peer) else {
            return false;
        };
        self.core.drop_sessions(&mut gone);
        self.core.identity.forget(&gone.key);
        self.core.unschedule(peer, &mut gone);
        self.by_key.remove(&gone.key);
        true
    }

    /// All peers, in the order they were added.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.keys().copied()
    }

    /// Replaces the preshared key: from the next handshake message on, and sessions stay. Whether there is such a peer.
    pub fn set_preshared_key(&mut self, peer: PeerId, key: Option<PresharedKey>) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return false;
        };
        peer.preshared = key.unwrap_or_else(PresharedKey::absent);
        true
    }

    /// Says where a peer is. Whether there is such a peer.
    pub fn set_endpoint(&mut self, peer: PeerId, endpoint: SocketAddr) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return false;
        };
        peer.endpoint = Some(endpoint);
        true
    }

    /// Sets how often the path to a peer is kept open; `None` or zero is never. Whether there is such a peer.
    pub fn set_keepalive(&mut self, peer: PeerId, keepalive: Option<Duration>, now: Now) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else {
            return false;
        };
        state.timers.set_interval(keepalive, now);
        self.core.schedule(peer, state);
        true
    }

    /// Replaces our own key: all sessions end, and whoever had one gets a new handshake at once. A peer whose key is the new
    /// one (or agrees with it on nothing) is removed; returned are those.
    pub fn set_identity(
        &mut self,
        identity: PrivateKey,
        now: Now,
        out: &mut impl Outbox,
    ) -> alloc::vec::Vec<PeerId> {
        self.core.identity = Identity::new(identity);
        let own = self.public_key();
        self.core.guard = Guard::new(&own);
        let mut removed = alloc::vec::Vec::new();
        for (id, peer) in &mut self.peers {
            let had_session = !peer.keyring.is_empty() || peer.attempt.is_some();
            self.core.drop_sessions(peer);
            peer.timers.keys_dropped();
            peer.timers.handshake_ended();
            peer.reach = Reach::Down;
            if peer.key == own || self.core.identity.know(peer.key).is_err() {
                removed.push(*id);
            } else if had_session {
                // Without an endpoint there is nobody to tell; the next packet says so.
                let _ = self.core.begin(*id, peer, now, out);
            }
        }
        for id in &removed {
            self.remove_peer(*id);
        }
        removed
    }

    /// Begins a handshake, unless one is under way.
    ///
    /// # Errors
    /// [`Discard::NoSuchPeer`] or [`Discard::NoEndpoint`].
    pub fn begin_handshake(&mut self, peer: PeerId, now: Now, out: &mut impl Outbox) -> Result<(), Discard> {
        let state = self.peers.get_mut(&peer).ok_or(Discard::NoSuchPeer)?;
        self.core.begin(peer, state, now, out)
    }

    /// When to call [`Device::handle_timeout`] next, and why. Now and then it is early: what it was for has meanwhile happened.
    pub fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        self.core.deadlines.first().map(|(moment, _, wake)| (*moment, *wake))
    }

    /// The next news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// How a peer is doing.
    pub fn peer(&self, peer: PeerId) -> Option<PeerStatus> {
        let peer = self.peers.get(&peer)?;
        Some(PeerStatus {
            public_key: peer.key,
            endpoint: peer.endpoint,
            reach: peer.reach,
            last_handshake: peer.last_handshake,
            received: peer.received,
            sent: peer.sent,
            sessions: peer.keyring.len(),
            staged: peer.staged.len(),
            round_trip: peer.round_trip,
        })
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
    /// than moving it with every packet.
    fn schedule(&mut self, id: PeerId, peer: &mut Peer) {
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
