//! From a peer to us: every datagram that arrives.

use super::echo::Frame;
use super::payload::classify;
use super::{Content, Core, Device, Event, PeerId, Received};
use crate::discard::Discard;
use crate::now::Now;
use crate::outbox::{Outbox, Path};
use crate::peer::keyring::Confirmation;
use crate::peer::{Peer, Reach};
use crate::wire::{self, CookieReply, DATA_OVERHEAD, Data, Message};

impl Device {
    /// Takes a datagram; what it carried is decrypted in place and borrowed from it. `from` is where it came from and, if the
    /// machine knows, which of our addresses it came to: answers to it, and what is then sent to an authentic sender, go back
    /// the same way.
    ///
    /// # Errors
    /// Why it went no further. What `datagram` then holds is unspecified.
    pub fn handle_datagram<'d>(
        &mut self,
        from: impl Into<Path>,
        datagram: &'d mut [u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<Received<'d>, Discard> {
        if self.core.is_stopped {
            return Err(Discard::Stopped);
        }
        let from = from.into();
        let (peer, content) = match wire::parse(datagram)? {
            Message::Data(message) => self.data(from, message, now, out)?,
            Message::Initiation(message) => (self.initiation(from, &message, now, out)?, Content::Nothing),
            Message::Response(message) => (self.response(from, &message, now, out)?, Content::Nothing),
            Message::CookieReply(message) => (self.cookie_reply(&message, now)?, Content::Nothing),
        };
        Ok(Received { peer: Some(peer), content })
    }

    /// Keeps a cookie for the next initiation. It does not tell where the peer is, and nothing is sent.
    fn cookie_reply(&mut self, message: &CookieReply<'_>, now: Now) -> Result<PeerId, Discard> {
        let id = self.core.indices.get(message.receiver).ok_or(Discard::UnknownIndex)?;
        let peer = self.peers.get_mut(&id).expect("indices only name live peers");
        peer.closer.receive(message, now)?;
        Ok(id)
    }

    fn data<'d>(
        &mut self,
        from: Path,
        message: Data<'d>,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(PeerId, Content<'d>), Discard> {
        let id = self.core.indices.get(message.receiver).ok_or(Discard::UnknownIndex)?;
        let peer = self.peers.get_mut(&id).expect("indices only name live peers");
        let session = peer.keyring.by_index(message.receiver).ok_or(Discard::UnknownIndex)?;
        let payload = session.open(message.counter, message.sealed, now)?;
        let refresh = session.take_refresh(now);
        let len = payload.len() + DATA_OVERHEAD;
        peer.received_packets += 1;
        self.core.opened(id, peer, from, message.receiver, len, now, out);
        if !payload.is_empty() {
            peer.timers.data_received(now);
        }
        if refresh {
            // The session still serves for 15 seconds; what is sent meanwhile tries again.
            let _ = self.core.begin(id, peer, now, out);
        }
        if let Some(Frame::Request(request)) = Frame::parse(payload) {
            // An answer that cannot be sent now is not worth keeping: the peer asks again.
            let _ = self.core.answer_echo(peer, request, payload.len(), now, out);
        }
        self.core.schedule(id, peer);
        let content = classify(payload)?;
        if let Content::Ip(packet) = &content {
            self.check_source(id, packet)?;
        }
        Ok((id, content))
    }
}

impl Core {
    /// An authentic packet arrived on the session `local`.
    #[expect(clippy::too_many_arguments, reason = "one call, and each is a different thing")]
    fn opened(
        &mut self,
        id: PeerId,
        peer: &mut Peer,
        from: Path,
        local: u32,
        len: usize,
        now: Now,
        out: &mut impl Outbox,
    ) {
        self.authentic(id, peer, from, len, now);
        if let Confirmation::Confirmed(gone) = peer.keyring.confirm(local) {
            self.indices.retire([gone, None, None]);
            self.established(id, peer, now);
            self.flush(id, peer, now, out);
        }
        if matches!(peer.reach, Reach::Silent | Reach::Unreachable) {
            peer.reach = Reach::Up;
            self.tell(Event::Up { peer: id });
        }
    }
}
