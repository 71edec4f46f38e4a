//! Handshakes with peers: begun, answered, finished.

use super::{Core, Device, Event, PeerId};
use crate::discard::Discard;
use crate::noise::{Initiator, Responder};
use crate::now::{Moment, Now};
use crate::outbox::{Envelope, Outbox, Path};
use crate::peer::limits::{Admission, Proof};
use crate::peer::session::{Role, Session};
use crate::peer::{Attempt, Peer, Reach, timers};
use crate::wire::{self, COOKIE_REPLY_LEN, INITIATION_LEN, Initiation, Macs, RESPONSE_LEN, Response};

/// The type-of-service byte of handshake messages: DSCP AF41 (RFC 2597), as in the kernel.
const HANDSHAKE_TOS: u8 = 34 << 2;

fn envelope(path: Path) -> Envelope {
    Envelope { path, tos: HANDSHAKE_TOS }
}

impl Device {
    /// Somebody wants a session. What costs least is checked first.
    pub(super) fn initiation(
        &mut self,
        from: Path,
        message: &Initiation<'_>,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<PeerId, Discard> {
        let core = &mut self.core;
        core.check_mac1(&message.macs)?;
        core.admit(from, message.sender, &message.macs, now, out)?;
        let own = core.own.as_ref().ok_or(Discard::NoIdentity)?;
        let responder = Responder::read(&own.identity, &mut *core.randomness.secret, message.noise)?;
        let id = *self.by_key.get(&responder.remote()).ok_or(Discard::UnknownPeer)?;
        let peer = self.peers.get_mut(&id).expect("keys only name live peers");
        peer.accept_initiation(responder.timestamp(), now)?;
        let insists = core.insists(peer, from, now);
        core.authentic(id, peer, from, INITIATION_LEN, now);
        if insists {
            return Ok(id);
        }
        core.answer(id, peer, responder, message.sender, now, out)?;
        Ok(id)
    }

    /// Somebody grants us one.
    pub(super) fn response(
        &mut self,
        from: Path,
        message: &Response<'_>,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<PeerId, Discard> {
        let core = &mut self.core;
        core.check_mac1(&message.macs)?;
        let id = core.indices.get(message.receiver).ok_or(Discard::UnknownIndex)?;
        let peer = self.peers.get_mut(&id).expect("indices only name live peers");
        let attempt = peer.attempt.as_mut().filter(|attempt| attempt.local == message.receiver);
        let attempt = attempt.ok_or(Discard::UnknownIndex)?;
        // After the index has matched: strangers hear nothing, and a flood of forged answers costs no arithmetic.
        core.admit(from, message.sender, &message.macs, now, out)?;
        let keys = attempt.initiator.finish(&peer.preshared, message.noise)?;
        peer.round_trip = Some(now.since(attempt.sent));
        let sent = attempt.sent;
        // The index lives on as that of the session.
        peer.attempt = None;
        let jitter = timers::jitter(&mut *core.randomness.public);
        let session = Session::new(message.receiver, message.sender, Role::Initiator, keys, jitter, now);
        core.indices.retire(if core.gives_way(peer, sent) {
            peer.keyring.add_beside_next(session)
        } else {
            peer.keyring.add(session)
        });
        peer.timers.session_added(now);
        core.authentic(id, peer, from, RESPONSE_LEN, now);
        core.established(id, peer, now);
        if !core.flush(id, peer, now, out) {
            // The first packet tells the responder that its answer arrived. If there is no room for it, the next one does.
            let _ = core.keepalive(id, peer, now, out);
        }
        core.schedule(id, peer);
        Ok(id)
    }
}

impl Core {
    /// Begins a handshake with a fresh count of attempts, unless one is under way.
    pub(super) fn begin(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        if peer.timers.is_handshaking() {
            return Ok(());
        }
        peer.timers.handshake_ended();
        self.initiate(id, peer, now, out)
    }

