//! IP packets through tunnels whose ends both hold the policy: what arrives was sent, once, and was allowed to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lockgate_proto::packet::{ICMP, TCP, UDP, checksum};

use crate::world::host::HostPlan;
use crate::world::network::Weather;
use crate::world::{World, seed_or};

const POLICY: &str = r#"
default = "deny"
[tags]
role = ["gw", "hist"]
[nodes]
north = { role = "gw" }
south = { role = "hist" }
east = { role = "gw" }
[[allow]]
id = "media"
from = "role=gw"
to = "role=hist udp:5000-5010"
[[allow]]
id = "ssh"
from = "role=hist"
to = "role=gw tcp:22"
"#;
/// Of a node that lets everything through.
const LAWLESS: &str = r#"
default = "deny"
[tags]
role = ["all"]
[nodes]
north = { role = "all" }
south = { role = "all" }
east = { role = "all" }
[[allow]]
id = "udp"
from = "role=all"
to = "role=all udp:1-65535"
[[allow]]
id = "tcp"
from = "role=all"
to = "role=all tcp:1-65535"
"#;
const NAMES: [&str; 3] = ["north", "south", "east"];
/// `south`; the others are gateways.
const HIST: usize = 1;
const STEPS: usize = 300;
const SEEDS: u64 = 48;
const SECOND: Duration = Duration::from_secs(1);
/// IPv4 and the longer of the two headers.
const HEADERS: usize = 20 + 20;

/// Packets of one kind from one host to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    from: usize,
    to: usize,
    protocol: u8,
    ports: [u16; 2],
}

impl Flow {
    /// What the policy says of its first packet.
    fn is_allowed(&self) -> bool {
        let [_, port] = self.ports;
        match (self.from == HIST, self.to == HIST) {
            (false, true) => self.protocol == UDP && (5000..=5010).contains(&port),
            (true, false) => self.protocol == TCP && port == 22,
            _ => false,
        }
    }

    /// The way of its answers.
    fn back(&self) -> Self {
        let [source, destination] = self.ports;
        Self { from: self.to, to: self.from, ports: [destination, source], ..*self }
    }
}

fn overlay(host: usize) -> [u8; 4] {
    [10, 7, 0, u8::try_from(host).expect("few hosts") + 1]
}

/// A whole packet; `serial` makes it like no other.
fn packet(flow: &Flow, [source, destination]: [[u8; 4]; 2], tos: u8, serial: u64, len: usize) -> Vec<u8> {
    let mut packet = vec![0xA5; HEADERS + 8 + len];
    let total = u16::try_from(packet.len()).expect("a short packet").to_be_bytes();
    packet[..12].copy_from_slice(&[0x45, tos, total[0], total[1], 0, 0, 0x40, 0, 64, flow.protocol, 0, 0]);
    packet[12..16].copy_from_slice(&source);
    packet[16..20].copy_from_slice(&destination);
    let sum = !checksum::sum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    for (at, port) in [20, 22].into_iter().zip(flow.ports) {
        packet[at..at + 2].copy_from_slice(&port.to_be_bytes());
    }
    // For TCP it is ACK without an option; UDP's length is nobody's business on the way, nor are checksums.
    packet[32..34].copy_from_slice(&[0x50, 0x10]);
    packet[HEADERS..HEADERS + 8].copy_from_slice(&serial.to_be_bytes());
    packet
}

fn serial(packet: &[u8]) -> u64 {
    u64::from_be_bytes(packet[HEADERS..HEADERS + 8].try_into().expect("eight bytes"))
}

