//! Items, cut again by the segmenter, against what was pushed.

mod random;

use super::super::segment::Segments;
use super::super::tests::{Build, Seeded, tcp, udp};
use super::*;
use alloc::vec;

fn with_udp() -> Coalescer {
    let mut coalescer = Coalescer::new();
    coalescer.set_udp(true);
    coalescer
}

fn drained(coalescer: &mut Coalescer) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    coalescer.drain(|item| items.push(item.to_vec()));
    assert!(coalescer.is_empty());
    items
}

fn pushed(coalescer: &mut Coalescer, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    for packet in packets {
        coalescer.push(packet).unwrap();
    }
    drained(coalescer)
}

/// The packets that an item stands for.
fn cut(item: &[u8]) -> Vec<Vec<u8>> {
    let (header, packet) = Header::split(item).unwrap();
    // Bytes that are not IP are no business of the segmenter.
    if header.flags & vnet::NEEDS_CSUM == 0 {
        assert_eq!(header.gso_type, vnet::GSO_NONE);
        return vec![packet.to_vec()];
    }
    let segments = Segments::new(&header, packet).unwrap();
    (0..segments.count())
        .map(|at| {
            let mut slot = vec![0; segments.len(at)];
            segments.write(at, &mut slot);
            slot
        })
        .collect()
}

/// So many packets of `len` bytes in a row.
fn train(first: &Build, count: usize, len: usize) -> Vec<Build> {
    (0..count)
        .map(|at| {
            let mut one = first.clone().payload(&vec![at as u8; len]);
            one.id = first.id.wrapping_add(at as u16);
            one.seq = first.seq.wrapping_add((at * len) as u32);
            one
        })
        .collect()
}

fn packets(builds: &[Build]) -> Vec<Vec<u8>> {
    builds.iter().map(Build::packet).collect()
}

#[test]
fn only_neighbours_of_one_kind_are_joined() {
    type Change = fn(&mut Build);
    let changes: [(&str, bool, Change); 19] = [
        ("nothing", true, |_| {}),
        ("another port", false, |it| it.ports[1] += 1),
        ("another host", false, |it| it.hosts[0] += 1),
        ("another mark", false, |it| it.tos = 3),
        ("another time to live", false, |it| it.ttl -= 1),
        ("a gap", false, |it| it.seq += 1),
        ("a repetition", false, |it| it.seq -= 100),
        ("another acknowledgement", false, |it| it.ack += 1),
        ("another window", false, |it| it.window += 1),
        ("another option", false, |it| it.options[7] += 1),
        ("no options", false, |it| it.options.clear()),
        ("pushed", true, |it| it.flags |= PSH),
        ("congestion echoed", false, |it| it.flags |= 0x40),
        ("window reduced", false, |it| it.flags |= 0x80),
        ("finished", false, |it| it.flags |= 1),
        ("no acknowledgement", false, |it| it.flags = 0),
        ("no data", false, |it| it.payload.clear()),
        ("less data", true, |it| it.payload.truncate(99)),
        ("more data", false, |it| it.payload.push(0)),
    ];
    for version in [4, 6] {
        for (name, is_joined, change) in changes {
            let mut builds = train(&tcp(version), 2, 100);
            change(&mut builds[1]);
            let before = packets(&builds);
            let items = pushed(&mut with_udp(), &before);
            assert_eq!(items.len() == 1, is_joined, "{name}");
            assert_eq!(items.iter().flat_map(|item| cut(item)).collect::<Vec<_>>(), before, "{name}");
        }
    }
}

const PSH: u8 = 0x08;

#[test]
fn a_short_or_pushed_packet_is_the_last_of_its_item() {
    let mut short = train(&tcp(4), 3, 100);
    short[1].payload.pop();
    short[2].seq -= 1;
    let mut pushed_one = train(&tcp(6), 3, 100);
    pushed_one[1].flags |= PSH;
    let mut datagrams = train(&udp(4), 3, 100);
    datagrams[1].payload.pop();
    for builds in [short, pushed_one, datagrams] {
        let before = packets(&builds);
        let items = pushed(&mut with_udp(), &before);
        let counts: Vec<usize> = items.iter().map(|item| cut(item).len()).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(
            items.concat().len(),
            before.concat().len() + 20 - (before[1].len() - builds[1].payload.len())
        );
    }
}

