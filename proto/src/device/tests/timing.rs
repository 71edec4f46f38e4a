//! What happens by itself, and what must not.

use super::*;

/// When host 0 sent initiations, from the start of the room.
fn initiations(lost: &[(Duration, usize, usize)]) -> Vec<Duration> {
    lost.iter().filter(|(_, host, len)| (*host, *len) == (0, 148)).map(|(when, ..)| *when).collect()
}

#[test]
fn a_keepalive_does_not_answer_a_keepalive() {
    let mut room = Room::connected();
    room.pass(secs(30));
    room.hosts.iter_mut().for_each(|host| host.keepalives = 0);
    room.link(0, b"one way").unwrap();
    room.pass(secs(60));
    let counts: Vec<_> = room.hosts.iter().map(|host| host.keepalives).collect();
    assert_eq!(counts, [1, 0], "the receiver of data answers once, and nobody answers that");
}

#[test]
fn a_keepalive_comes_ten_seconds_after_data_and_again_if_more_came() {
    let mut room = Room::connected();
    let sent_before = room.status(1).sent;
    room.link(0, b"1").unwrap();
    room.settle();
    room.pass(secs(4));
    room.link(0, b"2").unwrap();
    room.pass(Duration::from_millis(5_999));
    assert_eq!(room.status(1).sent, sent_before);
    room.pass(Duration::from_millis(1));
    assert_eq!(room.status(1).sent, sent_before + 32);
    room.pass(secs(30));
    assert_eq!(room.status(1).sent, sent_before + 64);
}

#[test]
fn keepalive_is_timed_from_data_received_not_from_data_sent() {
    let mut room = Room::connected();
    room.link(0, b"question").unwrap();
    room.settle();
    room.pass(secs(9));
    room.link(1, b"answer").unwrap();
    room.settle();
    assert_eq!(room.hosts[0].links, [b"answer"]);
    let keepalives = (room.hosts[0].keepalives, room.hosts[1].keepalives);
    room.pass(Duration::from_millis(9_999));
    assert_eq!((room.hosts[0].keepalives, room.hosts[1].keepalives), keepalives);
    room.pass(secs(20));
    assert_eq!((room.hosts[0].keepalives, room.hosts[1].keepalives), (keepalives.0, keepalives.1 + 1));
}

#[test]
fn persistent_keepalive_rests_while_traffic_flows() {
    let mut room = Room::connected();
    room.hosts[0].device.set_keepalive(PEER, Some(secs(25)), room.now);
    room.pass(secs(1));
    let before = room.hosts[1].keepalives;
    for _ in 0..50 {
        room.link(0, b"data").unwrap();
        room.link(1, b"data").unwrap();
        room.pass(secs(2));
    }
    assert_eq!(room.hosts[1].keepalives, before, "traffic is enough");
    room.pass(secs(100));
    assert!((3..=5).contains(&(room.hosts[1].keepalives - before)), "{}", room.hosts[1].keepalives - before);
}

#[test]
fn a_persistent_keepalive_brings_the_tunnel_up_by_itself() {
    let mut room = Room::pair();
    room.hosts[0].device.set_keepalive(PEER, Some(secs(25)), room.now);
    room.pass(secs(1));
    assert_eq!(room.events(0), [Event::Up { peer: PEER }]);
    room.pass(secs(3_600));
    let events = room.events(0);
    assert!(
        events.len() >= 20 && events.iter().all(|event| *event == Event::Rekeyed { peer: PEER }),
        "{events:?}"
    );
    room.assert_talks();
}

