//! A classic pcap stream of IP packets, as tcpdump and Wireshark read it: a header of 24 bytes, and 16 before each packet.

use std::io::{self, Write};
use std::time::Duration;

/// The magic number of a stream with microseconds. All numbers are little endian.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The version of the format: 2.4.
const VERSION: [u16; 2] = [2, 4];
/// The longest part of a packet that may be in it.
const SNAPLEN: u32 = 65_535;
/// Packets begin with an IPv4 or IPv6 header (`LINKTYPE_RAW`).
const RAW: u32 = 101;

/// Writes packets to `W`, each at once.
pub(super) struct Pcap<W>(W);

impl<W: Write> Pcap<W> {
    /// Writes the header.
    pub(super) fn begin(mut to: W) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC.to_le_bytes());
        header.extend(VERSION.map(u16::to_le_bytes).concat());
        // The zone is UTC, and nobody says how exact the times are.
        header.extend([0; 8]);
        header.extend(SNAPLEN.to_le_bytes());
        header.extend(RAW.to_le_bytes());
        to.write_all(&header)?;
        to.flush()?;
        Ok(Self(to))
    }

    /// Writes the first `bytes` of a packet of `length` bytes that came at `when`, since the Unix epoch.
    pub(super) fn packet(&mut self, when: Duration, length: u16, bytes: &[u8]) -> io::Result<()> {
        let bytes = &bytes[..bytes.len().min(SNAPLEN as usize)];
        let mut record = Vec::with_capacity(16 + bytes.len());
        // 32 bits without a sign, up to the year 2106.
        record.extend((when.as_secs() as u32).to_le_bytes());
        record.extend(when.subsec_micros().to_le_bytes());
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend(u32::from(length).to_le_bytes());
        record.extend(bytes);
        self.0.write_all(&record)?;
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_these_bytes() {
        let mut bytes = Vec::new();
        let mut pcap = Pcap::begin(&mut bytes).unwrap();
        pcap.packet(Duration::from_micros(1_700_000_000_000_001), 0x1234, &[0x45, 1, 2]).unwrap();
        #[rustfmt::skip]
        let wanted = [
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
            0x00, 0xf1, 0x53, 0x65, 1, 0, 0, 0, 3, 0, 0, 0, 0x34, 0x12, 0, 0, 0x45, 1, 2,
        ];
        assert_eq!(bytes, wanted);
    }
}
