//! Echoes, and what did not arrive.

use super::*;
use crate::peer::window::WINDOW;

impl Room {
    fn ask(&mut self, id: u64, size: usize) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[0];
        device.send_echo(PEER, id, size, self.now, out)
    }
}

#[test]
fn an_echo_comes_back_with_its_id_and_length() {
    let mut room = Room::connected();
    for (id, size, len) in [(1, 0, 12), (2, 12, 12), (3, 56, 56), (u64::MAX, 1420, 1420), (5, 65_475, 65_475)]
    {
        room.ask(id, size).unwrap();
        let request = room.hosts[0].out.0[0].1.len();
        room.deliver();
        assert_eq!(room.hosts[1].out.0[0].1.len(), request, "as long as its request");
        room.settle();
        assert_eq!(core::mem::take(&mut room.hosts[0].echoes), [Echo { id, len }]);
        assert!(
            room.hosts[1].echoes.is_empty() && room.hosts[1].links.is_empty(),
            "the device answers, nobody else"
        );
    }
    assert_eq!(room.ask(6, 65_476), Err(Discard::Oversized));
    assert!(room.hosts.iter().all(|host| host.discards.is_empty()));
}

#[test]
fn an_echo_waits_for_a_session_and_an_answer_does_not() {
    let mut room = Room::pair();
    room.ask(1, 100).unwrap();
    room.settle();
    assert_eq!(room.hosts[0].echoes, [Echo { id: 1, len: 100 }]);
    // Host 1 opens with the old session and has none to send with: it neither answers nor calls.
    room.ask(2, 100).unwrap();
    let request = room.take(0).remove(0);
    room.hosts[1].device.peers.get_mut(&PEER).unwrap().keyring.lose_current();
    assert_eq!(room.give(1, address(0), &request), Ok(None));
    assert!(room.take(1).is_empty() && room.status(1).staged == 0);
}

#[test]
fn an_answer_is_never_longer_than_its_request_nor_answered() {
    let mut room = Room::connected();
    // A request of 12 bytes by a peer that does not pad.
    room.hosts[0].device.set_mtu(0);
    room.ask(1, 12).unwrap();
    let request = room.take(0).remove(0);
    assert_eq!(request.len(), 44);
    room.give(1, address(0), &request).unwrap();
    let answer = room.take(1).remove(0);
    assert_eq!(answer.len(), 44);
    room.give(0, address(1), &answer).unwrap();
    assert_eq!(room.hosts[0].echoes.len(), 1);
    assert!(room.take(0).is_empty(), "an answer has no answer");
    assert_eq!(room.give(1, address(0), &request), Err(Discard::Replayed));
    assert!(room.take(1).is_empty());
}

#[test]
fn packets_that_never_came_are_counted() {
    let mut room = Room::connected();
    assert_eq!((room.status(1).lost, room.status(1).received_packets), (0, 1), "the confirming keepalive");
    for number in 0..WINDOW * 2 {
        room.link(0, b"x").unwrap();
        if number.is_multiple_of(10) {
            room.take(0);
        }
        room.deliver();
    }
    assert_eq!(
        room.status(1).lost,
        (WINDOW * 2).div_ceil(10),
        "at once, not when the window has left them behind"
    );
    let received = room.status(1).received_packets;
    assert_eq!(received, 1 + WINDOW * 2 - (WINDOW * 2).div_ceil(10));
    // What is missing when a session goes is lost as well.
    for _ in 0..2 {
        room.sleep(secs(1));
        room.begin(0);
        room.settle();
    }
    assert_eq!(room.status(1).lost, (WINDOW * 2).div_ceil(10));
    assert_eq!(room.status(0).lost, 0);
}
