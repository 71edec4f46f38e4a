//! Our device against another WireGuard: boringtun's `Tunn`, in process, on datagrams passed by hand.
//!
//! Our clock is virtual; boringtun reads its own, so what it does after minutes is forced instead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey as TheirPublic, StaticSecret};
use lockgate_proto::device::{Content, CopyKind, CopyOrder, Device, Event, Judged, PeerConfig, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::entropy::{Entropy, Randomness};
use lockgate_proto::keys::{PresharedKey, PrivateKey, PublicKey};
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::outbox::{Envelope, Outbox};
use lockgate_proto::prefix::Prefix;

const COOKIE_REPLY: usize = 64;
const INITIATION: usize = 148;

struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Outbox for Sent {
    fn datagram(
        &mut self,
        _: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        let mut slot = vec![0xa5; len];
        fill(&mut slot)?;
        self.0.push(slot);
        Ok(())
    }
}

/// Ours and theirs, and what arrived at each.
struct Pair {
    ours: Device,
    peer: PeerId,
    out: Sent,
    now: Now,
    theirs: Tunn,
    at_ours: Vec<Vec<u8>>,
    at_theirs: Vec<Vec<u8>>,
    /// Lengths of all that theirs sent.
    they_sent: Vec<usize>,
    their_errors: usize,
}

fn their_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 2], 51_820))
}

fn our_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 51_820))
}

impl Pair {
    fn new(preshared: Option<[u8; 32]>, limit: Option<u64>) -> Self {
        let now =
            Now { instant: Moment::new(Duration::from_secs(100)), wall: Duration::from_secs(1_700_000_000) };
        let key = PrivateKey::from_bytes([1; 32]);
        let their_secret = StaticSecret::from([2; 32]);
        let their_public = TheirPublic::from(&their_secret);
        let our_public = TheirPublic::from(*key.public().as_bytes());
        let limiter = limit.map(|limit| Arc::new(RateLimiter::new(&their_public, limit)));
        let randomness = Randomness { secret: Box::new(Seeded(1)), public: Box::new(Seeded(2)) };
        let mut ours = Device::new(key, randomness, now);
        let config = PeerConfig {
            public_key: PublicKey::from_bytes(*their_public.as_bytes()),
            preshared_key: preshared.map(PresharedKey::from_bytes),
            endpoint: Some(their_address()),
            keepalive: None,
        };
        let peer = ours.add_peer(config, now).expect("a good peer");
        ours.add_allowed_ip(peer, Prefix::LEAST);
        let theirs = Tunn::new(their_secret, our_public, preshared, None, 7, limiter);
        Self {
            ours,
            peer,
            out: Sent::default(),
            now,
            theirs,
            at_ours: Vec::new(),
            at_theirs: Vec::new(),
            they_sent: Vec::new(),
            their_errors: 0,
        }
    }

    fn sleep(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall + time };
    }

    /// Gives theirs a datagram and collects all that it does in return.
    fn give_theirs(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        let mut buffer = vec![0; 70_000];
        let mut input = datagram;
        loop {
            match self.theirs.decapsulate(Some(our_address().ip()), input, &mut buffer) {
                TunnResult::WriteToNetwork(bytes) => sent.push(bytes.to_vec()),
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    self.at_theirs.push(packet.to_vec());
                    return sent;
                }
                TunnResult::Err(_) => {
                    self.their_errors += 1;
                    return sent;
                }
                TunnResult::Done => return sent,
            }
            input = &[];
        }
    }

    fn give_ours(&mut self, mut datagram: Vec<u8>) -> Result<(), Discard> {
        let received = self.ours.handle_datagram(their_address(), &mut datagram, self.now, &mut self.out)?;
        assert_eq!(received.peer, Some(self.peer));
        match received.content {
            Content::Ip(packet) => self.at_ours.push(packet.to_vec()),
            Content::Link(_) | Content::Echo(_) | Content::Copy(_) | Content::Detour(_) => {
                panic!("they cannot make such frames")
            }
            Content::Nothing => {}
        }
        Ok(())
    }

    /// Passes datagrams until both are quiet, beginning with what theirs has just made.
    fn settle(&mut self, made: Vec<Vec<u8>>) {
        let mut for_ours = made;
        for _ in 0..100 {
            for datagram in std::mem::take(&mut for_ours) {
                self.they_sent.push(datagram.len());
                self.give_ours(datagram).expect("what they send is good");
            }
            for datagram in std::mem::take(&mut self.out.0) {
                for_ours.extend(self.give_theirs(&datagram));
            }
            if for_ours.is_empty() {
                return;
            }
        }
        panic!("they never stop answering each other");
    }

    fn they_send(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; 70_000];
        match self.theirs.encapsulate(packet, &mut buffer) {
            TunnResult::WriteToNetwork(bytes) => vec![bytes.to_vec()],
            TunnResult::Done => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    fn they_initiate(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 256];
        let TunnResult::WriteToNetwork(bytes) = self.theirs.format_handshake_initiation(&mut buffer, true)
        else {
            panic!("no initiation");
        };
        bytes.to_vec()
    }

    fn assert_talks(&mut self) {
        for len in [20, 21, 100, 1420] {
            let packet = packet(len);
            self.ours.send_ip(self.peer, &packet, self.now, &mut self.out).expect("there is an endpoint");
            self.settle(Vec::new());
            assert_eq!(self.at_theirs.pop().as_deref(), Some(&packet[..]), "to theirs, length {len}");
            let made = self.they_send(&packet);
            self.settle(made);
            assert_eq!(self.at_ours.pop().as_deref(), Some(&packet[..]), "to ours, length {len}");
        }
        assert_eq!((self.at_ours.len(), self.at_theirs.len()), (0, 0));
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.ours.poll_event()).collect()
    }
}