#[test]
fn retries_and_rekeys_carry_jitter() {
    let mut room = Room::pair();
    room.begin(0);
    let sent = initiations(&room.pass_in_vain(secs(100)));
    let gaps: Vec<_> = sent.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!(gaps.iter().all(|gap| (5_000..=5_333).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().collect::<BTreeSet<_>>().len() > 8, "{gaps:?}");

    let mut ages = BTreeSet::new();
    let mut room = Room::connected();
    for _ in 0..8 {
        let born = room.status(0).last_handshake.unwrap().instant;
        while room.status(0).last_handshake.unwrap().instant == born {
            room.link(0, b"x").unwrap();
            room.settle();
            room.pass(Duration::from_millis(10));
        }
        ages.insert(room.status(0).last_handshake.unwrap().instant.since(born).as_millis());
    }
    assert!(ages.iter().all(|age| (120_000..=120_350).contains(age)), "{ages:?}");
    assert!(ages.len() > 3, "{ages:?}");
}

#[test]
fn nobody_there_is_told_after_ninety_seconds_and_the_queue_is_dropped() {
    let mut room = Room::pair();
    room.link(0, b"hello?").unwrap();
    let sent = initiations(&room.pass_in_vain(secs(97)));
    assert_eq!(sent.len(), 18);
    assert_eq!(room.events(0), [Event::Unreachable { peer: PEER, dropped: 1 }]);
    assert_eq!((room.status(0).staged, room.hosts[0].device.core.indices.iter().count()), (0, 0));
    assert!(room.pass_in_vain(secs(60)).is_empty(), "it does not try for ever");
    room.link(0, b"again").unwrap();
    room.settle();
    assert_eq!(
        (room.events(0), room.hosts[1].links.clone()),
        (vec![Event::Up { peer: PEER }], vec![b"again".to_vec()])
    );
}

#[test]
fn data_without_any_answer_begins_a_handshake_after_fifteen_seconds() {
    let mut room = Room::connected();
    let start = room.now.instant.since_epoch() - START;
    room.link(0, b"anyone?").unwrap();
    let sent = initiations(&room.pass_in_vain(secs(17)));
    assert_eq!(sent.len(), 1);
    assert!((15_000..=15_333).contains(&(sent[0] - start).as_millis()), "{sent:?}");
    assert_eq!(room.events(0), [Event::Silent { peer: PEER }]);
    room.pass(secs(6));
    assert_eq!(room.events(0), [Event::Up { peer: PEER }]);
    room.assert_talks();
}

#[test]
fn only_the_initiator_renews_keys() {
    let mut room = Room::connected();
    room.pass(secs(125));
    room.link(1, b"from the responder").unwrap();
    assert!(room.hosts[1].out.0.iter().all(|(_, datagram)| datagram.len() != 148));
    room.settle();
    room.link(0, b"from the initiator").unwrap();
    assert!(room.hosts[0].out.0.iter().any(|(_, datagram)| datagram.len() == 148));
}

#[test]
fn an_initiator_that_only_receives_renews_keys_before_they_expire() {
    let mut room = Room::connected();
    room.sleep(secs(164));
    room.link(1, b"early").unwrap();
    room.deliver();
    assert!(room.take(0).is_empty());
    room.sleep(secs(2));
    for _ in 0..3 {
        room.link(1, b"late").unwrap();
        room.deliver();
    }
    room.settle();
    assert_eq!(room.events(0), [Event::Rekeyed { peer: PEER }]);
}

#[test]
fn a_tunnel_under_traffic_lives_for_hours_and_loses_nothing() {
    let mut room = Room::connected();
    for minute in 0..240_u32 {
        for host in 0..2 {
            room.link(host, &minute.to_be_bytes()).unwrap();
        }
        room.pass(secs(60));
    }
    for host in &room.hosts {
        assert_eq!(host.links.len(), 240);
        assert!(host.discards.is_empty(), "{:?}", host.discards);
        assert!(host.device.core.indices.iter().count() <= 3);
    }
}

#[test]
fn resume_after_suspend_starts_fresh() {
    for asleep in [181, 600, 86_400] {
        let mut room = Room::connected();
        room.link(1, b"sent before").unwrap();
        let old = room.take(1).remove(0);
        room.sleep(secs(asleep));
        assert!(!room.hosts[0].device.session_ready(PEER, room.now));
        assert_eq!(room.give(0, address(1), &old), Err(Discard::Expired));
        room.link(0, b"hello again").unwrap();
        assert_eq!(room.hosts[0].out.0[0].1.len(), 148, "nothing goes out under the old keys");
        room.settle();
        assert_eq!(room.hosts[1].links, [b"hello again"], "asleep for {asleep} s");
        room.pass(secs(1));
        room.assert_talks();
    }
}

#[test]
fn a_suspend_during_a_handshake_does_not_end_it() {
    let mut room = Room::pair();
    room.link(0, b"patience").unwrap();
    room.take(0);
    room.sleep(secs(7_200));
    room.pass(secs(1));
    assert_eq!(room.hosts[1].links, [b"patience"]);
}

#[test]
fn time_going_backwards_is_survived() {
    let mut room = Room::connected();
    // The wall clock goes back by an hour: initiations still count as newer.
    room.now.wall -= secs(3_600);
    room.sleep(secs(1));
    room.begin(0);
    room.settle();
    assert_eq!(room.events(0), [Event::Rekeyed { peer: PEER }]);
    room.assert_talks();
    // The monotonic clock, which should not, goes back too.
    room.now.instant = Moment::new(START - secs(500));
    room.assert_talks();
    room.begin(0);
    room.begin(1);
    room.settle();
    room.pass(secs(2_000));
    room.assert_talks();
    room.now = Now::default();
    room.assert_talks();
}

#[test]
fn unused_keys_are_wiped() {
    let mut room = Room::connected();
    room.pass(secs(539));
    assert_eq!(room.status(0).sessions, 1);
    room.pass(secs(2));
    for host in 0..2 {
        assert_eq!((room.status(host).sessions, room.status(host).reach), (0, Reach::Down));
        assert_eq!(room.events(host), [Event::Idle { peer: PEER }]);
        assert_eq!(room.hosts[host].device.core.indices.iter().count(), 0);
        assert_eq!(room.hosts[host].device.poll_timeout(), None);
    }
    room.assert_talks();
}

#[test]
fn a_restarted_peer_is_let_in_again() {
    let mut room = Room::connected();
    room.pass(secs(10));
    let mut fresh = Room::pair();
    core::mem::swap(&mut room.hosts[0], &mut fresh.hosts[0]);
    // The new device's clock is the room's, so its timestamp is newer than the old one's.
    room.link(0, b"I was away").unwrap();
    room.settle();
    assert_eq!(room.hosts[1].links, [b"I was away"]);
    room.assert_talks();
}

#[test]
fn traffic_does_not_grow_the_queue_of_deadlines() {
    let mut room = Room::connected();
    room.hosts[0].device.set_keepalive(PEER, Some(secs(25)), room.now);
    for _ in 0..1_000 {
        room.assert_talks();
        room.sleep(Duration::from_millis(10));
        assert!(room.hosts.iter().all(|host| host.device.core.deadlines.len() <= 1));
    }
}

#[test]
fn every_datagram_of_a_lossy_network_is_delivered_once_or_not_at_all() {
    for seed in 0..20 {
        let mut chance = Seeded(seed);
        let mut room = Room::pair();
        let mut sent = Vec::new();
        for step in 0..400_u32 {
            let host = chance.below(2);
            let datagram = [&[host as u8][..], &step.to_be_bytes()].concat();
            let _ = room.link(host, &datagram);
            sent.push(datagram);
            room.pass_with(Duration::from_millis(chance.below(3_000) as u64), |room| {
                for host in &mut room.hosts {
                    host.out.0.retain(|_| chance.below(4) != 0);
                    if chance.below(3) == 0 {
                        let again = host.out.0.clone();
                        host.out.0.extend(again);
                        host.out.0.reverse();
                    }
                }
                room.deliver();
            });
        }
        let mut all: Vec<_> = room.hosts.iter().flat_map(|host| host.links.clone()).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "seed {seed}: something arrived twice");
        assert!(all.iter().all(|datagram| sent.contains(datagram)), "seed {seed}");
        assert!(count > 150, "seed {seed}: only {count} of 400 arrived");
        room.pass(secs(120));
        room.assert_talks();
    }
}

