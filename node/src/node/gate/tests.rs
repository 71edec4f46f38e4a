//! The gate alone: whose packet it is, and what is said of it.

use std::time::Duration;

use lockgate_proto::device::{Device, PeerConfig};
use lockgate_proto::entropy::{Entropy, Randomness};
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::Moment;
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::{Change, PacketKind};

use super::*;

mod attacked;
mod drawn;
mod reviewed;
mod state;

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
    }
}

const POLICY: &str = r#"default = "deny"
[tags]
role = ["edge", "centre"]
[nodes]
alpha = { role = "edge" }
beta = { role = "centre" }
[[allow]]
id = "all"
from = "role=edge"
to = "role=centre udp:7"
[[allow]]
id = "back"
from = "role=centre"
to = "role=edge udp:7"
"#;

const NOW: Now = Now { instant: Moment::ZERO, wall: Duration::ZERO };

fn peers() -> [PeerId; 2] {
    let randomness = Randomness { secret: Box::new(Counting(1)), public: Box::new(Counting(2)) };
    let mut device = Device::new(None, randomness, NOW);
    [3, 4].map(|seed| {
        let public_key = PrivateKey::generate(&mut Counting(seed)).public();
        let config = PeerConfig { public_key, preshared_key: None, endpoint: None, keepalive: None };
        device.add_peer(config, NOW).unwrap()
    })
}

fn rules(generation: u64) -> Arc<Rules> {
    Arc::new(Rules::compile(&Policy::parse("policy.toml", POLICY).unwrap(), generation))
}

/// A gate of alpha (10.77.0.1, and 192.168.7.0/24 behind it), and its peer beta, which may have any address.
fn gate(peer: PeerId) -> Gate {
    let network = Prefix::masked([192, 168, 7, 0].into(), 24).unwrap();
    let territory = Territory::new(vec![[10, 77, 0, 1].into()], vec![network]);
    let mut gate = Gate::policy("alpha".into(), territory, rules(1), 9);
    gate.name(peer, "beta".into(), &[Prefix::masked([0, 0, 0, 0].into(), 0).unwrap()]);
    gate
}

/// UDP from one port to another, with no payload.
fn packet(source: [u8; 4], destination: [u8; 4], ports: [u8; 2]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    packet.extend([0, ports[0], 0, ports[1], 0, 8, 0, 0]);
    packet
}

const OWN: [u8; 4] = [10, 77, 0, 1];
const BEHIND: [u8; 4] = [192, 168, 7, 5];
const THEIRS: [u8; 4] = [10, 77, 0, 2];
const NOBODYS: [u8; 4] = [172, 16, 0, 1];

#[test]
fn a_packet_passes_only_between_what_is_ours_and_what_is_theirs() {
    let [beta, _] = peers();
    for (direction, source, destination, verdict) in [
        (Direction::Out, OWN, THEIRS, Ok(())),
        (Direction::Out, BEHIND, THEIRS, Ok(())),
        (Direction::Out, NOBODYS, THEIRS, Err(Discard::Transit)),
        (Direction::Out, THEIRS, THEIRS, Err(Discard::Transit)),
        (Direction::Out, OWN, BEHIND, Err(Discard::NoRoute)),
        (Direction::In, THEIRS, OWN, Ok(())),
        (Direction::In, THEIRS, BEHIND, Ok(())),
        (Direction::In, THEIRS, NOBODYS, Err(Discard::Transit)),
        (Direction::In, THEIRS, [224, 0, 0, 1], Err(Discard::Transit)),
        (Direction::In, OWN, OWN, Err(Discard::ForeignSource)),
        (Direction::In, BEHIND, OWN, Err(Discard::ForeignSource)),
    ] {
        let packet = packet(source, destination, [9, 7]);
        let judged = gate(beta).judge(direction, beta, Load::one(&packet), NOW).map(|_| ());
        assert_eq!(judged, verdict, "{direction:?} {source:?} {destination:?}");
    }
}

