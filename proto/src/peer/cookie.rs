//! The MACs of handshake messages, and cookies: proof of one's address, asked for under load (WireGuard paper, 5.4.4 and 5.4.7).

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::{self, COOKIE_NONCE_LEN, MAC_LEN};
use crate::discard::Discard;
use crate::entropy::Entropy;
use crate::keys::PublicKey;
use crate::now::{Moment, Now};
use crate::wire::{self, CookieReply, Macs};

/// How long a cookie is good, and how long the secret that it is made with lives.
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(120);

/// Where `mac2` begins, from the end of a message.
const MAC2: usize = MAC_LEN;
/// Where `mac1` begins, from the end of a message.
const MAC1: usize = 2 * MAC_LEN;

fn mac1_key(to: &PublicKey) -> [u8; 32] {
    crypto::hash(&[b"mac1----", to.as_bytes()])
}

fn cookie_key(of: &PublicKey) -> [u8; 32] {
    crypto::hash(&[b"cookie--", of.as_bytes()])
}

/// Checks what arrives, and makes cookies.
pub struct Guard {
    mac1_key: [u8; 32],
    cookie_key: [u8; 32],
    secret: Option<(Moment, Zeroizing<[u8; 32]>)>,
}

impl Guard {
    /// The guard of the node whose public key this is.
    pub fn new(own: &PublicKey) -> Self {
        Self { mac1_key: mac1_key(own), cookie_key: cookie_key(own), secret: None }
    }

    /// Whether a handshake message was made by someone who knows our public key. Cheap, and first of all.
    ///
    /// # Errors
    /// [`Discard::BadMac`].
    pub fn check_mac1(&self, macs: &Macs<'_>) -> Result<(), Discard> {
        let expected = crypto::mac(&self.mac1_key, &[macs.covered]);
        if crypto::equal(&expected, macs.mac1) { Ok(()) } else { Err(Discard::BadMac) }
    }

    /// Whether the sender proved that it receives at `from`: its `mac2` was made with the cookie of that address.
    pub fn check_mac2(&self, macs: &Macs<'_>, from: SocketAddr, now: Now) -> bool {
        let Some((born, secret)) = &self.secret else {
            return false;
        };
        if now.since(*born) >= COOKIE_LIFETIME {
            return false;
        }
        let expected = crypto::mac(&cookie(secret, from), &[macs.covered, macs.mac1]);
        crypto::equal(&expected, macs.mac2)
    }

    /// Writes the reply that carries the cookie of `from` into `slot`.
    pub fn reply(
        &mut self,
        slot: &mut [u8],
        to_index: u32,
        macs: &Macs<'_>,
        from: SocketAddr,
        entropy: &mut dyn Entropy,
        now: Now,
    ) {
        if self.secret.as_ref().is_none_or(|(born, _)| now.since(*born) >= COOKIE_LIFETIME) {
            let mut secret = Zeroizing::new([0; 32]);
            entropy.fill(&mut *secret);
            self.secret = Some((now.instant, secret));
        }
        let (_, secret) = self.secret.as_ref().expect("it was made just above");
        let mut nonce = [0; COOKIE_NONCE_LEN];
        entropy.fill(&mut nonce);
        let sealed = crypto::seal_cookie(&self.cookie_key, &nonce, macs.mac1, &cookie(secret, from));
        wire::write_cookie_reply(slot, to_index, &nonce, &sealed);
    }
}

/// The cookie of an address: a MAC over the IP address *and* the port, so that it serves nobody else behind that address.
fn cookie(secret: &[u8; 32], from: SocketAddr) -> [u8; MAC_LEN] {
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(ip) => crypto::mac(secret, &[&ip.octets(), &port]),
        IpAddr::V6(ip) => crypto::mac(secret, &[&ip.octets(), &port]),
    }
}

/// Closes what we send to one peer, and keeps the cookie that it gave us.
pub struct Closer {
    mac1_key: [u8; 32],
    cookie_key: [u8; 32],
    /// Of the last message that was closed; a cookie reply must be for it. Each is good for one.
    last_mac1: Option<[u8; MAC_LEN]>,
    cookie: Option<(Moment, Zeroizing<[u8; MAC_LEN]>)>,
}

impl Closer {
    /// For messages to the peer with this key.
    pub fn new(to: &PublicKey) -> Self {
        Self { mac1_key: mac1_key(to), cookie_key: cookie_key(to), last_mac1: None, cookie: None }
    }

