//! Captures: the classic pcap format, both byte orders, micro- and nanoseconds; IP packets as they are, in Ethernet or in
//! Linux's cooked frames.

use std::io::{self, Read};

use lockgate_proto::program::Direction;

/// What a capture file says of itself.
pub(super) struct Capture {
    is_big_endian: bool,
    link: Link,
}

/// How packets are framed, by the numbers of tcpdump's LINKTYPE registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// RAW, IPV4, IPV6: not at all.
    Bare,
    /// EN10MB.
    Ethernet,
    /// LINUX_SLL.
    Cooked,
    /// LINUX_SLL2: what newer captures on all interfaces are.
    Cooked2,
}

/// One packet of a capture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// An IP packet.
    Packet {
        /// As much of it as was captured.
        bytes: Vec<u8>,
        /// How long it was.
        size: usize,
        /// Which way it went, where the capture knows.
        direction: Option<Direction>,
    },
    /// Something else.
    Other(String),
}

/// Whether a file that begins so is a capture; the newer format is one too, that is not read.
pub(super) fn is_capture(start: &[u8]) -> bool {
    start == NEXT_GENERATION || magic(start).is_some()
}

/// Whether the file's numbers have their highest byte first.
fn magic(start: &[u8]) -> Option<bool> {
    let [a, b, c, d] = *start else { return None };
    match u32::from_be_bytes([a, b, c, d]) {
        0xa1b2_c3d4 | 0xa1b2_3c4d => Some(true),
        0xd4c3_b2a1 | 0x4d3c_b2a1 => Some(false),
        _ => None,
    }
}

impl Capture {
    /// Reads the file's header.
    ///
    /// # Errors
    /// Why it is none that can be read.
    pub(super) fn open(from: &mut impl Read) -> Result<Self, String> {
        let mut header = [0; 24];
        if !fill(from, &mut header)? {
            return Err("the capture is empty".to_owned());
        }
        let Some(is_big_endian) = magic(&header[..4]) else {
            return Err("a pcapng file; only the classic pcap format is read".to_owned());
        };
        let network = number(is_big_endian, &header[20..24]) & 0x0fff_ffff;
        let link = match network {
            12 | 101 | 228 | 229 => Link::Bare,
            1 => Link::Ethernet,
            113 => Link::Cooked,
            276 => Link::Cooked2,
            other => {
                return Err(format!(
                    "packets of link type {other}: only 1, 12, 101, 113, 228, 229 and 276 are read"
                ));
            }
        };
        Ok(Self { is_big_endian, link })
    }

    /// The next packet; `None` at the end of the file.
    ///
    /// # Errors
    /// Why the rest of the file cannot be read.
    pub(super) fn next(&mut self, from: &mut impl Read) -> Result<Option<Framed>, String> {
        let mut header = [0; 16];
        if !fill(from, &mut header)? {
            return Ok(None);
        }
        let captured = number(self.is_big_endian, &header[8..12]);
        let size = number(self.is_big_endian, &header[12..16]);
        if captured > LONGEST {
            return Err(format!("a packet of {captured} bytes: the file is damaged"));
        }
        let mut frame = vec![0; captured as usize];
        if !fill(from, &mut frame)? {
            return Err(CUT.to_owned());
        }
        Ok(Some(self.unframe(frame, size as usize)))
    }

    fn unframe(&self, mut frame: Vec<u8>, size: usize) -> Framed {
        let way =
            |at: usize| frame.get(at).map(|way| if *way == SENT { Direction::Out } else { Direction::In });
        let (mut kind_at, mut at, direction) = match self.link {
            Link::Bare => return packet(frame, size, None),
            Link::Ethernet => (12, 14, None),
            Link::Cooked => (14, 16, way(1)),
            Link::Cooked2 => (0, 20, way(10)),
        };
        let kind = |at: usize| frame.get(at..at + 2).map(|kind| [kind[0], kind[1]]);
        while self.link != Link::Cooked2 && matches!(kind(kind_at), Some([0x81, 0x00] | [0x88, 0xa8])) {
            (kind_at, at) = (kind_at + 4, at + 4);
        }
        match kind(kind_at) {
            Some([0x08, 0x00] | [0x86, 0xdd]) if frame.len() >= at => {
                frame.drain(..at);
                packet(frame, size.saturating_sub(at), direction)
            }
            Some([high, low]) if frame.len() >= at => {
                Framed::Other(format!("no IP packet: EtherType 0x{high:02x}{low:02x}"))
            }
            _ => Framed::Other("no IP packet: shorter than its frame's header".to_owned()),
        }
    }
}

