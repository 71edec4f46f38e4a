//! The frames as bytes.

use alloc::vec;
use alloc::vec::Vec;

use super::super::Content;
use super::super::payload::{classify, padded};
use super::super::tests::{Seeded, packet};
use super::*;

const ALL: u16 = u16::MAX;

fn order(judged: Judged, kind: CopyKind, length: u16) -> CopyOrder {
    CopyOrder { judged, kind, length }
}

/// A parcel's first packet as it is sent.
fn payload(parcel: &impl Parcel) -> Vec<u8> {
    let mut payload = vec![0; padded(parcel.len(0), 1420).unwrap()];
    parcel.write(0, &mut payload[..parcel.len(0)]);
    payload
}

fn copy_of(packet: &[u8], length: u16) -> Vec<u8> {
    payload(&CopyFrame::new(order(Judged::Outbound, CopyKind::Tee, length), packet, 1420).unwrap())
}

#[test]
fn a_copy_is_read_back_as_it_was_ordered() {
    for (source, header) in [("10.0.0.1", 20), ("fd00::1", 40)] {
        for (len, length, mtu, copied) in [
            (header, ALL, 1420, header),
            (100, ALL, 1420, 100),
            (100, 64, 1420, 64),
            (100, 101, 1420, 100),
            (100, 0, 1420, header),
            (1420, ALL, 1420, 1414),
            (1414, ALL, 1420, 1414),
            (9000, ALL, 1420, 1414),
            (9000, ALL, 9006, 9000),
            (9000, 1415, 1420, 1414),
            (100, ALL, 0, header),
            (65_535, ALL, 65_535, 65_529),
        ] {
            for judged in [Judged::Outbound, Judged::Inbound] {
                for kind in [CopyKind::Tee, CopyKind::Watch] {
                    let packet = packet(source, 0, len);
                    let frame = CopyFrame::new(order(judged, kind, length), &packet, mtu).unwrap();
                    let mut payload = payload_at_most(&frame);
                    let bytes = &packet[..copied];
                    let wanted = PacketCopy { judged, kind, original_length: len as u16, bytes };
                    assert_eq!(classify(&mut payload), Ok(Content::Copy(wanted)), "{len} {length} {mtu}");
                }
            }
        }
    }
}

/// As it is sent through a tunnel that pads.
fn payload_at_most(parcel: &impl Parcel) -> Vec<u8> {
    let mut payload = vec![0; parcel.len(0).next_multiple_of(PADDING)];
    parcel.write(0, &mut payload[..parcel.len(0)]);
    payload
}

#[test]
fn a_copy_of_what_is_no_packet_is_not_sent() {
    let good = packet("10.0.0.1", 0, 100);
    for (name, packet) in [
        ("nothing", &[][..]),
        ("cut", &good[..99]),
        ("a stump", &good[..10]),
        ("not IP", &[0x10; 40]),
        ("bytes behind its end", &[&good[..], &[0]].concat()),
    ] {
        let frame = CopyFrame::new(order(Judged::Outbound, CopyKind::Tee, ALL), packet, 1420);
        assert_eq!(frame.err(), Some(Discard::NotIp), "{name}");
    }
}

#[test]
fn the_frames_have_these_bytes() {
    let packet = packet("10.0.0.1", 0, 24);
    let copy = CopyFrame::new(order(Judged::Inbound, CopyKind::Watch, 20), &packet, 1420).unwrap();
    let copy = payload(&copy);
    assert_eq!(copy[..6], [0x12, 0b11, 0, 24, 0, 20]);
    assert_eq!((&copy[6..26], &copy[26..]), (&packet[..20], &[0; 6][..]));
    let detour = payload(&DetourFrames { judged: Judged::Inbound, packets: &Single(&packet) });
    assert_eq!(detour[..4], [0x13, 0b01, 0, 24]);
    assert_eq!((&detour[4..28], &detour[28..]), (&packet[..], &[0; 4][..]));
}

#[test]
fn a_detour_is_read_back_whole() {
    for source in ["10.0.0.1", "fd00::1"] {
        for len in [40, 41, 100, 1420, 65_000] {
            for judged in [Judged::Outbound, Judged::Inbound] {
                let mut packet = packet(source, 0x02, len);
                let frames = DetourFrames { judged, packets: &Single(&packet) };
                assert_eq!(frames.tos(), 0x02, "the network may mark it");
                let mut payload = payload_at_most(&frames);
                let wanted = Detour { judged, packet: &mut packet };
                assert_eq!(classify(&mut payload), Ok(Content::Detour(wanted)), "{len}");
            }
        }
    }
}

