//! Packets of one flow on their way to one peer, written where they are sealed.

/// One or more IP packets of one flow that go to one peer. Nothing is copied before it is known where to: each packet is written
/// into the datagram that it leaves in.
pub trait Parcel {
    /// How many packets.
    fn count(&self) -> usize;

    /// How many bytes the packet `index` has, from its IP header on.
    fn len(&self, index: usize) -> usize;

    /// Whether there are no packets.
    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Writes the packet `index` into `slot`, which has exactly [`Parcel::len`] bytes of unspecified content.
    fn write(&self, index: usize, slot: &mut [u8]);

    /// The type-of-service or traffic-class byte of all of them.
    fn tos(&self) -> u8;
}

/// One packet that is whole already.
#[derive(Clone, Copy, Debug)]
pub struct Single<'p>(pub &'p [u8]);

impl Parcel for Single<'_> {
    fn count(&self) -> usize {
        1
    }

    fn len(&self, _: usize) -> usize {
        self.0.len()
    }

    fn write(&self, _: usize, slot: &mut [u8]) {
        slot.copy_from_slice(self.0);
    }

    fn tos(&self) -> u8 {
        match self.0 {
            [first, second, ..] if first >> 4 == 4 => *second,
            [first, second, ..] if first >> 4 == 6 => first << 4 | second >> 4,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tos_of_a_packet_is_read_by_its_version() {
        for (packet, tos) in [
            (&[0x45, 0x03, 0][..], 0x03),
            (&[0x45, 0xb9], 0xb9),
            (&[0x60, 0x30, 0], 0x03),
            (&[0x6b, 0x9f], 0xb9),
            (&[0x10, 0xff], 0),
            (&[0x45], 0),
            (&[], 0),
        ] {
            assert_eq!(Single(packet).tos(), tos, "{packet:02x?}");
        }
    }
}
