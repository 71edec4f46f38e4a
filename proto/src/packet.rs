//! IP packets as bytes: what they are, and how they are cut, joined, marked and answered.
//!
//! Everything here is total: any bytes give an answer or a [`Discard`], never a panic, and nothing is allocated for a packet.

pub mod checksum;
pub mod coalesce;
pub mod ecn;
mod extensions;
pub mod icmp;
pub mod reset;
pub mod segment;
#[cfg(test)]
mod tests;
pub mod vnet;

use core::net::IpAddr;

use crate::discard::Discard;

/// No IP packet is longer than this, and no coalesced one.
pub const MAX_PACKET: usize = 65_535;

/// Protocol number of ICMP for IPv4.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMP for IPv6.
pub const ICMPV6: u8 = 58;

/// What [`parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Who sent it, if one believes it.
    pub source: IpAddr,
    /// For whom it is.
    pub destination: IpAddr,
    /// Type of service or traffic class: DSCP and ECN.
    pub tos: u8,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// The protocol of the transport header: for IPv6 behind the extension headers, as far as they could be walked.
    pub protocol: u8,
    /// Which part of a packet it is.
    pub fragment: Fragment,
    /// What the rules look at.
    pub transport: Transport,
    /// Where the transport header begins, or the part of a later fragment, or what could not be walked.
    pub transport_at: usize,
    /// Where the packet ends by its own length field: not behind the end of the bytes, but perhaps before.
    pub end: usize,
}

/// Which part of a packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    Whole,
    /// The first part, with the transport header.
    First {
        /// The identification that all parts share (16 bits in IPv4).
        id: u32,
        /// How many bytes of what was cut are the first part's alone, up to the end of the transport header without options:
        /// in IPv6 other headers may stand between. A part that begins before that overwrites what was judged.
        header: u16,
    },
    /// Another part: no transport header, no ports.
    Later {
        /// The identification.
        id: u32,
        /// Where it belongs, in bytes.
        offset: u16,
    },
}

impl Fragment {
    pub(crate) const fn new(id: u32, offset: u16, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First { id, header: 0 },
            _ => Self::Later { id, offset },
        }
    }

    /// Of a first part, the same with a transport header that begins `before` bytes into what was cut.
    fn with_header(self, before: usize, protocol: u8) -> Self {
        match self {
            Self::First { id, .. } => {
                let end = before + least_header(protocol);
                Self::First { id, header: u16::try_from(end).unwrap_or(u16::MAX) }
            }
            other => other,
        }
    }

    /// Whether it has no transport header.
    pub const fn is_later(self) -> bool {
        matches!(self, Self::Later { .. })
    }
}

/// What stands behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// At least 20 bytes of TCP.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// CWR, ECE, URG, ACK, PSH, RST, SYN, FIN, from the highest bit down.
        flags: u8,
    },
    /// At least 8 bytes of UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// At least 8 bytes of the ICMP that belongs to the IP version.
    Icmp {
        /// Type of the message.
        kind: u8,
        /// Its code.
        code: u8,
        /// The identifier of an echo (or, for IPv4, a timestamp), request or reply.
        id: Option<u16>,
    },
    /// This protocol, which is none of the above.
    Other(u8),
    /// Not the first fragment of a packet.
    LaterFragment,
    /// Too short for its protocol, or behind IPv6 extension headers that cannot be walked or that send it elsewhere.
    /// Nobody can say what it is: whoever judges by ports must refuse it.
    Unparsed,
}

/// The source of an IP packet: looks at version and length only.
#[inline]
pub fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(*packet.get(..20)?[12..].first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*packet.get(..40)?[8..].first_chunk::<16>()?)),
        _ => None,
    }
}

/// The destination of an IP packet: looks at version and length only.
#[inline]
pub fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(*packet.get(..20)?[16..].first_chunk::<4>()?)),
        6 => Some(IpAddr::from(*packet.get(..40)?[24..].first_chunk::<16>()?)),
        _ => None,
    }
}

/// Type of service or traffic class of an IP packet: looks at version and length only.
#[inline]
pub fn tos(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => Some(packet.get(..20)?[1]),
        6 => Some(packet.get(..40)?[0] << 4 | packet[1] >> 4),
        _ => None,
    }
}

/// Reads the headers of an IP packet. Bytes behind the end that its length field gives are not looked at.
///
/// # Errors
/// [`Discard::NotIp`] if there is no whole IP header, or less than its length field says. That a transport header cannot
/// be read is no error but [`Transport::Unparsed`].
pub fn parse(packet: &[u8]) -> Result<Headers, Discard> {
    let end = announced(packet).ok_or(Discard::NotIp)?;
    let packet = packet.get(..end).ok_or(Discard::NotIp)?;
    headers(packet, Extent::Whole).ok_or(Discard::NotIp)
}

