//! Sessions: made, renewed, raced for, moved, refused.

use super::*;
use crate::wire;

#[test]
fn a_datagram_sent_before_there_is_a_session_arrives_once_there_is_one() {
    let mut room = Room::pair();
    room.link(0, b"first").unwrap();
    room.link(0, b"second").unwrap();
    assert_eq!(room.hosts[0].out.0.len(), 1, "one initiation, and the datagrams wait");
    room.settle();
    assert_eq!(room.hosts[1].links, [&b"first"[..], b"second"]);
    assert_eq!(
        (room.events(0), room.events(1)),
        (vec![Event::Up { peer: PEER }], vec![Event::Up { peer: PEER }])
    );
    room.assert_talks();
    assert!(room.hosts.iter().all(|host| host.discards.is_empty()));
}

#[test]
fn the_responder_does_not_send_before_the_session_is_confirmed() {
    let mut room = Room::pair();
    room.begin(0);
    let initiation = room.take(0).remove(0);
    room.give(1, address(0), &initiation).unwrap();
    let response = room.take(1).remove(0);
    assert_eq!(response.len(), 92);
    assert!(!room.hosts[1].device.session_ready(PEER, room.now));
    room.link(1, b"early").unwrap();
    assert!(
        room.take(1).iter().all(|datagram| datagram.len() == 148),
        "data waits, at most it asks for a session"
    );
    room.give(0, address(1), &response).unwrap();
    room.settle();
    assert_eq!(room.hosts[0].links, [b"early"]);
}

#[test]
fn data_in_both_directions_draws_no_randomness() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&mut self, _: &mut [u8]) {
            panic!("something was drawn");
        }
    }
    let mut room = Room::connected();
    for host in &mut room.hosts {
        host.device.core.randomness = Randomness { secret: Box::new(Dry), public: Box::new(Dry) };
    }
    for _ in 0..100 {
        room.assert_talks();
        room.sleep(Duration::from_millis(500));
    }
}

#[test]
fn both_directions_carry_ip_packets_trimmed_to_their_length() {
    let mut room = Room::connected();
    room.allow_all();
    for (us, them) in [(0, 1), (1, 0)] {
        for source in ["10.0.0.1", "fd00::1"] {
            let packet = packet(source, 0, 45);
            room.ip(us, &packet).unwrap();
            assert_eq!(room.hosts[us].out.0[0].1.len(), 32 + 48);
            room.settle();
            assert_eq!(room.hosts[them].links.pop(), Some(packet));
        }
    }
}

#[test]
fn old_session_still_opens_during_rekey() {
    let mut room = Room::connected();
    room.link(0, b"on the old session").unwrap();
    let old = room.take(0).remove(0);
    room.sleep(secs(121));
    room.begin(0);
    room.settle();
    assert_eq!(room.status(1).sessions, 2);
    assert_eq!(room.give(1, address(0), &old), Ok(Some(b"on the old session".to_vec())));
    room.assert_talks();
    assert_eq!(room.events(0), [Event::Rekeyed { peer: PEER }]);
}

#[test]
fn a_replayed_packet_is_refused_and_so_is_a_replayed_initiation() {
    let mut room = Room::pair();
    room.begin(0);
    let initiation = room.hosts[0].out.0[0].1.clone();
    room.settle();
    room.link(0, b"once").unwrap();
    let packet = room.take(0).remove(0);
    assert_eq!(room.give(1, address(0), &packet), Ok(Some(b"once".to_vec())));
    assert_eq!(room.give(1, address(0), &packet), Err(Discard::Replayed));
    room.sleep(secs(1));
    assert_eq!(room.give(1, address(0), &initiation), Err(Discard::StaleInitiation));
    assert!(room.take(1).is_empty());
}

#[test]
fn a_handshake_response_may_take_longer_than_the_timer_tick() {
    let mut room = Room::pair();
    room.begin(0);
    let initiation = room.take(0).remove(0);
    room.give(1, address(0), &initiation).unwrap();
    let response = room.take(1).remove(0);
    for _ in 0..49 {
        room.sleep(Duration::from_millis(100));
        let Host { device, out, .. } = &mut room.hosts[0];
        device.handle_timeout(room.now, out);
        assert!(out.0.is_empty(), "no retry yet");
    }
    room.give(0, address(1), &response).unwrap();
    room.settle();
    room.assert_talks();
    assert_eq!(room.status(0).round_trip, Some(Duration::from_millis(4_900)));
}