/// An IPv4 packet of `len` bytes.
fn packet(len: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; len];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&u16::try_from(len).expect("a packet is short").to_be_bytes());
    packet
}

const KEYS: [Option<[u8; 32]>; 2] = [None, Some([9; 32])];

#[test]
fn we_initiate_they_answer_and_packets_cross() {
    for preshared in KEYS {
        let mut pair = Pair::new(preshared, None);
        pair.ours.send_ip(pair.peer, &packet(60), pair.now, &mut pair.out).unwrap();
        pair.settle(Vec::new());
        assert_eq!(pair.at_theirs.pop().as_deref(), Some(&packet(60)[..]), "what waited arrives");
        assert_eq!(pair.events(), [Event::Up { peer: pair.peer }]);
        pair.assert_talks();
        assert_eq!(pair.their_errors, 0);
    }
}

#[test]
fn they_initiate_we_answer_and_packets_cross() {
    for preshared in KEYS {
        let mut pair = Pair::new(preshared, None);
        let made = pair.they_send(&packet(60));
        assert_eq!(made[0].len(), INITIATION);
        pair.settle(made);
        assert_eq!(pair.at_ours.pop().as_deref(), Some(&packet(60)[..]), "what waited arrives");
        assert_eq!(pair.events(), [Event::Up { peer: pair.peer }]);
        pair.assert_talks();
        assert_eq!(pair.their_errors, 0);
    }
}

#[test]
fn initiations_that_cross_come_to_a_session_at_once() {
    for theirs_first in [true, false] {
        let mut pair = Pair::new(None, None);
        pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
        let ours = pair.out.0.remove(0);
        let theirs = pair.they_initiate();
        let made = if theirs_first {
            pair.give_ours(theirs).unwrap();
            pair.give_theirs(&ours)
        } else {
            let made = pair.give_theirs(&ours);
            pair.give_ours(theirs).unwrap();
            made
        };
        pair.settle(made);
        assert_eq!(pair.events()[0], Event::Up { peer: pair.peer });
        pair.assert_talks();
    }
}

#[test]
fn different_preshared_keys_do_not_meet() {
    let mut pair = Pair::new(Some([9; 32]), None);
    pair.ours.set_preshared_key(pair.peer, Some(PresharedKey::from_bytes([8; 32])));
    pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
    let initiation = pair.out.0.remove(0);
    let response = pair.give_theirs(&initiation).remove(0);
    assert_eq!(pair.give_ours(response), Err(Discard::NotAuthentic));
    assert!(!pair.ours.session_ready(pair.peer, pair.now));
}

#[test]
fn keepalives_are_understood_both_ways() {
    let mut pair = Pair::new(None, None);
    let made = pair.they_send(&packet(60));
    pair.settle(made);
    let received = pair.ours.peer(pair.peer).unwrap().received;
    let made = pair.they_send(&[]);
    assert_eq!(made[0].len(), 32);
    pair.settle(made);
    assert_eq!(pair.ours.peer(pair.peer).unwrap().received, received + 32);
    // Ours answers the data that it received, ten seconds later.
    pair.sleep(Duration::from_secs(10));
    pair.ours.handle_timeout(pair.now, &mut pair.out);
    assert_eq!(pair.out.0.iter().map(Vec::len).collect::<Vec<_>>(), [32]);
    pair.settle(Vec::new());
    assert_eq!(pair.their_errors, 0);
}

