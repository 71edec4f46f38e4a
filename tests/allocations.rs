//! In a steady state, no packet costs an allocation: held by a counting allocator around two nodes of this process.
//!
//! Two real event loops, each with a UDP socket on loopback and a socket pair for its TUN device, carry packets from
//! one application's end to the other's. The count is that of the whole process, so whatever either loop, the kernel's
//! wrappers or this test itself takes from the heap between two looks is in it. Handshakes and the first packets may
//! allocate: buffers grow to what they need, and stay so.

use std::alloc::System;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use lockgate::event_loop::{End, EventLoop, Interface, Parts};
use lockgate::machine::clock::Clock;
use lockgate::machine::entropy;
use lockgate::machine::locals::Locals;
use lockgate::machine::poller::{Poller, Waker};
use lockgate::machine::tun::{HEADER, Offloads, Tun};
use lockgate::machine::udp::Udp;
use lockgate::node::{Gate, Ingredients, Neighbour, Node, Territory};
use lockgate_proto::device::PeerConfig;
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::{TCP, UDP, checksum, vnet};
use lockgate_proto::policy::Policy;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::rules::{Opening, Rules};
use lockgate_proto::script::{Dialect, Options, Script};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Packets before the count begins.
const WARM_UP: usize = 3_000;
/// Packets that are counted.
const COUNTED_PACKETS: usize = 10_000;
/// What the process may grow by meanwhile, in bytes: pages of buffers that it has had from the start.
const GROWTH: usize = 512 << 10;

const ADDRESSES: [[u8; 4]; 3] = [[10, 99, 0, 1], [10, 99, 0, 2], [10, 99, 0, 3]];
/// The third gets copies and detours, where rules send some.
const NAMES: [&str; 3] = ["left", "right", "third"];
const POLICY: &str = r#"
[tags]
role = ["end"]
[nodes]
left = { role = "end" }
right = { role = "end" }
third = {}
[[allow]]
id = "bulk"
from = "role=end"
to = "role=end tcp:5001"
[[allow]]
id = "small"
from = "role=end"
to = "role=end udp:5001"
"#;

/// Flow rules of a policy, by the mode of the gate.
const FLOW_RULES: [(&str, &str); 6] = [
    ("cached", "accept dport 5001 and from role=end;"),
    ("volatile", "drop chr tcp_fin or framesize 0-40;\naccept dport 5001 and random 1.0;"),
    ("established", "accept established;\naccept dport 5001;"),
    ("tee", "tee 64 third;\naccept dport 5001;"),
    ("redirect", "redirect third dport 5001;"),
    ("zmtp", "accept zmtp and dport 5001;"),
];

const SERVICE: &str = r#"
[service.telemetry]
hosted-by = "node=left"
socket = "pub"
max-message = "64KiB"
[[allow]]
id = "use"
from = "role=end"
to = "telemetry"
topics = ["temp.", "vib."]
"#;

const SCRIPT: &str = "accept ipprotocol tcp and dport 5001;\naccept ipprotocol udp and dport 5001;\n";

/// The payload of a full segment.
const SEGMENT: usize = 1_380;
/// Segments of a super-packet: what the interface is told to hand over at once.
const SEGMENTS: usize = 44;
/// IPv4 and TCP.
const TCP_HEADERS: usize = 40;
/// A small packet, all in all.
const SMALL: usize = 64;
const PORT: u16 = 5001;
/// No gate but an open one lets anything there.
const REFUSED: u16 = 6001;

/// A node of its own thread, and the application's end of its TUN device.
struct Side {
    far: OwnedFd,
    waker: Waker,
    /// Gone: the loop stops.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<std::io::Result<End>>>,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop = None;
        self.waker.wake();
        let outcome = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            outcome.expect("it ran").expect("no panic").expect("no error");
        }
    }
}

fn identity(of: usize) -> PrivateKey {
    PrivateKey::from_bytes([of as u8 + 1; 32])
}

