//! Review 1: what flow rules say of each packet, and what the table of flows then lets pass beside.

use std::time::Duration;

use lockgate_proto::device::{Device, PeerConfig};
use lockgate_proto::entropy::{Entropy, Randomness};
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::Moment;
use lockgate_proto::policy::Policy;
use lockgate_proto::script::{Dialect, Options};

use super::*;

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

const NOW: Now = Now { instant: Moment::ZERO, wall: Duration::ZERO };
const OURS: [u8; 4] = [10, 77, 0, 1];
const THEIRS: [u8; 4] = [10, 77, 0, 2];

fn peer() -> PeerId {
    let randomness = Randomness { secret: Box::new(Counting(1)), public: Box::new(Counting(2)) };
    let mut device = Device::new(None, randomness, NOW);
    let public_key = PrivateKey::generate(&mut Counting(3)).public();
    device
        .add_peer(PeerConfig { public_key, preshared_key: None, endpoint: None, keepalive: None }, NOW)
        .unwrap()
}

fn script(text: &str) -> Gate {
    Gate::script(&Script::compile(text, &Options::new("t", Dialect::ZeroTier)).unwrap(), 9)
}

fn ours(text: &str) -> Gate {
    Gate::script(&Script::compile(text, &Options::new("t", Dialect::Lockgate)).unwrap(), 9)
}

