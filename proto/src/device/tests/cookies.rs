//! Floods, and what honest peers notice of them.

use super::*;
use crate::peer::limits::{Admission, Proof};
use crate::wire::COOKIE_REPLY_LEN;

/// `host` sends initiations as fast as it can make them, and never takes an answer; returns what host 1 answered to it.
fn flood(room: &mut Room, host: usize, from: SocketAddr, count: usize) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for _ in 0..count {
        let now = room.now;
        let Host { device, out, .. } = &mut room.hosts[host];
        let peer = device.peers.get_mut(&PEER).unwrap();
        device.core.initiate(PEER, peer, now, out).unwrap();
        for initiation in room.take(host) {
            let _ = room.give(1, from, &initiation);
        }
        answers.extend(room.take(1));
    }
    answers
}

fn cookies(answers: &[Vec<u8>]) -> usize {
    answers.iter().filter(|answer| answer.len() == COOKIE_REPLY_LEN).count()
}

/// Hosts 0 and 2 both know host 1; host 1 has them as peers 0 and 1.
fn three() -> Room {
    let mut room = Room::of(3);
    room.introduce(0, 1);
    room.introduce(2, 1);
    room
}

#[test]
fn one_flooding_source_does_not_put_others_under_cookie() {
    let mut room = three();
    let answers = flood(&mut room, 2, address(2), 400);
    assert!(cookies(&answers) > 200, "{} cookies", cookies(&answers));
    room.link(0, b"honest").unwrap();
    room.settle();
    assert_eq!(room.hosts[1].links, [b"honest"], "an honest peer's first initiation is answered");
}

#[test]
fn hundred_honest_handshakes_do_not_trigger_load() {
    let mut room = Room::of(101);
    for host in 0..100 {
        room.introduce(host, 100);
    }
    for host in 0..100 {
        room.begin(host);
    }
    room.settle();
    for host in 0..100 {
        assert_eq!(room.events(host), [Event::Up { peer: PEER }], "host {host}");
    }
    // And the same from behind one address, at once.
    let mut room = Room::of(101);
    for host in 0..100 {
        room.introduce(host, 100);
        room.begin(host);
        let initiation = room.take(host).remove(0);
        let from = SocketAddr::from(([203, 0, 113, 1], 1_000 + host as u16));
        assert!(room.give(100, from, &initiation).is_ok(), "host {host}");
    }
}

/// Makes host 1 ask host 0 for proof of its address; returns the cookie reply to host 0's last initiation.
fn asked_for_proof(room: &mut Room) -> Vec<u8> {
    let answers = flood(room, 0, address(0), 150);
    let reply = answers.last().unwrap().clone();
    assert_eq!(reply.len(), COOKIE_REPLY_LEN);
    reply
}

#[test]
fn a_cookie_is_used_for_the_next_initiation_and_lets_it_through() {
    let mut room = Room::pair();
    let reply = asked_for_proof(&mut room);
    room.give(0, address(1), &reply).unwrap();
    assert!(room.take(0).is_empty(), "not at once");
    room.sleep(Duration::from_millis(20));
    flood_out_budget(&mut room, address(0));
    room.events(0);
    room.begin_anew(0);
    room.settle();
    assert_eq!(room.events(0), [Event::Up { peer: PEER }]);
    assert!(!room.hosts[1].discards.contains(&Discard::CookieSent));
    room.assert_talks();
}

#[test]
fn a_cookie_reply_does_not_move_the_endpoint() {
    let mut room = Room::pair();
    let reply = asked_for_proof(&mut room);
    let elsewhere: SocketAddr = "198.51.100.66:1".parse().unwrap();
    room.give(0, elsewhere, &reply).unwrap();
    assert_eq!(room.status(0).endpoint, Some(address(1)));
    assert_eq!(room.events(0), []);
}

#[test]
fn a_cookie_that_nobody_asked_for_is_refused() {
    let mut room = Room::pair();
    let reply = asked_for_proof(&mut room);
    let mut forged = reply.clone();
    forged[40] ^= 1;
    assert_eq!(room.give(0, address(1), &forged), Err(Discard::NotAuthentic));
    assert!(room.give(0, address(1), &reply).is_ok());
    assert_eq!(room.give(0, address(1), &reply), Err(Discard::UnexpectedCookie));
    let mut elsewhere = reply;
    elsewhere[4] ^= 1;
    assert_eq!(room.give(0, address(1), &elsewhere), Err(Discard::UnknownIndex));
}

