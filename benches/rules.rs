//! What flow rules cost: a packet of a known flow, a new flow, a cached verdict, and a judgement with 10 to 1,000 rules.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lockgate_proto::flows::{
    Answer, Direction, Flows, Fragment, Limits, Speakers, Subject, TcpFlags, Transport, Verdicts,
};
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::program::{
    Act, Action, Entry, Join, Known, List, NodeTags, Outcome, Parties, RuleRef, Sense, Term, Test,
    packet_facts,
};

/// Unknown to peers in production; any one is as good as another here.
const SEED: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
const PEERS: u32 = 50;
/// A busy node: what it touches fits the second-level cache.
const CONNECTIONS: u32 = 1_000;
/// As many as are set up in one go.
const NEW: u32 = 10_000;

fn at(millis: u64) -> Now {
    Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO }
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

/// A segment of connection number `which`, which this node opened.
fn segment(family: Family, which: u32, direction: Direction, flags: u8) -> (Direction, u32, Subject) {
    let peer = which % PEERS;
    let (ours, theirs): (IpAddr, IpAddr) = match family {
        Family::V4 => (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 0, 1, peer as u8).into()),
        Family::V6 => {
            let theirs = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, peer as u16);
            (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(), theirs.into())
        }
    };
    let (our_port, their_port) = (1_024 + (which % 60_000) as u16, 5_555 + (which / 60_000) as u16);
    let ((source, from), (destination, to)) = match direction {
        Direction::Out => ((ours, our_port), (theirs, their_port)),
        Direction::In => ((theirs, their_port), (ours, our_port)),
    };
    let transport = Transport::Tcp { source: from, destination: to, flags: TcpFlags(flags) };
    (direction, peer, Subject { source, destination, transport, fragment: Fragment::Whole })
}

/// Packets of open connections in both directions, in no order that a processor could learn.
fn mixed(family: Family) -> Vec<(Direction, u32, Subject)> {
    let mut packets: Vec<_> = (0..CONNECTIONS)
        .flat_map(|which| [Direction::Out, Direction::In].map(|way| segment(family, which, way, 16)))
        .collect();
    let mut state = 1_u64;
    for at in (1..packets.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        packets.swap(at, (state >> 33) as usize % (at + 1));
    }
    packets
}

fn known_flows(c: &mut Criterion) {
    let mut group = c.benchmark_group("flows");
    for (name, family) in [("v4", Family::V4), ("v6", Family::V6)] {
        let mut flows = Flows::new(Limits::default(), SEED);
        for which in 0..CONNECTIONS {
            for (way, flags) in [(Direction::Out, 2), (Direction::In, 18), (Direction::Out, 16)] {
                let (direction, peer, subject) = segment(family, which, way, flags);
                assert!(flows.judge(direction, peer, &subject, at(1), |_| Answer::Allow).passes());
            }
        }
        let packets = mixed(family);
        group.throughput(Throughput::Elements(packets.len() as u64));
        let mut millis = 1;
        group.bench_function(format!("{}_known_packets/{name}", packets.len()), |b| {
            b.iter(|| {
                millis += 1;
                for (direction, peer, subject) in &packets {
                    let verdict =
                        flows.judge(*direction, *peer, black_box(subject), at(millis), |_| Answer::Deny);
                    assert!(verdict.passes());
                }
            });
        });
        let established = |flows: &Flows| {
            packets.iter().filter(|(way, peer, subject)| flows.knows(*way, *peer, subject, at(2))).count()
        };
        group.bench_function(format!("{}_asked_whether_established/{name}", packets.len()), |b| {
            b.iter(|| assert_eq!(established(black_box(&flows)), packets.len()));
        });
    }
    group.finish();
}

