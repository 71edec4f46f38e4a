//! The 10 bytes that stand before a packet on a Linux TUN device opened with `IFF_VNET_HDR`.
//!
//! ```text
//! flags (1) | gso_type (1) | hdr_len (2) | gso_size (2) | csum_start (2) | csum_offset (2)      native endian
//! ```
//! Offsets count from the first byte of the packet. `hdr_len` is a hint that nobody may trust: a forwarded packet has
//! whatever was linear in the kernel's buffer.

/// The length of a [`Header`] on the device.
pub const LEN: usize = 10;

/// `flags`: the checksum at `csum_start + csum_offset` covers the bytes from `csum_start` on, and is yet to be made. The
/// field holds the sum of the pseudo header, not complemented.
pub const NEEDS_CSUM: u8 = 1;
/// `flags`: the checksums were verified.
pub const DATA_VALID: u8 = 2;

/// `gso_type`: one packet.
pub const GSO_NONE: u8 = 0;
/// `gso_type`: TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// `gso_type`: a UDP datagram to be sent in fragments (UFO). Not ours: never asked for.
pub const GSO_UDP: u8 = 3;
/// `gso_type`: TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// `gso_type`: UDP datagrams of one size (USO).
pub const GSO_UDP_L4: u8 = 5;
/// A bit of `gso_type`: the first TCP segment carries CWR.
pub const GSO_ECN: u8 = 0x80;

/// What the bytes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// [`NEEDS_CSUM`] or [`DATA_VALID`].
    pub flags: u8,
    /// One of the `GSO_` constants, perhaps with [`GSO_ECN`].
    pub gso_type: u8,
    /// The length of all headers, if one believes it.
    pub hdr_len: u16,
    /// Payload bytes of each segment but the last, which may have fewer.
    pub gso_size: u16,
    /// Where the checksum begins.
    pub csum_start: u16,
    /// Where the checksum is stored, counted from `csum_start`.
    pub csum_offset: u16,
}

impl Header {
    /// What to put before a packet that is complete.
    pub const NONE: Self =
        Self { flags: 0, gso_type: GSO_NONE, hdr_len: 0, gso_size: 0, csum_start: 0, csum_offset: 0 };

    /// Splits what was read from the device into header and packet; `None` if it is too short to have one.
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (header, packet) = bytes.split_first_chunk()?;
        Some((Self::parse(header), packet))
    }

    /// Reads it.
    pub const fn parse(bytes: &[u8; LEN]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = *bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        }
    }

    /// Writes it.
    pub const fn encode(&self) -> [u8; LEN] {
        let [a, b] = self.hdr_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_ten_bytes_in_native_order() {
        let header = Header {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4 | GSO_ECN,
            hdr_len: 0x1234,
            gso_size: 1400,
            csum_start: 20,
            csum_offset: 16,
        };
        let bytes = header.encode();
        assert_eq!(Header::parse(&bytes), header);
        assert_eq!(bytes[..2], [1, 0x81]);
        assert_eq!(bytes[2..4], 0x1234_u16.to_ne_bytes());
        assert_eq!(bytes[8..], 16_u16.to_ne_bytes());
        assert_eq!(Header::NONE.encode(), [0; LEN]);
    }

    #[test]
    fn what_is_shorter_than_a_header_has_none() {
        for len in 0..LEN {
            assert_eq!(Header::split(&[0; LEN][..len]), None, "{len} bytes");
        }
        assert_eq!(Header::split(&[0; LEN]), Some((Header::NONE, &[][..])));
    }
}
