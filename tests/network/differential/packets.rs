//! IP packets built by hand, right or wrong on purpose, with checksums of the plainest kind.

use super::random::Random;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
pub(super) const URG: u8 = 0x20;
pub(super) const ECE: u8 = 0x40;
pub(super) const CWR: u8 = 0x80;
const DONT_FRAGMENT: u16 = 0x4000;

/// The IP version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    V4,
    V6,
}

/// Who talks to whom, and by which protocol.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) version: Version,
    pub(super) protocol: u8,
    pub(super) host: u8,
    pub(super) ports: [u16; 2],
}

impl Flow {
    pub(super) fn random(random: &mut Random) -> Self {
        Self {
            version: *random.one_of(&[Version::V4, Version::V6]),
            protocol: *random.one_of(&[TCP, TCP, UDP]),
            host: random.between(2, 250) as u8,
            ports: [random.u16(), random.u16()],
        }
    }

    /// Source and destination, one after the other: they arrive at A and are routed to B.
    fn addresses(&self) -> Vec<u8> {
        let host = self.host;
        match self.version {
            Version::V4 => vec![10, 9, 1, host, 10, 9, 2, host],
            Version::V6 => [1u8, 2]
                .iter()
                .flat_map(|&net| [0xfd, 0, 0, 0, 0, 0, 0, net, 0, 0, 0, 0, 0, 0, 0, host])
                .collect(),
        }
    }

    /// The sum over the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1).
    fn pseudo_sum(&self, len: usize) -> u16 {
        let mut pseudo = self.addresses();
        pseudo.extend((len as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, self.protocol]);
        sum(&pseudo)
    }
}

/// What the IP header says beside the addresses.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) traffic_class: u8,
    pub(super) ttl: u8,
    pub(super) id: u16,
    /// IPv4's flags and fragment offset, as on the wire.
    pub(super) fragment: u16,
    /// IPv4 options, or IPv6 extension headers whose chain ends with the flow's protocol.
    pub(super) more: Vec<u8>,
    /// The first of the IPv6 extension headers, or the flow's protocol.
    pub(super) next: u8,
}

impl Net {
    /// Fields of a packet of `flow`, with IP options or extension headers `more` times in a hundred.
    pub(super) fn random(flow: &Flow, more: usize, random: &mut Random) -> Self {
        let (next, more) = match (random.chance(more), flow.version) {
            (false, _) => (flow.protocol, Vec::new()),
            (true, Version::V4) => (flow.protocol, ipv4_options(random)),
            (true, Version::V6) => extension_headers(flow.protocol, random),
        };
        Self {
            traffic_class: if random.chance(50) { *random.one_of(&[0, 1, 2, 3]) } else { random.u8() },
            ttl: random.between(usize::from(HOPS) + 65, 255) as u8,
            id: if random.chance(10) { 0xfff0 + random.between(0, 15) as u16 } else { random.u16() },
            fragment: *random.one_of(&[0, DONT_FRAGMENT]),
            more,
            next,
        }
    }
}

fn ipv4_options(random: &mut Random) -> Vec<u8> {
    let mut options = match random.between(0, 3) {
        // Router alert (RFC 2113).
        0 => vec![148, 4, 0, 0],
        // An experiment (RFC 4727).
        1 => vec![158, 8, 0xab, 0xcd, 1, 2, 3, 4],
        _ => vec![1; random.between(1, 38)],
    };
    let padded = options.len().next_multiple_of(4);
    options.resize(padded, 0);
    options
}

/// The first one's number, and all of them in the order that RFC 8200 recommends.
fn extension_headers(protocol: u8, random: &mut Random) -> (u8, Vec<u8>) {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    let mut chain: Vec<(u8, Vec<u8>)> = Vec::new();
    for (kind, body) in [
        (HOP_BY_HOP, vec![0, 1, 4, 0, 0, 0, 0]),
        (DESTINATION, vec![1, 1, 4, 0, 0, 0, 0, 0x1e, 6, 1, 2, 3, 4, 5, 6]),
        (ROUTING, vec![0, 4, 0, 0, 0, 0, 0]),
    ] {
        if random.chance(50) {
            chain.push((kind, body));
        }
    }
    let mut bytes = Vec::new();
    for (at, (_, body)) in chain.iter().enumerate() {
        bytes.push(chain.get(at + 1).map_or(protocol, |(kind, _)| *kind));
        bytes.extend(body);
    }
    (chain.first().map_or(protocol, |(kind, _)| *kind), bytes)
}

/// What the checksum field of the transport header shall hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Checksum {
    /// The right sum.
    Full,
    /// The pseudo header's sum only: whoever sends it on completes it.
    Seed,
    /// A wrong one.
    Wrong,
    /// Nothing at all, which UDP allows over IPv4.
    None,
}

/// A TCP header's own fields; of these UDP has none.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) options: Vec<u8>,
}

impl Tcp {
    pub(super) fn random(random: &mut Random) -> Self {
        let options = match random.between(0, 3) {
            0 => Vec::new(),
            // Timestamps, as Linux writes them.
            1 | 2 => [&[1, 1, 8, 10][..], &random.bytes(8)].concat(),
            _ => vec![1; 4 * random.between(1, 10)],
        };
        Self { seq: random.u32(), ack: random.u32(), flags: ACK, window: random.u16(), urgent: 0, options }
    }
}

/// A packet with its transport header at `transport`.
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    pub(super) transport: usize,
}

