//! Ours, as the tunnel uses it.

use lockgate_proto::packet::coalesce::Coalescer;
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::vnet::Header;

/// The packets that a super-packet stands for.
pub(super) fn segments(vnet: &[u8; 10], packet: &[u8]) -> Vec<Vec<u8>> {
    let segments =
        Segments::new(&Header::parse(vnet), packet).unwrap_or_else(|why| panic!("{vnet:02x?}: {why:?}"));
    (0..segments.count())
        .map(|index| {
            // Whatever was in the slot before must not be in the segment.
            let mut slot = vec![0xa5; segments.len(index)];
            segments.write(index, &mut slot);
            slot
        })
        .collect()
}

/// What is to be written to the device for these packets.
pub(super) fn coalesce<'p>(packets: impl Iterator<Item = &'p [u8]>) -> Vec<Vec<u8>> {
    let mut coalescer = Coalescer::new();
    coalescer.set_udp(true);
    let mut items = Vec::new();
    for packet in packets {
        if coalescer.is_full() {
            coalescer.drain(|item| items.push(item.to_vec()));
        }
        coalescer.push(packet).expect("an IP packet, and room");
    }
    coalescer.drain(|item| items.push(item.to_vec()));
    items
}
