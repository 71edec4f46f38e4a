//! From us to a peer: payloads, sealed where they leave.

use core::net::SocketAddr;
use core::time::Duration;

use super::payload::Payload;
use super::{Core, Device, PeerId};
use crate::discard::Discard;
use crate::now::Now;
use crate::outbox::{Envelope, Outbox};
use crate::peer::Peer;
use crate::wire::{DATA_HEADER_LEN, DATA_OVERHEAD};

impl Device {
    /// Sends one link datagram to a peer. Without a session it waits for one, and a handshake begins.
    ///
    /// # Errors
    /// [`Discard::NoSuchPeer`], [`Discard::NoEndpoint`] and [`Discard::Oversized`] concern this datagram;
    /// [`Discard::StagedTooLong`] says that the oldest of those that wait was lost to make room for it.
    pub fn send_link(
        &mut self,
        peer: PeerId,
        datagram: &[u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.send(peer, Payload::Link(datagram), now, out)
    }

    /// Sends one IP packet to a peer. Without a session it waits for one, and a handshake begins.
    ///
    /// # Errors
    /// As [`Device::send_link`].
    pub fn send_ip(
        &mut self,
        peer: PeerId,
        packet: &[u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.send(peer, Payload::Ip(packet), now, out)
    }

    fn send(
        &mut self,
        peer: PeerId,
        payload: Payload<'_>,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let state = self.peers.get_mut(&peer).ok_or(Discard::NoSuchPeer)?;
        self.core.send(peer, state, payload, now, out)
    }
}

impl Core {
    fn send(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        payload: Payload<'_>,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let len = payload.len(self.mtu)?;
        let endpoint = peer.endpoint.ok_or(Discard::NoEndpoint)?;
        let (is_ready, is_new) = (peer.keyring.is_ready(now), !matches!(payload, Payload::Staged(_)));
        if is_ready && is_new {
            self.flush(id, peer, now, out);
        }
        if !is_ready || is_new && !peer.staged.is_empty() {
            let lost = peer.staged.push(payload.to_staged(len));
            if !is_ready {
                // The packet waits already; an initiation that found no room is sent again when its answer is overdue.
                let _ = self.begin(id, peer, now, out);
            }
            return if lost { Err(Discard::StagedTooLong) } else { Ok(()) };
        }
        let jitter = self.seal(peer, endpoint, payload, len, now, out)?;
        peer.timers.data_sent(jitter, now);
        self.rekey_if_due(id, peer, now, out);
        self.schedule(id, peer);
        Ok(())
    }

    /// Sends an empty packet; without a session a handshake begins instead.
    pub(super) fn keepalive(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let endpoint = peer.endpoint.ok_or(Discard::NoEndpoint)?;
        if !peer.keyring.is_ready(now) {
            return self.begin(id, peer, now, out);
        }
        self.seal(peer, endpoint, Payload::Keepalive, 0, now, out)?;
        peer.timers.packet_sent(now);
        self.rekey_if_due(id, peer, now, out);
        self.schedule(id, peer);
        Ok(())
    }

    /// Sends what waited for a session, as long as there is room; the rest follows a little later. Whether anything went.
    pub(super) fn flush(&mut self, id: PeerId, peer: &mut Peer, now: Now, out: &mut impl Outbox) -> bool {
        let mut any = false;
        while peer.keyring.is_ready(now) {
            if !out.has_room() && !peer.staged.is_empty() {
                peer.timers.staged_left(now);
                self.schedule(id, peer);
                break;
            }
            let Some(payload) = peer.staged.pop() else {
                break;
            };
            any |= self.send(id, peer, Payload::Staged(&payload), now, out).is_ok();
        }
        any
    }

    /// Sends with the current session; returns that session's jitter.
    fn seal(
        &self,
        peer: &mut Peer,
        to: SocketAddr,
        payload: Payload<'_>,
        len: usize,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<Duration, Discard> {
        let session = peer.keyring.current(now).ok_or(Discard::Expired)?;
        let total = len + DATA_OVERHEAD;
        out.datagram(&Envelope::to(to), total, |slot| {
            payload.write(&mut slot[DATA_HEADER_LEN..][..len]);
            session.seal(slot)
        })?;
        peer.sent += total as u64;
        Ok(session.jitter)
    }

    fn rekey_if_due(&mut self, id: PeerId, peer: &mut Peer, now: Now, out: &mut impl Outbox) {
        if peer.keyring.current(now).is_some_and(|session| session.wants_rekey(now)) {
            // The session that is there still serves; if this fails, the next packet tries again.
            let _ = self.begin(id, peer, now, out);
        }
    }
}
