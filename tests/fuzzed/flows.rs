//! The flow table: whatever comes, in whatever order, nothing passes that does not follow from an answer that allowed it.
//!
//! `[salt]`, then operations of 8 bytes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lockgate_proto::flows::{
    Answer, Direction, Flows, Fragment, Limits, Question, Quoted, QuotedTransport, Standing, Subject,
    TcpFlags, Transport, Verdict,
};
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::rules::PacketKind;

/// So few that they displace each other all the time.
const LIMITS: Limits = Limits { flows: 6, denials: 3, fragments: 4 };
const PEERS: u32 = 3;

/// Peer, protocol, and both ends, the lower first: coarser than a flow, so that no flow of the table is outside of one.
type Road = (u32, u8, (IpAddr, u16), (IpAddr, u16));

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_flows(input: &[u8]) {
    let Some((&salt, operations)) = input.split_first() else { return };
    let mut table = Table { flows: Flows::new(LIMITS, salt.into()), salt, ..Table::new() };
    let mut shut = Flows::new(LIMITS, salt.into());
    for operation in operations.chunks_exact(8) {
        let operation = operation.first_chunk().expect("eight at a time");
        table.play(operation);
        let (direction, peer, subject) = packet(operation);
        let verdict = shut.judge(direction, peer, &subject, table.now(), |_| Answer::Deny);
        assert!(!verdict.passes() && shut.is_empty(), "rules that allow nothing let {subject:?} pass");
    }
}

struct Table {
    flows: Flows,
    salt: u8,
    millis: u64,
    generation: u64,
    /// What answers have allowed, and the rules of the last such answer.
    allowed: BTreeMap<Road, u64>,
    opened: u64,
    denied: u64,
}

impl Table {
    fn new() -> Self {
        let flows = Flows::new(LIMITS, 0);
        Self { flows, salt: 0, millis: 1_000, generation: 0, allowed: BTreeMap::new(), opened: 0, denied: 0 }
    }

    fn now(&self) -> Now {
        Now { instant: Moment::new(Duration::from_millis(self.millis)), wall: Duration::ZERO }
    }

    fn play(&mut self, operation: &[u8; 8]) {
        let [what, .., pause] = *operation;
        self.millis += match pause & 7 {
            0 => u64::from(pause) * 50_000,
            1 => u64::from(pause) * 200,
            _ => u64::from(pause),
        };
        match what >> 3 {
            0 => {
                self.generation += 1;
                self.flows.rules_changed(self.generation);
            }
            1 => self.flows.sweep(usize::from(operation[1]), self.now()),
            2 => {
                let (peer, before) = (u32::from(operation[1]) % PEERS, self.flows.len());
                let (held, gone) = (self.flows.held_by(peer), self.flows.forget_peer(peer));
                assert_eq!((gone, self.flows.len()), (held, before - held), "all flows of the peer go");
                self.allowed.retain(|road, _| road.0 != peer);
            }
            _ => self.judge(operation),
        }
        let held: usize = (0..PEERS).map(|peer| self.flows.held_by(peer)).sum();
        assert_eq!(held, self.flows.len(), "every flow is somebody's");
        assert!(self.flows.len() <= self.flows.limit().min(LIMITS.flows), "bounded");
    }

    fn judge(&mut self, operation: &[u8; 8]) {
        let (direction, peer, subject) = packet(operation);
        let (now, salt, generation) = (self.now(), self.salt, self.generation);
        let mut asked = None;
        let verdict = self.flows.judge(direction, peer, &subject, now, |question| {
            let answer = answer(question, salt, generation);
            asked = Some((*question, answer));
            answer
        });
        // The question is about the flow's first packet, which may have gone the other way: on the same road.
        let road = road(peer, &subject);
        if let Some((question, answer)) = asked {
            assert_eq!(question.peer, peer, "the rules are asked about this peer");
            match answer {
                Answer::Allow => _ = self.allowed.insert(road, generation),
                Answer::Deny => assert!(!verdict.passes(), "{subject:?} against the answer"),
            }
        }
        let known = self.allowed.get(&road);
        match verdict {
            Verdict::Pass(Standing::Opened) => {
                assert!(asked.is_some(), "opened without a question");
                self.opened += 1;
            }
            Verdict::Pass(Standing::Known) => {
                assert_eq!(known, Some(&generation), "{subject:?} was allowed by these rules");
            }
            Verdict::Pass(Standing::Related | Standing::Fragment) => {
                let between = |road: &Road| road.0 == peer;
                assert!(
                    asked.is_none() && self.allowed.keys().any(between),
                    "{subject:?} follows from nothing"
                );
            }
            Verdict::Deny(..) => self.denied += 1,
        }
        let counters = self.flows.counters();
        assert_eq!((counters.opened, counters.denied), (self.opened, self.denied));
    }
}

