//! Copies and detours between devices.

use super::*;
use crate::packet::segment::Segments;
use crate::packet::vnet;
use crate::parcel::{Parcel, Single};

const TEE: CopyOrder = CopyOrder { judged: Judged::Outbound, kind: CopyKind::Tee, length: u16::MAX };
const WATCH: CopyOrder = CopyOrder { judged: Judged::Inbound, kind: CopyKind::Watch, length: 64 };

impl Room {
    fn copy(&mut self, order: CopyOrder, packet: &[u8]) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[0];
        device.send_copy(PEER, order, packet, self.now, out)
    }

    fn copies(&mut self, order: CopyOrder, packets: &impl Parcel) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[0];
        device.send_copies(PEER, order, packets, self.now, out)
    }

    fn detour(&mut self, packets: &impl Parcel) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[0];
        device.send_detours(PEER, Judged::Inbound, packets, self.now, out)
    }
}

#[test]
fn a_copy_and_a_detour_arrive_whoever_the_addresses_belong_to() {
    let mut room = Room::connected();
    let packet = packet("10.9.9.9", 0, 200);
    assert_eq!(room.hosts[1].device.route("10.9.9.9".parse().unwrap()), None);
    room.copy(TEE, &packet).unwrap();
    room.copy(WATCH, &packet).unwrap();
    room.detour(&Single(&packet)).unwrap();
    room.settle();
    let host = &mut room.hosts[1];
    let wanted = [
        (Judged::Outbound, CopyKind::Tee, 200, packet.clone()),
        (Judged::Inbound, CopyKind::Watch, 200, packet[..64].to_vec()),
    ];
    assert_eq!(host.copies, wanted);
    assert_eq!(host.detours, [(Judged::Inbound, packet)]);
    assert!(host.discards.is_empty() && host.links.is_empty());
    assert!(room.take(1).is_empty(), "neither is answered");
}

#[test]
fn a_copy_is_cut_to_the_mtu_and_a_detour_is_not() {
    let mut room = Room::connected();
    for (len, datagram) in [(1414, 1420 + 32), (1420, 1420 + 32), (9000, 1420 + 32)] {
        room.copy(TEE, &packet("10.0.0.1", 0, len)).unwrap();
        assert_eq!(room.hosts[0].out.0[0].1.len(), datagram, "{len}");
        room.settle();
        let (_, _, original, bytes) = room.hosts[1].copies.pop().unwrap();
        assert_eq!((usize::from(original), bytes.len()), (len, 1414));
    }
    let large = packet("10.0.0.1", 0, 9000);
    room.detour(&Single(&large)).unwrap();
    room.settle();
    assert_eq!(room.hosts[1].detours.pop().unwrap().1, large);
    assert_eq!(room.detour(&Single(&packet("10.0.0.1", 0, 65_472))), Err(Discard::Oversized));
    room.detour(&Single(&packet("10.0.0.1", 0, 65_471))).unwrap();
    room.settle();
    assert_eq!(room.hosts[1].detours.pop().unwrap().1.len(), 65_471);
    assert_eq!(room.copy(TEE, &[0x45; 19]), Err(Discard::NotIp));
    assert!(room.hosts[1].discards.is_empty());
}

#[test]
fn both_wait_for_a_session() {
    let mut room = Room::pair();
    let packet = packet("fd00::1", 0, 100);
    room.copy(TEE, &packet).unwrap();
    room.detour(&Single(&packet)).unwrap();
    room.settle();
    assert_eq!(room.hosts[1].copies, [(Judged::Outbound, CopyKind::Tee, 100, packet.clone())]);
    assert_eq!(room.hosts[1].detours, [(Judged::Inbound, packet)]);
}

#[test]
fn the_mark_of_a_detoured_packet_shows_outside_and_that_of_a_copy_does_not() {
    let mut room = Room::connected();
    let marked = packet("10.0.0.1", 0xb9, 100);
    room.hosts[0].out.1.clear();
    room.detour(&Single(&marked)).unwrap();
    room.copy(TEE, &marked).unwrap();
    assert_eq!(room.hosts[0].out.1.iter().map(|envelope| envelope.tos).collect::<Vec<_>>(), [0x01, 0]);
}

/// UDP of 100 bytes a datagram under one header, as the kernel hands it over, checksums still to be made.
fn super_packet(payload: usize) -> (vnet::Header, Vec<u8>) {
    let mut whole = packet("10.0.0.1", 0, 28 + payload);
    whole[4..12].copy_from_slice(&[0, 1, 0, 0, 64, 17, 0, 0]);
    whole[16..28].copy_from_slice(&[10, 0, 0, 2, 0, 7, 0, 8, 0, 0, 0, 0]);
    whole[24..26].copy_from_slice(&u16::to_be_bytes(8 + payload as u16));
    let header = vnet::Header {
        flags: vnet::NEEDS_CSUM,
        gso_type: vnet::GSO_UDP_L4,
        hdr_len: 28,
        gso_size: 100,
        csum_start: 20,
        csum_offset: 6,
    };
    (header, whole)
}

#[test]
fn each_packet_of_a_super_packet_has_its_own_copy_and_its_own_detour() {
    let mut room = Room::connected();
    let (header, whole) = super_packet(250);
    let segments = Segments::new(&header, &whole).unwrap();
    assert_eq!(segments.count(), 3);
    let wanted: Vec<Vec<u8>> = (0..3)
        .map(|index| {
            let mut packet = vec![0; segments.len(index)];
            segments.write(index, &mut packet);
            packet
        })
        .collect();
    assert_eq!(wanted.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 78]);
    room.copies(WATCH, &segments).unwrap();
    room.copies(TEE, &segments).unwrap();
    room.detour(&segments).unwrap();
    room.settle();
    let host = &room.hosts[1];
    for (index, packet) in wanted.iter().enumerate() {
        let len = packet.len() as u16;
        assert_eq!(
            host.copies[index],
            (Judged::Inbound, CopyKind::Watch, len, packet[..64].to_vec()),
            "the first bytes, their checksums over all of it"
        );
        assert_eq!(host.copies[3 + index], (Judged::Outbound, CopyKind::Tee, len, packet.clone()));
        assert_eq!(host.detours[index], (Judged::Inbound, packet.clone()));
    }
    assert_eq!((host.copies.len(), host.detours.len(), host.discards.len()), (6, 3, 0));
}
