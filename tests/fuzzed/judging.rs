//! Flow rules as the data path runs them: any program that is a list judges any bytes, and what it says follows from it.
//!
//! `[count][entries]`, then packets: `[length, 2 bytes][direction and nodes][random][packet]`. What is missing is zeros.

use std::sync::Arc;

use lockgate_proto::packet;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::program::{
    Act, Action, Copy, Direction, EndSocket, Entry, Join, Judgement, Known, List, Net, NetSet, NodeTags,
    Outcome, Packet, Parties, PortSet, Recognised, RuleRef, Sense, Subject, TagTest, Test, Vlan, ZmtpTest,
    packet_facts,
};
use lockgate_proto::zmtp::SocketType;

const MOST_PACKETS: usize = 16;
const NODES: [&str; 4] = ["a", "b", "c", "d"];
const VALUES: [[(u32, u32); 2]; 2] = [[(0, 1), (1, 2)], [(0, 3), (2, 2)]];

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_judging(input: &[u8]) {
    let mut bytes = Bytes(input);
    let entries = entries(&mut bytes);
    let acts: Vec<u32> = entries.iter().filter_map(line).collect();
    let Ok(list) = List::new(entries) else { return };
    for _ in 0..MOST_PACKETS {
        let length = usize::from(u16::from_be_bytes([bytes.next(), bytes.next()])).min(bytes.0.len());
        let (place, random) = (bytes.next(), bytes.next());
        let (packet, rest) = bytes.0.split_at(length.min(bytes.0.len()));
        judge(&list, &acts, packet, place, random);
        bytes = Bytes(rest);
        if rest.is_empty() {
            break;
        }
    }
}

fn judge(list: &List, acts: &[u32], bytes: &[u8], place: u8, random: u8) {
    let facts = packet_facts(bytes);
    if let Ok(headers) = packet::parse(bytes) {
        assert_eq!((facts.source, facts.destination), (Some(headers.source), Some(headers.destination)));
        assert_eq!(facts.tos, headers.tos);
    }
    assert_eq!(facts.source.is_some(), facts.destination.is_some());
    assert!(facts.tcp_flags <= 0xfff && usize::from(facts.size) == bytes.len().min(65_535));
    let node = |at: u8| NODES[usize::from(at % 4)];
    let tags = NodeTags::new();
    let parties = Parties {
        direction: if place & 1 == 0 { Direction::Out } else { Direction::In },
        own: node(place >> 1),
        source: node(place >> 3),
        destination: node(place >> 5),
        source_tags: &tags,
        destination_tags: &tags,
        source_values: &VALUES[0],
        destination_values: &VALUES[usize::from(place >> 7)],
    };
    let spoken = match random % 3 {
        0 => Recognised::Undecided,
        1 => Recognised::Other,
        _ => Recognised::Zmtp {
            mechanism: [0; 20],
            sockets: [EndSocket::Is(SocketType::Pub), EndSocket::Hidden],
        },
    };
    let packet = Packet {
        random: u32::from(random) << 24,
        established: random & 4 != 0,
        readable: random & 8 == 0,
        spoken,
        ..facts
    };
    let judgement = list.judge(&parties, &Subject::Packet(packet));
    let said = said(&judgement);
    assert_eq!(self::said(&list.judge(&parties, &Subject::Packet(packet))), said, "there is no state");
    follows(list, acts, &judgement, packet.readable);
    // Who sends to whom is known beforehand.
    let folded = list.fold(&|test| match test {
        Test::SourceNode(name) => Some(known(**name == *parties.source)),
        Test::DestinationNode(name) => Some(known(**name == *parties.destination)),
        _ => None,
    });
    if !judgement.unreadable {
        assert_eq!(self::said(&folded.judge(&parties, &Subject::Packet(packet))), said, "{folded:?}");
    }
}

fn known(is: bool) -> Known {
    if is { Known::Yes } else { Known::No }
}

/// What is said follows from some rule of the list.
fn follows(list: &List, acts: &[u32], judgement: &Judgement<'_>, readable: bool) {
    let by = judgement.by.map(|act| &act.action);
    assert!(judgement.by.is_none_or(|act| acts.contains(&act.rule.line)));
    match judgement.outcome {
        _ if judgement.unreadable => {
            assert!(!readable && judgement.outcome == Outcome::Drop && by.is_some());
        }
        Outcome::Accept if judgement.detoured => assert!(by.is_some()),
        Outcome::Accept => assert_eq!(by, Some(&Action::Accept)),
        Outcome::Drop => assert_eq!(by, Some(&Action::Drop)),
        Outcome::Redirect(to) => assert_eq!(by, Some(&Action::Redirect(to.clone()))),
        Outcome::NoMatch => assert!(by.is_none_or(|action| *action == Action::Break)),
    }
    let sends = |act: &Act| matches!(act.action, Action::Tee(_) | Action::Watch(_));
    assert!(judgement.tee.is_none() || list.acts().any(sends));
}

/// Everything that is said of a packet, to be compared.
fn said(judgement: &Judgement<'_>) -> String {
    let Judgement { outcome, by, tee, log, detoured, undecided, unreadable, .. } = judgement;
    let (by, log) = (by.map(|act| act.rule.line), log.map(|act| act.rule.line));
    format!("{outcome:?} {by:?} {tee:?} {log:?} {detoured} {undecided} {unreadable}")
}

fn line(entry: &Entry) -> Option<u32> {
    match entry {
        Entry::Act(act) => Some(act.rule.line),
        _ => None,
    }
}