/// Reads the headers of the packet that an ICMP error quotes, as far as the quote goes: eight bytes of transport header
/// are enough, and TCP flags beyond them are 0. `None` if `error` is no ICMP error or what it quotes is not IP.
///
/// What is quoted went the other way: an error that belongs to a flow quotes a packet of it *from* whom the error is for.
pub fn quoted(error: &[u8]) -> Option<Headers> {
    let outer = parse(error).ok()?;
    let Transport::Icmp { kind, .. } = outer.transport else {
        return None;
    };
    let is_error =
        if outer.protocol == ICMP { matches!(kind, 3..=5 | 11 | 12) } else { matches!(kind, 1..=4) };
    let quote = error.get(outer.transport_at + 8..outer.end)?;
    let end = announced(quote)?.min(quote.len());
    headers(&quote[..end], Extent::Quoted).filter(|_| is_error)
}

/// How much of a packet there is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Quoted,
}

/// How long a packet says that it is.
pub(crate) fn announced(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => Some(usize::from(word(packet.get(..20)?, 2))),
        6 => Some(40 + usize::from(word(packet.get(..40)?, 4))),
        _ => None,
    }
}

/// Reads a packet that ends where the bytes end.
fn headers(packet: &[u8], extent: Extent) -> Option<Headers> {
    if packet.first()? >> 4 == 4 { headers_v4(packet, extent) } else { headers_v6(packet, extent) }
}

fn headers_v4(packet: &[u8], extent: Extent) -> Option<Headers> {
    let header = packet.first_chunk::<20>()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header_len < header.len() {
        return None;
    }
    let behind = packet.get(header_len..)?;
    let (protocol, place) = (header[9], word(header, 6));
    let fragment = Fragment::new(word(header, 4).into(), (place & 0x1fff) * 8, place & 0x2000 != 0);
    Some(Headers {
        source: source(packet)?,
        destination: destination(packet)?,
        tos: header[1],
        hop_limit: header[8],
        protocol,
        fragment: fragment.with_header(0, protocol),
        transport: transport(protocol, ICMP, fragment, behind, extent),
        transport_at: header_len,
        end: packet.len(),
    })
}

fn headers_v6(packet: &[u8], extent: Extent) -> Option<Headers> {
    let header = packet.first_chunk::<40>()?;
    let mut headers = Headers {
        source: source(packet)?,
        destination: destination(packet)?,
        tos: tos(packet)?,
        hop_limit: header[7],
        protocol: header[6],
        fragment: Fragment::Whole,
        transport: Transport::Unparsed,
        transport_at: header.len(),
        end: packet.len(),
    };
    if let Some(last) = extensions::walk(packet) {
        headers.protocol = last.protocol;
        headers.fragment = last.fragment.with_header(last.at - last.cut_at, last.protocol);
        headers.transport_at = last.at;
        if !last.is_steered {
            let behind = &packet[last.at..];
            headers.transport = transport(last.protocol, ICMPV6, last.fragment, behind, extent);
        }
    }
    Some(headers)
}

/// Reads a transport header; `icmp` is the protocol number of the ICMP that goes with the IP version.
fn transport(protocol: u8, icmp: u8, fragment: Fragment, bytes: &[u8], extent: Extent) -> Transport {
    if fragment.is_later() {
        return Transport::LaterFragment;
    }
    let least = match protocol {
        TCP if extent == Extent::Quoted => 8,
        TCP | UDP => least_header(protocol),
        _ if protocol == icmp => least_header(protocol),
        _ => return Transport::Other(protocol),
    };
    if bytes.len() < least {
        return Transport::Unparsed;
    }
    let (source, destination) = (word(bytes, 0), word(bytes, 2));
    match protocol {
        TCP => Transport::Tcp { source, destination, flags: bytes.get(13).copied().unwrap_or(0) },
        UDP => Transport::Udp { source, destination },
        _ => {
            let (kind, code) = (bytes[0], bytes[1]);
            let has_id = match icmp {
                ICMP => matches!(kind, 0 | 8 | 13 | 14),
                _ => matches!(kind, 128 | 129),
            };
            Transport::Icmp { kind, code, id: has_id.then(|| word(bytes, 4)) }
        }
    }
}

/// How long a transport header is at least. What the rules look at stands within that: ports, TCP's flags, and an
/// echo's identifier.
const fn least_header(protocol: u8) -> usize {
    if protocol == TCP { 20 } else { 8 }
}

/// The 16-bit word at `at`, which the caller knows to be there.
#[inline]
fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Writes a 16-bit word.
#[inline]
fn set_word(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