/// TCP or UDP, `place` is that of a fragment.
fn packet(
    protocol: u8,
    place: u16,
    (source, destination): ([u8; 4], [u8; 4]),
    ports: [u16; 2],
    flags: u8,
) -> Vec<u8> {
    let length = if protocol == 6 { 40_u16 } else { 28 };
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(place.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(ports[0].to_be_bytes());
    packet.extend(ports[1].to_be_bytes());
    if protocol == 6 {
        packet.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    } else {
        packet.extend([0, 8, 0, 0]);
    }
    packet
}

fn passes(gate: &mut Gate, direction: Direction, packet: &[u8]) -> bool {
    gate.judge(direction, peer(), Load::one(packet), NOW).is_ok()
}

const OUT: ([u8; 4], [u8; 4]) = (OURS, THEIRS);
const IN: ([u8; 4], [u8; 4]) = (THEIRS, OURS);

/// ZeroTier passes the SYN and nothing else. Here the ACK, that no rule accepts, is asked about as if it were a SYN
/// (`rule_for`), opens a flow, and then everything passes, both ways.
#[test]
fn a_rule_about_syns_lets_pass_syns_only() {
    let mut gate = script("accept ipprotocol tcp and dport 22 and chr tcp_syn;");
    assert!(passes(&mut gate, Direction::Out, &packet(6, 0, OUT, [5000, 22], 0x02)));
    assert!(!passes(&mut gate, Direction::In, &packet(6, 0, IN, [22, 5000], 0x12)), "SYN-ACK");
    assert!(
        !passes(&mut gate, Direction::Out, &packet(6, 0, OUT, [5000, 22], 0x18)),
        "data, which no rule accepts"
    );
    assert!(
        !passes(&mut gate, Direction::In, &packet(6, 0, IN, [22, 5000], 0x18)),
        "answers, which no rule accepts"
    );
}

/// A first fragment that a rule accepts opens a flow, by which answers pass that no rule accepts.
#[test]
fn a_fragment_is_no_way_to_answers_that_no_rule_accepts() {
    let mut gate = script("accept ipprotocol udp and dport 53;");
    assert!(passes(&mut gate, Direction::Out, &packet(17, 0, OUT, [5000, 53], 0)));
    assert!(!passes(&mut gate, Direction::In, &packet(17, 0, IN, [53, 5000], 0)), "there is no state");
    assert!(passes(&mut gate, Direction::Out, &packet(17, 0x2000, OUT, [5000, 53], 0)));
    assert!(!passes(&mut gate, Direction::In, &packet(17, 0, IN, [53, 5000], 0)), "nor after a fragment");
}

/// The same where a rule says `established` about something else altogether.
#[test]
fn established_lets_pass_what_says_it() {
    let mut gate = ours("accept established and sport 22; accept ipprotocol udp and dport 53;");
    assert!(passes(&mut gate, Direction::Out, &packet(17, 0, OUT, [5000, 53], 0)));
    assert!(!passes(&mut gate, Direction::In, &packet(17, 0, IN, [53, 5000], 0)), "no rule accepts it");
}

/// The first fragment goes the way that the rule says, the rest of the packet goes straight on: whoever observes sees no more than
/// the first fragment, and what was to be redirected is not.
#[test]
fn later_fragments_go_the_way_of_the_first() {
    let randomness = Randomness { secret: Box::new(Counting(1)), public: Box::new(Counting(2)) };
    let mut device = Device::new(None, randomness, NOW);
    let [beta, gamma] = [3, 4].map(|seed| {
        let public_key = PrivateKey::generate(&mut Counting(seed)).public();
        let config = PeerConfig { public_key, preshared_key: None, endpoint: None, keepalive: None };
        device.add_peer(config, NOW).unwrap()
    });
    for rule in ["tee -1 gamma;\naccept ipprotocol udp;", "redirect gamma ipprotocol udp;"] {
        let text = format!(
            "default = \"deny\"\nrules = '''\n{rule}\n'''\n[tags]\nrole = [\"edge\"]\n[nodes]\nalpha = {{}}\nbeta = {{}}\ngamma = {{}}\n"
        );
        let policy = Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let rules = Arc::new(Rules::compile(&policy, 1));
        let mut gate = Gate::policy("alpha".into(), Territory::new(vec![OURS.into()], vec![]), rules, 9);
        gate.name(beta, "beta".into(), &[Prefix::masked(THEIRS.into(), 32).unwrap()]);
        gate.name(gamma, "gamma".into(), &[Prefix::masked([10, 77, 0, 3].into(), 32).unwrap()]);
        let mut way = |place| {
            let packet = packet(17, place, OUT, [5000, 53], 0);
            gate.judge(Direction::Out, beta, Load::one(&packet), NOW)
        };
        let (first, later) = (way(0x2000), way(0x0100));
        assert!(first.is_ok());
        assert!(later == first || later.is_err(), "{rule}: {first:?}, then {later:?}");
    }
}

/// Flows of other protocols have no ports, so that one with a port that a rule accepts makes all of them established.
#[test]
fn established_tells_ports_apart_where_rules_do() {
    for protocol in [132, 136] {
        let mut gate = ours(&format!("accept established; accept ipprotocol {protocol} and dport 5000;"));
        assert!(passes(&mut gate, Direction::In, &packet(protocol, 0, IN, [9, 5000], 0)));
        assert!(
            !passes(&mut gate, Direction::In, &packet(protocol, 0, IN, [9, 22], 0)),
            "{protocol}: port 22, which no rule accepts"
        );
    }
}

/// A node that a rule names as an observer takes from a hostile peer whatever the rule matches.
#[test]
fn an_observer_takes_nothing_that_no_rule_accepts() {
    let text = "default = \"deny\"\nrules = '''\ntee -1 alpha;\n'''\n[nodes]\nalpha = {}\nbeta = {}\n";
    let policy = Policy::parse("p.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let mut gate = Gate::policy(
        "alpha".into(),
        Territory::new(vec![OURS.into()], vec![]),
        Arc::new(Rules::compile(&policy, 1)),
        9,
    );
    let beta = peer();
    gate.name(beta, "beta".into(), &[Prefix::masked(THEIRS.into(), 32).unwrap()]);
    assert!(!passes(&mut gate, Direction::In, &packet(6, 0, IN, [5000, 22], 2)), "SSH, which nothing allows");
}

/// A denial is remembered without the source port, and then keeps a flow from beginning that a rule accepts.
#[test]
fn a_denial_is_none_of_what_a_rule_accepts() {
    let mut gate = ours("accept established; accept ipprotocol udp and sport 5000 and dport 53;");
    assert!(!passes(&mut gate, Direction::Out, &packet(17, 0, OUT, [6000, 53], 0)));
    assert!(passes(&mut gate, Direction::Out, &packet(17, 0, OUT, [5000, 53], 0)));
    assert!(passes(&mut gate, Direction::In, &packet(17, 0, IN, [53, 5000], 0)), "the answer");
}

/// A segment of TCP between our port 5000 and their port 5555.
fn segment(direction: Direction, numbers: (u32, u32), flags: u8, payload: &[u8]) -> Vec<u8> {
    let (ends, ports) = if direction == Direction::Out { (OUT, [5000, 5555]) } else { (IN, [5555, 5000]) };
    let mut packet = packet(6, 0, ends, ports, flags);
    packet[24..28].copy_from_slice(&numbers.0.to_be_bytes());
    packet[28..32].copy_from_slice(&numbers.1.to_be_bytes());
    packet.extend(payload);
    let length = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet
}

/// Opens a connection and says something that is not ZMTP.
fn speak(gate: &mut Gate) -> Result<Way, Discard> {
    let mut judge = |direction, packet: Vec<u8>| gate.judge(direction, peer(), Load::one(&packet), NOW);
    judge(Direction::Out, segment(Direction::Out, (999, 0), 0x02, b"")).expect("a SYN");
    judge(Direction::In, segment(Direction::In, (4999, 1000), 0x12, b"")).expect("its answer");
    judge(Direction::Out, segment(Direction::Out, (1000, 5000), 0x18, b"GET / HTTP/1.0"))
}

/// What is decided against is to be reset, also where no rule drops it but none accepts it either.
#[test]
fn what_no_rule_accepts_once_it_is_decided_is_reset() {
    let mut gate = ours("drop zmtp mechanism NULL; accept ipprotocol tcp and zmtp;");
    assert_eq!(speak(&mut gate), Err(Discard::WrongSpeech));
}

/// The same question as for the ACK that no rule accepts: as a SYN it would pass.
#[test]
fn what_is_not_zmtp_does_not_pass_because_its_syn_did() {
    let mut gate = ours("accept ipprotocol tcp and (zmtp or chr tcp_syn);");
    assert!(speak(&mut gate).is_err(), "it is not ZMTP");
}
