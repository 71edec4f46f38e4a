//! Without a key, at rest, and with peers that are nobody.

use super::*;

impl Room {
    /// Host 0 loses or gets its key.
    fn identify(&mut self, key: Option<PrivateKey>) -> Vec<PeerId> {
        self.hosts[0].device.set_identity(key, self.now)
    }
}

#[test]
fn a_device_without_a_key_neither_sends_nor_accepts_and_begins_with_its_first() {
    let mut room = Room::connected();
    room.hosts[0].device.set_keepalive(PEER, Some(secs(25)), room.now);
    room.pass(secs(1));
    let key = room.hosts[0].device.private_key().unwrap();
    assert_eq!(key.public(), room.public_key(0));
    room.link(1, b"late").unwrap();
    let late = room.take(1).remove(0);
    room.begin(1);
    let initiation = room.take(1).remove(0);
    assert_eq!(room.identify(None), []);
    room.events(0);
    let device = &room.hosts[0].device;
    assert!(device.public_key().is_none() && device.private_key().is_none());
    assert_eq!(room.link(0, b"x"), Err(Discard::NoIdentity));
    assert_eq!(room.give(0, address(1), &late), Err(Discard::UnknownIndex));
    assert_eq!(room.give(0, address(1), &initiation), Err(Discard::NoIdentity));
    assert!(room.pass_in_vain(secs(200)).iter().all(|(_, host, _)| *host != 0));
    assert_eq!((room.status(0).staged, room.status(0).sessions), (0, 0));
    assert_eq!(room.identify(Some(key)), []);
    room.pass(secs(1));
    assert_eq!(room.events(0), [Event::Up { peer: PEER }], "the persistent keepalive begins at once");
    room.assert_talks();
}

#[test]
fn peers_are_configured_before_there_is_a_key() {
    let now = Now { instant: Moment::new(START), wall: WALL };
    let randomness = Randomness { secret: Box::new(Seeded(1)), public: Box::new(Seeded(2)) };
    let mut device = Device::new(None, randomness, now);
    let config = |byte: u8| PeerConfig {
        public_key: PrivateKey::from_bytes([byte; 32]).public(),
        preshared_key: (byte == 2).then(|| PresharedKey::from_bytes([9; 32])),
        endpoint: Some(address(usize::from(byte))),
        keepalive: (byte == 2).then(|| secs(25)),
    };
    let [one, two] = [1, 2].map(|byte| device.add_peer(config(byte), now).unwrap());
    assert_eq!(device.peer_by_key(&config(2).public_key), Some(two));
    assert_eq!(device.peer_by_key(&config(3).public_key), None);
    assert_eq!((device.keepalive_interval(one), device.keepalive_interval(two)), (None, Some(secs(25))));
    assert!(device.preshared_key(one).is_none());
    assert_eq!(device.preshared_key(two).unwrap().as_bytes(), &[9; 32]);
    let mut out = Sent::default();
    device.handle_timeout(now, &mut out);
    assert_eq!(device.begin_handshake(one, now, &mut out), Err(Discard::NoIdentity));
    assert!(out.0.is_empty());
    // The key turns out to be that of peer 1: it is removed.
    assert_eq!(device.set_identity(PrivateKey::from_bytes([1; 32]), now), [one]);
    assert_eq!(device.peers().collect::<Vec<_>>(), [two]);
    device.handle_timeout(now, &mut out);
    assert_eq!(
        out.0.iter().map(|(to, datagram)| (*to, datagram.len())).collect::<Vec<_>>(),
        [(address(2), 148)]
    );
}

#[test]
fn a_peer_with_a_low_order_key_is_listed_and_mute() {
    let mut room = Room::pair();
    for (at, byte) in [0_u8, 1].into_iter().enumerate() {
        let mut key = [0; 32];
        key[0] = byte;
        let config = PeerConfig {
            public_key: PublicKey::from_bytes(key),
            preshared_key: None,
            endpoint: Some(address(9)),
            keepalive: Some(secs(1)),
        };
        let Host { device, out, .. } = &mut room.hosts[0];
        let peer = device.add_peer(config, room.now).unwrap();
        assert_eq!(device.peers().count(), at + 2);
        assert!(device.add_allowed_ip(peer, prefix("10.9.0.0/16")));
        assert_eq!(device.send_link(peer, b"x", room.now, out), Err(Discard::LowOrder));
        assert_eq!(device.begin_handshake(peer, room.now, out), Err(Discard::LowOrder));
        assert_eq!(device.peer(peer).map(|status| (status.sent, status.staged)), Some((0, 0)));
    }
    assert!(room.pass_in_vain(secs(10)).is_empty(), "not even keepalives");
    let key = PrivateKey::from_bytes([77; 32]);
    assert_eq!(room.identify(Some(key)), [], "nor are they removed or heard with another key");
    assert!(room.pass_in_vain(secs(10)).is_empty());
    assert_eq!(room.hosts[0].device.peers().count(), 3);
}