/// The rest of the input; zeros where it is over.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.next(), self.next()])
    }

    /// Two numbers, the smaller first.
    fn range(&mut self) -> (u16, u16) {
        let (a, b) = (self.short(), self.short());
        (a.min(b), a.max(b))
    }
}

/// So many entries; `[kind][join, sense]` and what the kind needs.
fn entries(bytes: &mut Bytes<'_>) -> Vec<Entry> {
    let count = bytes.next() % 64;
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = Vec::new();
    for _ in 0..count {
        let (kind, how) = (bytes.next(), bytes.next());
        let join = if how & 1 == 0 { Join::And } else { Join::Or };
        match kind {
            // As it says, which is mostly wrong.
            0xff => entries.push(Entry::Open { join, skip: bytes.short() }),
            0xfe => entries.push(Entry::Close),
            0xe0..=0xef => {
                open.push(entries.len());
                entries.push(Entry::Open { join, skip: 0 });
            }
            0xc0..=0xdf => {
                let Some(at) = open.pop() else { continue };
                let skip = u16::try_from(entries.len() - at).expect("there are few");
                entries[at] = Entry::Open { join, skip };
                entries.push(Entry::Close);
            }
            0x80..=0xbf => entries.push(act(kind, entries.len(), bytes)),
            _ => {
                let sense = if how & 2 == 0 { Sense::Plain } else { Sense::Not };
                entries.push(Entry::Match { join, sense, test: test(kind, bytes) });
            }
        }
    }
    entries
}

fn act(kind: u8, at: usize, bytes: &mut Bytes<'_>) -> Entry {
    let to = |bytes: &mut Bytes<'_>| -> Arc<str> { NODES[usize::from(bytes.next() % 4)].into() };
    let copy = |bytes: &mut Bytes<'_>| Copy { length: i32::from(bytes.short()) - 1, to: to(bytes) };
    let action = match kind % 8 {
        0 | 1 => Action::Accept,
        2 => Action::Drop,
        3 => Action::Break,
        4 => Action::Tee(copy(bytes)),
        5 => Action::Watch(copy(bytes)),
        6 => Action::Redirect(to(bytes)),
        _ => Action::Log,
    };
    let rule = RuleRef { id: "rules".into(), file: "fuzz".into(), line: at as u32 + 1 };
    Entry::Act(Act { action, rule })
}

fn net(bytes: &mut Bytes<'_>) -> Net {
    let (family, bits) = (bytes.next(), bytes.next());
    if family & 1 == 0 {
        let address = [10, 0, bytes.next(), bytes.next()];
        return Net { address: address.into(), bits: bits % 33 };
    }
    Net { address: [0xfd00, 0, 0, 0, 0, 0, 0, bytes.short()].into(), bits: bits % 129 }
}

fn net_set(bytes: &mut Bytes<'_>) -> Arc<NetSet> {
    let nets: Vec<Net> = (0..bytes.next() % 4).map(|_| net(bytes)).collect();
    let prefixes = nets.into_iter().filter_map(|net| Prefix::masked(net.address, net.bits));
    Arc::new(NetSet::new(prefixes.collect()))
}

fn port_set(bytes: &mut Bytes<'_>) -> Arc<PortSet> {
    Arc::new(PortSet::new((0..bytes.next() % 4).map(|_| bytes.range()).collect()))
}

fn test(kind: u8, bytes: &mut Bytes<'_>) -> Test {
    let node = |bytes: &mut Bytes<'_>| -> Arc<str> { NODES[usize::from(bytes.next() % 4)].into() };
    match kind % 24 {
        0 => Test::SourceNode(node(bytes)),
        1 => Test::DestinationNode(node(bytes)),
        2 => Test::Vlan(Vlan::Id, 0),
        3 => Test::DestinationMac([0xff; 6]),
        4 => Test::EtherType(bytes.short().into()),
        5 | 6 => Test::IpProtocol(bytes.next().into()),
        7 => Test::Source(net(bytes)),
        8 => Test::Destination(net(bytes)),
        9 => Test::SourceIn(net_set(bytes)),
        10 => Test::DestinationIn(net_set(bytes)),
        11 => Test::Tos { mask: bytes.next(), start: bytes.next(), end: bytes.next() },
        12 => Test::Icmp { kind: bytes.next(), code: Some(bytes.next()).filter(|code| *code != 0xff) },
        13 => Test::SourcePortIn(port_set(bytes)),
        14 => Test::DestinationPortIn(port_set(bytes)),
        15 => {
            let (first, last) = bytes.range();
            Test::SourcePort(first, last)
        }
        16 => {
            let (first, last) = bytes.range();
            Test::DestinationPort(first, last)
        }
        17 => {
            let (first, last) = bytes.range();
            Test::Size(first, last)
        }
        18 => Test::Characteristics(u64::from(bytes.next()) << 56 | u64::from(bytes.short())),
        19 => Test::Random(u32::from(bytes.next()) << 24),
        20 | 21 => {
            let how = [
                TagTest::And,
                TagTest::Or,
                TagTest::Xor,
                TagTest::Difference,
                TagTest::Equal,
                TagTest::Sender,
                TagTest::Receiver,
            ];
            let [how_at, tag, value] = [bytes.next(), bytes.next(), bytes.next()];
            Test::Tag { how: how[usize::from(how_at % 7)], tag: (tag % 4).into(), value: value.into() }
        }
        22 => Test::Established,
        _ => Test::Zmtp(match bytes.next() % 3 {
            0 => ZmtpTest::Spoken,
            1 => ZmtpTest::SocketType(SocketType::Pub),
            _ => ZmtpTest::Mechanism("NULL".into()),
        }),
    }
}
