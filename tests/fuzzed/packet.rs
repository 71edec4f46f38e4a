//! IP packets: read, answered, marked, cut and joined.
//!
//! `[mode, ecn, virtio header of 10 bytes]`, then packets: `[length, 2 bytes][repeats][packet]`. Where `mode` is odd,
//! checksums are mended first, so that what is tried is not only what a wrong checksum stops; a repeat is the next
//! segment of the same flow.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lockgate_proto::packet::coalesce::Coalescer;
use lockgate_proto::packet::icmp::{self, Reason};
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::vnet::{self, Header};
use lockgate_proto::packet::{self, Fragment, Headers, TCP, Transport, UDP, checksum, ecn};

/// Writing many tiny segments of a large packet says nothing new.
const MOST_SEGMENTS: usize = 300;
const MOST_PACKETS: usize = 400;

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_packet(input: &[u8]) {
    let Some((&[mode, mark], rest)) = input.split_first_chunk() else { return };
    let Some((header, mut rest)) = Header::split(rest) else { return };
    let mut packets = Vec::new();
    while let Some((&[high, low, repeats], more)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(more.len());
        let (packet, more) = more.split_at(len);
        rest = more;
        look_at(packet, mark);
        cut_is_whole(&header, packet);
        train(packet, mode, repeats % 16, &mut packets);
        if packets.len() > MOST_PACKETS {
            break;
        }
    }
    for packet in &packets {
        look_at(packet, mark);
    }
    joined_is_the_same(&packets, mode);
}

/// A packet and what follows it in its flow.
fn train(packet: &[u8], mode: u8, repeats: u8, packets: &mut Vec<Vec<u8>>) {
    let mut next = packet.to_vec();
    for _ in 0..=repeats {
        if mode & 1 != 0 {
            mend(&mut next);
        }
        packets.push(next.clone());
        advance(&mut next);
    }
}

/// Only of what is read as whole TCP or UDP.
fn plain(packet: &[u8]) -> Option<Headers> {
    let headers = packet::parse(packet).ok()?;
    let is_plain = headers.fragment == Fragment::Whole && headers.end == packet.len();
    (is_plain && matches!(headers.transport, Transport::Tcp { .. } | Transport::Udp { .. }))
        .then_some(headers)
}

