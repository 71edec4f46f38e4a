//! Who our peers are: added, changed, asked about, removed.

use core::net::SocketAddr;
use core::time::Duration;

use super::{Device, PeerId};
use crate::keys::{PresharedKey, PublicKey};
use crate::now::Now;
use crate::outbox::Source;
use crate::peer::{Peer, Reach};

/// What the operator says about a peer.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its name.
    pub public_key: PublicKey,
    /// A key that both sides were given, if any.
    pub preshared_key: Option<PresharedKey>,
    /// Where it is, if known; it may move. If nobody answers where it moved to, it is looked for here again.
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
}

/// How a peer is doing.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its name.
    pub public_key: PublicKey,
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// Which of our addresses it last reached us at, if the machine told and that still holds.
    pub source: Option<Source>,
    /// In one word.
    pub reach: Reach,
    /// When a session was last confirmed.
    pub last_handshake: Option<Now>,
    /// Bytes of authentic datagrams received.
    pub received: u64,
    /// Authentic data packets received, keepalives included.
    pub received_packets: u64,
    /// Data packets that the peer sent and that have not arrived, though later ones have: gaps in its counters. One that
    /// comes late, while its session lasts, is taken off again; one that came too late to be accepted is not.
    pub lost: u64,
    /// Bytes of datagrams sent.
    pub sent: u64,
    /// Sessions held: previous, current and next.
    pub sessions: usize,
    /// Packets that wait for a session.
    pub staged: usize,
    /// How long our last initiation waited for its answer.
    pub round_trip: Option<Duration>,
}

impl Device {
    /// Adds a peer. With a keepalive interval its handshake begins at the next [`Device::handle_timeout`].
    ///
    /// A peer whose key is of low order ([`PublicKey::is_low_order`]) is mute, as in WireGuard: it is listed, but anyone could
    /// compute what its key agrees on, so nothing is ever sent to it or accepted from it ([`Discard::LowOrder`]).
    ///
    /// [`Discard::LowOrder`]: crate::discard::Discard::LowOrder
    ///
    /// # Errors
    /// [`AddPeerError`]: nothing was added.
    pub fn add_peer(&mut self, config: PeerConfig, now: Now) -> Result<PeerId, AddPeerError> {
        let key = config.public_key;
        if self.public_key() == Some(key) {
            return Err(AddPeerError::OwnKey);
        }
        if self.by_key.contains_key(&key) {
            return Err(AddPeerError::Duplicate);
        }
        if let Some(own) = &mut self.core.own {
            own.know(key);
        }
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

    /// Removes a peer with its sessions, indices and allowed IPs; whether there was one.
    pub fn remove_peer(&mut self, peer: PeerId) -> bool {
        let Some(mut gone) = self.peers.remove(&peer) else {
            return false;
        };
        self.routes.remove_all(peer);
        self.core.drop_sessions(&mut gone);
        if let Some(own) = &mut self.core.own {
            own.identity.forget(&gone.key);
        }
        self.core.unschedule(peer, &mut gone);
        self.by_key.remove(&gone.key);
        true
    }

    /// All peers, in the order they were added.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.keys().copied()
    }

    /// The peer with this key.
    pub fn peer_by_key(&self, key: &PublicKey) -> Option<PeerId> {
        self.by_key.get(key).copied()
    }

    /// Replaces the preshared key: from the next handshake message on, and sessions stay. Whether there is such a peer.
    pub fn set_preshared_key(&mut self, peer: PeerId, key: Option<PresharedKey>) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return false;
        };
        peer.preshared = key.unwrap_or_else(PresharedKey::absent);
        true
    }

    /// The key that both were given; `None` where there is none, or no such peer. Dropping it wipes it.
    pub fn preshared_key(&self, peer: PeerId) -> Option<PresharedKey> {
        let key = &self.peers.get(&peer)?.preshared;
        (!key.is_absent()).then(|| key.clone())
    }

    /// Says where a peer is, from now on and whenever it is lost. Whether there is such a peer.
    pub fn set_endpoint(&mut self, peer: PeerId, endpoint: SocketAddr) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return false;
        };
        peer.path = Some(endpoint.into());
        peer.configured = Some(endpoint);
        true
    }

    /// Sets how often the path to a peer is kept open; `None` or zero is never. Where it was never, that begins at the next
    /// [`Device::handle_timeout`]; else with the next packet. Whether there is such a peer.
    pub fn set_keepalive(&mut self, peer: PeerId, keepalive: Option<Duration>, now: Now) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else {
            return false;
        };
        state.timers.set_interval(keepalive, now);
        self.core.schedule(peer, state);
        true
    }

    /// How often the path to a peer is kept open; `None` is never, or no such peer.
    pub fn keepalive_interval(&self, peer: PeerId) -> Option<Duration> {
        self.peers.get(&peer)?.timers.interval()
    }

    /// Where a peer is.
    pub fn endpoint(&self, peer: PeerId) -> Option<SocketAddr> {
        self.peers.get(&peer)?.remote()
    }

    /// How a peer is doing.
    pub fn peer(&self, peer: PeerId) -> Option<PeerStatus> {
        let peer = self.peers.get(&peer)?;
        Some(PeerStatus {
            public_key: peer.key,
            endpoint: peer.remote(),
            source: peer.path.and_then(|path| path.source),
            reach: peer.reach,
            last_handshake: peer.last_handshake,
            received: peer.received,
            received_packets: peer.received_packets,
            lost: peer.keyring.lost(),
            sent: peer.sent,
            sessions: peer.keyring.len(),
            staged: peer.staged.len(),
            round_trip: peer.round_trip,
        })
    }

    /// So many bytes for the peer at `remote` were not sent after all: the system had no way there.
    pub fn unsent(&mut self, remote: SocketAddr, bytes: u64) {
        if let Some(peer) = self.peers.values_mut().find(|peer| peer.remote() == Some(remote)) {
            peer.sent = peer.sent.saturating_sub(bytes);
        }
    }

    /// Forgets which of our addresses reaches the peers at `remote`: the routing table chooses again.
    pub fn forget_source(&mut self, remote: SocketAddr) {
        for peer in self.peers.values_mut().filter(|peer| peer.remote() == Some(remote)) {
            peer.forget_source();
        }
    }

    /// The peers that are reached from an address of ours which is known, in the order they were added: where each is, and that
    /// address with its interface, so that the machine can check which still hold.
    pub fn sources(&self) -> impl Iterator<Item = (PeerId, SocketAddr, Source)> + '_ {
        self.peers.iter().filter_map(|(id, peer)| {
            let path = peer.path?;
            Some((*id, path.remote, path.source?))
        })
    }

    /// Forgets which of our addresses reaches whom: the routing table chooses again.
    pub fn forget_sources(&mut self) {
        self.peers.values_mut().for_each(Peer::forget_source);
    }
}