/// An IP packet, without what pads a short frame.
fn packet(mut bytes: Vec<u8>, size: usize, direction: Option<Direction>) -> Framed {
    let field =
        |at: usize| bytes.get(at..at + 2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])));
    let own = match bytes.first().map(|byte| byte >> 4) {
        // A length of nothing is what the kernel writes where the network card cuts the segments.
        Some(4) => field(2).filter(|length| *length >= 20),
        Some(6) => field(4).filter(|length| *length > 0).map(|length| length + 40),
        _ => None,
    };
    let size = size.max(bytes.len());
    let size = own.map_or(size, |own| own.min(size));
    bytes.truncate(size);
    Framed::Packet { bytes, size, direction }
}

fn number(is_big_endian: bool, bytes: &[u8]) -> u32 {
    let bytes = bytes.try_into().expect("four bytes are four bytes");
    if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// Whether there was something; an error where it ends in the middle.
fn fill(from: &mut impl Read, into: &mut [u8]) -> Result<bool, String> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(CUT.to_owned()),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(true)
}

const CUT: &str = "the file ends in the middle of a packet";
const NEXT_GENERATION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// In a cooked frame: what this host sent.
const SENT: u8 = 4;
/// tcpdump's own limit.
const LONGEST: u32 = 262_144;

#[cfg(test)]
mod tests {
    use super::*;

    /// A capture of these frames, each with what its length is said to have been.
    fn capture(magic: u32, is_big_endian: bool, link: u32, frames: &[(&[u8], u32)]) -> Vec<u8> {
        let number = |number: u32| if is_big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        let mut file = [magic, 0, 0, 0, 65_535, link].map(number).concat();
        for (frame, size) in frames {
            file.extend([0, 0, frame.len() as u32, *size].map(number).concat());
            file.extend_from_slice(frame);
        }
        file
    }

    fn read(mut file: &[u8]) -> Result<Vec<Framed>, String> {
        let mut capture = Capture::open(&mut file)?;
        let mut all = Vec::new();
        while let Some(framed) = capture.next(&mut file)? {
            all.push(framed);
        }
        Ok(all)
    }

    fn udp() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
        packet
    }

    #[test]
    fn every_byte_order_and_link_type_gives_the_packet() {
        let ethernet = [&[2; 12], &[8, 0][..], &udp()[..], &[0; 18]].concat();
        let tagged = [&[2; 12], &[0x81, 0, 0, 7, 8, 0][..], &udp()[..]].concat();
        let cooked = |way| [&[0, way, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0], &udp()[..]].concat();
        let cooked2 = |way| [&[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, way, 6], &[2; 8][..], &udp()[..]].concat();
        for (magic, is_big_endian) in
            [(0xa1b2_c3d4, true), (0xa1b2_c3d4, false), (0xa1b2_3c4d, true), (0xa1b2_3c4d, false)]
        {
            for (link, frame, direction) in [
                (12, udp(), None),
                (101, udp(), None),
                (228, udp(), None),
                (229, udp(), None),
                (1, ethernet.clone(), None),
                (1, tagged.clone(), None),
                (113, cooked(4), Some(Direction::Out)),
                (113, cooked(0), Some(Direction::In)),
                (276, cooked2(4), Some(Direction::Out)),
                (276, cooked2(0), Some(Direction::In)),
            ] {
                let file = capture(magic, is_big_endian, link, &[(&frame, frame.len() as u32)]);
                assert!(is_capture(&file[..4]));
                let wanted = Framed::Packet { bytes: udp(), size: 28, direction };
                assert_eq!(read(&file), Ok(vec![wanted]), "{magic:x} {is_big_endian} {link}");
            }
        }
    }

    #[test]
    fn what_was_cut_by_the_capture_keeps_its_length() {
        let mut long = udp();
        long[2..4].copy_from_slice(&1000_u16.to_be_bytes());
        let file = capture(0xa1b2_c3d4, false, 101, &[(&long, 1000)]);
        assert_eq!(read(&file), Ok(vec![Framed::Packet { bytes: long, size: 1000, direction: None }]));
    }

    #[test]
    fn other_frames_are_named_and_damaged_files_refused() {
        let arp = [&[2; 12], &[8, 6][..], &[0; 28]].concat();
        let file = capture(0xa1b2_c3d4, true, 1, &[(&arp, 42), (&arp[..5], 42), (&[], 42)]);
        let read_back = read(&file).unwrap();
        assert_eq!(read_back[0], Framed::Other("no IP packet: EtherType 0x0806".to_owned()));
        assert!(matches!(&read_back[1..], [Framed::Other(_), Framed::Other(_)]));
        for (file, word) in [
            (capture(0xa1b2_c3d4, true, 105, &[]), "link type 105"),
            (NEXT_GENERATION.repeat(6), "pcapng"),
            (file[..file.len() - 1].to_vec(), "in the middle"),
            (file[..24 + 16 + 10].to_vec(), "in the middle"),
            (file[..20].to_vec(), "in the middle"),
            ([&file[..32], &[0xff; 8]].concat(), "damaged"),
        ] {
            assert!(read(&file).is_err_and(|error| error.contains(word)), "{word}");
        }
    }
}
