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
use lockgate_proto::rules::Rules;
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

const ADDRESSES: [[u8; 4]; 2] = [[10, 99, 0, 1], [10, 99, 0, 2]];
const NAMES: [&str; 2] = ["left", "right"];
const POLICY: &str = r#"
default = "deny"
[tags]
role = ["end"]
[nodes]
left = { role = "end" }
right = { role = "end" }
[[allow]]
id = "bulk"
from = "role=end"
to = "role=end tcp:5001"
[[allow]]
id = "small"
from = "role=end"
to = "role=end udp:5001"
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

fn gate(own: usize, mode: &str, rules: &Arc<Rules>) -> Gate {
    match mode {
        "open" => Gate::Open,
        "rules" => {
            let options = Options::new("rules", Dialect::Lockgate);
            Gate::Script(Script::compile(SCRIPT, &options).expect("a script"))
        }
        _ => {
            let territory = Territory::new(vec![ADDRESSES[own].into()], Vec::new());
            Gate::policy(NAMES[own].into(), territory, rules.clone(), 7)
        }
    }
}

fn side(own: usize, udp: Udp, other: std::net::SocketAddr, mode: &str) -> Side {
    let clock = Clock::start();
    let rules = Arc::new(Rules::compile(&Policy::parse("policy.toml", POLICY).expect("a valid policy"), 1));
    let peer = 1 - own;
    let tunnel = PeerConfig {
        public_key: identity(peer).public(),
        preshared_key: None,
        endpoint: Some(other),
        keepalive: None,
    };
    let address = |of: usize| Prefix::of(ADDRESSES[of].into());
    let ingredients = Ingredients {
        name: NAMES[own].into(),
        identity: Some(identity(own)),
        addresses: vec![ADDRESSES[own].into()],
        gate: gate(own, mode, &rules),
        randomness: entropy::randomness(),
        peers: vec![Neighbour { name: NAMES[peer].into(), tunnel, addresses: vec![address(peer)] }],
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

fn pair(mode: &str) -> [Side; 2] {
    let [left, right] =
        [(); 2].map(|()| Udp::bind(([127, 0, 0, 1], 0).into()).expect("a socket on loopback"));
    let places = [left.local_addr(), right.local_addr()];
    [side(0, left, places[1], mode), side(1, right, places[0], mode)]
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
    sides: [Side; 2],
    from: usize,
    /// What each end sends.
    items: [Vec<u8>; 2],
    refused: Vec<u8>,
    buffer: Vec<u8>,
}

impl Traffic {
    /// One super-packet across; how many packets that is.
    fn bulk(&mut self) -> usize {
        let [near, far] = [&self.sides[self.from], &self.sides[1 - self.from]];
        give(near, &self.items[self.from]);
        let items = take(far, &mut self.buffer, SEGMENTS);
        assert!(items < SEGMENTS / 2, "coalesced: {items} items for {SEGMENTS} packets");
        SEGMENTS
    }

    /// Small packets across, one behind the other.
    fn burst(&mut self) -> usize {
        const PACKETS: usize = 32;
        let [near, far] = [&self.sides[self.from], &self.sides[1 - self.from]];
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
        let [near, far] = [&self.sides[self.from], &self.sides[1 - self.from]];
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

/// All in one test: the count is of the process, and another test beside it would be counted too.
#[test]
fn a_packet_in_a_steady_state_costs_no_allocation() {
    for mode in ["open", "policy", "rules"] {
        let items = [0, 1].map(super_packet);
        let mut traffic =
            Traffic { sides: pair(mode), from: 0, items, refused: Vec::new(), buffer: vec![0; 1 << 17] };
        for from in [0, 1] {
            let way = format!("gate {mode}, from {}", NAMES[from]);
            traffic.from = from;
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
