//! From us to a peer: payloads, sealed where they leave.

use alloc::vec;

use super::payload::{LinkFrame, padded};
use super::{Core, Device, PeerId};
use crate::discard::Discard;
use crate::now::Now;
use crate::outbox::{Envelope, Outbox};
use crate::parcel::{Parcel, Single};
use crate::peer::Peer;
use crate::wire::{DATA_HEADER_LEN, DATA_OVERHEAD};

/// What of an inner type-of-service byte shows outside (RFC 6040): congestion is the network's business, the DSCP is not.
const ECN: u8 = 0b11;

impl Device {
    /// Sends one link datagram to a peer. Without a session it waits for one, and a handshake begins.
    ///
    /// # Errors
    /// As [`Device::send_packets`].
    pub fn send_link(
        &mut self,
        peer: PeerId,
        datagram: &[u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.send_packets(peer, &LinkFrame(datagram), now, out)
    }

    /// Sends one IP packet to a peer. Without a session it waits for one, and a handshake begins.
    ///
    /// # Errors
    /// As [`Device::send_packets`].
    pub fn send_ip(
        &mut self,
        peer: PeerId,
        packet: &[u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.send_packets(peer, &Single(packet), now, out)
    }

    /// Sends packets of one flow to a peer, each written and sealed in its place in `out`; the outer ECN bits are the inner ones.
    /// Without a session they wait for one, and a handshake begins.
    ///
    /// # Errors
    /// [`Discard::NoSuchPeer`], [`Discard::NoEndpoint`], [`Discard::NoIdentity`], [`Discard::Stopped`] and [`Discard::LowOrder`] (a
    /// mute peer) concern them all; [`Discard::Oversized`] and what `out` says concern one, and those before it were sent;
    /// [`Discard::StagedTooLong`] says that the oldest of those that wait were lost to make room.
    pub fn send_packets(
        &mut self,
        peer: PeerId,
        parcel: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let state = self.peers.get_mut(&peer).ok_or(Discard::NoSuchPeer)?;
        self.core.send(peer, state, parcel, now, out)
    }
}

impl Core {
    fn send(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        parcel: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.flush(id, peer, now, out);
        if !peer.staged.is_empty() || !peer.keyring.is_ready(now) {
            return self.stage(id, peer, parcel, now, out);
        }
        let before = peer.sent;
        let outcome = self.seal_all(peer, parcel, now, out);
        if peer.sent != before {
            self.data_left(id, peer, now, out);
        }
        outcome
    }

    /// Keeps packets until there is a session, or room for them.
    fn stage(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        parcel: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let is_ready = peer.keyring.is_ready(now);
        if !is_ready {
            self.callable(peer)?;
        }
        let mut outcome = Ok(());
        for index in 0..parcel.count() {
            let len = parcel.len(index);
            let mut payload = vec![0; padded(len, self.mtu)?];
            parcel.write(index, &mut payload[..len]);
            if peer.staged.push(payload, parcel.tos() & ECN) {
                outcome = Err(Discard::StagedTooLong);
            }
        }
        if !is_ready {
            // The packets wait already; an initiation that found no room is sent again when its answer is overdue.
            let _ = self.begin(id, peer, now, out);
        }
        outcome
    }

    /// Seals packet after packet with the current session, up to the first that cannot be sent.
    fn seal_all(
        &self,
        peer: &mut Peer,
        parcel: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let path = peer.path.ok_or(Discard::NoEndpoint)?;
        let session = peer.keyring.current(now).ok_or(Discard::Expired)?;
        let envelope = Envelope { path, tos: parcel.tos() & ECN };
        for index in 0..parcel.count() {
            let len = parcel.len(index);
            let total = padded(len, self.mtu)? + DATA_OVERHEAD;
            out.datagram(&envelope, total, |slot| {
                let (packet, rest) = slot[DATA_HEADER_LEN..].split_at_mut(len);
                parcel.write(index, packet);
                rest.fill(0);
                session.seal(slot)
            })?;
            peer.sent += total as u64;
        }
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
        if !peer.keyring.is_ready(now) {
            return self.begin(id, peer, now, out);
        }
        self.seal(peer, 0, 0, now, out, |_| ())?;
        peer.timers.packet_sent(now);
        self.rekey_if_due(id, peer, now, out);
        self.schedule(id, peer);
        Ok(())
    }

    /// Sends what waited for a session, as long as there is room; the rest follows a little later. Whether anything went.
    pub(super) fn flush(&mut self, id: PeerId, peer: &mut Peer, now: Now, out: &mut impl Outbox) -> bool {
        let mut any = false;
        while !peer.staged.is_empty() && peer.keyring.is_ready(now) {
            if !out.has_room() {
                peer.timers.staged_left(now);
                self.schedule(id, peer);
                break;
            }
            let Some(waiting) = peer.staged.pop() else {
                break;
            };
            let write = |payload: &mut [u8]| payload.copy_from_slice(&waiting.payload);
            any |= self.seal(peer, waiting.payload.len(), waiting.tos, now, out, write).is_ok();
        }
        if any {
            self.data_left(id, peer, now, out);
        }
        any
    }

    /// Sends a payload of exactly `len` bytes with the current session.
    pub(super) fn seal(
        &self,
        peer: &mut Peer,
        len: usize,
        tos: u8,
        now: Now,
        out: &mut impl Outbox,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), Discard> {
        let path = peer.path.ok_or(Discard::NoEndpoint)?;
        let session = peer.keyring.current(now).ok_or(Discard::Expired)?;
        let total = len + DATA_OVERHEAD;
        out.datagram(&Envelope { path, tos }, total, |slot| {
            write(&mut slot[DATA_HEADER_LEN..][..len]);
            session.seal(slot)
        })?;
        peer.sent += total as u64;
        Ok(())
    }

    /// Something with content went out.
    fn data_left(&mut self, id: PeerId, peer: &mut Peer, now: Now, out: &mut impl Outbox) {
        let jitter = peer.keyring.current(now).map(|session| session.jitter);
        peer.timers.data_sent(jitter.unwrap_or_default(), now);
        self.rekey_if_due(id, peer, now, out);
        self.schedule(id, peer);
    }

    fn rekey_if_due(&mut self, id: PeerId, peer: &mut Peer, now: Now, out: &mut impl Outbox) {
        if peer.keyring.current(now).is_some_and(|session| session.wants_rekey(now)) {
            // The session that is there still serves; if this fails, the next packet tries again.
            let _ = self.begin(id, peer, now, out);
        }
    }
}
