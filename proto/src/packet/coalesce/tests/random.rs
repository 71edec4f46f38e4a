//! Random flows, with all that can happen to them.

use alloc::vec;
use std::collections::BTreeMap;

use super::super::super::tests::random;
use super::*;

#[test]
fn segments_of_one_packet_become_that_packet_again() {
    let mut seeded = Seeded(7);
    let mut coalescer = with_udp();
    for _ in 0..500 {
        let mut build = random(&mut seeded);
        build.flags &= !0x81;
        let size = seeded.pick(&[1, 60, 100, 536, 1_380]);
        let len = 1 + size + seeded.below((63 * size).min(60_000));
        build.payload = seeded.bytes(len);
        let (mut header, packet) = build.offloaded(size as u16);
        let segments = Segments::new(&header, &packet).unwrap();
        for at in 0..segments.count() {
            let mut slot = vec![0; segments.len(at)];
            segments.write(at, &mut slot);
            coalescer.push(&slot).unwrap();
        }
        header.hdr_len = (packet.len() - len) as u16;
        assert_eq!(
            drained(&mut coalescer),
            [[&header.encode()[..], &packet].concat()],
            "{build:?} by {size}"
        );
    }
}

#[test]
fn what_comes_out_is_what_went_in_and_each_flow_in_order() {
    for seed in 0..12 {
        let mut seeded = Seeded(seed);
        let mut coalescer = with_udp();
        // More than there are lanes, in some rounds.
        let mut flows = flows(&mut seeded, if seed % 3 == 0 { 90 } else { 20 });
        let (mut sent, mut got, mut items) = (Vec::new(), Vec::new(), 0);
        while sent.len() < 1_500 {
            let at = seeded.below(flows.len());
            for _ in 0..=seeded.below(9) {
                let packet = next(&mut seeded, &mut flows[at]);
                if coalescer.is_full() || seeded.below(100) == 0 {
                    coalescer.drain(|item| collect(item, &mut got, &mut items));
                }
                coalescer.push(&packet).unwrap();
                sent.push(packet);
            }
        }
        coalescer.drain(|item| collect(item, &mut got, &mut items));
        assert!(items * 3 < sent.len() * 2, "{items} items for {} packets", sent.len());
        assert_eq!(by_flow(&got), by_flow(&sent), "seed {seed}");
    }
}

fn collect(item: &[u8], got: &mut Vec<Vec<u8>>, items: &mut usize) {
    *items += 1;
    got.extend(cut(item));
}

fn by_flow(packets: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Vec<&Vec<u8>>> {
    let mut flows = BTreeMap::<_, Vec<_>>::new();
    for packet in packets {
        // A later fragment belongs to whatever the hosts say to each other.
        let key = if packet[0] >> 4 == 4 { &packet[12..24] } else { &packet[8..44] };
        flows.entry(key.to_vec()).or_default().push(packet);
    }
    flows
}

fn flows(seeded: &mut Seeded, many: u16) -> Vec<Build> {
    (0..many)
        .map(|at| {
            let mut build = random(seeded);
            build.ports[0] = at;
            build.flags = seeded.pick(&[0x10, 0x10, 0x50]);
            build.tos = 2;
            let len = seeded.pick(&[1, 100, 101, 1_300]);
            build.payload(&vec![0; len])
        })
        .collect()
}

/// The next packet of a flow: mostly what one would expect.
fn next(seeded: &mut Seeded, flow: &mut Build) -> Vec<u8> {
    let mut one = flow.clone();
    one.payload = seeded.bytes(one.payload.len());
    match seeded.below(40) {
        0 => one.tos = 3,
        1 => one.flags |= 0x08,
        2 => one.flags |= seeded.pick(&[1, 2, 4, 0x20, 0x80]),
        3 => one.payload.clear(),
        4 => one.payload.push(7),
        5 => one.payload.truncate(one.payload.len().div_ceil(2)),
        6 => one.seq = one.seq.wrapping_sub(one.payload.len() as u32),
        7 => one.ack += 1,
        8 => one.ip_options = if one.transport_at() == 20 { vec![1; 4] } else { Vec::new() },
        9 => one.ttl -= 1,
        _ => {}
    }
    flow.id = flow.id.wrapping_add(1);
    flow.seq = one.seq.wrapping_add(one.payload.len() as u32);
    let mut packet = one.packet();
    if seeded.below(40) == 0 {
        let at = packet.len() - 1;
        packet[at] ^= 1;
    }
    packet
}

#[test]
fn any_bytes_are_survived_and_pass_without_a_change() {
    let mut seeded = Seeded(9);
    let mut coalescer = with_udp();
    let memory = (coalescer.slab.as_ptr(), coalescer.items.as_ptr(), coalescer.lanes.memory());
    let (mut sent, mut got, mut items) = (Vec::new(), Vec::new(), 0);
    for _ in 0..6_000 {
        let mut build = random(&mut seeded);
        // What would be numbered anew is seen elsewhere.
        build.place = 0;
        build.payload.truncate(200);
        let mut packet = build.packet();
        seeded.mutate(&mut packet);
        for _ in 0..=seeded.below(2) {
            if coalescer.is_full() {
                coalescer.drain(|item| collect(item, &mut got, &mut items));
            }
            coalescer.push(&packet).unwrap();
            sent.push(packet.clone());
        }
    }
    coalescer.drain(|item| collect(item, &mut got, &mut items));
    sent.sort();
    got.sort();
    assert!(got == sent);
    let after = (coalescer.slab.as_ptr(), coalescer.items.as_ptr(), coalescer.lanes.memory());
    assert_eq!(after, memory, "all memory was taken at construction");
}
