//! A frame's header: flags, then the body's size in one byte or in eight.

use bytes::{BufMut, BytesMut};

use super::{Fault, Version};

/// More parts follow.
pub(super) const MORE: u8 = 0b001;
/// The size has eight bytes.
pub(super) const LONG: u8 = 0b010;
/// The frame is a command (3.x).
pub(super) const COMMAND: u8 = 0b100;
/// The longest header: flags and eight bytes.
pub(super) const MAX_HEADER: usize = 9;

/// A parsed header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    flags: u8,
    /// Bytes of the body.
    pub(super) size: u64,
    /// Bytes of the header itself, 2 or 9.
    pub(super) len: usize,
}

impl Header {
    /// The header at the start of `bytes`; `None` while it is incomplete. A wrong flag shows from the first byte.
    #[inline]
    pub(super) fn parse(bytes: &[u8], version: Version) -> Result<Option<Header>, Fault> {
        let Some(&flags) = bytes.first() else {
            return Ok(None);
        };
        let known = if version.has_commands() { MORE | LONG | COMMAND } else { MORE | LONG };
        if flags & !known != 0 || flags & (COMMAND | MORE) == COMMAND | MORE {
            return Err(Fault::Flags);
        }
        if flags & LONG == 0 {
            return Ok(bytes.get(1).map(|&size| Header { flags, size: u64::from(size), len: 2 }));
        }
        let size = bytes.get(1..).and_then(|rest| rest.first_chunk::<8>());
        Ok(size.map(|&size| Header { flags, size: u64::from_be_bytes(size), len: MAX_HEADER }))
    }

    /// How many bytes a header that begins with `bytes` has.
    pub(super) fn wanted(bytes: &[u8]) -> usize {
        if bytes.first().is_some_and(|flags| flags & LONG != 0) { MAX_HEADER } else { 2 }
    }

    #[inline]
    pub(super) fn more(self) -> bool {
        self.flags & MORE != 0
    }

    #[inline]
    pub(super) fn is_command(self) -> bool {
        self.flags & COMMAND != 0
    }
}

/// Writes the shortest header for a body of `size` bytes.
pub(super) fn encode_header(flags: u8, size: usize, out: &mut BytesMut) {
    match u8::try_from(size) {
        Ok(size) => out.extend_from_slice(&[flags, size]),
        Err(_) => {
            out.put_u8(flags | LONG);
            out.put_u64(size as u64);
        }
    }
}

/// Writes a command frame: `name`, then `parts` one after the other.
pub(super) fn encode_command(name: &[u8], parts: &[&[u8]], out: &mut BytesMut) {
    let size = 1 + name.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    out.reserve(MAX_HEADER + size);
    encode_header(COMMAND, size, out);
    let length = u8::try_from(name.len()).expect("command names are ours and short");
    out.put_u8(length);
    out.extend_from_slice(name);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_specified_flags_are_taken() {
        for flags in 0..=255_u8 {
            let bytes = [flags, 0, 0, 0, 0, 0, 0, 0, 0];
            let three = matches!(flags, 0..=4 | 6);
            let two = matches!(flags, 0..=3);
            assert_eq!(Header::parse(&bytes, Version::V3_1).is_ok(), three, "3.1 {flags:#04x}");
            assert_eq!(Header::parse(&bytes, Version::V3_0).is_ok(), three, "3.0 {flags:#04x}");
            assert_eq!(Header::parse(&bytes, Version::V2_0).is_ok(), two, "2.0 {flags:#04x}");
            assert_eq!(Header::parse(&bytes[..1], Version::V2_0).is_ok(), two, "from the first byte");
        }
    }

    #[test]
    fn a_header_leads_back_to_its_size() {
        for size in [0, 1, 254, 255, 256, 65_536] {
            let mut bytes = BytesMut::new();
            encode_header(MORE, size, &mut bytes);
            let header = Header::parse(&bytes, Version::V2_0).unwrap().unwrap();
            assert_eq!((header.size, header.len), (size as u64, bytes.len()));
            assert_eq!(Header::wanted(&bytes[..1]), bytes.len());
            assert!(header.more() && !header.is_command());
            for cut in 0..bytes.len() {
                assert!(Header::parse(&bytes[..cut], Version::V2_0).unwrap().is_none());
            }
        }
    }
}
