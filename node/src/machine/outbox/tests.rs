//! Over the loopback, and over a socket that answers as the dice fall (a loopback never blocks).

mod healing;

use std::time::Duration;

use lockgate_proto::outbox::Source;

use super::run::{RUN_BYTES, RUN_SEGMENTS};
use super::*;
use crate::machine::poller::Poller;

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn put(batch: &mut Batch, to: SocketAddr, bytes: &[u8]) {
    put_in(batch, &Envelope::to(to), bytes);
}

fn put_in(batch: &mut Batch, envelope: &Envelope, bytes: &[u8]) {
    let fill = |slot: &mut [u8]| {
        slot.copy_from_slice(bytes);
        Ok(())
    };
    batch.datagram(envelope, bytes.len(), fill).unwrap();
}

fn bind() -> Udp {
    Udp::bind(address(0)).unwrap()
}

/// Receives until `count` datagrams are there, which are their ends' addresses and bytes.
fn receive(udp: &mut Udp, count: usize) -> Vec<Vec<u8>> {
    let mut poller = Poller::new().unwrap();
    poller.add(&*udp, 1).unwrap();
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        let got = udp.recv(|_, _, bytes| datagrams.push(bytes.to_vec())).unwrap();
        if got.drained && datagrams.len() < count {
            let ready = poller.wait(Some(Duration::from_secs(10))).unwrap();
            assert!(!ready.is_empty(), "{} of {count} arrived", datagrams.len());
        }
    }
    datagrams
}

/// A small generator, so that a failure names a seed that replays it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn datagram(&mut self, stamp: u64) -> Vec<u8> {
        let length = match self.roll(6) {
            0 => self.roll(40),
            1 => self.roll(9000),
            _ => 1252,
        };
        let mut bytes = vec![self.roll(256) as u8; length as usize];
        let head = bytes.len().min(8);
        bytes[..head].copy_from_slice(&stamp.to_le_bytes()[..head]);
        bytes
    }
}

#[test]
fn runs_are_equal_lengths_to_one_destination_and_a_shorter_one_ends_them() {
    type Case<'a> = (&'a [(u16, usize)], &'a [(usize, usize)]);
    let table: [Case<'_>; 8] = [
        (&[(1, 100), (1, 100), (1, 100)], &[(3, 300)]),
        (&[(1, 100), (1, 60), (1, 60)], &[(2, 160), (1, 60)]),
        (&[(1, 100), (1, 101)], &[(1, 100), (1, 101)]),
        (&[(1, 100), (2, 100), (1, 100)], &[(1, 100), (1, 100), (1, 100)]),
        (&[(1, 0), (1, 0)], &[(1, 0), (1, 0)]),
        (&[(1, 100), (1, 0), (1, 100)], &[(1, 100), (1, 0), (1, 100)]),
        (&[(1, 10); 65], &[(64, 640), (1, 10)]),
        (&[(1, 30_000); 3], &[(2, 60_000), (1, 30_000)]),
    ];
    for (datagrams, runs) in table {
        let mut batch = Batch::new();
        for &(port, length) in datagrams {
            put(&mut batch, address(port), &vec![7; length]);
        }
        let formed: Vec<_> = batch.runs.iter().map(|run| (run.count, run.len)).collect();
        assert_eq!(formed, runs, "{datagrams:?}");
    }
}

#[test]
fn a_run_has_one_envelope() {
    let plain = Envelope::to(address(1));
    let from = |ip: [u8; 4], interface| Some(Source { ip: ip.into(), interface });
    let sources = [None, from([127, 0, 0, 1], 1), from([127, 0, 0, 2], 1), from([127, 0, 0, 1], 0)];
    let mut envelopes: Vec<_> = sources
        .iter()
        .map(|&source| Envelope { path: Path { source, ..plain.path }, ..plain })
        .chain([1, 2, 0x88].map(|tos| Envelope { tos, ..plain }))
        .collect();
    envelopes.push(Envelope::to(address(2)));
    let mut batch = Batch::new();
    for envelope in &envelopes {
        put_in(&mut batch, envelope, &[7; 100]);
        put_in(&mut batch, envelope, &[7; 100]);
    }
    let formed: Vec<_> = batch.runs.iter().map(|run| (run.envelope, run.count)).collect();
    assert_eq!(formed, envelopes.iter().map(|&envelope| (envelope, 2)).collect::<Vec<_>>());
}