/// What the rules say: half of everything, by chance.
fn answer(question: &Question, salt: u8, generation: u64) -> Answer {
    let (kind, port) = match question.kind {
        PacketKind::Tcp(port) => (1, port),
        PacketKind::Udp(port) => (2, port),
        PacketKind::Icmp => (3, 0),
        PacketKind::Other(protocol) => (4, protocol.into()),
        // Not even a rule that allows it may help.
        PacketKind::Unparsed => return Answer::Allow,
    };
    let mixed = (generation + 1 + u64::from(salt)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (u64::from(question.peer) * 1_000_003 + u64::from(port) * 10_007 + kind * 101)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9)
        ^ (question.direction as u64).wrapping_mul(0x94D0_49BB_1331_11EB);
    if (mixed >> 40).is_multiple_of(2) { Answer::Allow } else { Answer::Deny }
}

fn road(peer: u32, subject: &Subject) -> Road {
    let (protocol, from, to) = match subject.transport {
        Transport::Tcp { source, destination, .. } => (6, source, destination),
        Transport::Udp { source, destination } => (17, source, destination),
        Transport::Icmp { .. } => (1, 0, 0),
        Transport::Other(protocol) => (protocol, 0, 0),
        Transport::Unparsed => (255, 0, 0),
    };
    let (one, other) = ((subject.source, from), (subject.destination, to));
    (peer, protocol, one.min(other), one.max(other))
}

fn packet(&[what, who, transport, ports, flags, fragment, more, _]: &[u8; 8]) -> (Direction, u32, Subject) {
    let direction = if what & 1 == 0 { Direction::Out } else { Direction::In };
    let address = |last: u8| match who & 8 {
        0 => IpAddr::from([10, 0, 0, last]),
        _ => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
    };
    let (ours, theirs) = (address(1), address(2 + (who >> 4 & 1)));
    let (source, destination) = if direction == Direction::Out { (ours, theirs) } else { (theirs, ours) };
    let port = |bits: u8| [22, 5000, 5001, 80][usize::from(bits & 3)];
    let (from, to) = (port(ports), port(ports >> 2));
    let transport = match transport % 16 {
        0 => Transport::Unparsed,
        1 => Transport::Other([47, 132][usize::from(more & 1)]),
        2..=5 => Transport::Udp { source: from, destination: to },
        6 | 7 => Transport::Icmp { kind: more, code: 0, id: ports.into(), quoted: None },
        8 | 9 => {
            let kind = [0, 8, 128, 129][usize::from(flags & 3)];
            Transport::Icmp { kind, code: 0, id: (ports & 3).into(), quoted: None }
        }
        10 => {
            let quoted = match ports >> 6 {
                0 => QuotedTransport::Tcp(from, to),
                1 => QuotedTransport::Udp(from, to),
                2 => QuotedTransport::Icmp(flags, (ports & 3).into()),
                _ => QuotedTransport::Other(flags),
            };
            let (a, b) = if more & 1 == 0 { (destination, source) } else { (source, destination) };
            let quoted = (more & 2 == 0).then_some(Quoted { source: a, destination: b, transport: quoted });
            let kind = [1, 2, 3, 4, 5, 11, 12, 3][usize::from(flags & 7)];
            Transport::Icmp { kind, code: 0, id: 0, quoted }
        }
        _ => Transport::Tcp { source: from, destination: to, flags: TcpFlags(flags) },
    };
    let id = (fragment >> 4 & 3).into();
    let fragment = match fragment & 15 {
        0 => Fragment::First { id, header: 8 },
        1 | 2 => Fragment::Later { id, offset: u16::from(more) * 8 },
        _ => Fragment::Whole,
    };
    (direction, u32::from(who & 7) % PEERS, Subject { source, destination, transport, fragment })
}
