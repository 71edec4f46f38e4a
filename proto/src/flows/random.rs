//! Random packets, judged by the table and by a slow and obvious model of what flows are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use std::println;

use super::*;
use crate::now::Moment;
use crate::rules::PacketKind;
use Direction::{In, Out};

/// A seeded generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 33) as usize % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// A flow as the model sees it: who opened it, and what happened since.
#[derive(Clone, Debug)]
struct Plain {
    origin: Direction,
    first: Question,
    generation: u64,
    touched: u64,
    spoke: Vec<Direction>,
    done: Vec<Direction>,
    is_confirmed: bool,
    is_reset: bool,
}

/// Peer, IP protocol by name, one end, the other end, and what else tells flows apart. The ends of TCP, UDP and other
/// protocols are sorted; those of ICMP stand as the opener sent them.
type Name = (u32, &'static str, (IpAddr, u16), (IpAddr, u16), (u8, u8), Option<Direction>);

/// Peer, direction, source, destination, identification.
type Pieces = (u32, Direction, IpAddr, IpAddr, u32);

#[derive(Default)]
struct Model {
    flows: BTreeMap<Name, Plain>,
    /// When the first one passed, by which rules, and how long its header is.
    fragments: BTreeMap<Pieces, (u64, u64, u16)>,
    generation: u64,
}

impl Plain {
    fn life(&self, name: &Name) -> u64 {
        match name.1 {
            "tcp" if self.is_reset => 10_000,
            "tcp" if self.done.len() == 2 => 60_000,
            "tcp" if self.done.len() == 1 => 600_000,
            "tcp" if self.is_confirmed => 7_440_000,
            "tcp" | "icmp" => 30_000,
            _ if self.spoke.len() == 2 => 120_000,
            _ => 30_000,
        }
    }

    fn carry(&mut self, direction: Direction, flags: Option<TcpFlags>, now: u64) {
        let flags = flags.map_or(0, |flags| flags.0);
        let [fin, syn, rst, ack] = [1, 2, 4, 16].map(|bit| flags & bit != 0);
        let over = self.is_reset || !self.done.is_empty();
        if over && syn && !ack && direction == self.origin {
            self.is_reset = false;
            self.is_confirmed = false;
            self.spoke.clear();
            self.done.clear();
        }
        if self.is_reset {
            return;
        }
        self.touched = now;
        if !self.spoke.contains(&direction) {
            self.spoke.push(direction);
        }
        if fin && !self.done.contains(&direction) {
            self.done.push(direction);
        }
        self.is_reset = rst;
        self.is_confirmed |= direction == self.origin && self.spoke.len() == 2 && (ack || !syn);
    }
}

fn allowed(question: &Question, generation: u64) -> bool {
    let (kind, port) = match question.kind {
        PacketKind::Tcp(port) => (1, port),
        PacketKind::Udp(port) => (2, port),
        PacketKind::Icmp => (3, 0),
        PacketKind::Other(protocol) => (4, u16::from(protocol)),
        PacketKind::Unparsed => return true,
    };
    let mixed = (generation + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (u64::from(question.peer) * 1_000_003 + u64::from(port) * 10_007 + kind * 101)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        ^ (question.direction as u64).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 40).is_multiple_of(2)
}

impl Model {
    fn judge(&mut self, direction: Direction, peer: u32, subject: &Subject, now: u64) -> bool {
        let (source, destination) = (subject.source, subject.destination);
        let place = |id| (peer, direction, source, destination, id);
        match subject.fragment {
            Fragment::Whole => self.judge_whole(direction, peer, subject, now),
            Fragment::First { id, header } => {
                let passes = self.judge_whole(direction, peer, subject, now);
                self.fragments.remove(&place(id));
                if passes {
                    self.fragments.insert(place(id), (now, self.generation, header));
                }
                passes
            }
            Fragment::Later { id, offset } => {
                self.fragments.get(&place(id)).is_some_and(|(when, generation, header)| {
                    now < when + 10_000 && *generation == self.generation && offset >= *header
                })
            }
        }
    }

    fn judge_whole(&mut self, direction: Direction, peer: u32, subject: &Subject, now: u64) -> bool {
        self.flows.retain(|name, flow| now < flow.touched + flow.life(name));
        let v6 = subject.source.is_ipv6();
        let error_types: &[u8] = if v6 { &[1, 2, 3, 4] } else { &[3, 11, 12] };
        let (question, flags) = match subject.transport {
            Transport::Icmp { kind, quoted, .. } if error_types.contains(&kind) => {
                return self.is_related(direction, peer, subject, quoted);
            }
            Transport::Tcp { destination, flags, .. } => (PacketKind::Tcp(destination), Some(flags)),
            Transport::Udp { destination, .. } => (PacketKind::Udp(destination), None),
            Transport::Icmp { .. } => (PacketKind::Icmp, None),
            Transport::Other(protocol) => (PacketKind::Other(protocol), None),
            Transport::Unparsed => return false,
        };
        let question = Question {
            direction,
            peer,
            source: subject.source,
            destination: subject.destination,
            kind: question,
            source_port: match subject.transport {
                Transport::Tcp { source, .. } | Transport::Udp { source, .. } => Some(source),
                _ => None,
            },
            icmp: match subject.transport {
                Transport::Icmp { kind, code, .. } => Some((kind, code)),
                _ => None,
            },
            allowed_by: None,
        };
        let names = names(direction, peer, subject);
        let opens = flags.is_some_and(|flags| flags.0 & 2 != 0 && flags.0 & 16 == 0);
        for name in &names {
            let Some(flow) = self.flows.get_mut(name) else {
                continue;
            };
            if opens && flow.origin != direction {
                continue;
            }
            if flow.generation != self.generation && !allowed(&flow.first, self.generation) {
                self.flows.remove(name);
                return false;
            }
            flow.generation = self.generation;
            flow.carry(direction, flags, now);
            return true;
        }
        // SYN alone, RST alone, or anything with ACK but without SYN.
        let may_begin =
            flags.is_none_or(|flags| if flags.0 & 2 != 0 { flags.0 & 21 == 0 } else { flags.0 & 20 != 0 });
        if !may_begin || !allowed(&question, self.generation) {
            return false;
        }
        let mut flow = Plain {
            origin: direction,
            first: question,
            generation: self.generation,
            touched: now,
            spoke: Vec::new(),
            done: Vec::new(),
            is_confirmed: false,
            is_reset: false,
        };
        flow.carry(direction, flags, now);
        self.flows.insert(*names.last().expect("there is one"), flow);
        true
    }

    fn is_related(&self, direction: Direction, peer: u32, subject: &Subject, quoted: Option<Quoted>) -> bool {
        let Some(quoted) = quoted.filter(|quoted| quoted.source == subject.destination) else {
            return false;
        };
        let went = direction.opposite();
        let transport = match quoted.transport {
            QuotedTransport::Tcp(source, destination) => {
                Transport::Tcp { source, destination, flags: TcpFlags(16) }
            }
            QuotedTransport::Udp(source, destination) => Transport::Udp { source, destination },
            QuotedTransport::Icmp(kind, id) if is_echo(quoted.source, kind) => {
                Transport::Icmp { kind, code: 0, id, quoted: None }
            }
            QuotedTransport::Icmp(..) => return false,
            QuotedTransport::Other(protocol) => Transport::Other(protocol),
        };
        let (source, destination) = (quoted.source, quoted.destination);
        let packet = Subject { source, destination, transport, fragment: Fragment::Whole };
        let name = names(went, peer, &packet)[0];
        let flow = self.flows.get(&name);
        flow.is_some_and(|flow| flow.generation == self.generation && flow.spoke.contains(&went))
    }
}

fn is_echo(source: IpAddr, kind: u8) -> bool {
    if source.is_ipv6() { matches!(kind, 128 | 129) } else { matches!(kind, 0 | 8) }
}

/// The flows that a packet may belong to, the one that it would open last.
fn names(direction: Direction, peer: u32, subject: &Subject) -> Vec<Name> {
    let sorted = |protocol, from: u16, to: u16, number| {
        let (a, b) = ((subject.source, from), (subject.destination, to));
        // Opposite ends with the same addresses on both: our end must not be taken for theirs.
        let (ours, theirs) = if direction == Out { (a, b) } else { (b, a) };
        (peer, protocol, ours, theirs, (number, 0), None)
    };
    match subject.transport {
        Transport::Tcp { source, destination, .. } => [sorted("tcp", source, destination, 0)].into(),
        Transport::Udp { source, destination } => [sorted("udp", source, destination, 0)].into(),
        Transport::Other(protocol) => [sorted("other", 0, 0, protocol)].into(),
        Transport::Unparsed => Vec::new(),
        Transport::Icmp { kind, code, id, .. } => {
            let (a, b) = ((subject.source, 0), (subject.destination, 0));
            let alone = (peer, "icmp", a, b, (kind, code), Some(direction));
            let echo = |asker, from: (IpAddr, u16), to: (IpAddr, u16)| {
                (peer, "icmp", (from.0, id), (to.0, id), (8, 0), Some(asker))
            };
            match kind {
                8 | 128 if is_echo(subject.source, kind) => [echo(direction, a, b)].into(),
                0 | 129 if is_echo(subject.source, kind) => [echo(direction.opposite(), b, a), alone].into(),
                _ => [alone].into(),
            }
        }
    }
}

fn random_packet(dice: &mut Dice) -> (Direction, u32, Subject) {
    let direction = dice.pick(&[Out, In]);
    let ours: IpAddr = [10, 0, 0, 1].into();
    let theirs: IpAddr = [10, 0, 0, 2].into();
    let (ours, theirs) = match dice.roll(6) {
        0 => ("fd00::1".parse().expect("valid"), "fd00::2".parse().expect("valid")),
        1 => (ours, [10, 0, 0, 3].into()),
        _ => (ours, theirs),
    };
    let (source, destination) = if direction == Out { (ours, theirs) } else { (theirs, ours) };
    let transport = random_transport(dice, source, destination);
    let id = dice.roll(3) as u32;
    let fragment = match dice.roll(12) {
        0 => Fragment::First { id, header: dice.pick(&[8, 20, 28]) },
        1 => Fragment::Later { id, offset: dice.pick(&[8, 16, 24, 32, 1480]) },
        _ => Fragment::Whole,
    };
    (direction, 1 + dice.roll(2) as u32, Subject { source, destination, transport, fragment })
}

fn random_transport(dice: &mut Dice, source: IpAddr, destination: IpAddr) -> Transport {
    let ports = [22, 5000];
    let (from, to) = (dice.pick(&ports), dice.pick(&ports));
    match dice.roll(16) {
        0 => Transport::Unparsed,
        1 => Transport::Other(dice.pick(&[47, 132])),
        2..=4 => Transport::Udp { source: from, destination: to },
        5..=7 => {
            let kinds = [0, 8, 13, 128, 129, 135];
            Transport::Icmp { kind: dice.pick(&kinds), code: 0, id: dice.pick(&[1, 2]), quoted: None }
        }
        8 => {
            let transport = match dice.roll(4) {
                0 => QuotedTransport::Icmp(dice.pick(&[0, 8, 13, 128, 129]), dice.pick(&[1, 2])),
                1 => QuotedTransport::Udp(from, to),
                2 => QuotedTransport::Other(dice.pick(&[47, 132])),
                _ => QuotedTransport::Tcp(from, to),
            };
            let (a, b) = if dice.roll(4) > 0 { (destination, source) } else { (source, destination) };
            let quoted = (dice.roll(8) > 0).then_some(Quoted { source: a, destination: b, transport });
            Transport::Icmp { kind: dice.pick(&[1, 2, 3, 4, 5, 11, 12]), code: 0, id: 0, quoted }
        }
        _ => {
            let flags = dice.pick(&[2, 2, 18, 18, 16, 16, 16, 16, 24, 17, 17, 4, 20, 0, 3, 6, 1]);
            Transport::Tcp { source: from, destination: to, flags: TcpFlags(flags) }
        }
    }
}

fn at(millis: u64) -> Now {
    Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO }
}