#[test]
fn a_run_crosses_the_loopback_byte_for_byte_in_one_send() {
    let (sender, mut receiver) = (bind(), bind());
    let mut batch = Batch::new();
    let mut expected: Vec<Vec<u8>> = (0..45_u8).map(|index| vec![index; 1400]).collect();
    expected.push(vec![99; 333]);
    for datagram in &expected {
        put(&mut batch, receiver.local_addr(), datagram);
    }
    assert_eq!(batch.pending(), 45 * 1400 + 333);
    assert_eq!(batch.flush(&sender), Flushed::All);
    assert!(batch.is_empty() && batch.pending() == 0);
    assert_eq!(receive(&mut receiver, expected.len()), expected);
    let counters = batch.counters();
    assert_eq!((counters.datagrams, counters.bytes, counters.errors), (46, 45 * 1400 + 333, 0));
    assert!(sender.has_gso(), "every kernel since 4.18 segments");
    assert_eq!(counters.sends, 1);
}

#[test]
fn random_sizes_to_random_destinations_arrive_whole_and_in_order() {
    let sender = bind();
    let mut receivers = [bind(), bind(), bind()];
    let (mut batch, mut dice) = (Batch::new(), Dice(4));
    for round in 0..40 {
        let mut expected: [Vec<Vec<u8>>; 3] = Default::default();
        for index in 0..60 {
            let chosen = dice.roll(3) as usize;
            let datagram = dice.datagram(round * 100 + index);
            put(&mut batch, receivers[chosen].local_addr(), &datagram);
            expected[chosen].push(datagram);
        }
        assert_eq!(batch.flush(&sender), Flushed::All);
        for (receiver, expected) in receivers.iter_mut().zip(expected) {
            assert_eq!(receive(receiver, expected.len()), expected, "round {round}");
        }
    }
    assert_eq!((batch.counters().datagrams, batch.counters().errors), (2400, 0));
    assert_eq!(batch.slab.len(), SMALLEST, "a steady state allocates nothing");
}

#[test]
fn nothing_is_lost_or_reordered_whatever_the_socket_answers() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let (mut batch, mut sent, mut expected) = (Batch::new(), Vec::new(), Vec::new());
        for stamp in 0..200 {
            let (to, datagram) = (address(1 + dice.roll(2) as u16), dice.datagram(stamp));
            let ip = [127, 0, 0, 1 + dice.roll(2) as u8].into();
            let source = (dice.roll(3) > 0).then_some(Source { ip, interface: 1 });
            let envelope = Envelope { path: Path { remote: to, source }, tos: dice.roll(20) as u8 / 19 };
            put_in(&mut batch, &envelope, &datagram);
            expected.push((to, envelope.tos, datagram));
            if dice.roll(8) == 0 {
                let _ = flush_into(&mut batch, &mut dice, &mut sent);
            }
        }
        let drained = (0..100_000).any(|_| flush_into(&mut batch, &mut dice, &mut sent) == Flushed::All);
        assert!(drained, "seed {seed}: the batch never drains");
        assert!(sent == expected, "seed {seed}: {} sent, {} expected", sent.len(), expected.len());
        let counters = batch.counters();
        assert_eq!((counters.datagrams, counters.errors, counters.refused), (200, 0, 0), "seed {seed}");
    }
}

#[test]
fn a_tap_sees_every_datagram_once_whatever_the_socket_answers() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let (mut batch, mut sent, mut seen, mut expected) =
            (Batch::new(), Vec::new(), Vec::new(), Vec::new());
        // Enough of them that the slab is moved and grows.
        for stamp in 0..1500 {
            let datagram = dice.datagram(stamp);
            put(&mut batch, address(1), &datagram);
            // An empty one has nothing to show.
            expected.extend(Some(datagram).filter(|datagram| !datagram.is_empty()));
            if dice.roll(8) == 0 {
                batch.peek(&mut |datagram| seen.push(datagram.to_vec()));
                let _ = flush_into(&mut batch, &mut dice, &mut sent);
            }
        }
        batch.peek(&mut |datagram| seen.push(datagram.to_vec()));
        assert!(seen == expected, "seed {seed}: {} seen, {} expected", seen.len(), expected.len());
    }
}