/// What was sent, and what has become of it.
struct Walk {
    world: World,
    flows: Vec<Flow>,
    /// By serial; foreign ones must not arrive.
    sent: Vec<(Flow, Vec<u8>)>,
    foreign: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    /// The last that arrived of each flow.
    last: BTreeMap<Flow, u64>,
    opened: BTreeSet<Flow>,
    keeps_order: bool,
    unroutable: Vec<u64>,
    garbage: Vec<u64>,
    complaints: Vec<u64>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let count = 2 + usize::try_from(seed % 2).expect("small");
        // The other end's gate is enough: with one lawless node among them, what passes is the same.
        let lawless = seed.is_multiple_of(3).then_some(usize::try_from(seed / 3).expect("small") % count);
        let plan = |host: usize| HostPlan {
            name: NAMES[host],
            offers: Vec::new(),
            uses: Vec::new(),
            policy: if lawless == Some(host) { LAWLESS } else { POLICY }.into(),
            tun: Some(IpAddr::from(overlay(host))),
            udp_payload: 0,
        };
        let mut world = World::new(seed, (0..count).map(plan).collect(), false);
        let keeps_order = world.random.chance(500);
        Self {
            world,
            flows: flows(count),
            sent: Vec::new(),
            foreign: BTreeSet::new(),
            arrived: BTreeSet::new(),
            last: BTreeMap::new(),
            opened: BTreeSet::new(),
            keeps_order,
            unroutable: vec![0; count],
            garbage: vec![0; count],
            complaints: vec![0; count],
        }
    }

    /// An application on `flow.from` sends; in whose name is `source`'s.
    fn send_as(&mut self, flow: Flow, source: [u8; 4]) -> u64 {
        let serial = self.sent.len() as u64;
        let tos = [0, 1, 2, 3, 0xBA][self.world.random.below(5)];
        let len = self.world.random.below(1_100);
        let packet = packet(&flow, [source, overlay(flow.to)], tos, serial, len);
        self.world.hosts[flow.from].leaving.push(packet.clone());
        self.sent.push((flow, packet));
        serial
    }

    fn send(&mut self, flow: Flow) -> u64 {
        self.send_as(flow, overlay(flow.from))
    }

    fn step(&mut self) {
        let flow = self.flows[self.world.random.below(self.flows.len())];
        match self.world.random.below(40) {
            0..30 => {
                for _ in 0..=self.world.random.below(12) {
                    self.send(flow);
                }
            }
            30..32 => {
                let serial = self.send_as(flow, [10, 7, 0, 200]);
                self.foreign.insert(serial);
            }
            32 => {
                let packet = packet(&flow, [overlay(flow.from), [10, 8, 0, 1]], 0, 0, 0);
                self.world.hosts[flow.from].leaving.push(packet);
                self.unroutable[flow.from] += 1;
            }
            33 => {
                self.world.hosts[flow.from].leaving.push(vec![0x15; 40]);
                self.garbage[flow.from] += 1;
            }
            34 => self.change_weather(),
            // One host alone: two that move at once lose each other for good.
            35 if !self.keeps_order => self.world.roam(0),
            _ => {}
        }
        let pause = match self.world.random.below(100) {
            // A rekey, or the end of every session.
            0..3 => 130 * SECOND,
            3..10 => 10 * SECOND,
            _ => SECOND / 10,
        };
        let pause = self.world.random.duration(pause);
        self.run(pause);
    }

    fn run(&mut self, time: Duration) {
        self.world.run(time);
        self.collect();
    }

    fn change_weather(&mut self) {
        let random = &mut self.world.random;
        let mut chance = |most: u32| if random.chance(500) { random.next() as u32 % most } else { 0 };
        let (loss, duplicate, corrupt, reorder) = (chance(200), chance(200), chance(20), chance(200));
        let reorder = if self.keeps_order { 0 } else { reorder };
        let jitter = self.world.random.duration(SECOND / 20);
        self.world.network.weather = Weather { loss, duplicate, corrupt, reorder, jitter, ..Weather::FINE };
    }

    /// What has come out of the tunnels.
    fn collect(&mut self) {
        for host in 0..self.world.hosts.len() {
            for packet in std::mem::take(&mut self.world.hosts[host].entered) {
                if packet[9] == ICMP {
                    assert_eq!(packet[12..16], overlay(host), "complaints are in our own name");
                    assert_eq!(packet[20..22], [3, 1], "no peer has that address");
                    self.complaints[host] += 1;
                } else {
                    self.check(host, &packet);
                }
            }
        }
    }

    fn check(&mut self, host: usize, packet: &[u8]) {
        let serial = serial(packet);
        let (flow, sent) = &self.sent[usize::try_from(serial).expect("a place")];
        assert_eq!(packet, sent, "what arrives is what was sent");
        assert_eq!(host, flow.to, "{flow:?} arrived at {host}");
        assert!(self.arrived.insert(serial), "{flow:?} arrived twice");
        assert!(!self.foreign.contains(&serial), "{flow:?} in another's name");
        if flow.is_allowed() {
            self.opened.insert(*flow);
        } else {
            assert!(self.opened.contains(&flow.back()), "{flow:?} is denied");
        }
        let before = self.last.insert(*flow, serial);
        assert!(!self.keeps_order || before.is_none_or(|before| before < serial), "{flow:?} out of order");
    }

    /// When the weather is fine again, everything that is allowed arrives.
    fn end(&mut self) {
        self.world.network.weather = Weather::FINE;
        let allowed: Vec<Flow> = self.flows.iter().copied().filter(Flow::is_allowed).collect();
        for flow in &allowed {
            self.send(*flow);
        }
        self.run(30 * SECOND);
        // Who has moved has said so by now; answers find the way back too.
        let there: Vec<u64> = allowed.iter().map(|flow| self.send(*flow)).collect();
        // Shorter than a flow of UDP that nobody has answered lives.
        self.run(10 * SECOND);
        let back: Vec<u64> = allowed.iter().map(|flow| self.send(flow.back())).collect();
        self.run(10 * SECOND);
        for serial in there.iter().chain(&back) {
            let flow = self.sent[usize::try_from(*serial).expect("a place")].0;
            assert!(self.arrived.contains(serial), "{flow:?} does not arrive in fine weather");
        }
        self.count();
    }

    /// Every counter that has moved has a reason, and those that only the test moves have moved as often.
    fn count(&mut self) {
        for (place, host) in self.world.hosts.iter().enumerate() {
            let discards = host.discards();
            let count = |name| discards.get(name).copied().unwrap_or(0);
            assert_eq!(count("no_route"), self.unroutable[place], "{}", host.plan.name);
            assert_eq!(count("not_ip"), self.garbage[place], "{}", host.plan.name);
            assert_eq!(self.complaints[place], self.unroutable[place], "{} tells why", host.plan.name);
            // Its own node stops whoever speaks in another's name; one whose gate is open leaves that to the peer.
            assert!(count("foreign_source") + count("transit") <= self.foreign.len() as u64);
        }
        self.world.excuse(&["no_route", "not_ip", "foreign_source", "transit", "denied"]);
        // Loss, duplicates, corruption and whatever crosses a rekey.
        self.world.excuse(&["replayed", "not_authentic", "malformed", "bad_mac", "unknown_index"]);
        self.world.excuse(&["expired", "stale_initiation", "rate_limited", "staged_too_long"]);
        self.world.conclude(SECOND);
    }
}

/// Allowed ones, their answers, and what nobody has asked for.
fn flows(count: usize) -> Vec<Flow> {
    let mut flows = Vec::new();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            for (protocol, ports) in [(UDP, [4000, 5000]), (UDP, [4001, 5010]), (TCP, [4002, 22])] {
                let flow = Flow { from, to, protocol, ports };
                flows.extend([flow, flow.back()]);
            }
            flows.push(Flow { from, to, protocol: UDP, ports: [5000, 4999] });
            flows.push(Flow { from, to, protocol: TCP, ports: [4003, 23] });
        }
    }
    flows
}

#[test]
fn packets_arrive_once_in_order_and_only_where_the_policy_lets_them() {
    let (mut sent, mut arrived, mut roads) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut walk = Walk::new(seed_or(seed));
        for _ in 0..STEPS {
            walk.step();
        }
        walk.end();
        sent += walk.sent.len();
        arrived += walk.arrived.len();
        roads += walk.opened.len();
    }
    println!("{arrived} of {sent} packets arrived, on {roads} flows");
    assert!(arrived * 10 > sent, "{arrived} of {sent}: too few to tell anything");
}
