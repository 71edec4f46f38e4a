//! From packets that came out of the tunnel to as few writes to the TUN device as possible.
//!
//! Neighbours of one TCP or UDP flow become one packet that [`super::segment`], or the kernel, would cut into the same
//! packets again: the kernel's own rules of receive offload, and no packet is joined whose checksums were not verified
//! first. (One freedom: where fragmentation is forbidden, IPv4 identifications mean nothing (RFC 6864) and count up anew.)
//! Everything else passes alone, byte for byte. Items leave in the order of their first packets, and the packets of a flow
//! stay in order: what cannot join the last item of its flow ends it.
//!
//! All memory is taken once, at construction.

mod shape;
#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use self::shape::{Data, Flow, Hosts, Kind, Shape};
use super::vnet::{self, Header};
use super::{MAX_PACKET, TCP, UDP, checksum, set_word, word};
use crate::discard::Discard;

/// The most items.
const MAX_ITEMS: usize = 512;

/// The most flows that are joined at the same time; a new one displaces the one that rested longest.
const MAX_LANES: usize = 16;

/// The most packets in an item: what older kernels take.
const MAX_SEGMENTS: u16 = 64;

/// The most bytes of an item.
const ROOM: usize = vnet::LEN + MAX_PACKET;

/// Bytes for items: every lane at its longest, and half as much for what travels alone.
const SLAB: usize = ROOM * (MAX_LANES + MAX_LANES / 2);

/// Takes packets in, hands items out.
pub struct Coalescer {
    slab: Vec<u8>,
    /// Where the next item begins.
    tail: usize,
    items: Vec<Item>,
    /// The items that may still grow, the one that grew last at the end.
    lanes: Vec<Lane>,
    enabled: bool,
    joins_tcp: bool,
    joins_udp: bool,
}

/// One write: a virtio header and a packet, side by side in the slab.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Where the packet begins in the slab, behind its virtio header.
    at: usize,
    len: usize,
    segments: u16,
    /// Payload bytes of the first segment.
    size: usize,
    /// How it is laid out, if its checksums were verified.
    data: Option<Data>,
}

/// An item that may still grow.
#[derive(Clone, Copy, Debug)]
struct Lane {
    flow: Flow,
    /// Which.
    item: usize,
    /// What the next segment's sequence number has to be.
    seq: u32,
    /// The slab is its own up to here.
    limit: usize,
}

/// Whether an item may grow further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    Open,
    Closed,
}

impl Default for Coalescer {
    fn default() -> Self {
        Self::new()
    }
}

impl Coalescer {
    /// An empty one that joins TCP, and UDP not before [`Coalescer::set_udp`].
    pub fn new() -> Self {
        Self {
            slab: vec![0; SLAB],
            tail: 0,
            items: Vec::with_capacity(MAX_ITEMS),
            lanes: Vec::with_capacity(MAX_LANES),
            enabled: true,
            joins_tcp: true,
            joins_udp: false,
        }
    }