/// A socket pair as a TUN device: the node's end never waits, the application's does, for as long as a test may take.
fn device() -> (Tun, OwnedFd) {
    let (near, far) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a socket pair");
    rustix::io::ioctl_fionbio(&near, true).expect("no waiting");
    for end in [&near, &far] {
        sockopt::set_socket_send_buffer_size(end, 1 << 20).expect("a larger buffer");
    }
    sockopt::set_socket_timeout(&far, sockopt::Timeout::Recv, Some(Duration::from_secs(10)))
        .expect("an end of waiting");
    (Tun::over(near, Offloads::ALL), far)
}

/// The policy of a mode; most have the allows alone.
fn rules(mode: &str) -> Rules {
    let flow_rules = FLOW_RULES.iter().find(|(name, _)| *name == mode);
    let flow_rules = flow_rules.map_or(String::new(), |(_, text)| format!("rules = '''\n{text}\n'''\n"));
    let text = format!("default = \"deny\"\n{flow_rules}{POLICY}");
    Rules::compile(&Policy::parse("policy.toml", &text).expect("a valid policy"), 1)
}

fn gate(own: usize, mode: &str, rules: &Arc<Rules>) -> Gate {
    match mode {
        "open" => Gate::Open,
        "rules" => {
            let options = Options::new("rules", Dialect::Lockgate);
            Gate::script(&Script::compile(SCRIPT, &options).expect("a script"), 7)
        }
        _ => {
            let territory = Territory::new(vec![ADDRESSES[own].into()], Vec::new());
            Gate::policy(NAMES[own].into(), territory, rules.clone(), 7)
        }
    }
}

fn side(own: usize, udp: Udp, places: &[std::net::SocketAddr], mode: &str) -> Side {
    let clock = Clock::start();
    let rules = Arc::new(rules(mode));
    let neighbour = |peer: usize| {
        let tunnel = PeerConfig {
            public_key: identity(peer).public(),
            preshared_key: None,
            endpoint: Some(places[peer]),
            keepalive: None,
        };
        Neighbour { name: NAMES[peer].into(), tunnel, addresses: vec![Prefix::of(ADDRESSES[peer].into())] }
    };
    let ingredients = Ingredients {
        name: NAMES[own].into(),
        identity: Some(identity(own)),
        addresses: vec![ADDRESSES[own].into()],
        gate: gate(own, mode, &rules),
        randomness: entropy::randomness(),
        peers: (0..places.len()).filter(|peer| *peer != own).map(neighbour).collect(),
        offers: Vec::new(),
        uses: Vec::new(),
        rules,
        link_mtu: 1280,
        base: clock.std_base(),
    };
    let node = Node::new(ingredients, clock.now()).unwrap_or_else(|(name, error)| panic!("{name}: {error}"));
    let (tun, far) = device();
    let poller = Poller::new().expect("a poller");
    let waker = poller.waker();
    let (stop, stopped) = mpsc::channel();
    let parts = Parts {
        node,
        clock,
        udp: Some(udp),
        tun: Some(Interface { tun, monitor: None, follow: None, restore: None }),
        locals: Locals::new(poller, Vec::new()),
        entrances: Vec::new(),
        control: None,
        uapi: None,
        signals: None,
        stop: Some(stopped),
        spin: Duration::ZERO,
        tap: None,
        reload: None,
    };
    let event_loop = EventLoop::new(parts).expect("an event loop");
    let thread = std::thread::spawn(move || event_loop.run());
    Side { far, waker, stop: Some(stop), thread: Some(thread) }
}

/// So many nodes, each of which knows the others.
fn sides(many: usize, mode: &str) -> Vec<Side> {
    let bind = |_| Udp::bind(([127, 0, 0, 1], 0).into()).expect("a socket on loopback");
    let sockets: Vec<Udp> = (0..many).map(bind).collect();
    let places: Vec<_> = sockets.iter().map(Udp::local_addr).collect();
    sockets.into_iter().enumerate().map(|(own, udp)| side(own, udp, &places, mode)).collect()
}

