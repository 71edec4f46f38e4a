//! Alpha sends beta copies and detours of what it has with others; gamma is a peer of beta's too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_proto::device::{CopyKind, PeerConfig};
use lockgate_proto::entropy::{Entropy, Randomness};
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::Moment;
use lockgate_proto::outbox::{Envelope, Path};
use lockgate_proto::parcel::Single;
use lockgate_proto::policy::Policy;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::rules::Rules;

use super::super::{Ingredients, Neighbour, ObservedCounters};
use super::*;
use crate::node::{Gate, Territory};

const NOW: Now =
    Now { instant: Moment::new(Duration::from_secs(100)), wall: Duration::from_secs(1_700_000_000) };
const ALPHA: u8 = 1;
const BETA: u8 = 2;
const GAMMA: u8 = 3;
const STRANGER: u8 = 9;
const ORDER: CopyOrder = CopyOrder { judged: Judged::Outbound, kind: CopyKind::Tee, length: 64 };

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

/// What is on its way.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Outbox for Sent {
    fn datagram(
        &mut self,
        _envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        let mut slot = vec![0; len];
        fill(&mut slot)?;
        self.0.push(slot);
        Ok(())
    }
}

fn endpoint(of: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, of], 51_820))
}

fn identity(of: u8) -> PrivateKey {
    PrivateKey::from_bytes([of; 32])
}

fn name(of: u8) -> Arc<str> {
    ["alpha", "beta", "gamma"][usize::from(of - 1)].into()
}

fn address(of: u8) -> IpAddr {
    [10, 77, 0, of].into()
}

fn neighbour(of: u8) -> Neighbour {
    let public_key = identity(of).public();
    let tunnel =
        PeerConfig { public_key, preshared_key: None, endpoint: Some(endpoint(of)), keepalive: None };
    Neighbour { name: name(of), tunnel, addresses: vec![Prefix::of(address(of))] }
}

/// Copies of what alpha sends go to beta's observers, and UDP takes the way by beta.
const POLICY: &str = "default = \"deny\"
rules = '''
tee 64 beta from node=alpha;
redirect beta ipprotocol udp;
'''
[nodes]
alpha = {}
beta = {}
gamma = {}
";

fn rules(policy: &str) -> Arc<Rules> {
    Arc::new(Rules::compile(&Policy::parse("policy.toml", policy).unwrap(), 1))
}

/// The gate of beta.
fn policed() -> Gate {
    let territory = Territory::new(vec![address(BETA)], Vec::new());
    Gate::policy(name(BETA), territory, rules(POLICY), 7)
}

