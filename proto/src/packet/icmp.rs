//! Telling the sender of a packet why it went no further (RFC 792, RFC 4443).

use core::net::IpAddr;

use super::{ICMP, ICMPV6, Transport, checksum, set_word};

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
    !is_icmp_error && is_between_hosts(headers)
}

/// Whether it is from one host to one other, and not a fragment but the first.
pub(super) fn is_between_hosts(headers: &super::Headers) -> bool {
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
    !headers.fragment.is_later() && is_from_one && is_to_one
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::super::tests::{Build, tcp, udp};
    use super::*;

    const FROM: [&str; 2] = ["10.7.0.254", "fd00::fe"];

    fn from(version: u8) -> IpAddr {
        FROM[usize::from(version == 6)].parse().unwrap()
    }

    fn answer(original: &[u8], reason: Reason) -> Option<Vec<u8>> {
        let version = original.first().map_or(4, |first| first >> 4);
        let mut out = vec![0xa5; 1_500];
        let len = unreachable(original, from(version), reason, &mut out)?;
        assert!(out[len..].iter().all(|byte| *byte == 0xa5), "nothing behind the answer is written");
        out.truncate(len);
        Some(out)
    }

    #[test]
    fn every_reason_has_its_type_and_code_and_the_checksums_are_right() {
        let too_big = Reason::TooBig { mtu: 1_380 };
        for (version, reason, wanted) in [
            (4, Reason::NoRoute, [3, 0, 0, 0, 0, 0]),
            (4, Reason::HostUnreachable, [3, 1, 0, 0, 0, 0]),
            (4, Reason::PortUnreachable, [3, 3, 0, 0, 0, 0]),
            (4, Reason::Prohibited, [3, 13, 0, 0, 0, 0]),
            (4, too_big, [3, 4, 0, 0, 0x05, 0x64]),
            (6, Reason::NoRoute, [1, 0, 0, 0, 0, 0]),
            (6, Reason::HostUnreachable, [1, 3, 0, 0, 0, 0]),
            (6, Reason::PortUnreachable, [1, 4, 0, 0, 0, 0]),
            (6, Reason::Prohibited, [1, 1, 0, 0, 0, 0]),
            (6, too_big, [2, 0, 0, 0, 0x05, 0x64]),
        ] {
            let original = tcp(version).packet();
            let out = answer(&original, reason).unwrap();
            let headers = super::super::parse(&out).unwrap();
            assert_eq!(headers.end, out.len());
            assert_eq!(headers.source, from(version));
            assert_eq!(Some(headers.destination), super::super::source(&original));
            let icmp = &out[headers.transport_at..];
            assert_eq!(
                [icmp[0], icmp[1], icmp[4], icmp[5], icmp[6], icmp[7]],
                wanted,
                "{version} {reason:?}"
            );
            assert_eq!(icmp[HEADER..], original, "the quote");
            if version == 4 {
                assert_eq!(checksum::sum(&out[..20]), 0xffff);
                assert_eq!(checksum::sum(icmp), 0xffff);
            } else {
                let pseudo = checksum::pseudo(&out[8..40], ICMPV6, icmp.len());
                let sum = u64::from(pseudo) + u64::from(checksum::sum(icmp));
                assert_eq!(checksum::fold(sum), 0xffff);
            }
        }
    }

    #[test]
    fn a_quote_is_as_long_as_allowed_and_not_longer() {
        for (version, payload, wanted) in [(4, 0, 68), (4, 2_000, 576), (6, 0, 108), (6, 2_000, 1_280)] {
            let original = Build { options: vec![], ..tcp(version) }.payload(&vec![7; payload]).packet();
            let out = answer(&original, Reason::NoRoute).unwrap();
            assert_eq!(out.len(), wanted);
            let headers = super::super::parse(&out).unwrap();
            let quote = &out[headers.transport_at + HEADER..];
            assert_eq!(quote, &original[..quote.len()]);
        }
        let original = udp(4).packet();
        let needed = 28 + original.len();
        for (len, wanted) in [(0, None), (needed - 1, None), (needed, Some(needed))] {
            assert_eq!(unreachable(&original, from(4), Reason::NoRoute, &mut vec![0; len]), wanted);
        }
    }

    /// An ICMP message of this type, as long as an echo.
    fn icmp(version: u8, kind: u8) -> Vec<u8> {
        let protocol = if version == 4 { ICMP } else { ICMPV6 };
        Build { protocol, ..udp(version) }.under_ip(&[kind, 0, 0, 0, 0, 0, 0, 0])
    }

    #[test]
    fn errors_and_redirects_are_not_answered_but_questions_are() {
        for (version, kind, is_answered) in [
            (4, 8, true),
            (4, 0, true),
            (4, 13, true),
            (4, 3, false),
            (4, 4, false),
            (4, 5, false),
            (4, 11, false),
            (4, 12, false),
            (4, 40, false),
            (6, 128, true),
            (6, 129, true),
            (6, 1, false),
            (6, 2, false),
            (6, 127, false),
            (6, 137, false),
        ] {
            let outcome = answer(&icmp(version, kind), Reason::NoRoute);
            assert_eq!(outcome.is_some(), is_answered, "version {version} type {kind}");
        }
        let cut = Build { protocol: ICMP, ..udp(4) }.under_ip(&[3, 0]);
        assert_eq!(answer(&cut, Reason::NoRoute), None, "too short to tell");
    }

    #[test]
    fn only_what_one_host_sent_to_one_host_is_answered() {
        let with = |version: u8, at: usize, bytes: &[u8]| {
            let mut packet = udp(version).packet();
            packet[at..at + bytes.len()].copy_from_slice(bytes);
            packet
        };
        for (name, packet, is_answered) in [
            ("host to host", udp(4).packet(), true),
            ("unspecified", with(4, 12, &[0, 0, 0, 0]), false),
            ("loopback", with(4, 12, &[127, 0, 0, 1]), false),
            ("from multicast", with(4, 12, &[224, 0, 0, 1]), false),
            ("from broadcast", with(4, 12, &[255, 255, 255, 255]), false),
            ("to multicast", with(4, 16, &[239, 1, 2, 3]), false),
            ("to broadcast", with(4, 16, &[255, 255, 255, 255]), false),
            ("host to host, v6", udp(6).packet(), true),
            ("unspecified, v6", with(6, 8, &[0; 16]), false),
            ("from multicast, v6", with(6, 8, &[0xff, 2]), false),
            ("to multicast, v6", with(6, 24, &[0xff, 2]), false),
            ("first fragment", Build { place: 0x2000, ..udp(4) }.packet(), true),
            ("later fragment", Build { place: 0x2001, ..udp(4) }.packet(), false),
            ("not IP", vec![0x99; 40], false),
            ("nothing", vec![], false),
        ] {
            assert_eq!(answer(&packet, Reason::HostUnreachable).is_some(), is_answered, "{name}");
        }
        assert_eq!(unreachable(&udp(4).packet(), from(6), Reason::NoRoute, &mut [0; 1_500]), None);
    }
}