    /// Whether anything is joined at all: no, if the TUN device refuses segments.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
        self.close_all();
    }

    /// Whether TCP is joined, where anything is.
    pub fn set_tcp(&mut self, enabled: bool) {
        self.joins_tcp = enabled;
        self.close_all();
    }

    /// Whether UDP is joined too: only if the TUN device takes `TUN_F_USO4` and `TUN_F_USO6`.
    pub fn set_udp(&mut self, enabled: bool) {
        self.joins_udp = enabled;
        self.close_all();
    }

    /// Whether there is nothing to drain.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the next packet may find no room: drain first.
    pub fn is_full(&self) -> bool {
        self.tail + ROOM > SLAB || self.items.len() == MAX_ITEMS
    }

    /// Takes a packet.
    ///
    /// # Errors
    /// [`Discard::Oversized`] if no IP packet can be so long, [`Discard::OutboxFull`] if [`Coalescer::is_full`].
    pub fn push(&mut self, packet: &[u8]) -> Result<(), Discard> {
        if packet.len() > MAX_PACKET {
            return Err(Discard::Oversized);
        }
        if self.is_full() {
            return Err(Discard::OutboxFull);
        }
        if !self.enabled {
            self.append(packet);
            return Ok(());
        }
        match Shape::of(packet) {
            Shape::Data(flow, data) if self.joins(data.kind) => self.join(flow, data, packet),
            Shape::Data(flow, _) | Shape::Alone(flow) => {
                self.close(|lane| lane.flow == flow);
                self.append(packet);
            }
            Shape::Between(hosts) => {
                self.close_between(hosts);
                self.append(packet);
            }
            Shape::Opaque => self.append(packet),
        }
        Ok(())
    }

    /// Hands out every item in order, each as `virtio header | packet` for one write, and forgets it.
    ///
    /// Where the device refuses an item, [`Header::split`] and [`super::segment::Segments`] give its packets back.
    pub fn drain(&mut self, mut write: impl FnMut(&[u8])) {
        self.lanes.clear();
        self.tail = 0;
        for item in self.items.drain(..) {
            let bytes = &mut self.slab[item.at - vnet::LEN..item.at + item.len];
            item.finish(bytes);
            write(bytes);
        }
    }

    fn joins(&self, kind: Kind) -> bool {
        if kind == Kind::Udp { self.joins_udp } else { self.joins_tcp }
    }

    /// To the item of its flow, or to one of its own.
    fn join(&mut self, flow: Flow, data: Data, packet: &[u8]) {
        if let Some(at) = self.lanes.iter().rposition(|lane| lane.flow == flow) {
            if self.fits(&self.lanes[at], &data, packet) {
                self.grow(at, &data, packet);
                return;
            }
            self.close_at(at);
        }
        self.begin(flow, data, packet);
    }

    /// Whether all but the checksum allows to join.
    fn fits(&self, lane: &Lane, data: &Data, packet: &[u8]) -> bool {
        let item = &self.items[lane.item];
        let head = &self.slab[item.at..item.at + item.len];
        let payload = packet.len() - data.header;
        let is_next = match data.kind {
            Kind::Tcp { seq, .. } => seq == lane.seq,
            Kind::Udp => true,
        };
        is_next
            && payload <= item.size
            && item.at + item.len + payload <= lane.limit
            && item.data.is_some_and(|first| first.header == data.header)
            && shape::continues(head, packet, data, item.segments)
    }

    /// Joins a packet that fits to the item of a lane; a bad one goes alone.
    fn grow(&mut self, at: usize, data: &Data, packet: &[u8]) {
        let lane = &mut self.lanes[at];
        let item = &mut self.items[lane.item];
        let payload = packet.len() - data.header;
        let end = item.at + item.len;
        let sum = checksum::copy(&packet[data.header..], &mut self.slab[end..end + payload]);
        if !is_intact(data, packet, sum) {
            self.close_at(at);
            self.append(packet);
            return;
        }
        item.len += payload;
        item.segments += 1;
        if matches!(data.kind, Kind::Tcp { is_pushed: true, .. }) {
            shape::push(&mut self.slab[item.at..], data);
        }
        lane.seq = lane.seq.wrapping_add(payload as u32);
        if item.growth(data, payload, lane.limit) == Growth::Closed {
            self.close_at(at);
        } else if at + 1 < self.lanes.len() {
            self.lanes[at..].rotate_left(1);
        }
    }

    /// Begins an item that others may join, if its checksum is right.
    fn begin(&mut self, flow: Flow, data: Data, packet: &[u8]) {
        let at = self.tail + vnet::LEN;
        let slot = &mut self.slab[at..at + packet.len()];
        let (head, body) = slot.split_at_mut(data.header);
        head.copy_from_slice(&packet[..data.header]);
        let sum = checksum::copy(&packet[data.header..], body);
        let is_intact = is_intact(&data, packet, sum);
        self.tail = at + packet.len();
        let size = packet.len() - data.header;
        let item = Item { at, len: packet.len(), segments: 1, size, data: is_intact.then_some(data) };
        self.items.push(item);
        let limit = at + (data.header + size * usize::from(MAX_SEGMENTS)).min(MAX_PACKET);
        if !is_intact || item.growth(&data, size, limit) == Growth::Closed {
            return;
        }
        if self.lanes.len() == MAX_LANES {
            self.close_at(0);
        }
        self.tail = limit;
        let seq = match data.kind {
            Kind::Tcp { seq, .. } => seq.wrapping_add(size as u32),
            Kind::Udp => 0,
        };
        self.lanes.push(Lane { flow, item: self.items.len() - 1, seq, limit });
    }

    /// An item of its own, as it is.
    fn append(&mut self, packet: &[u8]) {
        let at = self.tail + vnet::LEN;
        self.tail = at + packet.len();
        self.slab[at..self.tail].copy_from_slice(packet);
        self.items.push(Item { at, len: packet.len(), segments: 1, size: 0, data: None });
    }

    fn close_between(&mut self, hosts: Hosts) {
        self.close(|lane| lane.flow.hosts == hosts);
    }

    fn close_all(&mut self) {
        self.close(|_| true);
    }

    fn close(&mut self, is_meant: impl Fn(&Lane) -> bool) {
        while let Some(at) = self.lanes.iter().rposition(&is_meant) {
            self.close_at(at);
        }
    }

    fn close_at(&mut self, at: usize) {
        let lane = self.lanes.remove(at);
        self.release(&lane);
    }

    /// Gives back what a lane has left of the slab, if nothing stands behind it.
    fn release(&mut self, lane: &Lane) {
        if self.tail == lane.limit {
            let item = &self.items[lane.item];
            self.tail = item.at + item.len;
        }
    }
}

