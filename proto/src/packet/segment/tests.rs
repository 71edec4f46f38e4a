//! Segments against packets that were built one by one.

use alloc::vec;
use alloc::vec::Vec;

use super::super::tests::{Build, Seeded, random, tcp, udp};
use super::*;

fn all(header: &Header, packet: &[u8]) -> Result<Vec<Vec<u8>>, Discard> {
    let segments = Segments::new(header, packet)?;
    Ok((0..segments.count())
        .map(|at| {
            let mut slot = vec![0xa5; segments.len(at)];
            segments.write(at, &mut slot);
            slot
        })
        .collect())
}

/// What the kernel would send, one by one.
fn expected(build: &Build, size: usize) -> Vec<Vec<u8>> {
    let count = build.payload.len().div_ceil(size).max(1);
    (0..count)
        .map(|at| {
            let mut one = build.clone();
            let from = at * size;
            one.payload = build.payload[from..(from + size).min(build.payload.len())].to_vec();
            one.id = build.id.wrapping_add(at as u16);
            one.seq = build.seq.wrapping_add(from as u32);
            if at + 1 < count {
                one.flags &= !(FIN | PSH);
            }
            if at > 0 {
                one.flags &= !CWR;
            }
            one.packet()
        })
        .collect()
}

#[test]
fn segments_are_the_packets_that_a_sender_without_offload_would_have_built() {
    let mut seeded = Seeded(4);
    for _ in 0..600 {
        let mut build = random(&mut seeded);
        build.flags |= seeded.pick(&[0, 0, FIN, PSH, CWR, FIN | PSH | CWR]);
        let size = seeded.pick(&[1, 2, 7, 100, 536, 999, 1_000, 1_380, 5_000]);
        if seeded.below(8) == 0 {
            let len = seeded.below(60_000);
            build.payload = seeded.bytes(len);
        }
        if build.payload.len() / size > 200 {
            continue;
        }
        let (header, packet) = build.offloaded(size as u16);
        assert_eq!(all(&header, &packet).unwrap(), expected(&build, size), "{build:?} by {size}");
    }
}