/// Flushes into a socket that blocks, is short of memory or refuses to segment as the dice fall.
fn flush_into(batch: &mut Batch, dice: &mut Dice, sent: &mut Vec<(SocketAddr, u8, Vec<u8>)>) -> Flushed {
    batch.flush_through(true, |envelope, contents, segment| {
        match (dice.roll(10), segment) {
            (0, _) => return Err(Errno::AGAIN),
            (1, _) => return Err(Errno::NOBUFS),
            (2, Some(_)) => return Err(Errno::MSGSIZE),
            (3, Some(_)) => return Err(Errno::IO),
            (4, Some(_)) => return Err(Errno::INVAL),
            (5, _) if envelope.path.source.is_some() => return Err(Errno::INVAL),
            (6, _) if envelope.path.source.is_some() => return Err(Errno::NETUNREACH),
            _ => {}
        }
        let pieces: Vec<&[u8]> = match segment {
            Some(segment) => contents.chunks(segment).collect(),
            None => vec![contents],
        };
        assert!(pieces.len() <= RUN_SEGMENTS && (contents.len() <= RUN_BYTES || pieces.len() == 1));
        sent.extend(pieces.iter().map(|piece| (envelope.path.remote, envelope.tos, piece.to_vec())));
        Ok(())
    })
}

#[test]
fn a_kernel_that_never_segments_is_asked_ever_less_often() {
    let (mut batch, mut asked) = (Batch::new(), 0);
    for run in 0..600_u16 {
        for _ in 0..4 {
            put(&mut batch, address(1 + run), &[1; 50]);
        }
        let flushed = batch.flush_through(true, |_, _, segment| match segment {
            Some(_) => {
                asked += 1;
                Err(Errno::IO)
            }
            None => Ok(()),
        });
        assert_eq!(flushed, Flushed::All);
    }
    assert_eq!(batch.counters().datagrams, 2400);
    assert_eq!(asked, batch.counters().fallbacks);
    // 4 of every 260 runs, begun three times.
    assert_eq!(asked, 12);
}

#[test]
fn a_path_that_is_too_narrow_for_one_peer_does_not_end_segmentation_for_the_others() {
    let (mut batch, mut whole) = (Batch::new(), 0);
    let (narrow, wide) = (address(1), address(2));
    for _ in 0..20 {
        for _ in 0..4 {
            put(&mut batch, narrow, &[1; 1452]);
        }
    }
    for _ in 0..4 {
        put(&mut batch, wide, &[1; 1452]);
    }
    let flushed = batch.flush_through(true, |envelope, _, segment| {
        if envelope.path.remote == narrow {
            return Err(Errno::MSGSIZE);
        }
        whole += usize::from(segment.is_some());
        Ok(())
    });
    assert_eq!((flushed, whole), (Flushed::All, 1));
    assert_eq!((batch.counters().errors, batch.counters().datagrams), (80, 4));
}

#[test]
fn a_failed_fill_takes_the_slot_back() {
    let mut batch = Batch::new();
    put(&mut batch, address(1), &[1; 10]);
    let failed = batch.datagram(&Envelope::to(address(1)), 10, |_| Err(Discard::Malformed));
    assert_eq!(failed, Err(Discard::Malformed));
    assert_eq!(batch.pending(), 10);
    put(&mut batch, address(1), &[2; 10]);
    let mut sent = Vec::new();
    let flushed = batch.flush_through(true, |_, contents, _| {
        sent.push(contents.to_vec());
        Ok(())
    });
    assert_eq!(flushed, Flushed::All);
    assert_eq!(sent, [[[1; 10], [2; 10]].concat()]);
}