#[test]
fn a_peer_without_a_name_and_a_gate_without_rules_let_nothing_pass() {
    let [beta, stranger] = peers();
    let packet = packet(OWN, THEIRS, [9, 7]);
    for direction in [Direction::Out, Direction::In] {
        assert_eq!(gate(beta).judge(direction, stranger, Load::one(&packet), NOW), Err(Discard::Denied));
        assert_eq!(Gate::Shut.judge(direction, beta, Load::one(&packet), NOW), Err(Discard::Denied));
        assert_eq!(Gate::NoTun.judge(direction, beta, Load::one(&packet), NOW), Err(Discard::NoTun));
    }
    let mut gate = gate(beta);
    gate.replace_rules(Arc::new(Rules::nothing()));
    assert_eq!(gate.judge(Direction::Out, beta, Load::one(&packet), NOW), Err(Discard::Denied));
}

#[test]
fn a_withdrawn_flow_is_told_as_it_was_opened_though_an_answer_comes_first() {
    let [beta, _] = peers();
    let mut gate = gate(beta);
    let (question, answer) = (packet(OWN, THEIRS, [9, 7]), packet(THEIRS, OWN, [7, 9]));
    assert_eq!(gate.judge(Direction::Out, beta, Load::one(&question), NOW), Ok(Way::default()));
    assert_eq!(gate.judge(Direction::In, beta, Load::one(&answer), NOW), Ok(Way::default()));
    gate.replace_rules(Arc::new(Rules::nothing()));
    assert_eq!(gate.judge(Direction::In, beta, Load::one(&answer), NOW), Err(Discard::Denied));
    assert_eq!(gate.judge(Direction::Out, beta, Load::one(&question), NOW), Err(Discard::Denied));
    let told = gate.poll_denial().unwrap();
    assert_eq!((&*told.from, &*told.to, told.what), ("alpha", "beta", PacketKind::Udp(7)));
    assert!(told.reason.contains("the rule that let it through is gone"), "{}", told.reason);
    assert_eq!(gate.poll_denial(), None);
    assert_eq!(gate.denials().map(|denial| denial.count).collect::<Vec<_>>(), [2]);
}

/// [`POLICY`] without the rule that lets packets out, and with one for another port.
fn candidate(generation: u64) -> Arc<Rules> {
    let text = POLICY.replace("to = \"role=centre udp:7\"", "to = \"role=centre udp:8\"");
    Arc::new(Rules::compile(&Policy::parse("candidate.toml", &text).unwrap(), generation))
}

fn differences(gate: &Gate) -> Vec<(String, Change, u64)> {
    let all = gate.differences().expect("a candidate is staged").iter();
    all.map(|one| (format!("{}>{} {}", one.from, one.to, one.object), one.change, one.count)).collect()
}

#[test]
fn a_staged_candidate_is_asked_about_each_flow_once_and_decides_nothing() {
    let [beta, _] = peers();
    let mut gate = gate(beta);
    let (question, answer) = (packet(OWN, THEIRS, [9, 7]), packet(THEIRS, OWN, [7, 9]));
    let pass = |gate: &mut Gate| {
        assert_eq!(gate.judge(Direction::Out, beta, Load::one(&question), NOW), Ok(Way::default()));
        assert_eq!(gate.judge(Direction::In, beta, Load::one(&answer), NOW), Ok(Way::default()));
    };
    pass(&mut gate);
    gate.stage(Some(candidate(2)));
    // What had begun before is compared too.
    pass(&mut gate);
    pass(&mut gate);
    let denied = ("alpha>beta udp:7".to_owned(), Change::Denied, 1);
    assert_eq!(differences(&gate), std::slice::from_ref(&denied));
    let other = packet(OWN, THEIRS, [9, 8]);
    assert_eq!(gate.judge(Direction::Out, beta, Load::one(&other), NOW), Err(Discard::Denied));
    let allowed = ("alpha>beta udp:8".to_owned(), Change::Allowed, 1);
    assert_eq!(differences(&gate), [denied, allowed]);
    let told = gate.poll_difference().unwrap();
    assert_eq!((&*told.allowed_by.id, &*told.allowed_by.file), ("all", "policy.toml"));
    assert!(told.denial.to_string().contains("candidate.toml:"), "{}", told.denial);
    let told = gate.poll_difference().unwrap();
    assert_eq!((&*told.allowed_by.id, &*told.allowed_by.file), ("all", "candidate.toml"));
    assert!(told.denial.to_string().contains("policy.toml:"), "{}", told.denial);
    gate.stage(None);
    assert!(gate.differences().is_none());
    pass(&mut gate);
}