#[test]
fn keys_are_renewed_by_us_and_by_them() {
    for preshared in KEYS {
        let mut pair = Pair::new(preshared, None);
        pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
        pair.settle(Vec::new());
        pair.assert_talks();
        pair.events();
        pair.sleep(Duration::from_secs(121));
        pair.ours.send_ip(pair.peer, &packet(40), pair.now, &mut pair.out).unwrap();
        assert!(pair.out.0.iter().any(|datagram| datagram.len() == INITIATION));
        pair.settle(Vec::new());
        pair.at_theirs.clear();
        assert_eq!(pair.events(), [Event::Rekeyed { peer: pair.peer }]);
        pair.assert_talks();
        for _ in 0..3 {
            pair.sleep(Duration::from_secs(30));
            let initiation = pair.they_initiate();
            pair.settle(vec![initiation]);
            assert_eq!(pair.events(), [Event::Rekeyed { peer: pair.peer }]);
            pair.assert_talks();
        }
        assert_eq!(pair.their_errors, 0);
    }
}

#[test]
fn their_packets_on_the_old_session_still_open() {
    let mut pair = Pair::new(None, None);
    pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    let late = pair.they_send(&packet(33));
    pair.sleep(Duration::from_secs(121));
    pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    pair.settle(late);
    assert_eq!(pair.at_ours.pop(), Some(packet(33)));
}

#[test]
fn a_link_frame_is_dropped_by_a_plain_wireguard() {
    let mut pair = Pair::new(None, None);
    pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    pair.ours.send_link(pair.peer, b"for a broker", pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    assert_eq!((pair.at_theirs.len(), pair.their_errors), (0, 1));
    pair.assert_talks();
}

#[test]
fn copies_and_detours_are_dropped_by_a_plain_wireguard() {
    let mut pair = Pair::new(None, None);
    pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    let packet = packet(40);
    let order = CopyOrder { judged: Judged::Outbound, kind: CopyKind::Tee, length: u16::MAX };
    pair.ours.send_copy(pair.peer, order, &packet, pair.now, &mut pair.out).unwrap();
    pair.ours.send_detour(pair.peer, Judged::Outbound, &packet, pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    assert_eq!((pair.at_theirs.len(), pair.their_errors), (0, 2));
    pair.assert_talks();
}

#[test]
fn under_their_load_we_come_in_with_a_cookie() {
    // A limit of zero: every handshake message must carry proof.
    let mut pair = Pair::new(Some([9; 32]), Some(0));
    pair.ours.begin_handshake(pair.peer, pair.now, &mut pair.out).unwrap();
    pair.settle(Vec::new());
    assert_eq!(pair.they_sent, [COOKIE_REPLY]);
    assert!(!pair.ours.session_ready(pair.peer, pair.now));
    pair.sleep(Duration::from_secs(6));
    pair.ours.handle_timeout(pair.now, &mut pair.out);
    pair.settle(Vec::new());
    assert!(pair.ours.session_ready(pair.peer, pair.now));
    pair.assert_talks();
}

#[test]
fn under_their_load_our_answer_comes_in_with_a_cookie_too() {
    let mut pair = Pair::new(None, Some(0));
    let initiation = pair.they_initiate();
    pair.settle(vec![initiation]);
    assert_eq!(pair.they_sent, [INITIATION, COOKIE_REPLY]);
    pair.sleep(Duration::from_secs(6));
    let initiation = pair.they_initiate();
    pair.settle(vec![initiation]);
    pair.assert_talks();
}

#[test]
fn under_our_load_they_come_in_with_a_cookie() {
    let mut pair = Pair::new(None, None);
    let mut cookie = None;
    for _ in 0..1_000 {
        let initiation = pair.they_initiate();
        let outcome = pair.give_ours(initiation);
        let answer = pair.out.0.pop();
        if outcome == Err(Discard::CookieSent) {
            cookie = answer;
            break;
        }
    }
    let cookie = cookie.expect("a flood is asked for proof");
    assert_eq!(cookie.len(), COOKIE_REPLY);
    assert!(pair.give_theirs(&cookie).is_empty(), "the cookie is for the next initiation");
    pair.sleep(Duration::from_millis(20));
    let initiation = pair.they_initiate();
    pair.settle(vec![initiation]);
    assert_eq!(pair.their_errors, 0);
    pair.assert_talks();
}
