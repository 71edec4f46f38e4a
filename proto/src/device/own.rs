//! Our own key, and whether we are there at all.

use alloc::vec::Vec;

use super::{Core, Device, PeerId};
use crate::discard::Discard;
use crate::keys::{PrivateKey, PublicKey};
use crate::noise::Identity;
use crate::now::Now;
use crate::outbox::Path;
use crate::peer::cookie::Guard;
use crate::peer::{Peer, Reach};

/// What our key gives us.
pub(super) struct Own {
    pub(super) identity: Identity,
    pub(super) guard: Guard,
}

impl Own {
    pub(super) fn new(key: PrivateKey) -> Self {
        let identity = Identity::new(key);
        Self { guard: Guard::new(&identity.public()), identity }
    }

    /// Makes `peer` somebody to talk to, unless its key is nobody's: whom the identity does not know stays mute.
    pub(super) fn know(&mut self, peer: PublicKey) {
        let _ = self.identity.know(peer);
    }
}

impl Device {
    /// Our name; `None` as long as we have no key.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.core.public_key()
    }

    /// Our private key, if we have one. Dropping it wipes it.
    pub fn private_key(&self) -> Option<PrivateKey> {
        self.core.own.as_ref().map(|own| own.identity.private())
    }

    /// Replaces our own key: all sessions end, and the next packet to a peer begins a handshake at once: whoever knows us
    /// by the old key only could not answer one before. The key that we have already changes nothing. A peer whose key is the new
    /// one is removed; returned are those. Without a key (`None`) nothing is sent and nothing accepted; with the first,
    /// persistent keepalives begin.
    pub fn set_identity(&mut self, key: impl Into<Option<PrivateKey>>, now: Now) -> Vec<PeerId> {
        let own = key.into().map(Own::new);
        let public = own.as_ref().map(|own| own.identity.public());
        if public == self.public_key() {
            return Vec::new();
        }
        let is_first = self.core.own.is_none();
        self.core.own = own;
        let mut removed = Vec::new();
        for (id, peer) in &mut self.peers {
            self.core.end(peer);
            if Some(peer.key) == public {
                removed.push(*id);
                continue;
            }
            match &mut self.core.own {
                Some(own) => own.know(peer.key),
                None => drop(peer.staged.clear()),
            }
            if is_first {
                peer.timers.restart(now);
                self.core.schedule(*id, peer);
            }
        }
        for id in &removed {
            self.remove_peer(*id);
        }
        removed
    }

    /// Rests, as when an interface goes down: all sessions and handshakes end, what waited is dropped, nothing is sent or accepted
    /// and nothing is due. Peers, keys and endpoints stay, and may be changed. A device may rest from the beginning.
    pub fn stop(&mut self) {
        self.core.is_stopped = true;
        for (id, peer) in &mut self.peers {
            self.core.end(peer);
            peer.staged.clear();
            peer.timers.stop();
            peer.last_initiation_sent = None;
            self.core.unschedule(*id, peer);
        }
    }

    /// Ends the rest. Persistent keepalives are due at once, for [`Device::handle_timeout`]; everything else begins when there is
    /// something to send or somebody calls.
    pub fn start(&mut self, now: Now) {
        self.core.is_stopped = false;
        for (id, peer) in &mut self.peers {
            peer.timers.restart(now);
            self.core.schedule(*id, peer);
        }
    }
}

impl Core {
    pub(super) fn public_key(&self) -> Option<PublicKey> {
        self.own.as_ref().map(|own| own.identity.public())
    }

    /// Where a peer is called; or why nobody would ever answer, so that nothing should wait for it.
    pub(super) fn callable(&self, peer: &Peer) -> Result<Path, Discard> {
        if self.is_stopped {
            return Err(Discard::Stopped);
        }
        let own = self.own.as_ref().ok_or(Discard::NoIdentity)?;
        if !own.identity.knows(&peer.key) {
            return Err(Discard::LowOrder);
        }
        peer.path.ok_or(Discard::NoEndpoint)
    }

    /// Ends all sessions with a peer.
    fn end(&mut self, peer: &mut Peer) {
        self.drop_sessions(peer);
        peer.timers.keys_dropped();
        peer.timers.handshake_ended();
        peer.reach = Reach::Down;
    }
}
