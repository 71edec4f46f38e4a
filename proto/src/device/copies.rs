//! Copies and detours: IP packets that a rule sends to a node which is neither their source nor their destination.
//!
//! Like a link frame both begin with a version nibble that no IP packet has: no local program can forge one through a TUN device,
//! and a plain WireGuard peer drops them. The bytes of a *copy frame* (of `tee` and `watch`) and of a *detour frame* (`redirect`):
//! ```text
//! 0x12 | flags (1) | length of the packet (2, big endian) | length of the copy (2, big endian) | the packet's first bytes | zero padding
//! 0x13 | flags (1) | length of the packet (2, big endian) | the packet | zero padding
//! ```
//! Bit 0 of the flags: the packet was judged on its way in at the sender (else on its way out). Bit 1, of a copy only: of `watch`.
//! All others are 0. A packet is IPv4 or IPv6 and as long as its own length field says; a copy holds the IP header at least, without
//! options: nobody could say whose packet it is otherwise. Padding is shorter than 16 bytes. What is not so is discarded.
//!
//! Whose packets a peer may send in this way is not asked here: these come from one peer in the name of two others.

use super::payload::PADDING;
use super::{Device, PeerId};
use crate::discard::Discard;
use crate::now::Now;
use crate::outbox::Outbox;
use crate::packet::announced;
use crate::parcel::{Parcel, Single};

/// The first byte of a copy frame: version nibble 1.
pub const COPY_FRAME: u8 = 0x12;

/// The first byte of a detour frame: version nibble 1.
pub const DETOUR_FRAME: u8 = 0x13;

/// What a copy frame adds to its bytes.
pub const COPY_OVERHEAD: usize = 6;

/// What a detour frame adds to its packet.
pub const DETOUR_OVERHEAD: usize = 4;

const INBOUND: u8 = 0b01;
const WATCH: u8 = 0b10;

/// On which way the sender of a copy or detour has judged the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judged {
    /// On its way out, into the tunnel.
    Outbound,
    /// On its way in, out of the tunnel.
    Inbound,
}

impl Judged {
    /// `out` or `in`, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "out",
            Self::Inbound => "in",
        }
    }

    const fn flags(self) -> u8 {
        match self {
            Self::Outbound => 0,
            Self::Inbound => INBOUND,
        }
    }

    const fn of(flags: u8) -> Self {
        if flags & INBOUND == 0 { Self::Outbound } else { Self::Inbound }
    }
}

/// What has asked for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyKind {
    /// A `tee` rule.
    Tee,
    /// A `watch` rule.
    Watch,
}

impl CopyKind {
    /// `tee` or `watch`, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tee => "tee",
            Self::Watch => "watch",
        }
    }

    const fn flags(self) -> u8 {
        match self {
            Self::Tee => 0,
            Self::Watch => WATCH,
        }
    }
}

/// Which copy [`Device::send_copy`] is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyOrder {
    /// On which way the packet was judged.
    pub judged: Judged,
    /// What has asked for it.
    pub kind: CopyKind,
    /// At most so many bytes of each packet, from its IP header on; 65535 for all of it. The IP header (20 or 40 bytes) is copied
    /// in any case.
    pub length: u16,
}

/// A copy of a packet, from a peer. The device has checked its form and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketCopy<'d> {
    /// On which way the peer has judged it.
    pub judged: Judged,
    /// What has asked for it.
    pub kind: CopyKind,
    /// How long the packet is, in bytes.
    pub original_length: u16,
    /// Its first bytes: the IP header at least, without options.
    pub bytes: &'d [u8],
}

/// A packet that a peer sends here instead of where it was to go. The device has checked its form and no more.
#[derive(Debug, PartialEq, Eq)]
pub struct Detour<'d> {
    /// On which way the peer has judged it.
    pub judged: Judged,
    /// The packet, as long as its own length field says.
    pub packet: &'d mut [u8],
}

impl Device {
    /// Sends a copy of one IP packet to a peer; what does not fit the tunnel's MTU is cut off. Without a session it waits for one,
    /// and a handshake begins.
    ///
    /// # Errors
    /// [`Discard::NotIp`] where it has no whole IP header or is not as long as that says, else as [`Device::send_packets`].
    pub fn send_copy(
        &mut self,
        peer: PeerId,
        order: CopyOrder,
        packet: &[u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let frame = CopyFrame::new(order, packet, self.core.mtu)?;
        self.send_packets(peer, &frame, now, out)
    }

    /// Sends a copy of each packet of a parcel to a peer, as [`Device::send_copy`] does.
    ///
    /// # Errors
    /// Those of the first that cannot be sent; the others are not tried.
    pub fn send_copies(
        &mut self,
        peer: PeerId,
        order: CopyOrder,
        packets: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        // A checksum is over the whole packet, so that its first bytes are known when all of it is written.
        let mut scratch = core::mem::take(&mut self.core.scratch);
        let outcome = (0..packets.count()).try_for_each(|index| {
            scratch.resize(packets.len(index), 0);
            packets.write(index, &mut scratch);
            self.send_copy(peer, order, &scratch, now, out)
        });
        self.core.scratch = scratch;
        outcome
    }

    /// Sends one IP packet to a peer that is not its destination. Without a session it waits for one, and a handshake begins.
    ///
    /// # Errors
    /// As [`Device::send_packets`].
    pub fn send_detour(
        &mut self,
        peer: PeerId,
        judged: Judged,
        packet: &[u8],
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.send_detours(peer, judged, &Single(packet), now, out)
    }

    /// Sends the packets of a parcel to a peer that is not their destination, as [`Device::send_packets`] does to one that is.
    ///
    /// # Errors
    /// As [`Device::send_packets`].
    pub fn send_detours(
        &mut self,
        peer: PeerId,
        judged: Judged,
        packets: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        self.send_packets(peer, &DetourFrames { judged, packets }, now, out)
    }
}

/// A copy on its way.
struct CopyFrame<'p> {
    flags: u8,
    original_length: u16,
    bytes: &'p [u8],
}