#[test]
fn only_an_authenticated_packet_moves_the_endpoint() {
    let mut room = Room::connected();
    let elsewhere: SocketAddr = "198.51.100.9:9".parse().unwrap();
    room.link(0, b"from elsewhere").unwrap();
    let packet = room.take(0).remove(0);
    let mut forged = packet.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(room.give(1, elsewhere, &forged), Err(Discard::NotAuthentic));
    assert_eq!(room.give(1, elsewhere, &[4, 0, 0, 0]), Err(Discard::Malformed));
    assert_eq!(room.status(1).endpoint, Some(address(0)));
    room.give(1, elsewhere, &packet).unwrap();
    assert_eq!(room.status(1).endpoint, Some(elsewhere));
    let moved = Event::Moved { peer: PEER, from: Some(address(0)), to: elsewhere };
    assert_eq!(room.events(1), [moved]);
    assert_eq!(room.give(1, address(0), &packet), Err(Discard::Replayed));
    assert_eq!(room.status(1).endpoint, Some(elsewhere), "a replay moves nothing");
}

#[test]
fn indices_are_random() {
    let mut seen = BTreeSet::new();
    let mut room = Room::pair();
    for _ in 0..20 {
        room.begin(0);
        room.settle();
        room.sleep(secs(1));
        for host in &room.hosts {
            seen.extend(host.device.core.indices.iter().map(|(index, _)| index));
        }
    }
    assert!(seen.len() >= 40, "{}", seen.len());
    let ascending = seen.iter().zip(seen.iter().skip(1)).map(|(one, next)| next - one);
    assert!(ascending.clone().all(|gap| gap > 1_000) || ascending.max() > Some(1 << 24));
    let high = seen.iter().filter(|index| **index >= 1 << 31).count();
    assert!((seen.len() / 4..seen.len() * 3 / 4).contains(&high), "{high} of {}", seen.len());
}

#[test]
fn removing_a_peer_removes_its_prefixes_and_indices() {
    let mut room = Room::connected();
    room.allow_all();
    assert_eq!(room.hosts[0].device.route([10, 0, 0, 1].into()), Some(PEER));
    room.link(1, b"late").unwrap();
    let late = room.take(1).remove(0);
    room.begin(0);
    assert_eq!(room.hosts[0].device.core.indices.iter().count(), 2);
    let device = &mut room.hosts[0].device;
    assert!(device.remove_peer(PEER) && !device.remove_peer(PEER));
    assert_eq!((device.core.indices.iter().count(), device.poll_timeout()), (0, None));
    assert_eq!((device.routes.len(), device.route([10, 0, 0, 1].into())), (0, None));
    assert!(!device.add_allowed_ip(PEER, prefix("10.0.0.0/8")) && device.routes.is_empty());
    assert_eq!(room.give(0, address(1), &late), Err(Discard::UnknownIndex));
    assert_eq!(room.link(0, b"x"), Err(Discard::NoSuchPeer));
    room.take(0);
    room.introduce_again();
    assert_eq!(room.hosts[0].device.peers().collect::<Vec<_>>(), [PeerId(1)], "an id is never used again");
}

impl Room {
    fn introduce_again(&mut self) {
        let config = PeerConfig {
            public_key: self.public_key(1),
            preshared_key: None,
            endpoint: None,
            keepalive: None,
        };
        self.hosts[0].device.add_peer(config, self.now).unwrap();
    }
}

#[test]
fn sessions_that_are_replaced_give_their_indices_back() {
    let mut room = Room::connected();
    for round in 0..30 {
        room.sleep(secs(1));
        room.begin(round % 2);
        room.settle();
        for host in &room.hosts {
            assert!(host.device.core.indices.iter().count() <= 3, "round {round}");
            assert_eq!(host.device.core.indices.iter().count(), host.device.peer(PEER).unwrap().sessions);
        }
    }
    room.assert_talks();
}

#[test]
fn psk_change_takes_effect_at_the_next_handshake_and_drops_nothing() {
    let mut room = Room::connected();
    let psk = PresharedKey::from_bytes([9; 32]);
    room.hosts[0].device.set_preshared_key(PEER, Some(psk.clone()));
    room.assert_talks();
    room.sleep(secs(1));
    room.begin(0);
    room.settle();
    assert_eq!(room.hosts[0].discards, [Discard::NotAuthentic], "the other side answers without the key");
    room.assert_talks();
    room.hosts[1].device.set_preshared_key(PEER, Some(psk));
    room.pass(secs(6));
    assert_eq!(room.events(0), [Event::Rekeyed { peer: PEER }]);
    room.assert_talks();
}

