//! Which packets are joined on their way to the device, and what becomes of those that it refuses for being joined.

use lockgate_proto::discard::Discard;
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::vnet;

use crate::machine::tun::{Offloads, Written};

/// After so many refusals in a row, packets of a kind are not joined for a while.
const PATIENCE: u32 = 4;
/// For so many items.
const REST: u32 = 256;

/// What the kernel takes joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Udp,
}

impl Kind {
    /// Of an item that was joined; `None` where it is one packet.
    pub(super) fn of(item: &[u8]) -> Option<Self> {
        let (header, _) = vnet::Header::split(item)?;
        match header.gso_type & !vnet::GSO_ECN {
            vnet::GSO_NONE => None,
            vnet::GSO_UDP_L4 => Some(Self::Udp),
            _ => Some(Self::Tcp),
        }
    }
}

/// Refusals suspend the joining of one kind for a while, as those of segmentation do for the UDP socket.
#[derive(Debug)]
pub(super) struct Joining {
    tcp: Trust,
    udp: Trust,
}

#[derive(Debug)]
struct Trust {
    promised: bool,
    refusals: u32,
    resting: u32,
    /// It has rested before.
    told: bool,
}

impl Trust {
    const fn new(promised: bool) -> Self {
        Self { promised, refusals: 0, resting: 0, told: false }
    }

    const fn is_on(&self) -> bool {
        self.promised && self.resting == 0
    }
}

impl Joining {
    pub(super) const fn new(offloads: Offloads) -> Self {
        Self { tcp: Trust::new(offloads.tso), udp: Trust::new(offloads.uso) }
    }

    /// Whether packets of this kind are joined at present.
    pub(super) const fn is_on(&self, kind: Kind) -> bool {
        match kind {
            Kind::Tcp => self.tcp.is_on(),
            Kind::Udp => self.udp.is_on(),
        }
    }

    /// An item was written, whatever became of it: a rest is measured in them.
    pub(super) const fn count(&mut self) {
        self.tcp.resting = self.tcp.resting.saturating_sub(1);
        self.udp.resting = self.udp.resting.saturating_sub(1);
    }

    /// A joined item was taken.
    pub(super) const fn taken(&mut self, kind: Kind) {
        self.trust(kind).refusals = 0;
    }

    /// A joined item was refused, and its packets went alone: so it was the joining. Whether that begins the first
    /// rest of this kind: the others are not worth a word.
    pub(super) const fn refused(&mut self, kind: Kind) -> bool {
        let trust = self.trust(kind);
        trust.refusals += 1;
        if trust.refusals < PATIENCE {
            return false;
        }
        (trust.refusals, trust.resting) = (0, REST);
        !std::mem::replace(&mut trust.told, true)
    }

    const fn trust(&mut self, kind: Kind) -> &mut Trust {
        match kind {
            Kind::Tcp => &mut self.tcp,
            Kind::Udp => &mut self.udp,
        }
    }
}