    /// Sends an initiation; one that was out is forgotten.
    pub(super) fn initiate(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.callable(peer)?;
        let path = peer.calling_path().ok_or(Discard::NoEndpoint)?;
        self.drop_attempt(peer);
        let mut noise = [0; wire::NOISE_INITIATION_LEN];
        let stamp = peer.stamp(now);
        let own = self.own.as_ref().ok_or(Discard::NoIdentity)?;
        let initiator =
            Initiator::begin(&own.identity, &peer.key, stamp, &mut *self.randomness.secret, &mut noise)?;
        let local = self.indices.allocate(id, &mut *self.randomness.public);
        peer.attempt = Some(Attempt { initiator, local, sent: now.instant });
        peer.last_initiation_sent = Some(now.instant);
        peer.timers.initiation_sent(timers::jitter(&mut *self.randomness.public), now);
        self.schedule(id, peer);
        peer.sent += INITIATION_LEN as u64;
        out.datagram(&envelope(path), INITIATION_LEN, |slot| {
            wire::write_initiation(slot, local, &noise);
            peer.closer.close(slot, now);
            Ok(())
        })
    }

    fn check_mac1(&self, macs: &Macs<'_>) -> Result<(), Discard> {
        self.own.as_ref().ok_or(Discard::NoIdentity)?.guard.check_mac1(macs)
    }

    /// Whether this handshake message is worth its arithmetic. If its sender must first prove its address, it is told how.
    fn admit(
        &mut self,
        from: Path,
        sender: u32,
        macs: &Macs<'_>,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let own = self.own.as_mut().ok_or(Discard::NoIdentity)?;
        let remote = from.remote;
        let proof = if own.guard.check_mac2(macs, remote, now) { Proof::Given } else { Proof::Missing };
        match self.limits.admit(remote, proof, now) {
            Admission::Handshake => Ok(()),
            Admission::Nothing => Err(Discard::RateLimited),
            Admission::Cookie => {
                let secret = &mut *self.randomness.secret;
                out.datagram(&envelope(from), COOKIE_REPLY_LEN, |slot| {
                    own.guard.reply(slot, sender, macs, remote, secret, now);
                    Ok(())
                })?;
                Err(Discard::CookieSent)
            }
        }
    }

    /// Both sides began at once, and ours is the greater key: the peer has our initiation or soon will, and its own needs no
    /// answer. One that moved may not have it.
    fn insists(&self, peer: &Peer, from: Path, now: Now) -> bool {
        self.public_key() > Some(peer.key) && peer.remote() == Some(from.remote) && peer.began_lately(now)
    }

    /// Both sides began at once (the session that waits is younger than our attempt), and ours is the lesser key: we use our
    /// own session only until the peer uses its own, so that both come to use one. Our initiation is not given up before
    /// that: the kernel and wireguard-go forget theirs when they read ours, and never use theirs.
    fn gives_way(&self, peer: &Peer, sent: Moment) -> bool {
        self.public_key() < Some(peer.key) && peer.keyring.waits_since(sent)
    }

    fn answer(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        responder: Responder,
        remote: u32,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let mut noise = [0; wire::NOISE_RESPONSE_LEN];
        let keys = responder.respond(&peer.preshared, &mut noise)?;
        let local = self.indices.allocate(id, &mut *self.randomness.public);
        let jitter = timers::jitter(&mut *self.randomness.public);
        let session = Session::new(local, remote, Role::Responder, keys, jitter, now);
        self.indices.retire(peer.keyring.add(session));
        peer.timers.session_added(now);
        peer.timers.packet_sent(now);
        self.schedule(id, peer);
        let path = peer.path.ok_or(Discard::NoEndpoint)?;
        peer.sent += RESPONSE_LEN as u64;
        out.datagram(&envelope(path), RESPONSE_LEN, |slot| {
            wire::write_response(slot, local, remote, &noise);
            peer.closer.close(slot, now);
            Ok(())
        })
    }

    /// A session is confirmed: both sides have it.
    pub(super) fn established(&mut self, id: PeerId, peer: &mut Peer, now: Now) {
        self.drop_attempt(peer);
        peer.timers.handshake_ended();
        peer.last_handshake = Some(now);
        let was = core::mem::replace(&mut peer.reach, Reach::Up);
        self.tell(if was == Reach::Up { Event::Rekeyed { peer: id } } else { Event::Up { peer: id } });
    }

    /// Something authentic came from a peer: that is where it is.
    pub(super) fn authentic(&mut self, id: PeerId, peer: &mut Peer, from: Path, len: usize, now: Now) {
        peer.received += len as u64;
        peer.timers.packet_received(now);
        if peer.path == Some(from) {
            return;
        }
        let before = peer.path.replace(from).map(|path| path.remote);
        if before != Some(from.remote) {
            self.tell(Event::Moved { peer: id, from: before, to: from.remote });
        }
    }
}