/// An item as the kernel's stack hands it over: virtio header, IPv4 header, and the rest.
fn item(from: usize, protocol: u8, header: vnet::Header, len: usize) -> Vec<u8> {
    let mut item = vec![0x5A; HEADER + len];
    item[..HEADER].copy_from_slice(&header.encode());
    let packet = &mut item[HEADER..];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[12..16].copy_from_slice(&ADDRESSES[from]);
    packet[16..20].copy_from_slice(&ADDRESSES[1 - from]);
    let sum = !checksum::sum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[20..22].copy_from_slice(&PORT.to_be_bytes());
    packet[22..24].copy_from_slice(&PORT.to_be_bytes());
    item
}

/// A TCP super-packet, its checksum to be completed.
fn super_packet(from: usize) -> Vec<u8> {
    let len = TCP_HEADERS + SEGMENTS * SEGMENT;
    let header = vnet::Header {
        flags: vnet::NEEDS_CSUM,
        gso_type: vnet::GSO_TCPV4,
        hdr_len: TCP_HEADERS as u16,
        gso_size: SEGMENT as u16,
        csum_start: 20,
        csum_offset: 16,
    };
    let mut item = item(from, TCP, header, len);
    let packet = &mut item[HEADER..];
    let pseudo = checksum::pseudo(&packet[12..20], TCP, len - 20);
    // Sequence and acknowledgement number, five words, ACK, a window.
    packet[24..36].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff]);
    packet[36..38].copy_from_slice(&pseudo.to_be_bytes());
    packet[38..40].fill(0);
    item
}

/// A UDP packet of 64 bytes, complete.
fn small_packet(from: usize, to: u16) -> Vec<u8> {
    let mut item = item(from, UDP, vnet::Header::NONE, SMALL);
    let packet = &mut item[HEADER..];
    packet[22..24].copy_from_slice(&to.to_be_bytes());
    let len = SMALL - 20;
    packet[24..28].copy_from_slice(&[0, len as u8, 0, 0]);
    let sum =
        u64::from(checksum::pseudo(&packet[12..20], UDP, len)) + u64::from(checksum::sum(&packet[20..]));
    let sum = !checksum::fold(sum);
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
    item
}

fn give(side: &Side, item: &[u8]) {
    assert_eq!(rustix::net::send(&side.far, item, SendFlags::empty()), Ok(item.len()));
}

/// How many items brought so many packets.
fn take(side: &Side, buffer: &mut [u8], packets: usize) -> usize {
    let (mut seen, mut items) = (0, 0);
    while seen < packets {
        let (_, len) =
            rustix::net::recv(&side.far, &mut *buffer, RecvFlags::empty()).expect("packets arrive");
        let (header, packet) = vnet::Header::split(&buffer[..len]).expect("an item begins with its header");
        seen += Segments::new(&header, packet).expect("an item that can be cut").count();
        items += 1;
    }
    assert_eq!(seen, packets, "as many as were sent");
    items
}

/// Traffic, a round at a time.
struct Traffic {
    sides: Vec<Side>,
    from: usize,
    /// Who gets what that end sends.
    to: usize,
    /// What each end sends.
    items: [Vec<u8>; 2],
    refused: Vec<u8>,
    buffer: Vec<u8>,
}

impl Traffic {
    /// One super-packet across; how many packets that is.
    fn bulk(&mut self) -> usize {
        let [near, far] = [&self.sides[self.from], &self.sides[self.to]];
        give(near, &self.items[self.from]);
        let items = take(far, &mut self.buffer, SEGMENTS);
        assert!(items < SEGMENTS / 2, "coalesced: {items} items for {SEGMENTS} packets");
        SEGMENTS
    }

    /// Small packets across, one behind the other.
    fn burst(&mut self) -> usize {
        const PACKETS: usize = 32;
        let [near, far] = [&self.sides[self.from], &self.sides[self.to]];
        for _ in 0..PACKETS {
            give(near, &self.items[self.from]);
        }
        take(far, &mut self.buffer, PACKETS);
        PACKETS
    }