impl<'p> CopyFrame<'p> {
    fn new(order: CopyOrder, packet: &'p [u8], mtu: usize) -> Result<Self, Discard> {
        let header = whole(packet).ok_or(Discard::NotIp)?;
        let original_length = u16::try_from(packet.len()).map_err(|_| Discard::Oversized)?;
        let fits = mtu.saturating_sub(COPY_OVERHEAD);
        let len = usize::from(order.length).min(fits).max(header).min(packet.len());
        let flags = order.judged.flags() | order.kind.flags();
        Ok(Self { flags, original_length, bytes: &packet[..len] })
    }
}

impl Parcel for CopyFrame<'_> {
    fn count(&self) -> usize {
        1
    }

    fn len(&self, _: usize) -> usize {
        COPY_OVERHEAD + self.bytes.len()
    }

    fn write(&self, _: usize, slot: &mut [u8]) {
        let len = u16::try_from(self.bytes.len()).expect("a copy is not longer than its packet");
        let (head, bytes) = slot.split_at_mut(COPY_OVERHEAD);
        head[..2].copy_from_slice(&[COPY_FRAME, self.flags]);
        head[2..4].copy_from_slice(&self.original_length.to_be_bytes());
        head[4..].copy_from_slice(&len.to_be_bytes());
        bytes.copy_from_slice(self.bytes);
    }

    fn tos(&self) -> u8 {
        0
    }
}

/// Packets on a detour.
struct DetourFrames<'p, P> {
    judged: Judged,
    packets: &'p P,
}

impl<P: Parcel> Parcel for DetourFrames<'_, P> {
    fn count(&self) -> usize {
        self.packets.count()
    }

    fn len(&self, index: usize) -> usize {
        DETOUR_OVERHEAD + self.packets.len(index)
    }

    fn write(&self, index: usize, slot: &mut [u8]) {
        let (head, packet) = slot.split_at_mut(DETOUR_OVERHEAD);
        let len = u16::try_from(packet.len()).expect("a payload is shorter than 64 KiB");
        head[..2].copy_from_slice(&[DETOUR_FRAME, self.judged.flags()]);
        head[2..].copy_from_slice(&len.to_be_bytes());
        self.packets.write(index, packet);
    }

    fn tos(&self) -> u8 {
        self.packets.tos()
    }
}

/// Reads a copy frame, padded or not.
pub(super) fn copy(payload: &[u8]) -> Option<PacketCopy<'_>> {
    let (&[first, flags, a, b, c, d], rest) = payload.split_first_chunk::<COPY_OVERHEAD>()?;
    let (original_length, len) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (bytes, padding) = rest.split_at_checked(len.into())?;
    let is_known = first == COPY_FRAME && flags & !(INBOUND | WATCH) == 0;
    let is_part = len <= original_length && len >= ip_header(bytes)? as u16;
    if !is_known || !is_part || !is_padding(padding) || announced(bytes)? != usize::from(original_length) {
        return None;
    }
    let kind = if flags & WATCH == 0 { CopyKind::Tee } else { CopyKind::Watch };
    Some(PacketCopy { judged: Judged::of(flags), kind, original_length, bytes })
}

/// Reads a detour frame, padded or not.
pub(super) fn detour(payload: &mut [u8]) -> Option<Detour<'_>> {
    let (&mut [first, flags, a, b], rest) = payload.split_first_chunk_mut::<DETOUR_OVERHEAD>()?;
    let (packet, padding) = rest.split_at_mut_checked(u16::from_be_bytes([a, b]).into())?;
    let is_known = first == DETOUR_FRAME && flags & !INBOUND == 0;
    if !is_known || !is_padding(padding) || whole(packet).is_none() {
        return None;
    }
    Some(Detour { judged: Judged::of(flags), packet })
}

/// The length of the IP header without options, by the version.
fn ip_header(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => Some(20),
        6 => Some(40),
        _ => None,
    }
}

/// The same of a packet that has all of it and is as long as it says.
fn whole(packet: &[u8]) -> Option<usize> {
    let header = ip_header(packet)?;
    (packet.len() >= header && announced(packet)? == packet.len()).then_some(header)
}

fn is_padding(bytes: &[u8]) -> bool {
    bytes.len() < PADDING && bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests;
