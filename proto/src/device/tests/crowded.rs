//! An outbox without room.

use super::*;

/// Host 0 has `count` datagrams waiting, and holds the answer to its initiation.
fn answered(count: u8) -> (Room, Vec<u8>) {
    let mut room = Room::pair();
    for at in 0..count {
        room.link(0, &[at]).unwrap();
    }
    room.begin(0);
    let initiation = room.take(0).remove(0);
    room.give(1, address(0), &initiation).unwrap();
    let response = room.take(1).remove(0);
    (room, response)
}

fn receive_with_room(room: &mut Room, datagram: &mut [u8], places: usize) -> Result<(), Discard> {
    let now = room.now;
    let Host { device, out, .. } = &mut room.hosts[0];
    device.handle_datagram(address(1), datagram, now, &mut Narrow(out, places)).map(|_| ())
}

#[test]
fn a_packet_waits_even_if_its_initiation_finds_no_room() {
    let mut room = Room::pair();
    let Host { device, out, .. } = &mut room.hosts[0];
    assert_eq!(device.send_link(PEER, b"patient", room.now, &mut Narrow(out, 0)), Ok(()));
    room.pass(secs(6));
    assert_eq!(room.hosts[1].links, [b"patient"]);
}

#[test]
fn what_waited_for_a_session_waits_for_room_too_and_arrives_in_order() {
    let (mut room, mut response) = answered(100);
    receive_with_room(&mut room, &mut response, 30).unwrap();
    assert_eq!((room.hosts[0].out.0.len(), room.status(0).staged), (30, 70));
    room.deliver();
    for expected in [60, 90, 100] {
        let (due, wake) = room.hosts[0].device.poll_timeout().unwrap();
        assert_eq!((due.since(room.now.instant), wake), (Duration::from_millis(1), Wake::Flush));
        room.sleep(Duration::from_millis(1));
        let Host { device, out, .. } = &mut room.hosts[0];
        device.handle_timeout(room.now, &mut Narrow(out, 30));
        room.deliver();
        assert_eq!(room.hosts[1].links.len(), expected);
    }
    assert!(room.hosts[1].links.iter().enumerate().all(|(at, link)| link == &[at as u8]));
    assert_ne!(room.hosts[0].device.poll_timeout().unwrap().1, Wake::Flush);
}

#[test]
fn what_comes_later_does_not_overtake_what_waits_for_room() {
    let (mut room, mut response) = answered(3);
    receive_with_room(&mut room, &mut response, 1).unwrap();
    let Host { device, out, .. } = &mut room.hosts[0];
    device.send_link(PEER, &[3], room.now, &mut Narrow(out, 1)).unwrap();
    device.send_link(PEER, &[4], room.now, &mut Narrow(out, 3)).unwrap();
    assert_eq!((room.hosts[0].out.0.len(), room.status(0).staged), (3, 2));
    room.link(0, &[5]).unwrap();
    room.deliver();
    assert_eq!(room.hosts[1].links, [[0], [1], [2], [3], [4], [5]]);
}

#[test]
fn what_waits_for_room_longer_than_its_session_lives_gets_another() {
    let (mut room, mut response) = answered(3);
    receive_with_room(&mut room, &mut response, 0).unwrap();
    room.sleep(secs(181));
    room.pass(secs(1));
    assert_eq!(room.hosts[1].links.len(), 3);
}

#[test]
fn a_refused_confirmation_does_not_lose_the_timers() {
    let (mut room, mut response) = answered(0);
    receive_with_room(&mut room, &mut response, 0).unwrap();
    assert!(room.take(0).is_empty());
    assert!(room.hosts[0].device.session_ready(PEER, room.now));
    let deadlines = room.hosts[0].device.poll_timeout();
    let earliest = room.hosts[0].device.peers[&PEER].timers.next();
    assert!(
        earliest.is_some() && deadlines <= earliest && deadlines.is_some(),
        "{deadlines:?}, {earliest:?}"
    );
    room.assert_talks();
}
