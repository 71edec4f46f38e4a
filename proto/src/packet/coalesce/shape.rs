//! What the coalescer sees in a packet: whose it is, and whether it may be joined to others.

use super::super::{TCP, UDP, checksum, word};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const ECE: u8 = 0x40;

/// Who talks to whom. Ports first: they tell most flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    ports: [u8; 4],
    protocol: u8,
    pub(super) hosts: Hosts,
}

/// The source and destination of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    /// As they stand in the header; of IPv4, in the first 8 bytes.
    addresses: [u8; 32],
    version: u8,
}

/// How a packet stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Data of a flow, in a form that segmentation would give back.
    Data(Flow, Data),
    /// Of a flow, but to travel alone.
    Alone(Flow),
    /// Of some flow or none between these hosts.
    Between(Hosts),
    /// Not IP.
    Opaque,
}

/// A packet that may be joined to others, if its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data {
    /// Where the transport header begins.
    pub(super) transport_at: usize,
    /// The length of all headers.
    pub(super) header: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp { seq: u32, is_pushed: bool },
    Udp,
}

impl Shape {
    pub(super) fn of(packet: &[u8]) -> Self {
        let (at, protocol, is_plain) = match packet.first().map(|first| first >> 4) {
            Some(4) if packet.len() >= 20 => (20, packet[9], is_plain_v4(packet)),
            Some(6) if packet.len() >= 40 => {
                (40, packet[6], usize::from(word(packet, 4)) + 40 == packet.len())
            }
            _ => return Self::Opaque,
        };
        let hosts = Hosts::of(packet);
        let transport = &packet[at..];
        if !is_plain || transport.len() < 8 || !matches!(protocol, TCP | UDP) {
            return Self::Between(hosts);
        }
        let flow = Flow { ports: [transport[0], transport[1], transport[2], transport[3]], protocol, hosts };
        let data = if protocol == TCP { tcp(at, transport) } else { udp(at, transport) };
        let is_canonical = at != 20 || ip_sum_is_canonical(packet);
        match data {
            Some(data) if is_canonical => Self::Data(flow, data),
            _ => Self::Alone(flow),
        }
    }
}

impl Flow {
    /// A number by which flows are told apart at a glance; never 0. Others may have the same.
    pub(super) fn key(&self) -> u32 {
        /// 2^64 over the golden ratio: odd, and its bits are well mixed.
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = u64::from(u32::from_ne_bytes(self.ports)) << 8 | u64::from(self.protocol);
        let (words, _) = self.hosts.addresses.as_chunks::<8>();
        for word in words {
            mixed = (mixed ^ u64::from_ne_bytes(*word)).wrapping_mul(ODD);
            mixed ^= mixed >> 32;
        }
        mixed as u32 | 1
    }
}

impl Hosts {
    fn of(packet: &[u8]) -> Self {
        let mut addresses = [0; 32];
        let version = packet[0] >> 4;
        if version == 4 {
            addresses[..8].copy_from_slice(&packet[12..20]);
        } else {
            addresses.copy_from_slice(&packet[8..40]);
        }
        Self { addresses, version }
    }
}

/// No options, not a fragment, as long as it says.
fn is_plain_v4(packet: &[u8]) -> bool {
    packet[0] == 0x45 && word(packet, 6) & 0x3fff == 0 && usize::from(word(packet, 2)) == packet.len()
}

/// The header checksum is right, and zero is written as segmentation would write it; the bit that must be zero is.
fn ip_sum_is_canonical(packet: &[u8]) -> bool {
    checksum::sum(&packet[..20]) == 0xffff && word(packet, 10) != 0xffff && packet[6] & 0x80 == 0
}

fn tcp(at: usize, bytes: &[u8]) -> Option<Data> {
    let least = bytes.first_chunk::<20>()?;
    let len = usize::from(least[12] >> 4) * 4;
    let flags = least[13];
    let is_data = flags & !(PSH | ECE) == ACK && len >= least.len() && len < bytes.len();
    // As a checksum, segmentation writes the other form of zero.
    let is_canonical = word(least, 16) != 0xffff;
    let seq = u32::from_be_bytes([least[4], least[5], least[6], least[7]]);
    (is_data && is_canonical).then_some(Data {
        transport_at: at,
        header: at + len,
        kind: Kind::Tcp { seq, is_pushed: flags & PSH != 0 },
    })
}

fn udp(at: usize, bytes: &[u8]) -> Option<Data> {
    let has_checksum = word(bytes, 6) != 0;
    let is_data = usize::from(word(bytes, 4)) == bytes.len() && bytes.len() > 8;
    (has_checksum && is_data).then_some(Data { transport_at: at, header: at + 8, kind: Kind::Udp })
}

/// Whether `next` may be the segment number `at` of what begins with `head`, by its headers (and not by its sequence
/// number, length or checksum). Both are of one flow and have `data`'s layout.
pub(super) fn continues(head: &[u8], next: &[u8], data: &Data, at: u16) -> bool {
    is_same_ip(head, next, at) && (data.kind == Kind::Udp || is_same_tcp(head, next, data))
}

/// Same type of service, time to live and flags; identification counts up unless nothing can ever be a fragment.
fn is_same_ip(head: &[u8], next: &[u8], at: u16) -> bool {
    if head[0] >> 4 == 6 {
        return head[..4] == next[..4] && head[7] == next[7];
    }
    let may_not_fragment = next[6] & 0x40 != 0;
    head[1] == next[1]
        && head[6..9] == next[6..9]
        && (may_not_fragment || word(next, 4) == word(head, 4).wrapping_add(at))
}

/// Same acknowledgement, flags but PSH, window, urgent pointer and options.
fn is_same_tcp(head: &[u8], next: &[u8], data: &Data) -> bool {
    let (Some(head), Some(next)) =
        (head.get(data.transport_at..data.header), next.get(data.transport_at..data.header))
    else {
        return false;
    };
    head[8..13] == next[8..13]
        && (head[13] ^ next[13]) & !PSH == 0
        && head[14..16] == next[14..16]
        && head[18..] == next[18..]
}

/// Lets the head say what its last segment said.
pub(super) fn push(head: &mut [u8], data: &Data) {
    head[data.transport_at + 13] |= PSH;
}