#[test]
fn a_crowd_that_is_due_at_once_lets_packets_flow_between() {
    const CROWD: usize = 100;
    let mut room = Room::connected();
    for at in 0..CROWD {
        let mut key = [9; 32];
        key[0] = at as u8;
        let config = PeerConfig {
            public_key: PublicKey::from_bytes(key),
            preshared_key: None,
            endpoint: Some(SocketAddr::from(([198, 51, 100, at as u8], 51_820))),
            keepalive: Some(secs(25)),
        };
        room.hosts[0].device.add_peer(config, room.now).unwrap();
    }
    let mut called = Vec::new();
    while room.hosts[0].device.poll_timeout().is_some_and(|(due, _)| due <= room.now.instant) {
        let Host { device, out, .. } = &mut room.hosts[0];
        device.handle_timeout(room.now, out);
        assert!(out.0.len() <= MAX_WAKES, "{} at once", out.0.len());
        called.extend(out.0.drain(..).map(|(to, datagram)| (to, datagram.len())));
        room.assert_talks();
    }
    let addresses: BTreeSet<_> = called.iter().map(|(to, _)| to).collect();
    assert_eq!((called.len(), addresses.len()), (CROWD, CROWD), "each is called once");
    assert!(called.iter().all(|(_, len)| *len == 148));
}