fn mend(packet: &mut [u8]) {
    let Some(headers) = plain(packet) else { return };
    let at = headers.transport_at;
    if headers.source.is_ipv4() {
        let ihl = usize::from(packet[0] & 15) * 4;
        packet[10..12].fill(0);
        let sum = !checksum::sum(&packet[..ihl]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    let (protocol, field) = match headers.transport {
        Transport::Tcp { .. } => (TCP, at + 16),
        _ => (UDP, at + 6),
    };
    let addresses = if headers.source.is_ipv4() { &packet[12..20] } else { &packet[8..40] };
    let pseudo = checksum::pseudo(addresses, protocol, packet.len() - at);
    packet[field..field + 2].fill(0);
    let sum = !checksum::fold(u64::from(pseudo) + u64::from(checksum::sum(&packet[at..])));
    packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

fn advance(packet: &mut [u8]) {
    let Some(headers) = plain(packet) else { return };
    if headers.source.is_ipv4() {
        let id = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(1);
        packet[4..6].copy_from_slice(&id.to_be_bytes());
    }
    let len = packet.len();
    if let (Transport::Tcp { .. }, Some(tcp)) = (headers.transport, packet.get_mut(headers.transport_at..)) {
        let payload = (len - headers.transport_at).saturating_sub(usize::from(tcp[12] >> 4) * 4);
        let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(payload as u32);
        tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    }
}

/// Reading, answering and marking.
fn look_at(packet: &[u8], mark: u8) {
    if let Ok(headers) = packet::parse(packet) {
        assert!(headers.end <= packet.len() && headers.transport_at <= headers.end, "{headers:?}");
        assert_eq!(packet::source(packet), Some(headers.source));
        assert_eq!(packet::destination(packet), Some(headers.destination));
        assert_eq!(packet::tos(packet), Some(headers.tos));
    }
    // Total; what it is believed for is held by the flows' tests.
    let _ = packet::quoted(packet);
    let reasons = [
        Reason::NoRoute,
        Reason::HostUnreachable,
        Reason::PortUnreachable,
        Reason::Prohibited,
        Reason::TooBig { mtu: u32::from(mark) << 8 },
    ];
    for reason in reasons {
        for (source, most, header) in [
            (IpAddr::from([10, 7, 0, 254]), 576, 28),
            (IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]), 1280, 48),
        ] {
            answer_is_fit(packet, source, reason, most.min(header + packet.len()));
        }
    }
    marked_is_the_same(packet, mark);
}

fn answer_is_fit(packet: &[u8], source: IpAddr, reason: Reason, most: usize) {
    let mut out = [0xA5; 1500];
    let Some(len) = icmp::unreachable(packet, source, reason, &mut out) else { return };
    assert!(len <= most, "an answer of {len} bytes");
    assert!(out[len..].iter().all(|byte| *byte == 0xA5), "nothing behind it is written");
    let headers = packet::parse(&out[..len]).expect("an answer is a packet");
    assert_eq!((headers.source, Some(headers.destination)), (source, packet::source(packet)));
    assert_eq!(headers.end, len);
    let again = icmp::unreachable(&out[..len], source, reason, &mut [0; 1500]);
    assert_eq!(again, None, "an answer to an answer");
}

fn marked_is_the_same(packet: &[u8], mark: u8) {
    let mut marked = packet.to_vec();
    let outcome = ecn::decapsulate(&mut marked, mark);
    let (before, after) = (packet::tos(packet), packet::tos(&marked));
    assert_eq!(before.map(|tos| tos >> 2), after.map(|tos| tos >> 2), "the DSCP stays");
    if outcome.is_err() || before == after {
        assert_eq!(marked, packet);
        return;
    }
    let sum = |packet: &[u8]| checksum::sum(&packet[..20]) == 0xffff;
    if packet[0] >> 4 == 4 && sum(packet) {
        assert!(sum(&marked), "the header's checksum is right as before");
    }
    assert_eq!(marked[2..10], packet[2..10]);
    assert_eq!(marked[12..], packet[12..], "nothing else changes");
}

/// What is cut has the whole payload, in segments as long as they say.
fn cut_is_whole(header: &Header, packet: &[u8]) {
    let Ok(segments) = Segments::new(header, packet) else { return };
    assert!(segments.count() >= 1 && segments.count() <= packet.len().max(1));
    let mut lens = (0..segments.count()).map(|at| segments.len(at));
    let first = lens.next().expect("there is one");
    assert!(lens.all(|len| len <= first));
    if segments.count() > MOST_SEGMENTS {
        return;
    }
    let cut = write_all(&segments);
    if header.gso_type & !vnet::GSO_ECN == vnet::GSO_NONE {
        assert_eq!(cut.len(), 1);
        assert_eq!(cut[0].len(), packet.len());
        return;
    }
    let headers = packet::parse(packet).expect("what is cut was read");
    let transport = match headers.transport {
        Transport::Tcp { .. } => usize::from(packet[headers.transport_at + 12] >> 4) * 4,
        _ => 8,
    };
    let from = headers.transport_at + transport;
    let payload: Vec<u8> = cut.iter().flat_map(|segment| segment[from..].iter().copied()).collect();
    assert_eq!(payload, packet[from..]);
    for segment in &cut {
        let headers = packet::parse(segment).expect("a segment is a packet");
        assert_eq!(headers.end, segment.len());
    }
}

fn write_all(segments: &Segments<'_>) -> Vec<Vec<u8>> {
    let write = |at| {
        let mut slot = vec![0xA5; segments.len(at)];
        segments.write(at, &mut slot);
        slot
    };
    (0..segments.count()).map(write).collect()
}

/// What was joined is cut into what was pushed, each flow in order.
fn joined_is_the_same(packets: &[Vec<u8>], mode: u8) {
    let mut coalescer = Coalescer::new();
    coalescer.set_enabled(mode & 2 == 0);
    coalescer.set_udp(mode & 4 == 0);
    let mut got = Vec::new();
    for packet in packets {
        if coalescer.is_full() {
            coalescer.drain(|item| got.extend(cut(item)));
        }
        coalescer.push(packet).expect("there is room");
    }
    coalescer.drain(|item| got.extend(cut(item)));
    assert!(coalescer.is_empty());
    assert_eq!(by_flow(&got), by_flow(packets));
}

fn cut(item: &[u8]) -> Vec<Vec<u8>> {
    let (header, packet) = Header::split(item).expect("an item begins with its header");
    // Bytes that are not IP are no business of the segmenter.
    if header.flags & vnet::NEEDS_CSUM == 0 {
        assert_eq!(header.gso_type, vnet::GSO_NONE);
        return vec![packet.to_vec()];
    }
    write_all(&Segments::new(&header, packet).expect("what we join can be cut"))
}

fn by_flow(packets: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut flows = BTreeMap::<_, Vec<_>>::new();
    for packet in packets {
        let key = match packet.first().map(|first| first >> 4) {
            Some(4) if packet.len() >= 24 => [&packet[9..10], &packet[12..24]].concat(),
            Some(6) if packet.len() >= 44 => [&packet[6..7], &packet[8..44]].concat(),
            _ => packet.clone(),
        };
        flows.entry(key).or_default().push(unnumbered(packet));
    }
    flows
}

/// Where fragmentation is forbidden, identifications mean nothing (RFC 6864) and count up anew.
fn unnumbered(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let is_free = packet.len() >= 20 && packet[0] == 0x45 && packet[6] & 0x40 != 0;
    if is_free && checksum::sum(&packet[..20]) == 0xffff {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}
