//! What is inside a data message: an IP packet, a frame of ours, or nothing.
//!
//! A *link frame* begins with a version nibble that no IP packet has, so that no local program can forge one through a TUN
//! device and a plain WireGuard peer drops it:
//! ```text
//! 0x10 | length (2, big endian) | datagram (length) | zero padding
//! ```

use super::copies::{COPY_FRAME, DETOUR_FRAME, copy, detour};
use super::echo::{ECHO_FRAME, Frame};
use super::{Content, LinkDatagram};
use crate::discard::Discard;
use crate::parcel::Parcel;
use crate::wire::{DATA_OVERHEAD, MAX_DATAGRAM};

/// The first byte of a link frame: version nibble 1.
pub const LINK_FRAME: u8 = 0x10;

/// What a link frame adds to its datagram, before padding and the data message's own [`DATA_OVERHEAD`].
pub const LINK_OVERHEAD: usize = 3;

/// The MTU of a tunnel whose UDP packets must pass 1500 bytes of IPv6.
pub const DEFAULT_MTU: usize = 1420;

/// Payloads are padded to a multiple of this.
pub(super) const PADDING: usize = 16;

const MAX_PAYLOAD: usize = MAX_DATAGRAM - DATA_OVERHEAD;

/// The largest link datagram whose data message, padded, is a UDP payload of at most `udp_payload` bytes.
pub const fn max_link_datagram(udp_payload: usize) -> usize {
    let padded = udp_payload.saturating_sub(DATA_OVERHEAD) / PADDING * PADDING;
    let datagram = padded.saturating_sub(LINK_OVERHEAD);
    if datagram > u16::MAX as usize { u16::MAX as usize } else { datagram }
}

/// How many bytes a payload of `len` has as sent: padded to 16, but by padding never beyond the MTU.
///
/// # Errors
/// [`Discard::Oversized`].
pub(super) fn padded(len: usize, mtu: usize) -> Result<usize, Discard> {
    if len > MAX_PAYLOAD {
        return Err(Discard::Oversized);
    }
    Ok(len.next_multiple_of(PADDING).min(mtu.min(MAX_PAYLOAD)).max(len))
}

/// A link datagram on its way.
pub(super) struct LinkFrame<'p>(pub(super) &'p [u8]);

impl Parcel for LinkFrame<'_> {
    fn count(&self) -> usize {
        1
    }

    fn len(&self, _: usize) -> usize {
        LINK_OVERHEAD + self.0.len()
    }

    fn write(&self, _: usize, slot: &mut [u8]) {
        let len = u16::try_from(self.0.len()).expect("a payload is shorter than 64 KiB");
        slot[0] = LINK_FRAME;
        slot[1..LINK_OVERHEAD].copy_from_slice(&len.to_be_bytes());
        slot[LINK_OVERHEAD..].copy_from_slice(self.0);
    }

    fn tos(&self) -> u8 {
        0
    }
}

/// Sorts a payload by its version nibble and trims the padding by its own length field.
///
/// # Errors
/// [`Discard::UnknownPayload`].
pub(super) fn classify(payload: &mut [u8]) -> Result<Content<'_>, Discard> {
    let content = match payload.first() {
        None => Some(Content::Nothing),
        Some(&LINK_FRAME) => link(payload).map(|datagram| Content::Link(LinkDatagram(datagram))),
        Some(&ECHO_FRAME) => Frame::parse(payload).map(|frame| match frame {
            Frame::Request(_) => Content::Nothing,
            Frame::Answer(echo) => Content::Echo(echo),
        }),
        Some(&COPY_FRAME) => copy(payload).map(Content::Copy),
        Some(&DETOUR_FRAME) => detour(payload).map(Content::Detour),
        Some(first) => match first >> 4 {
            4 => trimmed(payload, 2, 0, 20).map(Content::Ip),
            6 => trimmed(payload, 4, 40, 40).map(Content::Ip),
            _ => None,
        },
    };
    content.ok_or(Discard::UnknownPayload)
}

fn link(payload: &[u8]) -> Option<&[u8]> {
    let len = u16_at(payload, 1)?;
    payload.get(LINK_OVERHEAD..)?.get(..len)
}