#[test]
fn identification_counts_up_unless_fragmentation_is_forbidden() {
    for (place, ids, joined) in [
        (0, [7, 8], true),
        (0, [7, 7], false),
        (0, [7, 9], false),
        (0, [0xffff, 0], true),
        (0x4000, [7, 8], true),
        (0x4000, [0, 0], true),
        (0x4000, [7, 3], true),
        (0xc000, [7, 8], false),
        (0x2000, [7, 8], false),
        (0x0001, [7, 8], false),
    ] {
        let mut builds = train(&udp(4), 2, 100);
        for (build, id) in builds.iter_mut().zip(ids) {
            (build.id, build.place) = (id, place);
        }
        let items = pushed(&mut with_udp(), &packets(&builds));
        assert_eq!(items.len() == 1, joined, "{place:x} {ids:?}");
    }
}

#[test]
fn a_bad_checksum_is_never_made_good() {
    for build in [tcp(4), tcp(6), udp(4), udp(6)] {
        for bad in 0..3 {
            for at in [10, build.transport_at() + 2, build.transport_at() + 40] {
                let mut packets = packets(&train(&build, 3, 100));
                packets[bad][at] ^= 0x10;
                let items = pushed(&mut with_udp(), &packets);
                let flat: Vec<Vec<u8>> = items.iter().flat_map(|item| cut(item)).collect();
                assert!(flat.contains(&packets[bad]), "untouched");
                let alone = [&[0; vnet::LEN][..], &packets[bad]].concat();
                assert!(items.contains(&alone), "and not said to be good");
            }
        }
    }
}

#[test]
fn a_datagram_without_checksum_travels_alone() {
    let mut datagrams = packets(&train(&udp(4), 3, 100));
    for datagram in &mut datagrams {
        datagram[26..28].fill(0);
    }
    let wanted: Vec<Vec<u8>> = datagrams.iter().map(|one| [&[0; vnet::LEN][..], one].concat()).collect();
    assert_eq!(pushed(&mut with_udp(), &datagrams), wanted);
}

#[test]
fn flows_in_one_batch_do_not_disturb_each_other() {
    let trains: Vec<Vec<Vec<u8>>> = (0..10)
        .map(|at| {
            let mut first = if at % 2 == 0 { tcp(4) } else { udp(6) };
            first.ports[0] = at;
            packets(&train(&first, 20, 500))
        })
        .collect();
    let mut coalescer = with_udp();
    for at in 0..20 {
        for train in &trains {
            coalescer.push(&train[at]).unwrap();
        }
    }
    let items = drained(&mut coalescer);
    let cut: Vec<Vec<Vec<u8>>> = items.iter().map(|item| cut(item)).collect();
    assert_eq!(cut, trains, "one item each, in the order of their first packets");
}

#[test]
fn more_flows_than_lanes_still_join_their_neighbours() {
    let mut coalescer = with_udp();
    let mut before = Vec::new();
    for at in 0..60 {
        let mut first = udp(4);
        first.ports[0] = at;
        before.push(packets(&train(&first, 3, 60)));
        for packet in &before[usize::from(at)] {
            coalescer.push(packet).unwrap();
        }
    }
    let after: Vec<Vec<Vec<u8>>> = drained(&mut coalescer).iter().map(|item| cut(item)).collect();
    assert_eq!(after, before);
}

/// So many flows, each with so many packets of `len` bytes, that come one by one in turn; returns what came out, cut.
fn interleaved(flows: u16, count: usize, len: usize) -> [Vec<Vec<Vec<u8>>>; 2] {
    let trains: Vec<Vec<Vec<u8>>> = (0..flows)
        .map(|at| {
            let mut first = if at % 3 == 0 { tcp(4) } else { udp(6) };
            first.ports[0] = at;
            packets(&train(&first, count, len))
        })
        .collect();
    let mut coalescer = with_udp();
    for at in 0..count {
        for train in &trains {
            coalescer.push(&train[at]).expect("there is room for all");
        }
    }
    let items = drained(&mut coalescer).iter().map(|item| cut(item)).collect();
    [trains, items]
}

#[test]
fn sixty_four_interleaved_flows_become_an_item_each() {
    for (flows, count, len) in
        [(17, 40, 1_400), (20, 46, 1_400), (40, 16, 1_400), (64, 16, 1_200), (64, 64, 200)]
    {
        let [before, after] = interleaved(flows, count, len);
        assert!(after == before, "{flows} flows of {count}: {} items, or another order", after.len());
    }
}

#[test]
fn flows_of_one_packet_take_room_for_one_packet() {
    let mut coalescer = with_udp();
    let mut taken = 0;
    while !coalescer.is_full() {
        let mut one = udp(4).payload(&[1; 1_372]);
        one.ports[0] = taken;
        coalescer.push(&one.packet()).unwrap();
        taken += 1;
    }
    assert_eq!(usize::from(taken), MAX_ITEMS, "items run out before bytes do");
}

