//! Which way datagrams go: from which of our addresses, and to which of theirs.

use super::*;
use crate::outbox::Source;
use crate::wire::COOKIE_REPLY_LEN;

fn source(last: u8) -> Source {
    Source { ip: IpAddr::from([192, 0, 2, last]), interface: 3 }
}

/// From `host` to the address that ends in `last`.
fn path(host: usize, last: u8) -> Path {
    Path { remote: address(host), source: Some(source(last)) }
}

impl Room {
    /// The sources of what host 0 has sent since it was asked last.
    fn sources(&mut self) -> Vec<Option<Source>> {
        self.hosts[0].out.0.clear();
        self.hosts[0].out.1.drain(..).map(|envelope| envelope.path.source).collect()
    }

    /// Host 1 sends host 0 something, which arrives at its address that ends in `last`.
    fn hear_at(&mut self, last: u8) {
        self.link(1, b"hello").unwrap();
        let datagram = self.take(1).remove(0);
        self.give(0, path(1, last), &datagram).unwrap();
    }
}

#[test]
fn what_is_sent_leaves_from_where_the_peer_last_reached_us() {
    let mut room = Room::pair();
    room.begin(1);
    let initiation = room.take(1).remove(0);
    room.give(0, path(1, 7), &initiation).unwrap();
    assert_eq!(room.hosts[0].out.1[0].path, path(1, 7), "the response");
    room.settle();
    room.events(0);
    for last in [8, 9] {
        room.hear_at(last);
        room.sources();
        room.link(0, b"answer").unwrap();
        assert_eq!(room.sources(), [Some(source(last))]);
        assert_eq!(room.status(0).source, Some(source(last)));
    }
    assert_eq!(room.events(0), [], "another source alone is no move");
    let mut forged = vec![0; 64];
    forged[0] = 4;
    assert!(room.give(0, path(1, 66), &forged).is_err());
    assert_eq!(room.status(0).source, Some(source(9)), "only an authentic packet changes it");
}

#[test]
fn a_cookie_reply_goes_back_the_way_the_initiation_came() {
    let mut room = Room::pair();
    room.begin(1);
    let initiation = room.take(1).remove(0);
    let limits = &mut room.hosts[0].device.core.limits;
    while limits.admit(address(1), crate::peer::limits::Proof::Missing, room.now)
        == crate::peer::limits::Admission::Handshake
    {}
    assert_eq!(room.give(0, path(1, 7), &initiation), Err(Discard::CookieSent));
    let reply = room.take(0).remove(0);
    assert_eq!(reply.len(), COOKIE_REPLY_LEN);
    assert_eq!(room.hosts[0].out.1, [Envelope { path: path(1, 7), tos: 0x88 }]);
    assert_eq!(room.status(0).source, None, "it proved nothing");
}

#[test]
fn a_source_is_forgotten_when_it_may_no_longer_hold() {
    let mut room = Room::connected();
    type Change = fn(&mut Device);
    let changes: [(Change, bool); 4] = [
        (|device| device.forget_source(address(1)), true),
        (|device| device.forget_source(address(5)), false),
        (Device::forget_sources, true),
        (|device| assert!(device.set_endpoint(PEER, address(1))), true),
    ];
    for (at, (change, forgotten)) in changes.into_iter().enumerate() {
        room.hear_at(7);
        change(&mut room.hosts[0].device);
        room.sources();
        room.link(0, b"x").unwrap();
        assert_eq!(room.sources(), [(!forgotten).then(|| source(7))], "change {at}");
    }
}

#[test]
fn only_peers_at_that_address_forget_their_source() {
    let mut room = Room::of(4);
    (1..4).for_each(|other| room.introduce(0, other));
    assert_eq!(room.hosts[0].device.sources().count(), 0);
    for (host, last) in [(1, 7), (2, 8), (3, 7)] {
        room.begin(host);
        let initiation = room.take(host).remove(0);
        room.give(0, path(host, last), &initiation).unwrap();
    }
    let known = |room: &Room| room.hosts[0].device.sources().collect::<Vec<_>>();
    let all =
        [(1, 7), (2, 8), (3, 7)].map(|(host, last)| (PeerId(host - 1), address(host as usize), source(last)));
    assert_eq!(known(&room), all);
    room.hosts[0].device.forget_source(address(2));
    assert_eq!(known(&room), [all[0], all[2]]);
    let remotes: Vec<_> = (0..3).map(|peer| room.hosts[0].device.endpoint(PeerId(peer))).collect();
    assert_eq!(remotes, [1, 2, 3].map(|host| Some(address(host))), "where they are stays known");
}

#[test]
fn a_retried_handshake_leaves_it_to_the_routing_table_where_from() {
    let mut room = Room::connected();
    room.hear_at(7);
    room.sources();
    room.begin(0);
    assert_eq!(room.sources(), [Some(source(7))], "the first goes the way that is known");
    room.pass_in_vain(secs(6));
    assert_eq!(room.sources(), [None]);
    // And when data has had no answer of any kind.
    let mut room = Room::connected();
    room.hear_at(7);
    room.link(0, b"anyone?").unwrap();
    room.sources();
    room.pass_in_vain(secs(16));
    assert_eq!(room.sources(), [None]);
}

#[test]
fn two_ends_that_move_at_once_meet_where_the_operator_said() {
    let mut room = Room::connected();
    // Host 1 roams, and host 0 follows it.
    let roamed = address(7);
    room.hosts[1].address = roamed;
    room.link(1, b"from elsewhere").unwrap();
    room.settle();
    assert_eq!(room.status(0).endpoint, Some(roamed));
    // In one outage host 1 returns and host 0 moves: neither is where the other saw it last.
    room.hosts[1].address = address(1);
    room.hosts[0].address = address(8);
    room.events(0);
    room.link(0, b"where are you?").unwrap();
    room.pass(secs(16));
    assert_eq!(room.events(0), [Event::Silent { peer: PEER }]);
    room.link(0, b"there!").unwrap();
    room.pass(secs(40));
    assert_eq!(room.status(0).endpoint, Some(roamed), "the first half of the attempts goes where it was");
    assert!(room.events(0).is_empty());
    room.pass(secs(20));
    assert_eq!(
        room.events(0),
        [Event::Moved { peer: PEER, from: Some(roamed), to: address(1) }, Event::Up { peer: PEER }]
    );
    room.assert_talks();
}

#[test]
fn a_retry_elsewhere_does_not_move_the_endpoint_until_somebody_answers() {
    let mut room = Room::connected();
    room.hosts[1].address = address(7);
    room.link(1, b"from elsewhere").unwrap();
    room.settle();
    room.begin(0);
    room.hosts[0].out.1.clear();
    room.pass_in_vain(secs(97));
    let to: Vec<_> = room.hosts[0].out.1.iter().map(|envelope| envelope.path.remote).collect();
    assert_eq!((&to[..8], &to[8..]), (&[address(7); 8][..], &[address(1); 9][..]), "after the first of 18");
    assert_eq!(room.status(0).endpoint, Some(address(7)));
}
