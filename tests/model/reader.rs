//! A slow reading of packets: every question goes back to the first byte. Written from what is known of upstream's filter, not from
//! our own reader.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How the packet would be labelled on a wire of Ethernet.
pub(crate) fn ethertype(packet: &[u8]) -> u32 {
    match packet {
        [first, ..] if first / 16 == 4 => 0x0800,
        [first, ..] if first / 16 == 6 => 0x86dd,
        _ => 0,
    }
}

pub(crate) fn is_v4(packet: &[u8]) -> bool {
    ethertype(packet) == 0x0800 && packet.len() >= 20
}

pub(crate) fn is_v6(packet: &[u8]) -> bool {
    ethertype(packet) == 0x86dd && packet.len() >= 40
}

pub(crate) fn source(packet: &[u8]) -> Option<IpAddr> {
    address(packet, 12, 8)
}

pub(crate) fn destination(packet: &[u8]) -> Option<IpAddr> {
    address(packet, 16, 24)
}

fn address(packet: &[u8], v4_at: usize, v6_at: usize) -> Option<IpAddr> {
    if is_v4(packet) {
        let bytes = &packet[v4_at..][..4];
        return Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into());
    }
    if is_v6(packet) {
        let groups: Vec<u16> = packet[v6_at..][..16].chunks(2).map(|pair| number(pair) as u16).collect();
        let groups: [u16; 8] = groups.try_into().expect("eight groups");
        return Some(Ipv6Addr::from(groups).into());
    }
    None
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number * 256 + usize::from(*byte))
}

/// The type of service, or the traffic class: bits 4 to 11 of the header.
pub(crate) fn tos(packet: &[u8]) -> Option<u8> {
    if is_v4(packet) {
        return Some(packet[1]);
    }
    is_v6(packet).then(|| (packet[0] % 16) * 16 + packet[1] / 16)
}

/// The protocol and where its header begins.
pub(crate) fn payload(packet: &[u8]) -> Option<(u8, usize)> {
    if is_v4(packet) {
        return Some((packet[9], usize::from(packet[0] % 16) * 4));
    }
    if is_v6(packet) { behind(packet, packet[6], 40) } else { None }
}

/// Behind the extension headers that can be walked.
fn behind(packet: &[u8], protocol: u8, at: usize) -> Option<(u8, usize)> {
    if at > packet.len() {
        return None;
    }
    if ![0, 43, 60, 135].contains(&protocol) {
        return Some((protocol, at));
    }
    if packet.len() - at < 8 {
        return None;
    }
    behind(packet, packet[at], at + 8 + 8 * usize::from(packet[at + 1]))
}

/// Type and code.
pub(crate) fn icmp(packet: &[u8]) -> Option<(u8, u8)> {
    let (protocol, at) = payload(packet)?;
    let is_icmp = protocol == if is_v4(packet) { 1 } else { 58 };
    if !is_icmp || packet.len() < at + 2 {
        return None;
    }
    Some((packet[at], packet[at + 1]))
}

/// Source and destination port, where the packet is long enough.
pub(crate) fn ports(packet: &[u8]) -> Option<(u16, u16)> {
    let (protocol, at) = payload(packet)?;
    let has_ports = [6, 17, 132, 136].contains(&protocol);
    if !has_ports || packet.len() <= at + 4 {
        return None;
    }
    Some((number(&packet[at..at + 2]) as u16, number(&packet[at + 2..at + 4]) as u16))
}

/// The twelve bits of TCP's flags; what is missing at the end of an IPv4 packet counts as zeros.
pub(crate) fn tcp_flags(packet: &[u8]) -> u64 {
    let Some((6, at)) = payload(packet) else { return 0 };
    if is_v6(packet) && packet.len() <= at + 14 {
        return 0;
    }
    let byte = |at: usize| if at < packet.len() { u64::from(packet[at]) } else { 0 };
    byte(at + 12) % 16 * 256 + byte(at + 13)
}