/// Builds one packet.
pub(super) fn build(flow: &Flow, net: &Net, tcp: &Tcp, payload: &[u8], checksum: Checksum) -> Built {
    let mut segment = transport_header(flow, tcp, payload.len());
    segment.extend(payload);
    let at = checksum_offset(flow.protocol);
    let seed = flow.pseudo_sum(segment.len());
    let mut field = match checksum {
        Checksum::Seed => seed,
        Checksum::None => 0,
        Checksum::Full | Checksum::Wrong => !add(seed, sum(&segment)),
    };
    if field == 0 && flow.protocol == UDP && checksum != Checksum::None && checksum != Checksum::Seed {
        field = 0xffff;
    }
    if checksum == Checksum::Wrong {
        field = field.wrapping_add(0x0101);
    }
    segment[at..at + 2].copy_from_slice(&field.to_be_bytes());
    let mut bytes = ip_header(flow, net, segment.len());
    let transport = bytes.len();
    bytes.extend(segment);
    Built { bytes, transport }
}

/// Where the checksum lies in a transport header.
pub(super) fn checksum_offset(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

/// The length of the transport header.
pub(super) fn transport_len(flow: &Flow, tcp: &Tcp) -> usize {
    if flow.protocol == TCP { 20 + tcp.options.len() } else { 8 }
}

fn transport_header(flow: &Flow, tcp: &Tcp, payload: usize) -> Vec<u8> {
    let mut header: Vec<u8> = flow.ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    let len = transport_len(flow, tcp);
    if flow.protocol == TCP {
        header.extend(tcp.seq.to_be_bytes());
        header.extend(tcp.ack.to_be_bytes());
        header.extend([(len as u8 / 4) << 4, tcp.flags]);
        header.extend(tcp.window.to_be_bytes());
        header.extend([0, 0]);
        header.extend(tcp.urgent.to_be_bytes());
        header.extend(&tcp.options);
    } else {
        header.extend(((len + payload) as u16).to_be_bytes());
        header.extend([0, 0]);
    }
    header
}

fn ip_header(flow: &Flow, net: &Net, payload: usize) -> Vec<u8> {
    let addresses = flow.addresses();
    match flow.version {
        Version::V4 => {
            let len = 20 + net.more.len();
            let mut header = vec![0x40 | (len / 4) as u8, net.traffic_class];
            header.extend(((len + payload) as u16).to_be_bytes());
            header.extend(net.id.to_be_bytes());
            header.extend(net.fragment.to_be_bytes());
            header.extend([net.ttl, flow.protocol, 0, 0]);
            header.extend(addresses);
            header.extend(&net.more);
            seal_ipv4(&mut header);
            header
        }
        Version::V6 => {
            let mut header = vec![0x60 | (net.traffic_class >> 4), net.traffic_class << 4, 0x12, 0x34];
            header.extend(((net.more.len() + payload) as u16).to_be_bytes());
            header.extend([net.next, net.ttl]);
            header.extend(addresses);
            header.extend(&net.more);
            header
        }
    }
}

/// How many routers stand between A and B.
pub(super) const HOPS: u8 = 2;

/// The same packet, as it comes out of the last router.
pub(super) fn hops_later(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        packet[8] -= HOPS;
        let len = usize::from(packet[0] & 15) * 4;
        seal_ipv4(&mut packet[..len]);
    } else {
        packet[7] -= HOPS;
    }
    packet
}

fn seal_ipv4(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = !sum(header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// What a device that offers checksums owes a packet: sums what is behind `start` and stores the result.
pub(super) fn complete(packet: &mut [u8], start: usize, offset: usize) {
    let at = start + offset;
    let mut field = !sum(&packet[start..]);
    if field == 0 && offset == checksum_offset(UDP) {
        field = 0xffff;
    }
    packet[at..at + 2].copy_from_slice(&field.to_be_bytes());
}

/// The one's complement sum of RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let mut total = 0u64;
    for pair in bytes.chunks(2) {
        total += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

fn add(left: u16, right: u16) -> u16 {
    let (total, carry) = left.overflowing_add(right);
    total + u16::from(carry)
}

/// The packet with a TCP checksum of 0xffff written as nought: the same sum, and Linux writes it both ways.
pub(super) fn without_zero(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let Some(transport) = tcp_at(&packet) else { return packet };
    if packet.get(transport + 16..transport + 18) == Some(&[0xff, 0xff][..]) {
        packet[transport + 16..transport + 18].fill(0);
    }
    packet
}

/// Where the TCP header of an unfragmented packet begins.
fn tcp_at(packet: &[u8]) -> Option<usize> {
    if packet[0] >> 4 == 4 {
        let whole = packet[6] & 0x3f == 0 && packet[7] == 0;
        return (packet[9] == TCP && whole).then(|| usize::from(packet[0] & 15) * 4);
    }
    let (mut next, mut at) = (packet[6], 40);
    while [0, 43, 60].contains(&next) {
        next = packet[at];
        at += 8 + 8 * usize::from(packet[at + 1]);
    }
    (next == TCP).then_some(at)
}

/// The packet without its IPv4 id, if it may not be fragmented.
pub(super) fn reseal_without_id(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 && packet[6] & 0x40 != 0 {
        packet[4..6].fill(0);
        let len = usize::from(packet[0] & 15) * 4;
        seal_ipv4(&mut packet[..len]);
    }
    packet
}
