//! One session: two keys, two indices, a counter for what we send and a window over what we receive.

use core::time::Duration;

use crate::discard::Discard;
use crate::noise::SessionKeys;
use crate::now::{Moment, Now};
use crate::peer::window::{WINDOW, Window};
use crate::wire;

/// After this many packets the initiator makes new keys.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// From this counter on nothing is sent or accepted: 2^64 - 2^13 - 1.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - WINDOW;
/// At this age the initiator makes new keys, when it sends.
pub const REKEY_AFTER_TIME: Duration = Duration::from_secs(120);
/// At this age nothing is sent or accepted.
pub const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);
/// At this age the initiator makes new keys even when it only receives: time for one retry and one keepalive is left.
pub const REFRESH_AFTER_TIME: Duration = Duration::from_secs(180 - 10 - 5);

/// Who began the handshake of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We did: renewing the keys is our part.
    Initiator,
    /// They did.
    Responder,
}

/// A session.
pub struct Session {
    /// Packets for us carry this.
    pub local: u32,
    /// Packets for them carry this.
    pub remote: u32,
    /// Our part in its handshake.
    pub role: Role,
    /// When it was made.
    pub born: Moment,
    /// Spreads the deadlines of many peers; drawn once, because drawing costs as much as sending.
    pub jitter: Duration,
    keys: SessionKeys,
    sent: u64,
    window: Window,
    refreshed: bool,
}

impl Session {
    /// A session that begins now.
    pub fn new(local: u32, remote: u32, role: Role, keys: SessionKeys, jitter: Duration, now: Now) -> Self {
        Self {
            local,
            remote,
            role,
            born: now.instant,
            jitter,
            keys,
            sent: 0,
            window: Window::new(),
            refreshed: false,
        }
    }

    /// Whether it may neither send nor receive any more.
    pub fn is_expired(&self, now: Now) -> bool {
        now.since(self.born) >= REJECT_AFTER_TIME || self.sent >= REJECT_AFTER_MESSAGES
    }

    /// Whether, as we send, it is time for us to make new keys.
    pub fn wants_rekey(&self, now: Now) -> bool {
        self.sent >= REKEY_AFTER_MESSAGES
            || self.role == Role::Initiator && now.since(self.born) >= REKEY_AFTER_TIME + self.jitter
    }

    /// Whether, as we receive, it is time for us to make new keys; true once per session.
    pub fn take_refresh(&mut self, now: Now) -> bool {
        let due = self.role == Role::Initiator
            && !self.refreshed
            && now.since(self.born) >= REFRESH_AFTER_TIME + self.jitter;
        self.refreshed |= due;
        due
    }

    /// Seals the payload that stands in `slot` behind [`wire::DATA_HEADER_LEN`] bytes, with room for the tag behind it.
    ///
    /// # Errors
    /// [`Discard::Expired`] where the counter is used up.
    pub fn seal(&mut self, slot: &mut [u8]) -> Result<(), Discard> {
        if self.sent >= REJECT_AFTER_MESSAGES {
            return Err(Discard::Expired);
        }
        let counter = self.sent;
        // Counted before the seal: a datagram that is then not sent must still burn its nonce.
        self.sent += 1;
        wire::write_data_header(slot, self.remote, counter);
        self.keys.send.seal(counter, &[], &mut slot[wire::DATA_HEADER_LEN..]);
        Ok(())
    }

    /// Opens a sealed payload in place.
    ///
    /// # Errors
    /// [`Discard::Expired`], [`Discard::Replayed`] or [`Discard::NotAuthentic`]; the session is then as it was.
    pub fn open<'d>(
        &mut self,
        counter: u64,
        sealed: &'d mut [u8],
        now: Now,
    ) -> Result<&'d mut [u8], Discard> {
        if now.since(self.born) >= REJECT_AFTER_TIME || counter >= REJECT_AFTER_MESSAGES {
            return Err(Discard::Expired);
        }
        if !self.window.is_fresh(counter) {
            return Err(Discard::Replayed);
        }
        let payload = self.keys.receive.open(counter, &[], sealed)?;
        self.window.accept(counter);
        Ok(payload)
    }

    /// How many packets of the other side have not arrived so far, though later ones have.
    pub const fn missing(&self) -> u64 {
        self.window.missing()
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, counter: u64) {
        self.sent = counter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::AeadKey;
    use alloc::vec;

    fn pair() -> (Session, Session) {
        let keys =
            |a: u8, b: u8| SessionKeys { send: AeadKey::new(&[a; 32]), receive: AeadKey::new(&[b; 32]) };
        let now = Now::default();
        let jitter = Duration::from_millis(100);
        (
            Session::new(1, 2, Role::Initiator, keys(1, 2), jitter, now),
            Session::new(2, 1, Role::Responder, keys(2, 1), jitter, now),
        )
    }

    fn at(millis: u64) -> Now {
        Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO }
    }

    #[test]
    fn counter_is_64_bit_and_stops_before_it_wraps() {
        let (mut sender, mut receiver) = pair();
        sender.skip_to(REJECT_AFTER_MESSAGES - 1);
        let mut slot = vec![0; 32];
        sender.seal(&mut slot).unwrap();
        let counter = u64::from_le_bytes(slot[8..16].try_into().unwrap());
        assert_eq!(counter, u64::MAX - 8193);
        receiver.open(counter, &mut slot[16..].to_vec(), at(0)).unwrap();
        assert_eq!(sender.seal(&mut slot), Err(Discard::Expired));
        assert!(sender.is_expired(at(0)) && sender.wants_rekey(at(0)));
        for counter in [REJECT_AFTER_MESSAGES, u64::MAX] {
            assert_eq!(receiver.open(counter, &mut [0; 16], at(0)).unwrap_err(), Discard::Expired);
        }
    }

    #[test]
    fn a_forged_packet_does_not_use_up_its_counter() {
        let (mut sender, mut receiver) = pair();
        let mut slot = vec![0; 48];
        sender.seal(&mut slot).unwrap();
        let mut forged = slot[16..].to_vec();
        forged[0] ^= 1;
        assert_eq!(receiver.open(0, &mut forged, at(0)).unwrap_err(), Discard::NotAuthentic);
        assert_eq!(receiver.open(0, &mut slot[16..].to_vec(), at(0)).unwrap(), &[0; 16]);
        assert_eq!(receiver.open(0, &mut slot[16..].to_vec(), at(0)).unwrap_err(), Discard::Replayed);
    }

    #[test]
    fn ages_are_those_of_the_paper() {
        let (mut initiator, mut responder) = pair();
        for (millis, rekey, refresh, expired) in [
            (0, false, false, false),
            (120_099, false, false, false),
            (120_100, true, false, false),
            (165_099, true, false, false),
            (165_100, true, true, false),
            (165_200, true, false, false),
            (179_999, true, false, false),
            (180_000, true, false, true),
        ] {
            let now = at(millis);
            let ages = (initiator.wants_rekey(now), initiator.take_refresh(now), initiator.is_expired(now));
            assert_eq!(ages, (rekey, refresh, expired), "{millis} ms");
            assert!(!responder.wants_rekey(now) && !responder.take_refresh(now), "{millis} ms");
            let opened = initiator.open(0, &mut [0; 16], now).unwrap_err();
            assert_eq!(opened == Discard::Expired, expired, "{millis} ms");
        }
    }
}