    /// One there and one back, never more than one on its way.
    fn ping_pong(&mut self) -> usize {
        for from in [self.from, 1 - self.from] {
            give(&self.sides[from], &self.items[from]);
            take(&self.sides[1 - from], &mut self.buffer, 1);
        }
        2
    }

    /// Packets that the gate refuses, and one that passes it, so that one knows when they were looked at.
    fn refusals(&mut self) -> usize {
        const PACKETS: usize = 32;
        let [near, far] = [&self.sides[self.from], &self.sides[self.to]];
        for _ in 1..PACKETS {
            give(near, &self.refused);
        }
        give(near, &self.items[self.from]);
        take(far, &mut self.buffer, 1);
        PACKETS
    }

    fn run(&mut self, round: fn(&mut Self) -> usize, packets: usize) -> usize {
        let mut done = 0;
        while done < packets {
            done += round(self);
        }
        done
    }
}

/// Bytes of this process in memory.
#[expect(clippy::disallowed_methods, reason = "a test reads what the kernel says of it")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<usize>().ok());
    number.expect("so many kB") << 10
}

/// Runs one kind of traffic one way until nothing grows any more, and then counts.
fn measure(what: &str, traffic: &mut Traffic, round: fn(&mut Traffic) -> usize) {
    traffic.run(round, WARM_UP);
    let before = (resident(), COUNTED.stats());
    let packets = traffic.run(round, COUNTED_PACKETS);
    let after = COUNTED.stats();
    let counted = after - before.1;
    let grown = resident().saturating_sub(before.0);
    println!("{what}: {} allocations for {packets} packets, {grown} bytes grown", counted.allocations);
    let all = [counted.allocations, counted.reallocations, counted.deallocations];
    assert_eq!(all, [0; 3], "{what}: allocations, reallocations and deallocations for {packets} packets");
    assert!(grown <= GROWTH, "{what}: the process has grown by {grown} bytes");
}

/// A TCP segment, as it stands.
fn segment(from: usize, flags: u8, [sequence, acknowledges]: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let mut item = item(from, TCP, vnet::Header::NONE, TCP_HEADERS + payload.len());
    let packet = &mut item[HEADER..];
    packet[24..28].copy_from_slice(&sequence.to_be_bytes());
    packet[28..32].copy_from_slice(&acknowledges.to_be_bytes());
    packet[32..40].copy_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet[TCP_HEADERS..].copy_from_slice(payload);
    item
}

/// A greeting and a READY of ZMTP.
fn speech(socket: &str) -> Vec<u8> {
    let greeting = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1][..], b"NULL", &[0; 48]].concat();
    let length = [socket.len() as u8];
    let body = [&b"\x05READY\x0bSocket-Type\0\0\0"[..], &length, socket.as_bytes()].concat();
    [&greeting[..], &[4, body.len() as u8], &body].concat()
}

/// Opens a connection in which ZMTP is spoken; what either end sends from then on.
fn converse(traffic: &mut Traffic) -> [Vec<u8>; 2] {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let said = [speech("SUB"), speech("PUB")];
    let ends = [0, 1].map(|of: usize| 1 + said[of].len() as u32);
    for (from, item) in [
        (0, segment(0, SYN, [0, 0], &[])),
        (1, segment(1, SYN | ACK, [0, 1], &[])),
        (0, segment(0, ACK, [1, 1], &said[0])),
        (1, segment(1, ACK, [1, ends[0]], &said[1])),
        (0, segment(0, ACK, [ends[0], ends[1]], &[])),
    ] {
        give(&traffic.sides[from], &item);
        take(&traffic.sides[1 - from], &mut traffic.buffer, 1);
    }
    [0, 1].map(|from| segment(from, ACK, [ends[from], ends[1 - from]], &[0x5a; 24]))
}