/// Hands the packets of a joined item over one by one, each behind a virtio header of its own; `room` is where they are
/// made. Whether all of them were sent.
///
/// # Errors
/// When the item contradicts itself, which no coalescer's does.
pub(super) fn write_singly(
    item: &[u8],
    room: &mut Vec<u8>,
    mut write: impl FnMut(&[u8]) -> Written,
) -> Result<bool, Discard> {
    let (header, packet) = vnet::Header::split(item).ok_or(Discard::Malformed)?;
    let packets = Segments::new(&header, packet)?;
    let mut sent = true;
    for index in 0..packets.count() {
        room.clear();
        room.extend_from_slice(&vnet::Header::NONE.encode());
        room.resize(vnet::LEN + packets.len(index), 0);
        packets.write(index, &mut room[vnet::LEN..]);
        sent &= write(room) == Written::Sent;
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use lockgate_proto::packet::coalesce::Coalescer;

    use super::*;

    /// The sum of 16-bit words with the carries folded in (RFC 1071).
    fn sum(bytes: &[u8]) -> u16 {
        let words = bytes
            .chunks(2)
            .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// A UDP datagram over IPv4 with whole checksums, payload of `len` times `fill`.
    fn datagram(fill: u8, len: usize) -> Vec<u8> {
        let total = (28 + len) as u16;
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let checksum = !sum(&packet);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        let length = total - 20;
        packet.extend([0x10, 0, 0x20, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(vec![fill; len]);
        let pseudo = [&packet[12..20], &[0, 17], &length.to_be_bytes(), &packet[20..]].concat();
        let checksum = !sum(&pseudo);
        packet[26..28].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    #[test]
    fn a_refused_item_loses_none_of_its_packets() {
        let mut coalescer = Coalescer::new();
        coalescer.set_udp(true);
        let mut packets: Vec<Vec<u8>> = (1..=4).map(|fill| datagram(fill, 100)).collect();
        packets.push(datagram(5, 33));
        for packet in &packets {
            coalescer.push(packet).unwrap();
        }
        let (mut items, mut arrived) = (0, Vec::new());
        coalescer.drain(|item| {
            items += 1;
            assert_eq!(Kind::of(item), Some(Kind::Udp));
            let sent = write_singly(item, &mut Vec::new(), |single| {
                assert_eq!(Kind::of(single), None);
                arrived.push(single[vnet::LEN..].to_vec());
                Written::Sent
            });
            assert_eq!(sent, Ok(true));
        });
        assert_eq!(items, 1, "they were joined");
        // Where fragmentation is forbidden, the identification counts up anew: all but that and its checksum is the same.
        let rest = |packet: &Vec<u8>| [&packet[..4], &packet[6..10], &packet[12..]].concat();
        assert_eq!(
            arrived.iter().map(rest).collect::<Vec<_>>(),
            packets.iter().map(rest).collect::<Vec<_>>()
        );
        assert!(arrived.iter().all(|packet| sum(&packet[..20]) == 0xffff));
    }

    #[test]
    fn packets_that_are_refused_alone_too_are_not_blamed_on_joining() {
        let mut coalescer = Coalescer::new();
        coalescer.set_udp(true);
        coalescer.push(&datagram(1, 9)).unwrap();
        coalescer.push(&datagram(2, 9)).unwrap();
        let mut tried = 0;
        coalescer.drain(|item| {
            let sent = write_singly(item, &mut Vec::new(), |_| {
                tried += 1;
                if tried == 1 { Written::Down } else { Written::Sent }
            });
            assert_eq!(sent, Ok(false));
        });
        assert_eq!(tried, 2, "one that is lost does not cost the others");
        assert!(write_singly(&[0; 3], &mut Vec::new(), |_| Written::Sent).is_err());
    }

    #[test]
    fn refusals_in_a_row_rest_one_kind_and_it_is_tried_again() {
        let mut joining = Joining::new(Offloads::ALL);
        for _ in 1..PATIENCE {
            assert!(!joining.refused(Kind::Udp));
        }
        joining.taken(Kind::Tcp);
        assert!(joining.refused(Kind::Udp), "the rest begins");
        for _ in 0..REST {
            assert!(joining.is_on(Kind::Tcp) && !joining.is_on(Kind::Udp));
            joining.count();
        }
        assert!(joining.is_on(Kind::Udp), "tried again");
        for _ in 0..2 * PATIENCE {
            assert!(!joining.refused(Kind::Udp));
            joining.taken(Kind::Udp);
        }
        assert!(joining.is_on(Kind::Udp), "refusals now and then rest nothing");
        let told = (0..PATIENCE).filter(|_| joining.refused(Kind::Udp)).count();
        assert!(!joining.is_on(Kind::Udp) && told == 0, "the second rest is not told");
    }

    #[test]
    fn what_was_never_promised_is_never_tried() {
        let mut joining = Joining::new(Offloads { uso: false, ..Offloads::ALL });
        assert!(joining.is_on(Kind::Tcp) && !joining.is_on(Kind::Udp));
        joining.count();
        assert!(!joining.is_on(Kind::Udp));
    }
}
