//! What a packet and a handshake cost: through a real `Device`, and beside it the portable AEAD alone.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lockgate_proto::crypto::{AeadKey, TAG_LEN};
use lockgate_proto::device::{Device, LINK_OVERHEAD, PeerConfig, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::entropy::{Entropy, Randomness};
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::outbox::{Envelope, Outbox};
use lockgate_proto::parcel::Parcel;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::routes::Routes;

/// Payload sizes, as they are sealed.
const SIZES: [usize; 2] = [64, 1420];

struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

/// The last datagram, in a buffer that is there already: as a machine's batch is.
struct Slot {
    bytes: Vec<u8>,
    len: usize,
}

impl Slot {
    fn new() -> Self {
        Self { bytes: vec![0; 2048], len: 0 }
    }

    fn sent(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Outbox for Slot {
    fn datagram(
        &mut self,
        _: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        self.len = len;
        fill(&mut self.bytes[..len])
    }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 51_820))
}

/// Two devices that are each other's peer.
struct Pair {
    one: Device,
    two: Device,
    to_two: PeerId,
    now: Now,
}

impl Pair {
    fn new() -> Self {
        let now =
            Now { instant: Moment::new(Duration::from_secs(1)), wall: Duration::from_secs(1_700_000_000) };
        let device = |host: u8| {
            let randomness = Randomness {
                secret: Box::new(Seeded(host.into())),
                public: Box::new(Seeded(u64::from(host) + 100)),
            };
            Device::new(PrivateKey::from_bytes([host; 32]), randomness, now)
        };
        let (mut one, mut two) = (device(1), device(2));
        let config = |of: &Device, host| PeerConfig {
            public_key: of.public_key().expect("a key"),
            preshared_key: None,
            endpoint: Some(address(host)),
            keepalive: None,
        };
        let to_two = one.add_peer(config(&two, 2), now).expect("a good peer");
        two.add_peer(config(&one, 1), now).expect("a good peer");
        Self { one, two, to_two, now }
    }

    /// Lets the next initiation be a new one: the peer is removed and added again.
    fn forget_attempt(&mut self) {
        let config = PeerConfig {
            public_key: self.two.public_key().expect("a key"),
            preshared_key: None,
            endpoint: Some(address(2)),
            keepalive: None,
        };
        self.one.remove_peer(self.to_two);
        self.to_two = self.one.add_peer(config, self.now).expect("a good peer");
    }

    fn initiation(&mut self) -> Vec<u8> {
        // Far enough apart that no limit is in the way.
        let pause = Duration::from_millis(100);
        self.now = Now { instant: self.now.instant + pause, wall: self.now.wall + pause };
        let mut slot = Slot::new();
        self.one.begin_handshake(self.to_two, self.now, &mut slot).expect("there is an endpoint");
        slot.sent().to_vec()
    }

    fn response(&mut self, initiation: &mut [u8]) -> Slot {
        let mut slot = Slot::new();
        self.two.handle_datagram(address(1), initiation, self.now, &mut slot).expect("a good initiation");
        slot
    }

    fn confirm(&mut self, response: &mut [u8]) -> Slot {
        let mut slot = Slot::new();
        self.one.handle_datagram(address(2), response, self.now, &mut slot).expect("a good response");
        slot
    }

    fn handshake(&mut self) {
        let mut initiation = self.initiation();
        let response = self.response(&mut initiation);
        let confirmation = self.confirm(&mut response.sent().to_vec());
        let mut slot = Slot::new();
        self.two
            .handle_datagram(address(1), &mut confirmation.sent().to_vec(), self.now, &mut slot)
            .expect("a good keepalive");
        while self.one.poll_event().is_some() || self.two.poll_event().is_some() {}
    }
}

/// As many full packets as a super-packet of 64 KiB has.
const BURST: usize = 46;

/// The same packet many times.
struct Burst {
    packet: Vec<u8>,
}

impl Parcel for Burst {
    fn count(&self) -> usize {
        BURST
    }

    fn len(&self, _: usize) -> usize {
        self.packet.len()
    }

    fn write(&self, _: usize, slot: &mut [u8]) {
        slot.copy_from_slice(&self.packet);
    }

    fn tos(&self) -> u8 {
        0
    }
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let mut pair = Pair::new();
        pair.handshake();
        let datagram = vec![7; size - LINK_OVERHEAD];
        let mut slot = Slot::new();
        group.bench_function(format!("seal/{size}"), |b| {
            b.iter(|| pair.one.send_link(pair.to_two, black_box(&datagram), pair.now, &mut slot));
        });
        group.bench_function(format!("open/{size}"), |b| {
            let mut none = Slot::new();
            b.iter_batched_ref(
                || {
                    pair.one
                        .send_link(pair.to_two, &datagram, pair.now, &mut slot)
                        .expect("there is a session");
                    slot.sent().to_vec()
                },
                |sealed| {
                    let opened = pair.two.handle_datagram(address(1), sealed, pair.now, &mut none);
                    opened.expect("a good packet").peer
                },
                BatchSize::SmallInput,
            );
        });
        let burst = Burst { packet: vec![7; size] };
        group.throughput(Throughput::Bytes((BURST * size) as u64));
        group.bench_function(format!("seal_parcel_of_{BURST}/{size}"), |b| {
            b.iter(|| pair.one.send_packets(pair.to_two, black_box(&burst), pair.now, &mut slot));
        });
        group.throughput(Throughput::Bytes(size as u64));
        let (key, mut sealed) = (AeadKey::new(&[7; 32]), vec![7; size + TAG_LEN]);
        group.bench_function(format!("seal_aead_alone/{size}"), |b| {
            b.iter(|| key.seal(1, &[], black_box(&mut sealed)));
        });
        let oracle = ChaCha20Poly1305::new(&[7; 32].into());
        let mut buffer = vec![7; size];
        group.bench_function(format!("seal_portable_aead_alone/{size}"), |b| {
            b.iter(|| oracle.encrypt_in_place_detached(&[0; 12].into(), &[], black_box(&mut buffer)));
        });
    }
    group.finish();
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("routes");
    for count in [4_u32, 130_000] {
        let mut routes = Routes::new();
        for at in 0..count {
            let address = Ipv4Addr::from_bits(at.wrapping_mul(0x9e37_79b1));
            routes.insert(Prefix::of(address.into()), at % 4);
        }
        let mut at = 0_u32;
        group.bench_function(format!("lookup_among/{count}"), |b| {
            b.iter(|| {
                at = (at + 7) % count;
                routes.lookup(Ipv4Addr::from_bits(black_box(at).wrapping_mul(0x9e37_79b1)).into())
            });
        });
        if count > 4 {
            group.bench_function(format!("remove_and_insert_all/{count}"), |b| {
                b.iter(|| {
                    let all: Vec<_> = routes.iter().collect();
                    let removed: usize = (0..4).map(|owner| routes.remove_all(owner)).sum();
                    assert_eq!(removed, all.len());
                    all.iter().for_each(|(prefix, owner)| assert_eq!(routes.insert(*prefix, *owner), None));
                });
            });
        }
    }
    group.finish();
}

fn handshakes(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    group.bench_function("initiation_read_and_answered", |b| {
        let (mut one, mut two) = (Pair::new(), Pair::new());
        b.iter_batched_ref(
            || {
                one.forget_attempt();
                let initiation = one.initiation();
                (initiation, one.now)
            },
            |(initiation, now)| {
                two.now = *now;
                two.response(initiation).len
            },
            BatchSize::NumIterations(1),
        );
    });
    group.bench_function("full", |b| {
        let mut pair = Pair::new();
        b.iter(|| pair.handshake());
    });
    group.finish();
}

criterion_group!(benches, packets, routes, handshakes);
criterion_main!(benches);