impl Traffic {
    fn under(mode: &str, many: usize) -> Self {
        let (items, refused) = ([0, 1].map(super_packet), Vec::new());
        Self { sides: sides(many, mode), from: 0, to: 1, items, refused, buffer: vec![0; 1 << 17] }
    }
}

fn gates() {
    for mode in ["open", "policy", "rules"] {
        let mut traffic = Traffic::under(mode, 2);
        for from in [0, 1] {
            let way = format!("gate {mode}, from {}", NAMES[from]);
            (traffic.from, traffic.to) = (from, 1 - from);
            traffic.items = [0, 1].map(super_packet);
            measure(&format!("{way}, TCP in super-packets"), &mut traffic, Traffic::bulk);
            traffic.items = [0, 1].map(|from| small_packet(from, PORT));
            measure(&format!("{way}, UDP of 64 bytes"), &mut traffic, Traffic::burst);
            measure(&format!("{way}, UDP there and back"), &mut traffic, Traffic::ping_pong);
            if mode != "open" {
                traffic.refused = small_packet(from, REFUSED);
                measure(&format!("{way}, UDP that is refused"), &mut traffic, Traffic::refusals);
            }
        }
    }
}

/// A policy with flow rules: what they say is kept, asked again for each packet, or sends something to a third node.
fn flow_rules() {
    for (mode, _) in FLOW_RULES {
        let mut traffic = Traffic::under(mode, 3);
        for from in [0, 1] {
            let way = format!("flow rules {mode}, from {}", NAMES[from]);
            (traffic.from, traffic.to) = (from, if mode == "redirect" { 2 } else { 1 - from });
            if mode == "zmtp" {
                if from == 0 {
                    traffic.items = converse(&mut traffic);
                }
                measure(&format!("{way}, TCP of 64 bytes"), &mut traffic, Traffic::burst);
                measure(&format!("{way}, TCP there and back"), &mut traffic, Traffic::ping_pong);
                continue;
            }
            traffic.items = [0, 1].map(super_packet);
            measure(&format!("{way}, TCP in super-packets"), &mut traffic, Traffic::bulk);
            traffic.items = [0, 1].map(|from| small_packet(from, PORT));
            measure(&format!("{way}, UDP of 64 bytes"), &mut traffic, Traffic::burst);
            traffic.refused = small_packet(from, REFUSED);
            measure(&format!("{way}, UDP that is refused"), &mut traffic, Traffic::refusals);
        }
    }
}

/// Messages of a connection whose rules ask for topics and sizes.
fn messages() {
    let rules = "rules = '''\ndrop zmq topic temp.secret and zmq service telemetry;\n\
                 accept zmq topic raw. and zmq size 0-1000 and from role=end;\n'''\n";
    let text = format!("default = \"deny\"\n{rules}{POLICY}{SERVICE}");
    let rules = Rules::compile(&Policy::parse("policy.toml", &text).expect("a valid policy"), 1);
    let socket = lockgate_proto::zmtp::SocketType::Sub;
    let opening = Opening { user: "right", host: "left", service: "telemetry", socket, identity: b"" };
    let grant = rules.open(&opening).unwrap_or_else(|denial| panic!("{denial}"));
    let before = COUNTED.stats();
    let mut passed = 0;
    for _ in 0..COUNTED_PACKETS / 4 {
        for topic in [&b"temp.1"[..], b"temp.secret", b"raw.9", b"other"] {
            passed += usize::from(grant.publish(topic).is_ok());
            passed += usize::from(grant.subscribe(topic).is_ok());
        }
    }
    let counted = COUNTED.stats() - before;
    let all = [counted.allocations, counted.reallocations, counted.deallocations];
    assert_eq!((passed, all), (COUNTED_PACKETS, [0; 3]), "messages and subscriptions under a grant");
}

/// All in one test: the count is of the process, and another test beside it would be counted too.
#[test]
fn a_packet_in_a_steady_state_costs_no_allocation() {
    messages();
    gates();
    flow_rules();
}