/// The packet whose length field stands at `field` and counts all but the first `more` bytes.
fn trimmed(payload: &mut [u8], field: usize, more: usize, least: usize) -> Option<&mut [u8]> {
    let len = u16_at(payload, field)? + more;
    if len < least { None } else { payload.get_mut(..len) }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn payload_is_padded_to_16_but_never_beyond_the_mtu() {
        for (len, mtu, padded) in [
            (0, 1420, 0),
            (1, 1420, 16),
            (16, 1420, 16),
            (17, 1420, 32),
            (1408, 1420, 1408),
            (1409, 1420, 1420),
            (1420, 1420, 1420),
            (1421, 1420, 1421),
            (3, 0, 3),
            (9000, 1420, 9000),
            (MAX_PAYLOAD - 1, 65_535, MAX_PAYLOAD),
            (MAX_PAYLOAD, 65_535, MAX_PAYLOAD),
        ] {
            assert_eq!(super::padded(len, mtu), Ok(padded), "length {len} mtu {mtu}");
        }
        assert_eq!(padded(MAX_PAYLOAD + 1, 1420), Err(Discard::Oversized));
        assert_eq!(padded(usize::MAX, 1420), Err(Discard::Oversized));
    }

    #[test]
    fn the_largest_link_datagram_fits_padded() {
        for udp_payload in [0, 31, 32, 48, 51, 1200, 1280, 1452, 1472, 9000, MAX_DATAGRAM] {
            let most = max_link_datagram(udp_payload);
            let len = padded(LINK_OVERHEAD + most, 65_535).unwrap() + DATA_OVERHEAD;
            assert!(len <= udp_payload || most == 0, "udp payload {udp_payload}: {most} makes {len}");
            assert!(len + PADDING > udp_payload, "udp payload {udp_payload}: {most} wastes");
        }
        assert_eq!(max_link_datagram(1452), 1405);
    }

    #[test]
    fn a_link_frame_is_read_back_without_its_padding() {
        for len in [0, 1, 12, 13, 14, 1200] {
            let datagram = vec![0xc0; len];
            let frame = LinkFrame(&datagram);
            let mut payload: Vec<u8> = vec![0; padded(frame.len(0), 1420).unwrap()];
            frame.write(0, &mut payload[..frame.len(0)]);
            assert_eq!(payload.len() % PADDING, 0);
            assert_eq!(classify(&mut payload), Ok(Content::Link(LinkDatagram(&datagram))), "length {len}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut v4 = [0_u8; 32];
        let mut v6 = [0_u8; 64];
        let mut frame = [0_u8; 16];
        (v4[0], v6[0], frame[0]) = (0x45, 0x60, LINK_FRAME);
        for (claimed, trimmed) in
            [(0, None), (19, None), (20, Some(20)), (32, Some(32)), (33, None), (65_535, None)]
        {
            v4[2..4].copy_from_slice(&u16::to_be_bytes(claimed));
            let found = classify(&mut v4)
                .map(|content| matches!(content, Content::Ip(p) if Some(p.len()) == trimmed));
            assert_eq!(found, trimmed.map(|_| true).ok_or(Discard::UnknownPayload), "IPv4 {claimed}");
        }
        for (claimed, trimmed) in [(0, Some(40)), (24, Some(64)), (25, None), (65_535, None)] {
            v6[4..6].copy_from_slice(&u16::to_be_bytes(claimed));
            let found = classify(&mut v6)
                .map(|content| matches!(content, Content::Ip(p) if Some(p.len()) == trimmed));
            assert_eq!(found, trimmed.map(|_| true).ok_or(Discard::UnknownPayload), "IPv6 {claimed}");
        }
        for (claimed, good) in [(0, true), (13, true), (14, false), (65_535, false)] {
            frame[1..3].copy_from_slice(&u16::to_be_bytes(claimed));
            assert_eq!(classify(&mut frame).is_ok(), good, "link frame {claimed}");
        }
    }

    #[test]
    fn other_versions_and_stumps_are_refused() {
        for first in 0..=255_u8 {
            for len in 1..8 {
                let mut payload = vec![0; len];
                payload[0] = first;
                let good = first == LINK_FRAME && len >= LINK_OVERHEAD;
                assert_eq!(classify(&mut payload).is_ok(), good, "first byte {first:#x} length {len}");
            }
        }
        assert_eq!(classify(&mut []), Ok(Content::Nothing));
    }
}
