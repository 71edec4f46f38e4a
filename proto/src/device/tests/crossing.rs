//! Initiations that cross: between two of us, and with peers that have room for one handshake.

use super::*;

#[test]
fn simultaneous_initiations_settle_on_one_session() {
    for order in 0..2 {
        let mut room = Room::pair();
        for host in [order, 1 - order] {
            room.begin(host);
        }
        room.settle();
        room.assert_talks();
        room.assert_one_session();
        assert!(!room.hosts.iter().any(|host| host.device.peers[&PEER].timers.is_handshaking()));
        assert!((0..2).all(|host| room.events(host) == [Event::Up { peer: PEER }]));
    }
}

#[test]
fn crossed_initiations_lose_nothing_in_any_order_and_one_side_renews_the_keys() {
    for seed in 0..500 {
        let mut chance = Seeded(seed);
        let mut room = Room::pair();
        room.link(0, b"from 0").unwrap();
        let mut late = Some(chance.below(3));
        let mut flying: Vec<(usize, Vec<u8>)> = Vec::new();
        loop {
            if late == Some(0) {
                room.link(1, b"from 1").unwrap();
            }
            late = late.and_then(|late| late.checked_sub(1));
            for host in 0..2 {
                flying.extend(room.take(host).into_iter().map(|datagram| (host, datagram)));
            }
            if flying.is_empty() {
                break;
            }
            let (from, datagram) = flying.swap_remove(chance.below(flying.len()));
            if let Ok(Some(link)) = room.give(1 - from, address(from), &datagram) {
                room.hosts[1 - from].links.push(link);
            }
        }
        assert_eq!(
            (&room.hosts[1].links[..], &room.hosts[0].links[..]),
            (&[b"from 0".to_vec()][..], &[b"from 1".to_vec()][..]),
            "seed {seed}"
        );
        room.assert_talks();
        room.assert_one_session();
        room.sleep(secs(121));
        let mut begun = 0;
        for host in 0..2 {
            room.link(host, b"later").unwrap();
            begun += room.hosts[host].out.0.iter().filter(|(_, datagram)| datagram.len() == 148).count();
        }
        assert_eq!(begun, 1, "seed {seed}");
    }
}

#[test]
fn only_an_initiation_that_can_have_crossed_is_not_answered() {
    for (lost_for, moved, answered) in
        [(0, false, false), (999, false, false), (0, true, true), (1_000, false, true)]
    {
        let mut room = Room::pair();
        let greater = usize::from(room.public_key(0) < room.public_key(1));
        let lesser = 1 - greater;
        room.begin(greater);
        room.take(greater);
        room.sleep(Duration::from_millis(lost_for));
        room.begin(lesser);
        let initiation = room.take(lesser).remove(0);
        let from = if moved { "198.51.100.9:9".parse().unwrap() } else { address(lesser) };
        assert!(room.give(greater, from, &initiation).is_ok());
        assert_eq!(room.take(greater).len(), usize::from(answered), "{lost_for} ms, moved: {moved}");
        room.pass(secs(6));
        assert!(room.hosts[lesser].device.session_ready(PEER, room.now), "the next try comes through");
    }
}

/// The kernel and wireguard-go have room for one handshake: what they read overwrites what they began.
#[test]
fn crossed_initiations_come_to_a_session_with_a_peer_that_forgets_its_own() {
    for theirs in 0..2 {
        let ours = 1 - theirs;
        for rekey in [false, true] {
            let mut room = if rekey { Room::connected() } else { Room::pair() };
            room.sleep(secs(1));
            room.begin(ours);
            room.begin(theirs);
            let (our_initiation, their_initiation) = (room.take(ours).remove(0), room.take(theirs).remove(0));
            room.give(ours, address(theirs), &their_initiation).unwrap();
            let device = &mut room.hosts[theirs].device;
            let peer = device.peers.get_mut(&PEER).unwrap();
            device.core.drop_attempt(peer);
            peer.last_initiation_sent = None;
            room.give(theirs, address(ours), &our_initiation).unwrap();
            for our_response in room.take(ours) {
                assert_eq!(room.give(theirs, address(ours), &our_response), Err(Discard::UnknownIndex));
            }
            room.settle();
            let expected = if rekey { Event::Rekeyed { peer: PEER } } else { Event::Up { peer: PEER } };
            assert_eq!((room.events(ours), room.events(theirs)), (vec![expected], vec![expected]), "at once");
            room.assert_talks();
            room.pass(secs(300));
            room.assert_talks();
        }
    }
}

impl Room {
    fn assert_one_session(&mut self) {
        let now = self.now;
        let [one, other] = [0, 1].map(|host| {
            let peer = self.hosts[host].device.peers.get_mut(&PEER).unwrap();
            let current = peer.keyring.current(now).unwrap();
            (current.local, current.remote)
        });
        assert_eq!(one, (other.1, other.0), "both send on the same session");
    }
}