#[test]
fn key_change_rehandshakes_at_once() {
    let mut room = Room::connected();
    let key = PrivateKey::from_bytes([77; 32]);
    let public = key.public();
    let config = PeerConfig { public_key: public, preshared_key: None, endpoint: None, keepalive: None };
    let new = room.hosts[1].device.add_peer(config, room.now).unwrap();
    let device = &mut room.hosts[0].device;
    assert_eq!(device.set_identity(key, room.now), []);
    assert!(!device.session_ready(PEER, room.now));
    // Right after the last handshake, which is no reason to wait.
    room.link(0, b"by another name").unwrap();
    room.settle();
    assert_eq!(room.hosts[1].links, [b"by another name"]);
    assert!(room.hosts[0].device.session_ready(PEER, room.now));
    assert!(room.hosts[1].device.session_ready(new, room.now));
    assert_eq!(room.public_key(0), public);
}

#[test]
fn a_peer_with_the_new_own_key_is_removed() {
    let mut room = Room::pair();
    let device = &mut room.hosts[0].device;
    assert_eq!(device.set_identity(PrivateKey::from_bytes([2; 32]), room.now), [PEER]);
    assert_eq!(device.peers().count(), 0);
}

#[test]
fn peers_that_cannot_be_are_not_added() {
    let mut room = Room::pair();
    let own = room.public_key(0);
    let other = room.public_key(1);
    for (key, error) in [(own, AddPeerError::OwnKey), (other, AddPeerError::Duplicate)] {
        let config =
            PeerConfig { public_key: key, preshared_key: None, endpoint: None, keepalive: Some(secs(1)) };
        assert_eq!(room.hosts[0].device.add_peer(config, room.now), Err(error));
    }
    assert_eq!((room.hosts[0].device.peers().count(), room.hosts[0].device.poll_timeout()), (1, None));
}

#[test]
fn an_oversized_datagram_is_discarded_not_a_panic() {
    let mut room = Room::connected();
    for len in [65_473, 65_536, 200_000] {
        assert_eq!(room.link(0, &vec![1; len]), Err(Discard::Oversized), "length {len}");
    }
    let largest = vec![1; max_link_datagram(wire::MAX_DATAGRAM)];
    room.link(0, &largest).unwrap();
    assert_eq!(room.hosts[0].out.0[0].1.len() % 16, 0);
    room.settle();
    assert_eq!(room.hosts[1].links, [largest]);
    for len in [65_536, 100_000] {
        let mut datagram = vec![0; len];
        datagram[0] = 4;
        assert_eq!(room.give(1, address(0), &datagram), Err(Discard::UnknownIndex), "length {len}");
    }
    assert_eq!(room.give(1, address(0), &[]), Err(Discard::Malformed));
    room.assert_talks();
}

#[test]
fn a_stranger_hears_nothing() {
    let mut room = Room::of(3);
    room.introduce(0, 1);
    let config = PeerConfig {
        public_key: room.public_key(1),
        preshared_key: None,
        endpoint: Some(address(1)),
        keepalive: None,
    };
    room.hosts[2].device.add_peer(config, room.now).unwrap();
    room.begin(2);
    let initiation = room.take(2).remove(0);
    assert_eq!(room.give(1, address(2), &initiation), Err(Discard::UnknownPeer));
    let mut bad_mac = initiation.clone();
    bad_mac[120] ^= 1;
    assert_eq!(room.give(1, address(2), &bad_mac), Err(Discard::BadMac));
    assert!(room.take(1).is_empty());
}

#[test]
fn a_peer_without_an_endpoint_is_not_sent_to_until_it_calls() {
    let mut room = Room::of(2);
    for (us, them) in [(0, 1), (1, 0)] {
        let config = PeerConfig {
            public_key: room.public_key(them),
            preshared_key: None,
            endpoint: (us == 0).then(|| address(them)),
            keepalive: Some(secs(25)),
        };
        room.hosts[us].device.add_peer(config, room.now).unwrap();
    }
    assert_eq!(room.link(1, b"where?"), Err(Discard::NoEndpoint));
    room.pass(secs(1));
    assert_eq!(room.status(1).endpoint, Some(address(0)));
    room.assert_talks();
}

#[test]
fn a_full_queue_loses_its_oldest() {
    let mut room = Room::pair();
    for at in 0..130_u8 {
        let expected = if at < 128 { Ok(()) } else { Err(Discard::StagedTooLong) };
        assert_eq!(room.link(0, &[at]), expected, "datagram {at}");
    }
    room.settle();
    assert_eq!(room.hosts[1].links.len(), 128);
    assert_eq!(
        (room.hosts[1].links[0].as_slice(), room.hosts[1].links[127].as_slice()),
        (&[2][..], &[129][..])
    );
}
