//! Random traffic as it comes out of tunnels: runs of a few flows, and every reason not to coalesce.

use std::collections::BTreeMap;

use super::packets::{
    ACK, CWR, Checksum, ECE, FIN, Flow, Net, PSH, RST, SYN, TCP, Tcp, URG, Version, build, hops_later,
    reseal_without_id, without_zero,
};
use super::random::Random;

const STREAMS: usize = 6;

/// Flows that go on from batch to batch.
pub(super) struct Traffic {
    streams: Vec<Stream>,
}

struct Stream {
    flow: Flow,
    net: Net,
    tcp: Tcp,
    size: usize,
}

/// A packet, and whether a router passes it on.
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) passes: bool,
}

impl Traffic {
    pub(super) fn new(random: &mut Random) -> Self {
        let streams = (0..STREAMS)
            .map(|_| {
                let mut flow = Flow::random(random);
                // Some share a host, so that only ports tell them apart.
                flow.host = *random.one_of(&[7, 8]);
                let net = Net::random(&flow, 10, random);
                let size = *random.one_of(&[1, 100, 1000, 1380, 1448, 8000]);
                Stream { net, tcp: Tcp::random(random), size, flow }
            })
            .collect();
        Self { streams }
    }

    /// The next packets, in the order in which they leave the tunnel.
    pub(super) fn batch(&mut self, random: &mut Random) -> Vec<Sent> {
        if random.chance(20) {
            let replaced = random.between(0, STREAMS - 1);
            self.streams[replaced] = Self::new(random).streams.swap_remove(replaced);
        }
        let odd = *random.one_of(&[0, 3, 20]);
        let mut sent = Vec::new();
        let mut at = 0;
        for _ in 0..random.between(1, 60) {
            if random.chance(15) {
                at = random.between(0, STREAMS - 1);
            }
            sent.push(self.streams[at].packet(odd, random));
        }
        if random.chance(20) {
            let [left, right] = [0; 2].map(|_| random.between(0, sent.len() - 1));
            sent.swap(left, right);
        }
        sent
    }
}

impl Stream {
    fn packet(&mut self, odd: usize, random: &mut Random) -> Sent {
        let last = self.tcp.flags & PSH != 0 || random.chance(10);
        let len = if random.chance(10) { random.between(0, self.size) } else { self.size };
        self.tcp.flags = ACK | if last { *random.one_of(&[0, PSH]) } else { 0 };
        let (mut net, mut tcp) = (self.net.clone(), self.tcp.clone());
        let mut checksum = Checksum::Full;
        let mut passes = true;
        if random.chance(odd) {
            match random.between(0, 12) {
                0 | 1 => checksum = Checksum::Wrong,
                2 => tcp.flags |= *random.one_of(&[FIN, SYN, RST, URG, ECE, CWR]),
                3 => net.traffic_class ^= 1 << random.between(0, 7),
                4 => net.ttl -= 0x40,
                5 => net = Net::random(&self.flow, 100, random),
                6 if self.flow.version == Version::V4 => net.fragment = *random.one_of(&[0x2000, 0x0010]),
                7 if self.flow.version == Version::V4 && self.flow.protocol != TCP => {
                    checksum = Checksum::None;
                }
                8 => self.tcp.window ^= 1,
                9 => self.tcp.ack = self.tcp.ack.wrapping_add(1),
                10 => tcp.seq = tcp.seq.wrapping_sub(self.size as u32),
                11 => tcp.options = Tcp::random(random).options,
                _ => passes = self.flow.version == Version::V6,
            }
        }
        let payload = random.bytes(len);
        let mut bytes = build(&self.flow, &net, &tcp, &payload, checksum).bytes;
        if !passes {
            // A header whose sum is wrong: nobody may put it right.
            bytes[11] ^= 0x40;
        }
        self.tcp.seq = self.tcp.seq.wrapping_add(len as u32);
        self.net.id = self.net.id.wrapping_add(1);
        Sent { bytes, passes }
    }
}

/// Every packet arrived that a router passes on, none was changed, and none overtook another of its flow.
pub(super) fn assert_flows_equal(sent: &[Sent], arrived: &[Vec<u8>], round: usize) {
    let expected = sent.iter().filter(|packet| packet.passes).map(|packet| hops_later(&packet.bytes));
    let mut expected = by_flow(expected);
    let mut arrived = by_flow(arrived.iter().cloned());
    for (flow, packets) in &mut expected {
        let came = arrived.remove(flow).unwrap_or_default();
        let differs = packets.iter().zip(&came).position(|(left, right)| left != right);
        assert!(
            differs.is_none() && packets.len() == came.len(),
            "round {round}: flow {flow:?}: {} packets sent, {} came, first difference at {differs:?}\n  sent {:02x?}\n  came {:02x?}",
            packets.len(),
            came.len(),
            differs.map(|at| head(&packets[at])),
            differs.map(|at| head(&came[at])),
        );
    }
    assert!(arrived.is_empty(), "round {round}: flows that nobody sent: {:02x?}", arrived.keys());
}

fn head(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(100)]
}

/// By protocol, addresses and ports; fragments by addresses alone. IPv4 ids of packets that may not be fragmented
/// mean nothing (RFC 6864, 4.1), and a run of such packets gets new ones.
fn by_flow(packets: impl Iterator<Item = Vec<u8>>) -> BTreeMap<(u8, Vec<u8>), Vec<Vec<u8>>> {
    let mut flows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for packet in packets {
        let (protocol, key) = flow_key(&packet);
        flows.entry((protocol, key)).or_default().push(without_zero(&reseal_without_id(&packet)));
    }
    flows
}

fn flow_key(packet: &[u8]) -> (u8, Vec<u8>) {
    if packet[0] == 0x45 && packet[6] & 0x3f == 0 && packet[7] == 0 {
        return (packet[9], packet[12..24].to_vec());
    }
    if packet[0] >> 4 == 6 && [6, 17].contains(&packet[6]) {
        return (packet[6], packet[8..44].to_vec());
    }
    let addresses = if packet[0] >> 4 == 4 { 12..20 } else { 8..40 };
    (0, packet[addresses].to_vec())
}