#[test]
fn a_device_at_rest_forgets_its_sessions_and_starts_where_it_was() {
    let mut room = Room::connected();
    room.hosts[0].device.set_keepalive(PEER, Some(secs(25)), room.now);
    room.pass(secs(1));
    room.link(1, b"late").unwrap();
    let late = room.take(1).remove(0);
    room.sleep(secs(1));
    room.begin(0);
    let device = &mut room.hosts[0].device;
    device.stop();
    assert_eq!((device.poll_timeout(), device.core.indices.iter().count()), (None, 0));
    assert!(!device.session_ready(PEER, room.now));
    room.take(0);
    assert_eq!(room.link(0, b"x"), Err(Discard::Stopped));
    assert_eq!(room.give(0, address(1), &late), Err(Discard::Stopped));
    let Host { device, out, .. } = &mut room.hosts[0];
    assert_eq!(device.begin_handshake(PEER, room.now, out), Err(Discard::Stopped));
    assert!(room.pass_in_vain(secs(300)).iter().all(|(_, host, _)| *host != 0));
    assert_eq!((room.status(0).reach, room.status(0).endpoint), (Reach::Down, Some(address(1))));
    room.events(0);
    room.hosts[0].device.start(room.now);
    room.pass(secs(1));
    assert_eq!(room.events(0), [Event::Up { peer: PEER }]);
    room.assert_talks();
}

#[test]
fn a_device_that_rests_from_the_beginning_does_nothing_until_it_starts() {
    let mut room = Room::of(2);
    let (key, now) = (room.public_key(1), room.now);
    let device = &mut room.hosts[0].device;
    device.stop();
    assert_eq!(device.set_identity(None, now), []);
    let config = PeerConfig {
        public_key: key,
        preshared_key: None,
        endpoint: Some(address(1)),
        keepalive: Some(secs(25)),
    };
    device.add_peer(config, now).unwrap();
    device.set_identity(PrivateKey::from_bytes([1; 32]), now);
    for keepalive in [None, Some(secs(10)), Some(secs(20))] {
        assert!(device.set_keepalive(PEER, keepalive, now));
        assert_eq!(device.poll_timeout(), None, "nothing is due at rest");
    }
    assert!(room.pass_in_vain(secs(100)).is_empty());
    let Host { device, out, .. } = &mut room.hosts[0];
    device.handle_timeout(room.now, out);
    assert_eq!(out.0, []);
    device.start(room.now);
    assert_eq!(device.poll_timeout(), Some((room.now.instant, Wake::PersistentKeepalive)));
    device.handle_timeout(room.now, out);
    assert_eq!(
        out.0.iter().map(|(to, datagram)| (*to, datagram.len())).collect::<Vec<_>>(),
        [(address(1), 148)]
    );
}

#[test]
fn an_answer_to_a_handshake_from_before_the_rest_finds_nobody() {
    let mut room = Room::pair();
    room.link(0, b"patience").unwrap();
    room.deliver();
    let response = room.take(1).remove(0);
    let device = &mut room.hosts[0].device;
    assert!(device.peers[&PEER].attempt.is_some());
    device.stop();
    assert!(device.peers[&PEER].attempt.is_none());
    assert_eq!((device.core.indices.iter().count(), device.core.deadlines.len()), (0, 0));
    device.start(room.now);
    assert_eq!(room.give(0, address(1), &response), Err(Discard::UnknownIndex));
    assert!(room.pass_in_vain(secs(100)).iter().all(|(_, host, _)| *host != 0), "nor is it tried again");
    room.assert_talks();
}

#[test]
fn what_waited_is_dropped_at_rest() {
    let mut room = Room::pair();
    room.link(0, b"patience").unwrap();
    room.take(0);
    room.hosts[0].device.stop();
    room.hosts[0].device.start(room.now);
    assert_eq!(room.status(0).staged, 0);
    room.pass(secs(10));
    assert!(room.hosts[1].links.is_empty());
    room.assert_talks();
}

#[test]
fn the_key_that_it_has_already_keeps_its_sessions() {
    let mut room = Room::connected();
    let now = room.now;
    let Host { device, out, .. } = &mut room.hosts[0];
    let same = device.private_key();
    assert_eq!(device.set_identity(same, now), []);
    assert_eq!(out.0, [], "nobody is called");
    room.assert_talks();
    assert_eq!(room.status(0).sessions, 1);
}

#[test]
fn what_could_not_be_sent_is_not_counted_as_sent() {
    let mut room = Room::connected();
    let (sent, remote) = (room.status(0).sent, room.status(0).endpoint.unwrap());
    room.link(0, b"into the void").unwrap();
    let lost = room.status(0).sent - sent;
    room.hosts[0].device.unsent(remote, lost);
    room.hosts[0].device.unsent(address(9), 1);
    assert_eq!(room.status(0).sent, sent);
}