#[test]
fn the_table_and_the_model_agree_on_random_packets() {
    let (mut passed, mut related, mut followed, mut withdrawn) = (0, 0, 0, 0);
    for seed in 0..150 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let mut flows = Flows::new(Limits::default(), u128::from(seed));
        let mut model = Model::default();
        let mut now = 5_000_000;
        for step in 0..2_000 {
            now += match dice.roll(40) {
                0 => dice.pick(&[9_999, 10_000, 29_999, 30_000, 60_000, 120_000, 600_000, 7_440_000]),
                1..=5 => dice.roll(2_000) as u64,
                _ => dice.roll(20) as u64,
            };
            if dice.roll(100) == 0 {
                model.generation += 1;
                flows.rules_changed(model.generation);
            }
            let (direction, peer, subject) = random_packet(&mut dice);
            let generation = model.generation;
            let mut asked = None;
            let known = flows.knows(direction, peer, &subject, at(now));
            let verdict = flows.judge(direction, peer, &subject, at(now), |question| {
                asked = Some(*question);
                if allowed(question, generation) { Answer::Allow } else { Answer::Deny }
            });
            let wanted = model.judge(direction, peer, &subject, now);
            assert_eq!(
                verdict.passes(),
                wanted,
                "seed {seed} step {step}: {verdict:?} {direction:?} {subject:?}"
            );
            // Flows of SCTP and UDP-Lite are not told apart by their ports, so that nothing is known by them.
            let has_other_ports = matches!((subject.transport, subject.fragment), (Transport::Other(132 | 136), fragment) if !fragment.is_later());
            assert_eq!(
                known,
                wanted && asked.is_none() && !has_other_ports,
                "seed {seed} step {step}: {verdict:?} {subject:?}"
            );
            if verdict == Verdict::Pass(Standing::Opened) {
                assert!(asked.is_some_and(|question| allowed(&question, generation)));
            }
            passed += u32::from(verdict.passes());
            related += u32::from(verdict == Verdict::Pass(Standing::Related));
            followed += u32::from(verdict == Verdict::Pass(Standing::Fragment));
        }
        flows.table.check();
        withdrawn += flows.counters().withdrawn;
    }
    println!("{passed} passed, {related} related, {followed} fragments, {withdrawn} withdrawn");
    assert!(passed > 50_000 && related > 300 && followed > 500 && withdrawn > 500);
}