#[test]
fn an_item_that_ends_keeps_no_room() {
    let mut coalescer = with_udp();
    for at in 0..60 {
        let mut first = tcp(4);
        first.ports[0] = at;
        for build in &mut train(&first, 5, 1_000) {
            coalescer.push(&build.packet()).unwrap();
        }
        let last = Build { flags: 0x11, seq: first.seq + 5_000, ..first }.payload(&[]);
        coalescer.push(&last.packet()).unwrap();
        assert_eq!(coalescer.tail, (usize::from(at) + 1) * (5_000 + 2 * (vnet::LEN + last.packet().len())));
    }
}

#[test]
fn another_packet_between_the_same_hosts_ends_their_items() {
    let fragment = Build { place: 0x2000, ..udp(4) }.packet();
    let options = Build { ip_options: vec![1; 4], ..tcp(4) }.packet();
    let acknowledgement = tcp(4).payload(&[]).packet();
    let elsewhere = Build { hosts: [8, 9], place: 0x2000, ..udp(4) }.packet();
    for (between, items) in [(fragment, 3), (options, 3), (acknowledgement, 3), (elsewhere, 2)] {
        let [one, two] = packets(&train(&tcp(4), 2, 100)).try_into().unwrap();
        let got = pushed(&mut with_udp(), &[one, between, two]);
        assert_eq!(got.len(), items);
    }
}

#[test]
fn an_item_has_at_most_64_segments_and_65535_bytes() {
    for (len, count, wanted) in [
        (100, 130, vec![64, 64, 2]),
        (1_400, 50, vec![46, 4]),
        (30_000, 5, vec![2, 2, 1]),
        (65_400, 2, vec![1, 1]),
    ] {
        let mut coalescer = with_udp();
        let before = packets(&train(&tcp(4), count, len));
        let items = pushed(&mut coalescer, &before);
        let counts: Vec<usize> = items.iter().map(|item| cut(item).len()).collect();
        assert_eq!(counts, wanted, "{len}");
        assert!(items.iter().all(|item| item.len() <= ROOM));
        assert_eq!(items.iter().flat_map(|item| cut(item)).collect::<Vec<_>>(), before);
    }
}

#[test]
fn switched_off_everything_passes_alone() {
    let before = [packets(&train(&tcp(4), 3, 100)), packets(&train(&udp(6), 3, 100))].concat();
    let alone: Vec<Vec<u8>> = before.iter().map(|one| [&[0; vnet::LEN][..], one].concat()).collect();
    let mut coalescer = with_udp();
    coalescer.set_enabled(false);
    assert_eq!(pushed(&mut coalescer, &before), alone);
    coalescer.set_enabled(true);
    assert_eq!(pushed(&mut coalescer, &before).len(), 2);
    coalescer.set_udp(false);
    assert_eq!(pushed(&mut coalescer, &before).len(), 4);
}

#[test]
fn each_kind_is_switched_off_without_the_other() {
    let (tcp, udp) = (packets(&train(&tcp(4), 3, 100)), packets(&train(&udp(6), 3, 100)));
    let mut coalescer = with_udp();
    coalescer.set_tcp(false);
    assert_eq!(pushed(&mut coalescer, &tcp).len(), 3);
    assert_eq!(pushed(&mut coalescer, &udp).len(), 1);
    coalescer.set_tcp(true);
    assert_eq!(pushed(&mut coalescer, &tcp).len(), 1);
}

#[test]
fn a_single_packet_is_said_to_be_good_only_if_it_was_verified() {
    for (packet, flags) in [
        (tcp(4).packet(), vnet::DATA_VALID),
        (udp(6).packet(), vnet::DATA_VALID),
        (tcp(4).payload(&[]).packet(), 0),
        (vec![0x45; 19], 0),
        (vec![], 0),
        (vec![0x99; 50], 0),
    ] {
        let header = Header { flags, ..Header::NONE };
        let wanted = [&header.encode()[..], &packet].concat();
        assert_eq!(pushed(&mut with_udp(), &[packet]), [wanted]);
    }
}

#[test]
fn a_full_coalescer_says_so_and_keeps_what_it_has() {
    let mut seeded = Seeded(8);
    for len in [0, 20, 1_400, MAX_PACKET] {
        let mut coalescer = with_udp();
        let mut taken = 0;
        while !coalescer.is_full() {
            coalescer.push(&vec![0x99; len]).unwrap();
            taken += 1;
        }
        assert_eq!(coalescer.push(&[0x99]), Err(Discard::OutboxFull));
        assert_eq!(drained(&mut coalescer).len(), taken);
        assert!(taken >= 15 && !coalescer.is_full());
    }
    let oversized = seeded.bytes(MAX_PACKET + 1);
    assert_eq!(with_udp().push(&oversized), Err(Discard::Oversized));
}
