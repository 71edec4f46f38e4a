//! Who may send a packet from which inner address, and how packets leave.

use super::*;
use crate::parcel::Parcel;

/// Hosts 0 and 2 both know host 1; host 1 has them as peers 0 and 1, and sessions stand.
fn three() -> Room {
    let mut room = Room::of(3);
    room.introduce(0, 1);
    room.introduce(2, 1);
    for host in [0, 2] {
        room.begin(host);
    }
    room.settle();
    room
}

const OTHER: PeerId = PeerId(1);

#[test]
fn inner_source_must_route_to_the_same_peer_even_inside_a_wider_prefix() {
    let mut room = three();
    let device = &mut room.hosts[1].device;
    for (peer, text) in
        [(PEER, "10.0.0.0/8"), (OTHER, "10.7.0.0/16"), (PEER, "fd00::/8"), (OTHER, "fd07::/16")]
    {
        assert!(device.add_allowed_ip(peer, prefix(text)));
    }
    for (host, source, outcome) in [
        (0, "10.1.0.1", Ok(())),
        (0, "10.7.0.1", Err(Discard::ForeignSource)),
        (0, "11.0.0.1", Err(Discard::ForeignSource)),
        (2, "10.7.0.1", Ok(())),
        (2, "10.1.0.1", Err(Discard::ForeignSource)),
        (0, "fd01::1", Ok(())),
        (0, "fd07::1", Err(Discard::ForeignSource)),
        (0, "fe80::1", Err(Discard::ForeignSource)),
        (2, "fd07::1", Ok(())),
        (2, "fd01::1", Err(Discard::ForeignSource)),
    ] {
        let packet = packet(source, 0, 60);
        room.ip(host, &packet).unwrap();
        let sealed = room.take(host).remove(0);
        let received = room.give(1, address(host), &sealed);
        assert_eq!(received, outcome.map(|()| Some(packet)), "{source} from host {host}");
    }
    assert_eq!(room.hosts[1].device.route("10.7.9.9".parse().unwrap()), Some(OTHER));
}

#[test]
fn a_prefix_has_one_owner_and_moves_to_the_last() {
    let mut room = three();
    let device = &mut room.hosts[1].device;
    let (wide, narrow) = (prefix("10.0.0.0/8"), prefix("10.7.0.0/16"));
    assert!(device.add_allowed_ip(PEER, wide) && device.add_allowed_ip(PEER, narrow));
    assert!(device.add_allowed_ip(OTHER, narrow));
    assert_eq!(device.allowed_ips(PEER).collect::<Vec<_>>(), [wide]);
    assert_eq!(device.allowed_ips(OTHER).collect::<Vec<_>>(), [narrow]);
    assert!(!device.remove_allowed_ip(PEER, narrow), "it is not this peer's");
    assert!(device.remove_allowed_ip(OTHER, narrow) && !device.remove_allowed_ip(OTHER, narrow));
    assert_eq!(device.route("10.7.0.1".parse().unwrap()), Some(PEER));
    device.clear_allowed_ips(PEER);
    assert_eq!((device.allowed_ips(PEER).count(), device.route("10.7.0.1".parse().unwrap())), (0, None));
    assert!(!device.add_allowed_ip(PeerId(9), wide));
}

/// Packets that are written where they leave.
struct Burst {
    sizes: Vec<usize>,
    tos: u8,
}

impl Burst {
    fn packet(&self, index: usize) -> Vec<u8> {
        let mut packet = packet("10.0.0.1", self.tos, self.sizes[index]);
        packet[19] = index as u8;
        packet
    }
}

impl Parcel for Burst {
    fn count(&self) -> usize {
        self.sizes.len()
    }

    fn len(&self, index: usize) -> usize {
        self.sizes[index]
    }

    fn write(&self, index: usize, slot: &mut [u8]) {
        slot.copy_from_slice(&self.packet(index));
    }

    fn tos(&self) -> u8 {
        self.tos
    }
}

impl Room {
    fn send(&mut self, burst: &Burst) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[0];
        device.send_packets(PEER, burst, self.now, out)
    }

    fn tos(&self, host: usize) -> Vec<u8> {
        self.hosts[host].out.1.iter().map(|envelope| envelope.tos).collect()
    }
}

#[test]
fn a_parcel_arrives_whole_in_order_each_packet_padded_within_the_mtu() {
    let mut room = Room::connected();
    room.allow_all();
    let burst = Burst { sizes: vec![1420, 1420, 1410, 33], tos: 0 };
    room.send(&burst).unwrap();
    let sent: Vec<_> = room.hosts[0].out.0.iter().map(|(_, datagram)| datagram.len() - 32).collect();
    assert_eq!(sent, [1420, 1420, 1420, 48]);
    room.settle();
    assert_eq!(room.hosts[1].links, (0..4).map(|at| burst.packet(at)).collect::<Vec<_>>());
    assert_eq!(room.send(&Burst { sizes: Vec::new(), tos: 0 }), Ok(()), "nothing is nothing");
    assert!(room.take(0).is_empty());
}

#[test]
fn a_parcel_waits_for_a_session_whole_and_remembers_its_ecn() {
    let mut room = Room::pair();
    room.allow_all();
    let burst = Burst { sizes: vec![600; 100], tos: 0xb8 | 1 };
    room.send(&burst).unwrap();
    assert_eq!((room.hosts[0].out.0.len(), room.status(0).staged), (1, 100));
    let more = Burst { sizes: vec![700; 30], tos: 2 };
    assert_eq!(room.send(&more), Err(Discard::StagedTooLong), "two of the oldest made room");
    room.settle();
    let all: Vec<_> = (2..100).map(|at| burst.packet(at)).chain((0..30).map(|at| more.packet(at))).collect();
    assert_eq!(room.hosts[1].links, all);
    assert_eq!(room.tos(0), [&[0x88][..], &[1; 98], &[2; 30]].concat());
}

#[test]
fn outside_shows_only_the_ecn_of_data_and_handshakes_are_af41() {
    let mut room = Room::pair();
    room.allow_all();
    room.begin(0);
    room.settle();
    assert_eq!((room.tos(0), room.tos(1)), (vec![0x88, 0], vec![0x88]), "initiation, keepalive; response");
    for (source, tos, outside) in
        [("10.0.0.1", 0xb9, 1), ("10.0.0.1", 0xfc, 0), ("fd00::1", 0xbb, 3), ("fd00::1", 0x02, 2)]
    {
        room.hosts[0].out.1.clear();
        room.ip(0, &packet(source, tos, 60)).unwrap();
        assert_eq!(room.tos(0), [outside], "{source} {tos:#x}");
    }
    room.hosts[0].out.1.clear();
    room.link(0, b"frame").unwrap();
    assert_eq!(room.tos(0), [0]);
}

#[test]
fn what_finds_no_room_or_is_too_large_ends_its_parcel_and_the_timers_know_what_went() {
    let mut room = Room::connected();
    room.allow_all();
    room.take(0);
    let Host { device, out, .. } = &mut room.hosts[0];
    let burst = Burst { sizes: vec![100; 5], tos: 0 };
    assert_eq!(device.send_packets(PEER, &burst, room.now, &mut Narrow(out, 3)), Err(Discard::OutboxFull));
    assert_eq!(room.hosts[0].out.0.len(), 3);
    assert_eq!(room.hosts[0].device.peers[&PEER].timers.next().map(|(_, wake)| wake), Some(Wake::Silence));
    let burst = Burst { sizes: vec![100, 70_000, 100], tos: 0 };
    assert_eq!(room.send(&burst), Err(Discard::Oversized));
    assert_eq!(room.take(0).len(), 4);
}
