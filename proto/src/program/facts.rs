//! What the rules ask about an IP packet, read from its bytes as ZeroTier reads them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Packet, Recognised};

/// Reads a packet. Any bytes are fine. It counts as readable, belongs to no flow, and its random number is 0.
///
/// A later fragment of IPv4 is read as if its bytes were a transport header, and IPv6 is walked up to a fragment header, as ZeroTier
/// does: what judges packets for real looks at fragments itself.
pub fn packet_facts(bytes: &[u8]) -> Packet {
    let mut facts = Packet {
        ethertype: match bytes.first().map(|byte| byte >> 4) {
            Some(4) => IPV4,
            Some(6) => IPV6,
            _ => 0,
        },
        source: None,
        destination: None,
        tos: 0,
        protocol: None,
        icmp: None,
        ports: None,
        tcp_flags: 0,
        size: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
        random: 0,
        established: false,
        spoken: Recognised::Undecided,
        asked: false,
        readable: true,
    };
    match facts.ethertype {
        IPV4 if bytes.len() >= 20 => read_v4(bytes, &mut facts),
        IPV6 if bytes.len() >= 40 => read_v6(bytes, &mut facts),
        _ => {}
    }
    facts
}

fn read_v4(bytes: &[u8], facts: &mut Packet) {
    let address =
        |at: usize| IpAddr::V4(Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]));
    facts.source = Some(address(12));
    facts.destination = Some(address(16));
    facts.tos = bytes[1];
    facts.protocol = Some(bytes[9]);
    let at = usize::from(bytes[0] & 0x0f) * 4;
    if bytes[9] == TCP {
        let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0));
        facts.tcp_flags = byte(at + 13) | (byte(at + 12) & 0x0f) << 8;
    }
    read_transport(bytes, at, bytes[9], ICMP, facts);
}

fn read_v6(bytes: &[u8], facts: &mut Packet) {
    let address = |at: usize| {
        let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes are sixteen bytes");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    facts.source = Some(address(8));
    facts.destination = Some(address(24));
    facts.tos = bytes[0] << 4 | bytes[1] >> 4;
    let Some((protocol, at)) = walk(bytes) else { return };
    facts.protocol = Some(protocol);
    if protocol == TCP && bytes.len() > at + 14 {
        facts.tcp_flags = u16::from(bytes[at + 13]) | (u16::from(bytes[at + 12]) & 0x0f) << 8;
    }
    read_transport(bytes, at, protocol, ICMPV6, facts);
}

/// The protocol behind the extension headers, and where it begins.
fn walk(bytes: &[u8]) -> Option<(u8, usize)> {
    let (mut protocol, mut at) = (bytes[6], 40);
    while matches!(protocol, 0 | 43 | 60 | 135) {
        let header = bytes.get(at..at + 8)?;
        protocol = header[0];
        at += 8 + 8 * usize::from(header[1]);
    }
    (at <= bytes.len()).then_some((protocol, at))
}

fn read_transport(bytes: &[u8], at: usize, protocol: u8, icmp: u8, facts: &mut Packet) {
    if protocol == icmp
        && let Some([kind, code, ..]) = bytes.get(at..)
    {
        facts.icmp = Some((*kind, *code));
    }
    if matches!(protocol, TCP | UDP | SCTP | UDP_LITE) && bytes.len() > at + 4 {
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        facts.ports = Some((port(at), port(at + 2)));
    }
}

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