fn new_flows(c: &mut Criterion) {
    let mut group = c.benchmark_group("flows");
    group.throughput(Throughput::Elements(NEW.into()));
    for (name, full) in [("with_room", false), ("in_a_full_table", true)] {
        let limits = Limits { flows: if full { 1_000 } else { 65_536 }, ..Limits::default() };
        group.bench_function(format!("{NEW}_set_up_{name}"), |b| {
            b.iter_batched_ref(
                || Flows::new(limits, SEED),
                |flows| {
                    for which in 0..NEW {
                        let (direction, peer, subject) = segment(Family::V4, which, Direction::Out, 2);
                        let verdict = flows.judge(direction, peer, &subject, at(1), |_| Answer::Allow);
                        assert!(verdict.passes());
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn cached_verdicts(c: &mut Criterion) {
    let mut group = c.benchmark_group("verdicts");
    for (name, family) in [("v4", Family::V4), ("v6", Family::V6)] {
        let mut verdicts = Verdicts::new(8_192, SEED);
        let packets = mixed(family);
        for (number, (direction, peer, subject)) in packets.iter().enumerate() {
            verdicts.put(*direction, *peer, subject, 1, number as u32);
        }
        let kept = |(direction, peer, subject): &(Direction, u32, Subject)| {
            verdicts.get(*direction, *peer, black_box(subject), 1).is_some()
        };
        let packets: Vec<_> = packets.iter().copied().filter(kept).collect();
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.bench_function(format!("cached_packets/{name}"), |b| {
            b.iter(|| assert_eq!(packets.iter().filter(|packet| kept(packet)).count(), packets.len()));
        });
    }
    group.finish();
}

fn watched_flows(c: &mut Criterion) {
    let mut packet = vec![0; 1_400];
    packet[..4].copy_from_slice(&[0x45, 0, (1_400_u16 >> 8) as u8, 1_400_u16 as u8]);
    (packet[9], packet[32], packet[33]) = (6, 0x50, 16);
    let mut speakers = Speakers::new(4_096, SEED);
    let (syn, answer) = ((Direction::Out, 2_u8, 0_u32, 0_u32), (Direction::In, 18, 0, 1));
    let hello = |way| (way, 16, 1, 1);
    for (way, flags, sequence, acknowledges) in [syn, answer, hello(Direction::Out), hello(Direction::In)] {
        packet[24..28].copy_from_slice(&sequence.to_be_bytes());
        packet[28..32].copy_from_slice(&acknowledges.to_be_bytes());
        packet[33] = flags;
        let (direction, peer, subject) = segment(Family::V4, 1, way, flags);
        let end = if flags & 2 == 0 { 1_400 } else { 40 };
        packet[2..4].copy_from_slice(&(end as u16).to_be_bytes());
        assert!(!speakers.watch(direction, peer, &subject, &packet[..end], at(1)).gap);
    }
    let (direction, peer, subject) = segment(Family::V4, 1, Direction::In, 16);
    c.bench_function("speakers/a_packet_of_a_decided_flow", |b| {
        b.iter(|| speakers.watch(direction, peer, black_box(&subject), &packet, at(1)).gap);
    });
}

/// Rules `from role=R, to node=N, tcp, dport P: accept`, of which every `every`th is for our pair, the last one too.
fn rules(many: usize, every: usize) -> List {
    let mut entries = Vec::new();
    for at in 0..many {
        let is_ours = (many - 1 - at).is_multiple_of(every);
        let to = if is_ours { "south".to_owned() } else { format!("node-{at}") };
        for test in [
            Test::From(Term::Tag("role".to_owned(), "gateway".to_owned())),
            Test::To(Term::Node(to)),
            Test::IpProtocol(6),
            Test::DestinationPort(10_000 + at as u16, 10_000 + at as u16),
        ] {
            entries.push(Entry::Match { join: Join::And, sense: Sense::Plain, test });
        }
        let rule = RuleRef { id: format!("rule-{at}").into(), file: "policy.toml".into(), line: at as u32 };
        entries.push(Entry::Act(Act { action: Action::Accept, rule }));
    }
    List::new(entries).expect("a good list")
}

fn judgements(c: &mut Criterion) {
    let mut group = c.benchmark_group("rules");
    let source_tags: NodeTags = BTreeMap::from([("role".to_owned(), "gateway".to_owned())]);
    let destination_tags = NodeTags::new();
    let parties = Parties {
        direction: Direction::Out,
        own: "north",
        source: "north",
        destination: "south",
        source_tags: &source_tags,
        destination_tags: &destination_tags,
        source_values: &[],
        destination_values: &[],
    };
    let known = |test: &Test| {
        let holds = match test {
            Test::From(term) => term.matches("north", &source_tags),
            Test::To(term) => term.matches("south", &destination_tags),
            _ => return None,
        };
        Some(if holds { Known::Yes } else { Known::No })
    };
    for many in [10, 100, 1_000] {
        let mut packet = [0; 40];
        (packet[0], packet[3], packet[9], packet[32]) = (0x45, 40, 6, 0x50);
        packet[22..24].copy_from_slice(&(10_000 + many as u16 - 1).to_be_bytes());
        for (name, list) in [
            ("unfolded", rules(many, 1)),
            ("folded_all_for_the_pair", rules(many, 1).fold(&known)),
            ("folded_a_tenth_for_the_pair", rules(many, 10).fold(&known)),
        ] {
            group.bench_function(format!("first_packet/{name}/{many}"), |b| {
                b.iter(|| {
                    let facts = packet_facts(black_box(&packet));
                    let judgement = list.judge(&parties, &lockgate_proto::program::Subject::Packet(facts));
                    assert_eq!(judgement.outcome, Outcome::Accept);
                    judgement.steady
                });
            });
        }
        let list = rules(many, 10);
        group.bench_function(format!("fold_for_a_pair/{many}"), |b| b.iter(|| black_box(&list).fold(&known)));
    }
    group.finish();
}

criterion_group!(benches, known_flows, new_flows, cached_verdicts, watched_flows, judgements);
criterion_main!(benches);
