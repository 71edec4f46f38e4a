//! From what the kernel hands over at once to packets that fit: segments and checksums.
//!
//! What comes out is what the kernel's own software segmentation would have sent, byte for byte: identification and
//! sequence numbers count up, FIN and PSH stay with the last segment and CWR with the first, lengths and checksums are
//! made anew from the pseudo header's sum in the packet's checksum field.

use super::vnet::{self, Header};
use super::{MAX_PACKET, TCP, UDP, checksum, extensions, set_word, word};
use crate::discard::Discard;

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// Where the checksum stands in a TCP header.
const TCP_CHECKSUM: usize = 16;
/// Where the checksum stands in a UDP header.
const UDP_CHECKSUM: usize = 6;

/// A packet from the TUN device, as the packets that it stands for.
#[derive(Clone)]
pub struct Segments<'p> {
    packet: &'p [u8],
    tos: u8,
    work: Work,
}

/// What is left to do.
#[derive(Clone)]
enum Work {
    Nothing,
    /// One packet whose bytes from `start` on need their sum in the field at `field`.
    Checksum {
        start: usize,
        field: usize,
    },
    Split(Split),
}

/// What all segments share.
#[derive(Clone)]
struct Split {
    /// The length of all headers.
    header: usize,
    /// Where the transport header begins.
    transport_at: usize,
    /// Payload bytes of each but the last.
    size: usize,
    count: usize,
    /// For IPv4, the sum of the header but for length, identification and checksum.
    ip: Option<u64>,
    /// The sum of pseudo and transport header but for what differs from segment to segment.
    sum: u64,
    is_tcp: bool,
}

impl<'p> Segments<'p> {
    /// Looks at a packet and at what the device says about it. `hdr_len` is not believed.
    ///
    /// # Errors
    /// - [`Discard::NotIp`] if it does not begin with an IP header,
    /// - [`Discard::Oversized`] if it is longer than any IP packet,
    /// - [`Discard::BadOffload`] if packet and header contradict each other, or ask for what was never offered.
    pub fn new(header: &Header, packet: &'p [u8]) -> Result<Self, Discard> {
        let tos = super::tos(packet).ok_or(Discard::NotIp)?;
        if packet.len() > MAX_PACKET {
            return Err(Discard::Oversized);
        }
        let needs_checksum = header.flags & vnet::NEEDS_CSUM != 0;
        let work = match header.gso_type & !vnet::GSO_ECN {
            vnet::GSO_NONE if header.gso_type & vnet::GSO_ECN != 0 => None,
            vnet::GSO_NONE if needs_checksum => checksum_only(header, packet),
            vnet::GSO_NONE => Some(Work::Nothing),
            kind if needs_checksum => Split::new(kind, header, packet).map(Work::Split),
            _ => None,
        };
        Ok(Self { packet, tos, work: work.ok_or(Discard::BadOffload)? })
    }

    /// How many there are, at least 1.
    pub fn count(&self) -> usize {
        match &self.work {
            Work::Split(split) => split.count,
            _ => 1,
        }
    }

    /// The length of a segment. All but the last are equally long, and the last is not longer.
    pub fn len(&self, index: usize) -> usize {
        match &self.work {
            Work::Split(split) => split.header + split.payload(index, self.packet.len()).len(),
            _ => self.packet.len(),
        }
    }

    /// Never: there is at least one.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The type of service or traffic class that all of them have.
    pub const fn tos(&self) -> u8 {
        self.tos
    }

    /// The ECN bits of that, for the outer header.
    pub const fn ecn(&self) -> u8 {
        super::ecn::encapsulate(self.tos)
    }

    /// The whole, as it was read: good for routing and judging, not for sending.
    pub const fn packet(&self) -> &'p [u8] {
        self.packet
    }

    /// Writes one segment into a slot of exactly its length.
    ///
    /// # Panics
    /// If there is no such segment, or the slot is not of [`Segments::len`].
    pub fn write(&self, index: usize, slot: &mut [u8]) {
        match &self.work {
            Work::Nothing => slot.copy_from_slice(self.packet),
            Work::Checksum { start, field } => {
                slot.copy_from_slice(self.packet);
                let sum = checksum::sum(&slot[*start..]);
                set_word(slot, *field, mangled(!sum));
            }
            Work::Split(split) => split.write(index, self.packet, slot),
        }
    }
}

