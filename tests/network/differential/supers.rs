//! Random super-packets, as a kernel with all offloads on hands them to the reader of a TUN device.

use std::fmt;

use super::packets::{
    ACK, CWR, Checksum, ECE, FIN, Flow, Net, PSH, RST, SYN, TCP, Tcp, UDP, URG, Version, build,
    checksum_offset, transport_len,
};
use super::random::Random;

const NEEDS_CSUM: u8 = 1;
const TCPV4: u8 = 1;
const TCPV6: u8 = 4;
const UDP_L4: u8 = 5;
const ECN: u8 = 0x80;
const LARGEST: usize = 65_535;

/// A packet and its virtio header.
pub(super) struct Super {
    pub(super) vnet: [u8; 10],
    pub(super) packet: Vec<u8>,
}

impl fmt::Display for Super {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.packet[..self.packet.len().min(100)];
        write!(out, "{} bytes, header {:02x?}, packet {head:02x?}", self.packet.len(), self.vnet)
    }
}

/// One of any kind.
pub(super) fn random(random: &mut Random) -> Super {
    let flow = Flow::random(random);
    let mut net = Net::random(&flow, 30, random);
    let mut tcp = Tcp::random(random);
    if flow.protocol == TCP {
        for flag in [FIN, PSH, CWR, ECE, URG, PSH] {
            if random.chance(20) {
                tcp.flags |= flag;
            }
        }
        if random.chance(3) {
            tcp.flags = *random.one_of(&[0, SYN, RST, SYN | ACK | ECE, u8::MAX]);
        }
        if tcp.flags & URG != 0 {
            tcp.urgent = random.u16();
        }
    }
    match random.between(0, 99) {
        0..85 => segmented(&flow, &net, &tcp, random),
        85..95 => single(&flow, &net, &tcp, Checksum::Seed, random),
        _ => {
            // Not for us to judge: a fragment, or a packet whose checksum is wrong, goes as it came.
            if flow.version == Version::V4 && random.chance(30) {
                net.fragment = *random.one_of(&[0x2000, 0x2010, 0x0040]);
            }
            let checksum = *random.one_of(&[Checksum::Full, Checksum::Wrong]);
            single(&flow, &net, &tcp, checksum, random)
        }
    }
}

fn segmented(flow: &Flow, net: &Net, tcp: &Tcp, random: &mut Random) -> Super {
    let fixed = 40 + net.more.len() + transport_len(flow, tcp);
    let count = if random.chance(50) { random.between(1, 4) } else { random.between(1, 64) };
    let largest = (LARGEST - fixed) / count;
    let size = match random.between(0, 9) {
        0..3 => random.between(1, 40),
        3..8 => random.between(1, largest.min(1500)),
        8 => largest.min(1448),
        _ => random.between(1, largest),
    };
    let last = random.between(1, size);
    let payload = random.bytes(size * (count - 1) + last);
    // One segment is none to the kernel only if even its TCP options fit (else it drops it as malformed).
    let size = if count == 1 { size + tcp.options.len() } else { size };
    let built = build(flow, net, tcp, &payload, Checksum::Seed);
    let headers = built.transport + transport_len(flow, tcp);
    let kind = match (flow.protocol, flow.version) {
        (UDP, _) => UDP_L4,
        (_, Version::V4) => TCPV4,
        (_, Version::V6) => TCPV6,
    };
    let ecn = if flow.protocol == TCP && random.chance(20) { ECN } else { 0 };
    // It may say too much: on a forwarding host it is what the receiving card put into the first buffer.
    let stated = if random.chance(70) { headers } else { random.between(headers, built.bytes.len()) };
    let vnet = vnet(kind | ecn, stated, size, built.transport, checksum_offset(flow.protocol));
    Super { vnet, packet: built.bytes }
}

fn single(flow: &Flow, net: &Net, tcp: &Tcp, checksum: Checksum, random: &mut Random) -> Super {
    let len = if random.chance(10) { 0 } else { random.between(0, 1500) };
    let mut payload = random.bytes(len);
    if len >= 2 && random.chance(40) {
        make_the_checksum_zero(flow, net, tcp, &mut payload);
    }
    let built = build(flow, net, tcp, &payload, checksum);
    let vnet = if checksum == Checksum::Seed {
        let headers = built.transport + transport_len(flow, tcp);
        vnet(0, headers, 0, built.transport, checksum_offset(flow.protocol))
    } else {
        [0; 10]
    };
    Super { vnet, packet: built.bytes }
}

/// Chooses the first two bytes so that the right checksum is nought, which UDP must write as 0xffff.
fn make_the_checksum_zero(flow: &Flow, net: &Net, tcp: &Tcp, payload: &mut [u8]) {
    payload[..2].fill(0);
    let built = build(flow, net, tcp, payload, Checksum::Full);
    let at = built.transport + checksum_offset(flow.protocol);
    payload[..2].copy_from_slice(&built.bytes[at..at + 2]);
}

fn vnet(kind: u8, headers: usize, size: usize, start: usize, offset: usize) -> [u8; 10] {
    let mut vnet = [0; 10];
    vnet[0] = NEEDS_CSUM;
    vnet[1] = kind;
    for (at, value) in [(2, headers), (4, size), (6, start), (8, offset)] {
        let value = u16::try_from(value).expect("a packet is smaller than 64 KiB");
        vnet[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }
    vnet
}