#[test]
fn a_blocked_socket_refuses_only_when_the_largest_slab_is_full() {
    let mut batch = Batch::new();
    let mut kept = 0_usize;
    let refused = loop {
        if let Err(discard) = batch.datagram(&Envelope::to(address(1)), 1252, |slot| {
            slot.fill(kept as u8);
            Ok(())
        }) {
            break discard;
        }
        kept += 1;
        if kept.is_multiple_of(100) {
            assert_eq!(batch.flush_through(true, |_, _, _| Err(Errno::AGAIN)), Flushed::Blocked);
        }
    };
    assert_eq!((refused, batch.counters().refused), (Discard::OutboxFull, 1));
    assert!(kept * 1252 > LARGEST - 1252 && batch.slab.len() == LARGEST);
    let mut sent = 0_usize;
    let flushed = batch.flush_through(true, |_, contents, _| {
        for piece in contents.chunks(1252) {
            assert_eq!(piece, [sent as u8; 1252]);
            sent += 1;
        }
        Ok(())
    });
    assert_eq!((flushed, sent), (Flushed::All, kept));
    put(&mut batch, address(1), &[1; 10]);
}

#[test]
fn endless_empty_datagrams_do_not_grow_the_batch() {
    let mut batch = Batch::new();
    let refused =
        (0..2 * RUNS).filter(|_| batch.datagram(&Envelope::to(address(1)), 0, |_| Ok(())).is_err()).count();
    assert_eq!((refused, batch.runs.len()), (RUNS, RUNS));
}

#[test]
fn zero_length_and_oversized_datagrams_harm_nothing() {
    let sender = Udp::bind("[::1]:0".parse().unwrap()).unwrap();
    let mut receiver = Udp::bind("[::1]:0".parse().unwrap()).unwrap();
    let to = receiver.local_addr();
    let mut batch = Batch::new();
    let beyond = batch.datagram(&Envelope::to(to), DATAGRAM + 1, |_| unreachable!("there is no slot"));
    assert_eq!(beyond, Err(Discard::Malformed));
    put(&mut batch, to, &[]);
    // With IPv6's headers this is beyond the loopback's MTU of 65536, and goes in two fragments.
    put(&mut batch, to, &vec![1; DATAGRAM]);
    put(&mut batch, to, &[2; 10]);
    assert_eq!(batch.flush(&sender), Flushed::All);
    assert!(receive(&mut receiver, 3) == [vec![], vec![1; DATAGRAM], vec![2; 10]]);
    assert_eq!((batch.counters().errors, batch.counters().datagrams), (0, 3));
}

#[test]
fn a_destination_that_cannot_be_reached_costs_a_counter() {
    let (sender, mut receiver) = (bind(), bind());
    let mut batch = Batch::new();
    // An IPv4 socket has no way there.
    put(&mut batch, "[::1]:9".parse().unwrap(), &[1; 10]);
    put(&mut batch, "[::1]:9".parse().unwrap(), &[1; 10]);
    put(&mut batch, receiver.local_addr(), &[2; 10]);
    assert_eq!(batch.flush(&sender), Flushed::All);
    assert_eq!(receive(&mut receiver, 1), [[2; 10]]);
    assert_eq!(batch.counters().errors, 2);
}

#[test]
fn a_cleared_batch_remembers_nothing_of_the_socket_that_is_gone() {
    let mut batch = Batch::new();
    let gone = address(9);
    for _ in 0..PATIENCE {
        put(&mut batch, gone, &[1; 100]);
        put(&mut batch, gone, &[2; 100]);
        let flushed = batch.flush_through(true, |_, _, segment| match segment {
            Some(_) => Err(Errno::IO),
            None => Ok(()),
        });
        assert_eq!(flushed, Flushed::All);
    }
    assert_eq!(batch.resting, REST, "segmentation rests");
    put(&mut batch, gone, &[3; 100]);
    assert_eq!(batch.flush_through(true, |_, _, _| Err(Errno::NETUNREACH)), Flushed::All);
    batch.note_stale(Path { remote: gone, source: None });
    put(&mut batch, gone, &[4; 100]);
    let counters = batch.counters();
    batch.clear();
    assert!(batch.is_empty() && batch.pending() == 0);
    assert_eq!((batch.refusals, batch.resting), (0, 0));
    assert_eq!((batch.take_stale(), batch.take_failed()), (None, None));
    assert_eq!(batch.counters(), counters, "what was done was done");
}