/// The kernel stores a computed zero as its other form, whatever the protocol: for UDP a zero means "none".
const fn mangled(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

fn checksum_only(header: &Header, packet: &[u8]) -> Option<Work> {
    let start = usize::from(header.csum_start);
    let field = start + usize::from(header.csum_offset);
    (field + 2 <= packet.len()).then_some(Work::Checksum { start, field })
}

impl Split {
    fn new(kind: u8, header: &Header, packet: &[u8]) -> Option<Self> {
        let (transport_at, protocol) = transport(packet)?;
        let (is_tcp, field) = match (kind, protocol, packet[0] >> 4) {
            (vnet::GSO_TCPV4, TCP, 4) | (vnet::GSO_TCPV6, TCP, 6) => (true, TCP_CHECKSUM),
            (vnet::GSO_UDP_L4, UDP, _) => (false, UDP_CHECKSUM),
            _ => return None,
        };
        let announced = (usize::from(header.csum_start), usize::from(header.csum_offset));
        if announced != (transport_at, field) || header.gso_size == 0 {
            return None;
        }
        let len = transport_len(is_tcp, &packet[transport_at..])?;
        let (transport, payload) = packet[transport_at..].split_at(len);
        let size = usize::from(header.gso_size);
        Some(Self {
            header: transport_at + len,
            transport_at,
            size,
            count: payload.len().div_ceil(size).max(1),
            ip: (packet[0] >> 4 == 4).then(|| ip_sum(&packet[..transport_at])),
            sum: transport_sum(is_tcp, transport, len + payload.len()),
            is_tcp,
        })
    }

    /// Which bytes of a packet of `len` bytes are the payload of a segment.
    #[inline]
    fn payload(&self, index: usize, len: usize) -> core::ops::Range<usize> {
        assert!(index < self.count, "segment {index} of {}", self.count);
        let from = self.header + index * self.size;
        from..(from + self.size).min(len)
    }

    fn write(&self, index: usize, packet: &[u8], slot: &mut [u8]) {
        let payload = &packet[self.payload(index, packet.len())];
        let len = slot.len();
        let (head, body) = slot.split_at_mut(self.header);
        head.copy_from_slice(&packet[..self.header]);
        let body = checksum::copy(payload, body);
        let (ip, transport) = head.split_at_mut(self.transport_at);
        if let Some(sum) = self.ip {
            let id = word(ip, 4).wrapping_add(index as u16);
            set_word(ip, 2, len as u16);
            set_word(ip, 4, id);
            set_word(ip, 10, !checksum::fold(sum + len as u64 + u64::from(id)));
        } else {
            set_word(ip, 4, (len - 40) as u16);
        }
        // Once for the pseudo header's length.
        let len = len - self.transport_at;
        let sum = self.sum + u64::from(body) + len as u64;
        if self.is_tcp { self.finish_tcp(index, transport, sum) } else { finish_udp(transport, len, sum) }
    }

    fn finish_tcp(&self, index: usize, tcp: &mut [u8], sum: u64) {
        let [a, b, c, d] = [tcp[4], tcp[5], tcp[6], tcp[7]];
        let seq = u32::from_be_bytes([a, b, c, d]).wrapping_add((index * self.size) as u32);
        tcp[4..8].copy_from_slice(&seq.to_be_bytes());
        if index + 1 < self.count {
            tcp[13] &= !(FIN | PSH);
        }
        if index > 0 {
            tcp[13] &= !CWR;
        }
        let sum = sum + u64::from(seq) + u64::from(word(tcp, 12));
        set_word(tcp, TCP_CHECKSUM, !checksum::fold(sum));
    }
}

fn finish_udp(udp: &mut [u8], len: usize, sum: u64) {
    set_word(udp, 4, len as u16);
    set_word(udp, UDP_CHECKSUM, mangled(!checksum::fold(sum + len as u64)));
}

/// Where the transport header of a packet begins that is whole and as long as it says, and its protocol.
fn transport(packet: &[u8]) -> Option<(usize, u8)> {
    if packet[0] >> 4 == 4 {
        let at = usize::from(packet[0] & 0x0f) * 4;
        let is_whole = word(packet, 6) & 0x3fff == 0;
        let fits = at >= 20 && at <= packet.len() && usize::from(word(packet, 2)) == packet.len();
        (is_whole && fits).then_some((at, packet[9]))
    } else {
        let end = extensions::walk(packet)?;
        let fits = usize::from(word(packet, 4)) + 40 == packet.len();
        (!end.is_bound && fits).then_some((end.at, end.protocol))
    }
}

/// The length of the transport header, if it is all there and `bytes` are all of its packet.
fn transport_len(is_tcp: bool, bytes: &[u8]) -> Option<usize> {
    let least = bytes.get(..if is_tcp { 20 } else { 8 })?;
    if is_tcp {
        let len = usize::from(least[12] >> 4) * 4;
        (len >= least.len() && len <= bytes.len()).then_some(len)
    } else {
        (usize::from(word(least, 4)) == bytes.len()).then_some(least.len())
    }
}

/// The sum of an IPv4 header but for length, identification and checksum.
fn ip_sum(header: &[u8]) -> u64 {
    let but = [word(header, 2), word(header, 4), word(header, 10)];
    u64::from(checksum::sum(header)) + complements(&but)
}

/// The sum of pseudo header (which stands in the checksum field) and transport header, but for the pseudo header's
/// length, and for sequence number and flags (TCP) or the length (UDP).
fn transport_sum(is_tcp: bool, header: &[u8], len: usize) -> u64 {
    let but = if is_tcp {
        [word(header, 4), word(header, 6), word(header, 12), len as u16]
    } else {
        [word(header, 4), len as u16, 0, 0]
    };
    u64::from(checksum::sum(header)) + complements(&but)
}

/// What to add in order to take words out of a sum.
fn complements(words: &[u16]) -> u64 {
    words.iter().map(|word| u64::from(!word)).sum()
}

#[cfg(test)]
mod tests;