#[test]
fn ip_options_and_extension_headers_are_copied() {
    for mut build in [tcp(4), udp(4), tcp(6), udp(6)] {
        let protocol = build.packet()[if build.transport_at() == 20 { 9 } else { 6 }];
        build.ip_options = match build.transport_at() {
            20 => vec![0x94, 4, 0, 0, 1, 1, 1, 0],
            _ => vec![0, 60, 0, 1, 4, 0, 0, 0, 0, protocol, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        build.payload = vec![7; 2_500];
        let (header, packet) = build.offloaded(1_000);
        assert_eq!(all(&header, &packet).unwrap(), expected(&build, 1_000));
    }
}

#[test]
fn without_segments_only_the_checksum_is_made() {
    let mut seeded = Seeded(5);
    for _ in 0..300 {
        let build = random(&mut seeded);
        let (header, packet) = build.offloaded(0);
        assert_eq!(all(&header, &packet).unwrap(), [build.packet()]);
        // And nothing at all if it is there already.
        let packet = build.packet();
        for flags in [0, vnet::DATA_VALID] {
            assert_eq!(all(&Header { flags, ..Header::NONE }, &packet).unwrap(), [&packet[..]]);
        }
    }
}

#[test]
fn a_computed_zero_is_sent_in_the_form_the_kernel_gives_it() {
    // Two bytes of payload that make the sum what it must be for a checksum of zero.
    let zeroed = |mut build: Build| {
        build.payload = vec![0; 2];
        let sum = word(&build.packet(), build.transport_at() + if build.options.is_empty() { 6 } else { 16 });
        build.payload = sum.to_be_bytes().to_vec();
        build
    };
    for version in [4, 6] {
        for (build, alone, segmented) in
            [(zeroed(udp(version)), 0xffff, 0xffff), (zeroed(tcp(version)), 0xffff, 0)]
        {
            let field = build.transport_at() + if build.options.is_empty() { 6 } else { 16 };
            for (size, wanted) in [(0, alone), (2, segmented)] {
                let (header, packet) = build.offloaded(size);
                assert_eq!(word(&all(&header, &packet).unwrap()[0], field), wanted, "{build:?}");
            }
        }
    }
}

#[test]
fn hdr_len_is_not_believed() {
    let (header, packet) = tcp(4).payload(&[9; 3_000]).offloaded(1_000);
    for hdr_len in [0, 1, 52, 3_052, u16::MAX] {
        let header = Header { hdr_len, ..header };
        assert_eq!(all(&header, &packet).unwrap().len(), 3);
    }
}

#[test]
fn what_contradicts_itself_is_discarded() {
    let (good, packet) = tcp(4).payload(&[9; 3_000]).offloaded(1_000);
    let with = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        packet
    };
    for (name, header, packet) in [
        ("no size", Header { gso_size: 0, ..good }, packet.clone()),
        ("no checksum to make", Header { flags: 0, ..good }, packet.clone()),
        ("TCP over IPv6", Header { gso_type: vnet::GSO_TCPV6, ..good }, packet.clone()),
        ("UDP", Header { gso_type: vnet::GSO_UDP_L4, ..good }, packet.clone()),
        ("UFO", Header { gso_type: vnet::GSO_UDP, ..good }, packet.clone()),
        ("unheard of", Header { gso_type: 77, ..good }, packet.clone()),
        ("ECN of nothing", Header { gso_type: vnet::GSO_ECN, ..good }, packet.clone()),
        ("checksum from elsewhere", Header { csum_start: 24, ..good }, packet.clone()),
        ("checksum to elsewhere", Header { csum_offset: 6, ..good }, packet.clone()),
        ("a fragment", good, with(6, 0x20)),
        ("a later fragment", good, with(7, 1)),
        ("of another protocol", good, with(9, 50)),
        ("short IP header", good, with(0, 0x44)),
        ("long IP header", good, with(0, 0x4f)),
        ("another length", good, with(3, 0)),
        ("short TCP header", good, with(32, 0x40)),
        ("TCP header beyond", good, tcp(4).payload(&[]).offloaded(1).1[..44].to_vec()),
        ("cut in the header", good, packet[..25].to_vec()),
        (
            "checksum behind the end",
            Header { gso_type: 0, csum_start: 3_040, csum_offset: 11, ..good },
            packet.clone(),
        ),
    ] {
        assert_eq!(all(&header, &packet), Err(Discard::BadOffload), "{name}");
    }
    assert_eq!(all(&good, &packet[..19]), Err(Discard::NotIp));
    assert_eq!(all(&good, &[]), Err(Discard::NotIp));
    assert_eq!(all(&good, &vec![0x45; MAX_PACKET + 1]), Err(Discard::Oversized));
}

#[test]
fn what_speaks_of_one_packet_is_not_copied_to_others() {
    let fragment = vec![44, TCP, 0, 0, 0, 0, 0, 0, 1];
    let authentication = [&[51, TCP, 4, 0, 0][..], &[7; 20]].concat();
    for ip_options in [fragment, authentication] {
        let build = Build { ip_options, ..tcp(6) }.payload(&[9; 3_000]);
        let (header, packet) = build.offloaded(1_000);
        assert_eq!(all(&header, &packet), Err(Discard::BadOffload));
        // As one packet it may pass.
        let (header, packet) = build.offloaded(0);
        assert_eq!(all(&header, &packet).unwrap(), [build.packet()]);
    }
}

#[test]
fn any_bytes_are_survived() {
    let mut seeded = Seeded(6);
    let mut cut = 0;
    for _ in 0..10_000 {
        let build = random(&mut seeded);
        let (mut header, mut packet) = build.offloaded(seeded.pick(&[0, 1, 500, 1_000]));
        seeded.mutate(&mut packet);
        if seeded.below(3) == 0 {
            let mut bytes = header.encode();
            bytes[seeded.below(vnet::LEN)] = seeded.0 as u8;
            header = Header::parse(&bytes);
        }
        let Ok(segments) = Segments::new(&header, &packet) else {
            continue;
        };
        cut += 1;
        let count = segments.count();
        for at in [0, count / 2, count - 1] {
            let len = segments.len(at);
            assert!(len <= packet.len());
            segments.write(at, &mut vec![0; len]);
        }
    }
    assert!(cut > 3_000, "{cut} were segments");
}
