//! Telling the sender of a packet why it went no further (RFC 792, RFC 4443).

use core::net::IpAddr;

use super::{Fragment, ICMP, ICMPV6, Transport, checksum, set_word};

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No route: no peer owns the destination.
    NoRoute,
    /// The peer that owns the destination cannot be reached.
    HostUnreachable,
    /// Nobody listens there.
    PortUnreachable,
    /// A rule forbids it.
    Prohibited,
    /// Longer than this many bytes, which would have passed. For IPv4 the sender forbade to fragment.
    TooBig {
        /// The MTU of the next hop.
        mtu: u32,
    },
}

/// An answer to IPv4 has at most this many bytes (RFC 1812, 4.3.2.3).
const MOST_V4: usize = 576;
/// An answer to IPv6 fits the least MTU (RFC 4443, 2.4c).
const MOST_V6: usize = 1_280;
/// Time to live of an answer.
const HOPS: u8 = 64;
/// The ICMP header, the same length in both versions.
const HEADER: usize = 8;

/// Writes the answer to `original` from `source` into `out`, and says how long it is.
///
/// `None` if none may be sent (RFC 1122 3.2.2, RFC 4443 2.4e): to what is not IP or not whole, to an ICMP error, to a
/// fragment but the first, to what went to a multicast or broadcast address or came from no single host, or if `source`
/// is of the other IP version or `out` too short.
pub fn unreachable(original: &[u8], source: IpAddr, reason: Reason, out: &mut [u8]) -> Option<usize> {
    let headers = super::parse(original).ok()?;
    let original = &original[..headers.end];
    if !may_be_answered(&headers) {
        return None;
    }
    match (source, headers.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (kind, code, more) = v4_code(reason);
            let out = slot(original, 20, MOST_V4, out)?;
            header_v4(out, from.octets(), to.octets());
            finish(out, 20, [kind, code], more, original, 0);
            Some(out.len())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (kind, code, more) = v6_code(reason);
            let out = slot(original, 40, MOST_V6, out)?;
            header_v6(out, from.octets(), to.octets());
            let pseudo = checksum::pseudo(&out[8..40], ICMPV6, out.len() - 40);
            finish(out, 40, [kind, code], more, original, pseudo);
            Some(out.len())
        }
        _ => None,
    }
}

/// Type, code, and the four bytes behind the checksum.
fn v4_code(reason: Reason) -> (u8, u8, u32) {
    match reason {
        Reason::NoRoute => (3, 0, 0),
        Reason::HostUnreachable => (3, 1, 0),
        Reason::PortUnreachable => (3, 3, 0),
        Reason::Prohibited => (3, 13, 0),
        // The field has 16 bits, behind 16 unused ones (RFC 1191).
        Reason::TooBig { mtu } => (3, 4, mtu.min(0xffff)),
    }
}

fn v6_code(reason: Reason) -> (u8, u8, u32) {
    match reason {
        Reason::NoRoute => (1, 0, 0),
        Reason::Prohibited => (1, 1, 0),
        Reason::HostUnreachable => (1, 3, 0),
        Reason::PortUnreachable => (1, 4, 0),
        Reason::TooBig { mtu } => (2, 0, mtu),
    }
}

fn may_be_answered(headers: &super::Headers) -> bool {
    let is_icmp_error = match headers.transport {
        Transport::Icmp { kind, .. } if headers.protocol == ICMP => {
            // Everything but queries and their answers.
            !matches!(kind, 0 | 8 | 13..=18)
        }
        // A redirect is no error, but not to be answered either.
        Transport::Icmp { kind, .. } => kind < 128 || kind == 137,
        // It may be an error, for all we know.
        Transport::Unparsed => matches!(headers.protocol, ICMP | ICMPV6),
        _ => false,
    };
    let is_from_one = match headers.source {
        IpAddr::V4(it) => {
            !(it.octets()[0] == 0 || it.is_loopback() || it.is_multicast() || it.octets()[0] >= 240)
        }
        IpAddr::V6(it) => !(it.is_unspecified() || it.is_loopback() || it.is_multicast()),
    };
    let is_to_one = match headers.destination {
        IpAddr::V4(it) => !(it.is_multicast() || it.is_broadcast()),
        IpAddr::V6(it) => !it.is_multicast(),
    };
    !is_icmp_error && headers.fragment != Fragment::Later && is_from_one && is_to_one
}

/// The part of `out` that the answer takes.
fn slot<'o>(original: &[u8], ip: usize, most: usize, out: &'o mut [u8]) -> Option<&'o mut [u8]> {
    let len = (ip + HEADER + original.len()).min(most);
    out.get_mut(..len)
}

fn header_v4(out: &mut [u8], from: [u8; 4], to: [u8; 4]) {
    let len = out.len() as u16;
    // DSCP CS6, as routers mark their own words (RFC 1812, 4.3.2.5).
    out[..12].copy_from_slice(&[0x45, 0xc0, 0, 0, 0, 0, 0, 0, HOPS, ICMP, 0, 0]);
    set_word(out, 2, len);
    out[12..16].copy_from_slice(&from);
    out[16..20].copy_from_slice(&to);
    let sum = checksum::sum(&out[..20]);
    set_word(out, 10, !sum);
}

fn header_v6(out: &mut [u8], from: [u8; 16], to: [u8; 16]) {
    let len = (out.len() - 40) as u16;
    out[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, ICMPV6, HOPS]);
    set_word(out, 4, len);
    out[8..24].copy_from_slice(&from);
    out[24..40].copy_from_slice(&to);
}

/// Writes the ICMP message behind `ip` bytes, with as much of the original as there is room for.
fn finish(out: &mut [u8], ip: usize, [kind, code]: [u8; 2], more: u32, original: &[u8], pseudo: u16) {
    let icmp = &mut out[ip..];
    icmp[..4].copy_from_slice(&[kind, code, 0, 0]);
    icmp[4..HEADER].copy_from_slice(&more.to_be_bytes());
    let quote = &mut icmp[HEADER..];
    quote.copy_from_slice(&original[..quote.len()]);
    let sum = checksum::fold(u64::from(checksum::sum(icmp)) + u64::from(pseudo));
    set_word(icmp, 2, !sum);
}