#[test]
fn rules_that_allow_nothing_let_nothing_pass() {
    let mut dice = Dice(99);
    let mut flows = Flows::new(Limits { flows: 64, denials: 16, fragments: 16 }, 1);
    for step in 0..50_000 {
        let (direction, peer, subject) = random_packet(&mut dice);
        let verdict = flows.judge(direction, peer, &subject, at(step * 7), |_| Answer::Deny);
        assert!(!verdict.passes(), "{subject:?}");
    }
    assert!(flows.is_empty());
    assert_eq!(flows.counters().denied, 50_000);
}

#[test]
fn a_table_of_five_passes_only_flows_that_it_asked_about() {
    for seed in 0..40 {
        println!("seed {seed}");
        let mut dice = Dice(1_000 + seed);
        let mut small = Flows::new(Limits { flows: 5, denials: 2, fragments: 4 }, u128::from(seed));
        let mut opened: Vec<Name> = Vec::new();
        for step in 0..2_000_u64 {
            let (direction, peer, subject) = random_packet(&mut dice);
            let mut asked = false;
            let verdict = small.judge(direction, peer, &subject, at(step * 11), |question| {
                asked = true;
                if allowed(question, 0) { Answer::Allow } else { Answer::Deny }
            });
            small.table.check();
            assert!(small.len() <= 5);
            let names = names(direction, peer, &subject);
            match verdict {
                Verdict::Pass(Standing::Opened) => {
                    assert!(asked);
                    opened.push(*names.last().expect("there is one"));
                }
                Verdict::Pass(Standing::Known) => {
                    assert!(!asked && names.iter().any(|name| opened.contains(name)));
                }
                _ => {}
            }
        }
        assert!(opened.len() > 100);
        assert_eq!(small.counters().opened, opened.len() as u64);
    }
}
