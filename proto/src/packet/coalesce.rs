//! From packets that came out of the tunnel to as few writes to the TUN device as possible.
//!
//! Neighbours of one TCP or UDP flow become one packet that [`super::segment`], or the kernel, would cut into the same
//! packets again: the kernel's own rules of receive offload, and no packet is joined whose checksums were not verified
//! first. (One freedom: where fragmentation is forbidden, IPv4 identifications mean nothing (RFC 6864) and count up anew.)
//! Everything else passes alone, byte for byte. Items leave in the order of their first packets, and the packets of a flow
//! stay in order: what cannot join the last item of its flow ends it.
//!
//! All memory is taken once, at construction. The item that was begun last has the rest of the slab before it and grows in
//! place. When another begins behind it, it keeps room in proportion to what it has become, and moves behind all others when
//! that is used up: so every flow takes room for what it sends, and none for what it might.

mod lanes;
mod shape;
#[cfg(test)]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use self::lanes::{Lanes, MAX_LANES};
use self::shape::{Data, Flow, Kind, Shape};
use super::vnet::{self, Header};
use super::{MAX_PACKET, TCP, UDP, checksum, set_word, word};
use crate::discard::Discard;

/// The most items.
const MAX_ITEMS: usize = 512;

/// The most packets in an item: what older kernels take.
const MAX_SEGMENTS: u16 = 64;

/// The most bytes of an item.
const ROOM: usize = vnet::LEN + MAX_PACKET;

/// Bytes for items: half of the lanes at their longest.
const SLAB: usize = ROOM * MAX_LANES / 2;

/// How many segments an item has room for that others stand behind: the next step from what it has, so that a long item
/// moves three times, and copies a third of its bytes once more.
const STEPS: [u16; 3] = [4, 16, MAX_SEGMENTS];