#[test]
fn cookie_is_bound_to_address_and_port() {
    let mut room = Room::pair();
    let reply = asked_for_proof(&mut room);
    room.give(0, address(1), &reply).unwrap();
    let mut other_port = address(0);
    other_port.set_port(1);
    for (from, good) in [(other_port, false), (address(0), true)] {
        room.sleep(Duration::from_millis(20));
        let now = room.now;
        let Host { device, out, .. } = &mut room.hosts[0];
        let peer = device.peers.get_mut(&PEER).unwrap();
        device.core.initiate(PEER, peer, now, out).unwrap();
        let initiation = room.take(0).remove(0);
        let expected = if good { Ok(None) } else { Err(Discard::CookieSent) };
        // What the source may do unproven is used up, so that all depends on the cookie.
        flood_out_budget(&mut room, from);
        assert_eq!(room.give(1, from, &initiation), expected, "from {from}");
    }
}

/// Uses up what `from`'s address may do without proof, with initiations that fail later.
fn flood_out_budget(room: &mut Room, from: SocketAddr) {
    let (now, limits) = (room.now, &mut room.hosts[1].device.core.limits);
    while limits.admit(from, Proof::Missing, now) == Admission::Handshake {}
}

#[test]
fn a_flood_of_forged_answers_is_asked_for_proof_and_a_stranger_to_the_index_hears_nothing() {
    let mut room = Room::pair();
    room.begin(0);
    let initiation = room.take(0).remove(0);
    room.give(1, address(0), &initiation).unwrap();
    let response = room.take(1).remove(0);
    let closed = |room: &mut Room, mut forged: Vec<u8>| {
        let now = room.now;
        let own = room.public_key(0);
        crate::peer::cookie::Closer::new(&own).close(&mut forged, now);
        forged
    };
    let mut forged = response.clone();
    forged[50] ^= 1;
    let forged = closed(&mut room, forged);
    let outcomes: Vec<_> = (0..200).map(|_| room.give(0, address(1), &forged).unwrap_err()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Discard::NotAuthentic).count(), 128);
    assert_eq!(outcomes.last(), Some(&Discard::CookieSent));
    let asked = room.take(0);
    assert_eq!(asked.len(), 72);
    let mut guessed = forged;
    guessed[8] ^= 1;
    let guessed = closed(&mut room, guessed);
    assert_eq!(room.give(0, address(1), &guessed), Err(Discard::UnknownIndex));
    assert!(room.take(0).is_empty());
    // The honest peer answers the next initiation with the cookie that its own answer brings.
    assert_eq!(room.give(0, address(1), &response), Err(Discard::CookieSent));
    let cookie = room.take(0).remove(0);
    room.give(1, address(0), &cookie).unwrap();
    room.sleep(Duration::from_millis(20));
    room.begin_anew(0);
    let limits = &mut room.hosts[0].device.core.limits;
    while limits.admit(address(1), Proof::Missing, room.now) == Admission::Handshake {}
    room.settle();
    room.assert_talks();
}

#[test]
fn one_peer_is_answered_every_twenty_milliseconds_at_most() {
    let mut room = Room::pair();
    let answers = flood(&mut room, 0, address(0), 5);
    assert_eq!(answers.len(), 1);
    room.sleep(Duration::from_millis(20));
    assert_eq!(flood(&mut room, 0, address(0), 5).len(), 1);
}

#[test]
fn a_bad_mac_is_never_answered_even_under_load() {
    let mut room = Room::pair();
    asked_for_proof(&mut room);
    room.begin_anew(0);
    let mut initiation = room.take(0).remove(0);
    initiation[116] ^= 1;
    assert_eq!(room.give(1, address(0), &initiation), Err(Discard::BadMac));
    assert!(room.take(1).is_empty());
}

impl Room {
    fn begin_anew(&mut self, host: usize) {
        let now = self.now;
        let Host { device, out, .. } = &mut self.hosts[host];
        let peer = device.peers.get_mut(&PEER).unwrap();
        device.core.initiate(PEER, peer, now, out).unwrap();
    }
}