    /// Writes both MACs at the end of `message`.
    pub fn close(&mut self, message: &mut [u8], now: Now) {
        let (mac1_at, mac2_at) = (message.len() - MAC1, message.len() - MAC2);
        let mac1 = crypto::mac(&self.mac1_key, &[&message[..mac1_at]]);
        message[mac1_at..mac2_at].copy_from_slice(&mac1);
        self.last_mac1 = Some(mac1);
        let mac2 = match &self.cookie {
            Some((received, cookie)) if now.since(*received) < COOKIE_LIFETIME => {
                crypto::mac(&**cookie, &[&message[..mac2_at]])
            }
            _ => [0; MAC_LEN],
        };
        message[mac2_at..].copy_from_slice(&mac2);
    }

    /// Keeps the cookie of a reply for the next message; nothing is sent at once.
    ///
    /// # Errors
    /// [`Discard::UnexpectedCookie`] or [`Discard::NotAuthentic`].
    pub fn receive(&mut self, reply: &CookieReply<'_>, now: Now) -> Result<(), Discard> {
        let mac1 = self.last_mac1.ok_or(Discard::UnexpectedCookie)?;
        let cookie = crypto::open_cookie(&self.cookie_key, reply.nonce, &mac1, reply.sealed)?;
        self.cookie = Some((now.instant, cookie));
        self.last_mac1 = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u8);
    impl Entropy for Count {
        fn fill(&mut self, bytes: &mut [u8]) {
            self.0 += 1;
            bytes.fill(self.0);
        }
    }

    fn at(secs: u64) -> Now {
        Now { instant: Moment::new(Duration::from_secs(secs)), wall: Duration::ZERO }
    }

    fn macs(message: &[u8; 100]) -> Macs<'_> {
        Macs {
            covered: &message[..68],
            mac1: message[68..84].try_into().unwrap(),
            mac2: message[84..].try_into().unwrap(),
        }
    }

    /// A closer that holds the cookie for `from`, and the guard that gave it, at second 0.
    fn exchanged(from: SocketAddr) -> (Guard, Closer) {
        let key = PublicKey::from_bytes([9; 32]);
        let (mut guard, mut closer) = (Guard::new(&key), Closer::new(&key));
        let mut message = [7; 100];
        closer.close(&mut message, at(0));
        assert_eq!((guard.check_mac1(&macs(&message)), macs(&message).mac2), (Ok(()), &[0; 16]));
        let mut slot = [0; wire::COOKIE_REPLY_LEN];
        guard.reply(&mut slot, 1, &macs(&message), from, &mut Count(0), at(0));
        let Ok(wire::Message::CookieReply(reply)) = wire::parse(&mut slot) else {
            panic!("not a cookie reply")
        };
        assert_eq!(closer.receive(&reply, at(0)), Ok(()));
        assert_eq!(closer.receive(&reply, at(0)), Err(Discard::UnexpectedCookie), "one reply per message");
        (guard, closer)
    }

    #[test]
    fn cookie_is_bound_to_address_and_port() {
        let from: SocketAddr = "192.0.2.1:1000".parse().unwrap();
        let (guard, mut closer) = exchanged(from);
        let mut message = [8; 100];
        closer.close(&mut message, at(1));
        for (address, good) in
            [("192.0.2.1:1000", true), ("192.0.2.1:1001", false), ("192.0.2.2:1000", false)]
        {
            assert_eq!(guard.check_mac2(&macs(&message), address.parse().unwrap(), at(1)), good, "{address}");
        }
        message[0] ^= 1;
        assert!(!guard.check_mac2(&macs(&message), from, at(1)));
    }

    #[test]
    fn a_cookie_is_good_for_two_minutes() {
        let from: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
        let (guard, mut closer) = exchanged(from);
        for (secs, good) in [(119, true), (120, false)] {
            let mut message = [8; 100];
            closer.close(&mut message, at(secs));
            assert_eq!(guard.check_mac2(&macs(&message), from, at(secs)), good, "second {secs}");
            assert_eq!(macs(&message).mac2 != &[0; 16], good, "second {secs}");
        }
    }

    #[test]
    fn a_cookie_that_is_kept_is_wiped_when_dropped() {
        fn wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        let (guard, closer) = exchanged("192.0.2.1:1000".parse().unwrap());
        wiped(&closer.cookie.unwrap().1);
        wiped(&guard.secret.unwrap().1);
    }

    #[test]
    fn a_message_for_another_key_has_a_bad_mac() {
        let mut message = [7; 100];
        Closer::new(&PublicKey::from_bytes([1; 32])).close(&mut message, at(0));
        let guard = Guard::new(&PublicKey::from_bytes([2; 32]));
        assert_eq!(guard.check_mac1(&macs(&message)), Err(Discard::BadMac));
    }
}