#[test]
fn a_candidate_that_means_the_same_differs_in_nothing() {
    let [beta, _] = peers();
    let mut gate = gate(beta);
    gate.stage(Some(rules(2)));
    for (direction, source, destination) in [(Direction::Out, OWN, THEIRS), (Direction::In, THEIRS, OWN)] {
        for port in 0..20 {
            let _ = gate.judge(direction, beta, Load::one(&packet(source, destination, [9, port])), NOW);
        }
    }
    assert_eq!(differences(&gate), []);
}

#[test]
fn flow_rules_are_compared_where_something_may_begin() {
    let with = |script: &str, generation| {
        let text = format!("rules = \"{script}\"\n{POLICY}");
        Arc::new(Rules::compile(&Policy::parse("candidate.toml", &text).unwrap(), generation))
    };
    let (passes, drops) = ("accept dport 7;", "drop dport 7;");
    let enforced = [(rules(1), true), (with(passes, 1), true), (with(drops, 1), false)];
    for (case, (enforced, holds)) in enforced.into_iter().enumerate() {
        for (script, says) in [(passes, true), (drops, false)] {
            let [beta, _] = peers();
            let mut gate = gate(beta);
            gate.replace_rules(enforced.clone());
            gate.stage(Some(with(script, 2)));
            for _ in 0..3 {
                let judged = gate.judge(Direction::Out, beta, Load::one(&packet(OWN, THEIRS, [9, 7])), NOW);
                assert_eq!(judged.is_ok(), holds, "{case}: {script}");
            }
            let found = differences(&gate);
            let change = if holds { Change::Denied } else { Change::Allowed };
            assert_eq!(found.len(), usize::from(says != holds), "{case}, {script}: {found:?}");
            assert!(found.iter().all(|(_, found, _)| *found == change), "{case}, {script}: {found:?}");
        }
    }
}

/// A TCP segment with no payload.
fn segment(source: [u8; 4], destination: [u8; 4], ports: [u8; 2], flags: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    packet.extend([0, ports[0], 0, ports[1], 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 64, 0, 0, 0, 0]);
    packet
}

#[test]
fn answers_that_follow_from_what_the_candidate_lets_begin_are_no_difference() {
    let [beta, _] = peers();
    let policy = |text: &str, generation| {
        Arc::new(Rules::compile(&Policy::parse("candidate.toml", text).unwrap(), generation))
    };
    let (syn, ack) = (0x02, 0x10);
    let tcp = [
        segment(OWN, THEIRS, [9, 7], syn),
        segment(THEIRS, OWN, [7, 9], syn | ack),
        segment(OWN, THEIRS, [9, 7], ack),
        segment(THEIRS, OWN, [7, 9], ack),
    ];
    let udp = [packet(OWN, THEIRS, [9, 7]), packet(THEIRS, OWN, [7, 9])];
    for (kind, packets) in [("tcp", &tcp[..]), ("udp", &udp[..])] {
        let mut gate = gate(beta);
        gate.replace_rules(policy(&format!("rules = \"accept ipprotocol {kind};\"\n{POLICY}"), 1));
        let one_way =
            POLICY.replace("centre udp:7", &format!("centre {kind}:7")).replace("edge udp:7", "edge udp:99");
        gate.stage(Some(policy(&one_way, 2)));
        for (packet, direction) in packets.iter().zip([Direction::Out, Direction::In].into_iter().cycle()) {
            assert!(gate.judge(direction, beta, Load::one(packet), NOW).is_ok());
        }
        assert_eq!(differences(&gate), [], "{kind}");
    }
}