/// Takes packets in, hands items out.
pub struct Coalescer {
    slab: Vec<u8>,
    /// Behind all that is taken, but for what the newest lane keeps when another item begins.
    tail: usize,
    items: Vec<Item>,
    lanes: Lanes,
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
            lanes: Lanes::new(),
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
        // No item reaches further than one room: mostly the tail alone tells.
        let is_near = self.tail + 2 * ROOM > SLAB;
        (is_near && self.next() + ROOM > SLAB) || self.items.len() == MAX_ITEMS
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
                if let Some(at) = self.lanes.find(&flow) {
                    self.close(at);
                }
                self.append(packet);
            }
            Shape::Between(hosts) => {
                while let Some(at) = self.lanes.find_between(&hosts) {
                    self.close(at);
                }
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
            let bytes = &mut self.slab[item.at - vnet::LEN..item.end()];
            item.finish(bytes);
            write(bytes);
        }
    }

    fn joins(&self, kind: Kind) -> bool {
        if kind == Kind::Udp { self.joins_udp } else { self.joins_tcp }
    }

    /// To the item of its flow, or to one of its own.
    fn join(&mut self, flow: Flow, data: Data, packet: &[u8]) {
        if let Some(at) = self.lanes.find(&flow) {
            if self.fits(at, &data, packet) {
                self.grow(at, &data, packet);
                return;
            }
            self.close(at);
        }
        self.begin(flow, data, packet);
    }

    /// Whether all but the checksum allows to join.
    fn fits(&self, at: usize, data: &Data, packet: &[u8]) -> bool {
        let lane = self.lanes.get(at);
        let item = &self.items[lane.item];
        let head = &self.slab[item.at..item.end()];
        let payload = packet.len() - data.header;
        let is_next = match data.kind {
            Kind::Tcp { seq, .. } => seq == lane.seq,
            Kind::Udp => true,
        };
        is_next
            && payload <= item.size
            && item.len + payload <= MAX_PACKET
            && item.data.is_some_and(|first| first.header == data.header)
            && shape::continues(head, packet, data, item.segments)
    }

    /// Joins a packet that fits to the item of a lane; a bad one goes alone.
    fn grow(&mut self, at: usize, data: &Data, packet: &[u8]) {
        let payload = packet.len() - data.header;
        self.make_room(at, payload);
        let lane = self.lanes.get_mut(at);
        let item = &mut self.items[lane.item];
        let end = item.end();
        let sum = checksum::copy(&packet[data.header..], &mut self.slab[end..end + payload]);
        if !is_intact(data, packet, sum) {
            self.close(at);
            self.append(packet);
            return;
        }
        item.len += payload;
        item.segments += 1;
        if matches!(data.kind, Kind::Tcp { is_pushed: true, .. }) {
            shape::push(&mut self.slab[item.at..], data);
        }
        lane.seq = lane.seq.wrapping_add(payload as u32);
        let (end, growth) = (item.end(), item.growth(data, payload));
        if self.lanes.newest == Some(at) {
            self.tail = end;
        }
        match growth {
            Growth::Closed => self.close(at),
            Growth::Open => self.lanes.touch(at),
        }
    }

    /// Sees to it that an item can grow by `payload` bytes.
    fn make_room(&mut self, at: usize, payload: usize) {
        if self.lanes.newest == Some(at) {
            return;
        }
        let lane = self.lanes.get(at);
        let (index, limit) = (lane.item, lane.limit);
        let end = self.items[index].end();
        if end + payload <= limit {
            return;
        }
        self.settle_newest();
        let item = &mut self.items[index];
        if limit != self.tail {
            let to = self.tail + vnet::LEN;
            self.slab.copy_within(item.at..end, to);
            item.at = to;
        }
        self.tail = item.end();
        self.lanes.newest = Some(at);
    }

    /// Begins an item that others may join, if its checksum is right.
    fn begin(&mut self, flow: Flow, data: Data, packet: &[u8]) {
        self.settle_newest();
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
        if !is_intact || item.growth(&data, size) == Growth::Closed {
            return;
        }
        if let Some(displaced) = self.lanes.displaced() {
            self.close(displaced);
        }
        let seq = match data.kind {
            Kind::Tcp { seq, .. } => seq.wrapping_add(size as u32),
            Kind::Udp => 0,
        };
        self.lanes.push(flow, self.items.len() - 1, seq);
    }

    /// An item of its own, as it is.
    fn append(&mut self, packet: &[u8]) {
        self.settle_newest();
        let at = self.tail + vnet::LEN;
        self.tail = at + packet.len();
        self.slab[at..self.tail].copy_from_slice(packet);
        self.items.push(Item { at, len: packet.len(), segments: 1, size: 0, data: None });
    }

    /// Where the next item begins, if one does.
    fn next(&self) -> usize {
        self.lanes.newest.map_or(self.tail, |at| self.items[self.lanes.get(at).item].reach())
    }

    /// Something comes to stand behind the item of the newest lane: it keeps what it may need next.
    fn settle_newest(&mut self) {
        self.tail = self.next();
        if let Some(at) = self.lanes.newest.take() {
            self.lanes.get_mut(at).limit = self.tail;
        }
    }

    fn close_all(&mut self) {
        while self.lanes.len() > 0 {
            self.close(0);
        }
    }

    /// An item grows no more; what it has left of the slab is given back, if nothing stands behind it.
    fn close(&mut self, at: usize) {
        let lane = self.lanes.remove(at);
        if lane.limit == self.tail {
            self.tail = self.items[lane.item].end();
        }
    }
}

impl Item {
    fn end(&self) -> usize {
        self.at + self.len
    }

    /// How far it may grow in its place once others stand behind it. Of most flows there is one packet only: that keeps nothing.
    fn reach(&self) -> usize {
        let more = STEPS.into_iter().find(|step| self.segments > 1 && *step > self.segments);
        let more = more.map_or(0, |step| usize::from(step - self.segments) * self.size);
        self.at + (self.len + more).min(MAX_PACKET)
    }

    /// Whether more may follow a segment with `payload` bytes.
    fn growth(&self, data: &Data, payload: usize) -> Growth {
        let is_last = payload < self.size || matches!(data.kind, Kind::Tcp { is_pushed: true, .. });
        let has_room = self.segments < MAX_SEGMENTS && self.len < MAX_PACKET;
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