fn node(own: u8, gate: Gate, policy: &str, addresses: Vec<IpAddr>, peers: &[u8]) -> Node {
    let ingredients = Ingredients {
        name: name(own),
        identity: Some(identity(own)),
        addresses,
        gate,
        randomness: Randomness { secret: Box::new(Counting(own)), public: Box::new(Counting(own + 100)) },
        peers: peers.iter().map(|peer| neighbour(*peer)).collect(),
        offers: Vec::new(),
        uses: Vec::new(),
        rules: rules(policy),
        link_mtu: 1280,
        base: base(),
    };
    Node::new(ingredients, NOW).unwrap_or_else(|(name, error)| panic!("{name}: {error}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "only a clock makes an Instant; which one it is does not matter"
)]
fn base() -> Instant {
    Instant::now()
}

/// Alpha with a session to beta.
struct Pair {
    alpha: Node,
    beta: Node,
    /// What went into beta's TUN device.
    inside: Vec<Vec<u8>>,
}

impl Pair {
    fn new(gate: Gate) -> Self {
        Self::with(gate, POLICY, vec![address(BETA)])
    }

    fn with(gate: Gate, policy: &str, addresses: Vec<IpAddr>) -> Self {
        let alpha = node(ALPHA, Gate::Open, POLICY, vec![address(ALPHA)], &[BETA]);
        let beta = node(BETA, gate, policy, addresses, &[ALPHA, GAMMA]);
        let mut pair = Self { alpha, beta, inside: Vec::new() };
        let mut sent = Sent::default();
        let to = pair.peer();
        pair.alpha.device.begin_handshake(to, NOW, &mut sent).unwrap();
        pair.deliver(sent, 0);
        assert!(pair.alpha.device.session_ready(to, NOW));
        pair
    }

    /// Beta, as alpha knows it.
    fn peer(&self) -> PeerId {
        self.alpha.peers[0].id
    }

    /// Delivers until all is quiet; what alpha sends first has this mark.
    fn deliver(&mut self, mut to_beta: Sent, ecn: u8) {
        while !to_beta.0.is_empty() {
            let (mut to_alpha, mut next) = (Sent::default(), Sent::default());
            let Self { alpha, beta, inside } = self;
            for mut datagram in to_beta.0 {
                let mut into = |packet: &[u8]| inside.push(packet.to_vec());
                beta.handle_udp(&from(ALPHA), ecn, &mut datagram, NOW, &mut to_alpha, &mut into);
            }
            for mut datagram in to_alpha.0 {
                let mut nowhere = |_: &[u8]| panic!("nothing was sent to alpha");
                alpha.handle_udp(&from(BETA), 0, &mut datagram, NOW, &mut next, &mut nowhere);
            }
            to_beta = next;
        }
    }

    fn copy(&mut self, packet: &[u8]) {
        let (to, mut sent) = (self.peer(), Sent::default());
        let judged = if packet[15] == ALPHA { Judged::Outbound } else { Judged::Inbound };
        self.alpha
            .send_copies(to, CopyOrder { judged, ..ORDER }, packet, &Single(packet), NOW, &mut sent)
            .unwrap();
        self.deliver(sent, 0);
    }

    fn detour(&mut self, packet: &[u8], ecn: u8) {
        let (to, mut sent) = (self.peer(), Sent::default());
        let is_alphas = packet[15] == ALPHA;
        let judged = if is_alphas { Judged::Outbound } else { Judged::Inbound };
        self.alpha.send_detours(to, judged, packet, &Single(packet), NOW, &mut sent).unwrap();
        self.deliver(sent, ecn);
    }

    fn discards(&self) -> Vec<(&'static str, u64)> {
        self.beta.discards().iter().collect()
    }
}

fn from(of: u8) -> Path {
    endpoint(of).into()
}

/// UDP of 100 bytes, capable of ECN, with a right header checksum.
fn packet(source: u8, destination: u8) -> Vec<u8> {
    let mut packet = vec![0; 100];
    packet[..12].copy_from_slice(&[0x45, 2, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0]);
    packet[12..20].copy_from_slice(&[10, 77, 0, source, 10, 77, 0, destination]);
    packet[20..28].copy_from_slice(&[0, 7, 0, 8, 0, 80, 0, 0]);
    packet
}

/// Whose packets alpha may speak of to beta.
const ENDS: [(u8, u8, bool); 9] = [
    (ALPHA, STRANGER, true),
    (STRANGER, ALPHA, true),
    (ALPHA, GAMMA, true),
    (GAMMA, ALPHA, true),
    (GAMMA, STRANGER, false),
    (STRANGER, GAMMA, false),
    (ALPHA, BETA, false),
    (BETA, ALPHA, false),
    (ALPHA, ALPHA, false),
];

#[test]
fn a_copy_is_kept_for_the_observers_with_who_has_sent_it() {
    let mut pair = Pair::new(Gate::NoTun);
    pair.beta.observed().set_observers(1);
    let packet = packet(ALPHA, GAMMA);
    pair.copy(&packet);
    let seen = pair.beta.observed().take().unwrap();
    assert_eq!((&*seen.from, seen.when), ("alpha", NOW.wall));
    assert_eq!((seen.judged, seen.kind, seen.original_length), (Judged::Outbound, CopyKind::Tee, 100));
    assert_eq!(*seen.bytes, packet[..64]);
    assert!(pair.beta.observed().take().is_none());
    assert_eq!((pair.discards(), pair.inside.len()), (vec![], 0));
}

#[test]
fn a_peer_sends_copies_of_its_own_traffic_and_of_nobody_elses() {
    for (source, destination, is_fine) in ENDS {
        let mut pair = Pair::new(Gate::NoTun);
        pair.copy(&packet(source, destination));
        let ObservedCounters { received, refused, .. } = pair.beta.observed().counters();
        assert_eq!((received, refused), (u64::from(is_fine), u64::from(!is_fine)), "{source} {destination}");
        let discards = if is_fine { vec![] } else { vec![("foreign_copy", 1)] };
        assert_eq!(pair.discards(), discards, "{source} {destination}");
    }
}

#[test]
fn a_node_that_its_policy_makes_no_observer_takes_no_copies() {
    let mut pair = Pair::with(Gate::NoTun, "default = \"deny\"\n", vec![address(BETA)]);
    pair.copy(&packet(ALPHA, GAMMA));
    assert_eq!(pair.discards(), [("denied", 1)]);
    assert_eq!(pair.beta.observed().counters().refused, 1);
}

#[test]
fn a_detour_goes_inside_where_its_ends_are_the_peers_and_the_policy_sends_it_this_way() {
    for (source, destination, is_fine) in ENDS {
        let mut pair = Pair::new(policed());
        // Of a stranger no policy says that it takes this way.
        let is_fine = is_fine && ![source, destination].contains(&STRANGER);
        let packet = packet(source, destination);
        pair.detour(&packet, 0);
        let (inside, discards) =
            if is_fine { (vec![packet], vec![]) } else { (vec![], vec![("foreign_copy", 1)]) };
        assert_eq!((&pair.inside, pair.discards()), (&inside, discards), "{source} {destination}");
    }
    for (gate, reason) in [(Gate::NoTun, "no_tun"), (Gate::Shut, "denied"), (Gate::Open, "denied")] {
        let mut pair = Pair::new(gate);
        pair.detour(&packet(ALPHA, GAMMA), 0);
        assert_eq!((pair.inside.len(), pair.discards()), (0, vec![(reason, 1)]));
    }
}

#[test]
fn a_node_that_does_not_know_its_own_addresses_takes_no_detours() {
    let mut pair = Pair::with(policed(), POLICY, vec![]);
    pair.detour(&packet(ALPHA, GAMMA), 0);
    assert_eq!((pair.inside.len(), pair.discards()), (0, vec![("foreign_copy", 1)]));
}

#[test]
fn marks_of_the_network_come_in_with_a_detour() {
    let mut pair = Pair::new(policed());
    pair.detour(&packet(ALPHA, GAMMA), ecn::CE);
    assert_eq!(packet::tos(&pair.inside[0]), Some(ecn::CE));
    let mut deaf = packet(ALPHA, GAMMA);
    deaf[1] = 0;
    pair.detour(&deaf, ecn::CE);
    assert_eq!((pair.inside.len(), pair.discards()), (1, vec![("congested_in_vain", 1)]));
}

#[test]
fn the_tunnels_own_datagrams_are_neither_copied_nor_detoured_into_it() {
    let mut pair = Pair::new(policed());
    pair.alpha.set_listen_port(Some(51_820));
    let mut own = packet(ALPHA, GAMMA);
    own[16..20].copy_from_slice(&[192, 0, 2, BETA]);
    own[20..24].copy_from_slice(&[51_820_u16.to_be_bytes(), 51_820_u16.to_be_bytes()].concat());
    let (to, mut sent) = (pair.peer(), Sent::default());
    let copied = pair.alpha.send_copies(to, ORDER, &own, &Single(&own), NOW, &mut sent);
    let detoured = pair.alpha.send_detours(to, Judged::Outbound, &own, &Single(&own), NOW, &mut sent);
    assert_eq!((copied, detoured), (Err(Discard::RoutingLoop), Err(Discard::RoutingLoop)));
    assert!(sent.0.is_empty());
}
