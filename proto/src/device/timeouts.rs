//! What happens because nothing else did.

use super::{Core, Device, Event, PeerId};
use crate::now::Now;
use crate::outbox::Outbox;
use crate::peer::timers::Wake;
use crate::peer::{Peer, Reach};

/// The most wakes of one [`Device::handle_timeout`]: each may begin a handshake, which is two X25519, so that all together
/// keep packets waiting for two or three milliseconds.
pub const MAX_WAKES: usize = 16;

impl Device {
    /// Does what is due, but at most [`MAX_WAKES`] of it; as long as there is more, [`Device::poll_timeout`] stays due. Take
    /// in packets between one call and the next: thousands of peers that do not answer must not hold up the one that does.
    /// Calling it early or late does no harm.
    pub fn handle_timeout(&mut self, now: Now, out: &mut impl Outbox) {
        for _ in 0..MAX_WAKES {
            let first = self.core.deadlines.first().copied();
            let Some((_, id, _)) = first.filter(|(moment, ..)| *moment <= now.instant) else {
                return;
            };
            let peer = self.peers.get_mut(&id).expect("deadlines only name live peers");
            self.core.unschedule(id, peer);
            if let Some(wake) = peer.timers.take_due(now) {
                self.core.wake(id, peer, wake, now, out);
            }
            self.core.schedule(id, peer);
        }
    }
}

impl Core {
    fn wake(&mut self, id: PeerId, peer: &mut Peer, wake: Wake, now: Now, out: &mut impl Outbox) {
        // What cannot be sent for want of an endpoint is no news: each of these comes again, or the next packet says so.
        let _ = match wake {
            Wake::ForgetKeys => {
                self.forget_keys(id, peer);
                Ok(())
            }
            Wake::Retry if peer.timers.may_retry() => {
                peer.forget_source();
                self.initiate(id, peer, now, out)
            }
            Wake::Retry => {
                self.give_up(id, peer, now);
                Ok(())
            }
            Wake::Silence => {
                self.fall_silent(id, peer);
                peer.forget_source();
                self.begin(id, peer, now, out)
            }
            Wake::Keepalive => {
                let another = peer.timers.take_another_keepalive();
                let sent = self.keepalive(id, peer, now, out);
                if another {
                    peer.timers.data_received(now);
                }
                sent
            }
            Wake::PersistentKeepalive => self.keepalive(id, peer, now, out),
            Wake::Flush if peer.keyring.is_ready(now) || peer.staged.is_empty() => {
                self.flush(id, peer, now, out);
                Ok(())
            }
            Wake::Flush => self.begin(id, peer, now, out),
        };
    }

    fn forget_keys(&mut self, id: PeerId, peer: &mut Peer) {
        self.indices.retire(peer.keyring.clear());
        peer.timers.keys_dropped();
        if matches!(peer.reach, Reach::Up | Reach::Silent) {
            peer.reach = Reach::Down;
            self.tell(Event::Idle { peer: id });
        }
    }

    fn give_up(&mut self, id: PeerId, peer: &mut Peer, now: Now) {
        self.drop_attempt(peer);
        peer.timers.handshake_given_up(now);
        peer.reach = Reach::Unreachable;
        let dropped = peer.staged.clear();
        self.tell(Event::Unreachable { peer: id, dropped });
    }

    fn fall_silent(&mut self, id: PeerId, peer: &mut Peer) {
        if peer.reach == Reach::Up {
            peer.reach = Reach::Silent;
            self.tell(Event::Silent { peer: id });
        }
    }
}
