use core::net::IpAddr;
use std::collections::BTreeSet;

use super::super::tests::{ACK, SYN, SYN_ACK, at, between};
use super::*;
use crate::zmtp::{EndSocket, SocketType};
use Direction::{In, Out};

const FIN: TcpFlags = TcpFlags::FIN.and(TcpFlags::ACK);
const RST: TcpFlags = TcpFlags::RST;

/// A packet as the tunnel carries it: our end is 10.0.0.1 port 5000.
struct Wire {
    port: u16,
    peer: u32,
}

fn greeting(socket: &[u8; 3]) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL".to_vec();
    bytes.resize(64, 0);
    [&bytes, &b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03"[..], socket].concat()
}

impl Wire {
    fn subject(&self, direction: Direction, flags: TcpFlags) -> Subject {
        let (source, destination) = if direction == Out { (5000, self.port) } else { (self.port, 5000) };
        between(direction, Transport::Tcp { source, destination, flags })
    }

    /// Each end counts its bytes from 1000.
    fn packet(&self, direction: Direction, flags: TcpFlags, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let subject = self.subject(direction, flags);
        let octets = |address| if let IpAddr::V4(address) = address { address.octets() } else { [0; 4] };
        let (source, destination) = if direction == Out { (5000, self.port) } else { (self.port, 5000) };
        let length = (40 + payload.len()) as u16;
        let mut packet = [&[0x45, 0][..], &length.to_be_bytes(), &[0, 0, 0, 0, 64, 6, 0, 0]].concat();
        packet.extend_from_slice(&octets(subject.source));
        packet.extend_from_slice(&octets(subject.destination));
        packet.extend_from_slice(&source.to_be_bytes());
        packet.extend_from_slice(&destination.to_be_bytes());
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&1000_u32.to_be_bytes());
        packet.extend_from_slice(&[0x50, flags.0, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        packet
    }

    fn send(
        &self,
        speakers: &mut Speakers,
        direction: Direction,
        flags: TcpFlags,
        payload: &[u8],
        millis: u64,
    ) -> Seen {
        let sequence = if flags.has(SYN) { 999 } else { 1000 };
        let packet = self.packet(direction, flags, sequence, payload);
        speakers.watch(direction, self.peer, &self.subject(direction, flags), &packet, at(millis))
    }

    fn open(&self, speakers: &mut Speakers, opener: Direction, millis: u64) -> Seen {
        _ = self.send(speakers, opener, SYN, b"", millis);
        self.send(speakers, opener.opposite(), SYN_ACK, b"", millis)
    }
}

const WIRE: Wire = Wire { port: 5555, peer: 1 };
const UNDECIDED: Seen = Seen { spoken: Recognised::Undecided, gap: false };

#[test]
fn a_flow_is_told_from_its_packets_whoever_opened_it() {
    for opener in [Out, In] {
        let mut speakers = Speakers::new(16, 7);
        assert_eq!(WIRE.open(&mut speakers, opener, 0), UNDECIDED);
        assert_eq!(WIRE.send(&mut speakers, opener, ACK, &greeting(b"SUB"), 0), UNDECIDED);
        let seen = WIRE.send(&mut speakers, opener.opposite(), ACK, &greeting(b"PUB"), 0);
        let mut mechanism = [0; 20];
        mechanism[..4].copy_from_slice(b"NULL");
        let sockets = [EndSocket::Is(SocketType::Sub), EndSocket::Is(SocketType::Pub)];
        assert_eq!(seen, Seen { spoken: Recognised::Zmtp { mechanism, sockets }, gap: false });
        assert_eq!(speakers.len(), 1);
        let other = Wire { port: 5556, peer: 1 };
        assert_eq!(other.send(&mut speakers, opener, ACK, b"x", 0), UNTOLD);
    }
}

#[test]
fn what_was_not_seen_from_its_start_is_untold_and_takes_no_room() {
    let mut speakers = Speakers::new(16, 7);
    for flags in [ACK, SYN_ACK, FIN, RST, TcpFlags::default()] {
        assert_eq!(WIRE.send(&mut speakers, Out, flags, &greeting(b"SUB"), 0), UNTOLD, "{flags:?}");
    }
    let udp = between(Out, Transport::Udp { source: 1, destination: 2 });
    assert_eq!(speakers.watch(Out, 1, &udp, &[0x45], at(0)), UNTOLD);
    assert!(speakers.is_empty());
}

#[test]
fn what_another_reader_could_read_otherwise_does_not_pass() {
    let mut speakers = Speakers::new(16, 7);
    WIRE.open(&mut speakers, Out, 0).must_pass();
    let (subject, whole) = (WIRE.subject(Out, ACK), WIRE.packet(Out, ACK, 1000, &greeting(b"SUB")));
    let first = Subject { fragment: Fragment::First { id: 1, header: 20 }, ..subject };
    let mut long_header = whole.clone();
    long_header[32] = 0xf0;
    let mut short_header = whole.clone();
    short_header[32] = 0x40;
    let mut truncated = whole.clone();
    truncated.truncate(39);
    for (subject, packet) in [
        (first, &whole),
        (subject, &short_header),
        (subject, &truncated),
        (subject, &vec![]),
        (WIRE.subject(In, SYN), &WIRE.packet(In, SYN, 5, b"")),
        (subject, &WIRE.packet(Out, ACK, 1001, b"later")),
    ] {
        let direction = if subject.source == WIRE.subject(Out, ACK).source { Out } else { In };
        let seen = speakers.watch(direction, 1, &subject, packet, at(0));
        assert_eq!(seen, Seen { gap: true, ..UNDECIDED }, "{packet:?}");
    }
    // Options instead of the first bytes: it is what a receiver reads too.
    assert_eq!(speakers.watch(Out, 1, &subject, &long_header, at(0)).spoken, Recognised::Other);
}

impl Seen {
    fn must_pass(self) {
        assert!(!self.gap);
    }
}

#[test]
fn segments_may_come_in_fragments_once_nothing_depends_on_them() {
    let mut speakers = Speakers::new(16, 7);
    WIRE.open(&mut speakers, Out, 0).must_pass();
    let watch = |speakers: &mut Speakers, flags| {
        let subject = Subject { fragment: Fragment::First { id: 1, header: 20 }, ..WIRE.subject(Out, flags) };
        speakers.watch(Out, 1, &subject, &[], at(0)).gap
    };
    for direction in [Out, In] {
        assert!(watch(&mut speakers, ACK), "undecided");
        WIRE.send(&mut speakers, direction, ACK, &greeting(b"SUB"), 0).must_pass();
    }
    assert!(watch(&mut speakers, ACK), "decided, but who heard it?");
    for direction in [Out, In] {
        let mut packet = WIRE.packet(direction, ACK, 1091, b"");
        packet[28..32].copy_from_slice(&1091_u32.to_be_bytes());
        speakers.watch(direction, 1, &WIRE.subject(direction, ACK), &packet, at(0)).must_pass();
    }
    assert!(!watch(&mut speakers, ACK));
    assert!(watch(&mut speakers, SYN), "a new connection is another thing");
}

#[test]
fn flows_are_forgotten_when_they_rest_or_end() {
    for (ends, life) in [
        (&[][..], 7_440_000),
        (&[(Out, FIN)], 7_440_000),
        (&[(Out, FIN), (In, FIN)], 60_000),
        (&[(In, RST)], 10_000),
    ] {
        for (rest, spoken) in [(life - 1, Recognised::Undecided), (life, Recognised::Untold)] {
            let mut speakers = Speakers::new(16, 7);
            WIRE.open(&mut speakers, Out, 50).must_pass();
            for (direction, flags) in ends {
                WIRE.send(&mut speakers, *direction, *flags, b"", 50).must_pass();
            }
            assert_eq!(WIRE.send(&mut speakers, In, ACK, b"", 50 + rest).spoken, spoken, "{ends:?}");
        }
    }
    let mut speakers = Speakers::new(16, 7);
    WIRE.send(&mut speakers, Out, SYN, b"", 0).must_pass();
    assert_eq!(WIRE.send(&mut speakers, In, SYN_ACK, b"", 30_000), UNTOLD, "nobody answered in time");
    WIRE.open(&mut speakers, Out, 30_000).must_pass();
    speakers.forget(In, 1, &WIRE.subject(In, ACK));
    assert!(speakers.is_empty());
}

#[test]
fn one_peer_that_takes_all_it_can_leaves_half_to_the_others() {
    let mut speakers = Speakers::new(100, 7);
    let open = |speakers: &mut Speakers, peer, port, now| {
        Wire { port, peer }.send(speakers, Out, SYN, b"", now).spoken == Recognised::Undecided
    };
    let taken = (0..1_000).filter(|port| open(&mut speakers, 1, *port, 0)).count();
    assert_eq!(taken, 50);
    let taken = (0..1_000).filter(|port| open(&mut speakers, 2, *port, 0)).count();
    assert_eq!((taken, speakers.len()), (25, 75));
    assert!((3..9).all(|peer| open(&mut speakers, peer, 1, 0)));
    assert!(open(&mut speakers, 1, 0, 0), "its own stay");
    speakers.forget_peer(1);
    assert_eq!(speakers.len(), 31);
    assert!((0..10).all(|port| open(&mut speakers, 9, port, 0)));
    // What rests is swept by those that come.
    assert!((0..40).filter(|port| open(&mut speakers, 1, *port, 30_001)).count() > 20);
}

#[test]
fn the_table_never_mixes_flows_up_and_never_grows() {
    let mut speakers = Speakers::new(40, 7);
    let (mut live, mut state, mut most) = (BTreeSet::new(), 1_u64, 0);
    for _ in 0..50_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (what, port, peer) = (state >> 33 & 3, (state >> 40) as u16 % 50, (state >> 56) as u32 % 3);
        let wire = Wire { port, peer };
        match what {
            0 => {
                speakers.forget(Out, peer, &wire.subject(Out, ACK));
                live.remove(&(port, peer));
            }
            1 => {
                let seen = wire.send(&mut speakers, Out, SYN, b"", 0);
                if seen.spoken == Recognised::Undecided {
                    live.insert((port, peer));
                }
            }
            _ => {
                let seen = wire.send(&mut speakers, In, ACK, b"", 0);
                assert_eq!(seen.spoken != Recognised::Untold, live.contains(&(port, peer)));
            }
        }
        most = most.max(live.len());
        assert_eq!(speakers.len(), live.len());
        assert_eq!(speakers.held.values().sum::<u32>() as usize, live.len());
        assert_eq!(speakers.index.iter().filter(|at| **at != NONE).count(), live.len());
        assert!(speakers.speakers.len() <= 40 && speakers.speakers.capacity() == 40);
    }
    assert!(most > 25);
}