#[test]
fn a_frame_with_anything_odd_is_refused() {
    let packet = packet("10.0.0.1", 0, 40);
    let copy = copy_of(&packet, 30);
    let detour = payload(&DetourFrames { judged: Judged::Outbound, packets: &Single(&packet) });
    assert_eq!((copy.len(), detour.len()), (48, 48));
    let with = |frame: &[u8], at: usize, bytes: &[u8]| {
        let mut frame = frame.to_vec();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    for (name, mut payload) in [
        ("a flag that a copy has not", with(&copy, 1, &[0b100])),
        ("the packet is longer than it says", with(&copy, 2, &[0, 41])),
        ("the packet is shorter than it says", with(&copy, 2, &[0, 39])),
        ("a copy longer than the packet", with(&copy, 4, &[0, 41])),
        ("a copy longer than the frame", with(&copy, 4, &[1, 0])),
        ("a copy without its IP header", with(&copy, 4, &[0, 19])),
        ("an empty copy", with(&copy, 4, &[0, 0])),
        ("a copy of IPv6 without its header", with(&copy, 6, &[0x60, 0, 0, 0, 0, 0])),
        ("a copy of what is not IP", with(&copy, 6, &[0x55])),
        ("padding that is not zero", with(&copy, 47, &[1])),
        ("too much padding", [&copy[..], &[0; 4]].concat()),
        ("a stump of a copy", copy[..5].to_vec()),
        ("a cut copy", copy[..35].to_vec()),
        ("a flag that a detour has not", with(&detour, 1, &[0b10])),
        ("a shorter detour", with(&detour, 2, &[0, 39])),
        ("a longer detour", with(&detour, 2, &[0, 41])),
        ("a detour longer than the frame", with(&detour, 2, &[255, 255])),
        ("a detour of nothing", with(&detour, 2, &[0, 0])),
        ("a detour of what is not IP", with(&detour, 4, &[0x55])),
        ("a packet that is longer than its detour", with(&detour, 6, &[0, 41])),
        ("padding that is not zero", with(&detour, 47, &[1])),
        ("too much padding", [&detour[..], &[0; 12]].concat()),
        ("a stump of a detour", detour[..3].to_vec()),
        ("a cut detour", detour[..43].to_vec()),
    ] {
        assert_eq!(classify(&mut payload), Err(Discard::UnknownPayload), "{name}");
    }
    let unpadded = |frame: &[u8], len| classify(&mut frame[..len].to_vec()).is_ok();
    assert!(unpadded(&copy, 36) && unpadded(&detour, 44), "padding is the sender's choice");
}

/// Whatever stands in a frame, what is read from it is what a sender of ours would have written.
#[test]
fn any_bytes_are_survived_and_what_is_read_is_written_the_same() {
    let mut chance = Seeded(12);
    let (mut copies, mut detours) = (0, 0);
    for round in 0..200_000 {
        let source = ["10.0.0.1", "fd00::1"][round % 2];
        let packet = packet(source, 0, 40 + chance.below(40));
        let mut bytes = match round % 4 {
            0 | 1 => copy_of(&packet, chance.below(100) as u16),
            _ => payload(&DetourFrames { judged: Judged::Inbound, packets: &Single(&packet) }),
        };
        for _ in 0..chance.below(3) {
            let at = chance.below(bytes.len().min(12));
            bytes[at] = chance.next() as u8;
        }
        bytes.truncate(chance.below(4 * bytes.len()));
        let original = bytes.clone();
        let mut written = match classify(&mut bytes) {
            Ok(Content::Copy(it)) => {
                copies += 1;
                let flags = it.judged.flags() | it.kind.flags();
                let (original_length, bytes) = (it.original_length, it.bytes);
                assert!(bytes.len() <= usize::from(original_length));
                let frame = CopyFrame { flags, original_length, bytes };
                let mut written = vec![0; frame.len(0)];
                frame.write(0, &mut written);
                written
            }
            Ok(Content::Detour(it)) => {
                detours += 1;
                let frame = DetourFrames { judged: it.judged, packets: &Single(it.packet) };
                let mut written = vec![0; frame.len(0)];
                frame.write(0, &mut written);
                written
            }
            _ => continue,
        };
        written.resize(original.len(), 0);
        assert_eq!(written, original, "round {round}");
    }
    assert!(copies > 10_000 && detours > 10_000, "{copies} {detours}");
}