impl Item {
    /// Whether more may follow a segment with `payload` bytes.
    fn growth(&self, data: &Data, payload: usize, limit: usize) -> Growth {
        let is_last = payload < self.size || matches!(data.kind, Kind::Tcp { is_pushed: true, .. });
        let has_room = self.segments < MAX_SEGMENTS && self.at + self.len < limit;
        if is_last || !has_room { Growth::Closed } else { Growth::Open }
    }

    /// Writes the virtio header, and what the packet's own headers have to say now.
    fn finish(&self, bytes: &mut [u8]) {
        let (header, packet) = bytes.split_at_mut(vnet::LEN);
        let mut vnet = Header::NONE;
        if let Some(data) = &self.data {
            vnet.flags = vnet::DATA_VALID;
            if self.segments > 1 {
                vnet = self.joined(data, packet[0] >> 4);
                fix(packet, data);
            }
        }
        header.copy_from_slice(&vnet.encode());
    }

    fn joined(&self, data: &Data, version: u8) -> Header {
        let (gso_type, csum_offset) = match (data.kind, version) {
            (Kind::Tcp { .. }, 4) => (vnet::GSO_TCPV4, 16),
            (Kind::Tcp { .. }, _) => (vnet::GSO_TCPV6, 16),
            (Kind::Udp, _) => (vnet::GSO_UDP_L4, 6),
        };
        Header {
            flags: vnet::NEEDS_CSUM,
            gso_type,
            hdr_len: data.header as u16,
            gso_size: self.size as u16,
            csum_start: data.transport_at as u16,
            csum_offset,
        }
    }
}

/// Whether the transport checksum of a packet is right whose payload has this sum.
fn is_intact(data: &Data, packet: &[u8], payload: u16) -> bool {
    let header = checksum::sum(&packet[data.transport_at..data.header]);
    let sum = u64::from(pseudo(data, packet)) + u64::from(header) + u64::from(payload);
    checksum::fold(sum) == 0xffff
}

fn pseudo(data: &Data, packet: &[u8]) -> u16 {
    let addresses = if packet[0] >> 4 == 4 { &packet[12..20] } else { &packet[8..40] };
    let protocol = if data.kind == Kind::Udp { UDP } else { TCP };
    checksum::pseudo(addresses, protocol, packet.len() - data.transport_at)
}

/// Gives a packet that has grown its lengths, and the sum of its pseudo header where its checksum belongs.
fn fix(packet: &mut [u8], data: &Data) {
    let len = packet.len();
    if packet[0] >> 4 == 4 {
        let before = word(packet, 2);
        let sum = checksum::update(word(packet, 10), before, len as u16);
        set_word(packet, 2, len as u16);
        set_word(packet, 10, sum);
    } else {
        set_word(packet, 4, (len - 40) as u16);
    }
    let pseudo = pseudo(data, packet);
    let transport = &mut packet[data.transport_at..];
    if data.kind == Kind::Udp {
        set_word(transport, 4, (len - data.transport_at) as u16);
        set_word(transport, 6, pseudo);
    } else {
        set_word(transport, 16, pseudo);
    }
}
