//! Random programs: rules as trees, and the flat lists that say the same.

use std::sync::Arc;

use lockgate_proto::prefix::Prefix;
use lockgate_proto::program::{
    Act, Action, Copy, Entry, Join, List, Net, NetSet, PortSet, RuleRef, Sense, TagTest, Term, Test, Vlan,
    ZmqTest, ZmtpTest,
};
use lockgate_proto::zmtp::SocketType;

use crate::dice::Dice;
use crate::packets::{PORTS, PROTOCOLS, V4, V6};

/// One rule: what must hold, and what is done.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) items: Vec<Item>,
    pub(crate) action: Action,
}

/// A match or a group, and how it is joined.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) join: Join,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Match(Sense, Test),
    Group(Vec<Item>),
}

pub(crate) const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];
/// Numbers of tags: the last is one that nobody has.
pub(crate) const TAGS: [u32; 4] = [1, 7, 1000, 9];
pub(crate) const VALUES: [u32; 6] = [0, 1, 2, 3, 5, u32::MAX];
pub(crate) const SOCKETS: [SocketType; 4] =
    [SocketType::Pub, SocketType::Sub, SocketType::Req, SocketType::Dealer];
pub(crate) const WORDS: [&str; 6] = ["", "a", "ab", "abc", "b", "temp."];

pub(crate) fn program(dice: &mut Dice) -> Vec<Rule> {
    let rules = dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 12, 40]);
    (0..rules).map(|_| rule(dice)).collect()
}

fn rule(dice: &mut Dice) -> Rule {
    let most = dice.pick(&[0, 1, 1, 2, 2, 3, 4]);
    let items = (0..most).map(|_| item(dice, 0)).collect();
    Rule { items, action: action(dice) }
}

fn item(dice: &mut Dice, depth: usize) -> Item {
    let join = if dice.once_in(3) { Join::Or } else { Join::And };
    if depth < List::DEEPEST && dice.once_in(if depth == 0 { 6 } else { 3 }) {
        let many = dice.below(4);
        return Item { join, what: What::Group((0..many).map(|_| item(dice, depth + 1)).collect()) };
    }
    let sense = if dice.once_in(3) { Sense::Not } else { Sense::Plain };
    Item { join, what: What::Match(sense, test(dice)) }
}

fn action(dice: &mut Dice) -> Action {
    let node = |dice: &mut Dice| -> Arc<str> { dice.pick(&NODES).into() };
    let copy = |dice: &mut Dice| Copy { length: dice.pick(&[-1, 0, 1, 64, 65_535]), to: node(dice) };
    match dice.below(16) {
        0..=4 => Action::Accept,
        5..=7 => Action::Drop,
        8..=9 => Action::Break,
        10..=11 => Action::Tee(copy(dice)),
        12 => Action::Watch(copy(dice)),
        13..=14 => Action::Redirect(node(dice)),
        _ => Action::Log,
    }
}

pub(crate) fn net(dice: &mut Dice) -> Net {
    if dice.once_in(2) {
        return Net { address: dice.pick(&V4).into(), bits: dice.pick(&[0, 1, 8, 16, 24, 31, 32]) };
    }
    Net { address: dice.pick(&V6).into(), bits: dice.pick(&[0, 1, 8, 32, 64, 127, 128]) }
}

fn net_set(dice: &mut Dice) -> Arc<NetSet> {
    let many = 1 + dice.below(4);
    let prefixes = (0..many).map(|_| net(dice)).filter_map(|net| Prefix::masked(net.address, net.bits));
    Arc::new(NetSet::new(prefixes.collect()))
}

fn range(dice: &mut Dice) -> (u16, u16) {
    let (a, b) = (dice.pick(&PORTS), dice.pick(&PORTS));
    if dice.once_in(2) { (a, a) } else { (a.min(b), a.max(b)) }
}

fn port_set(dice: &mut Dice) -> Arc<PortSet> {
    let many = 1 + dice.below(4);
    Arc::new(PortSet::new((0..many).map(|_| range(dice)).collect()))
}

fn term(dice: &mut Dice) -> Term {
    match dice.below(3) {
        0 => Term::Node(dice.pick(&NODES).into()),
        _ => Term::Tag(dice.pick(&["x", "y"]).into(), dice.pick(&["1", "2"]).into()),
    }
}

/// Every kind of test.
fn test(dice: &mut Dice) -> Test {
    match dice.below(34) {
        0 => Test::SourceNode(dice.pick(&NODES).into()),
        1 => Test::DestinationNode(dice.pick(&NODES).into()),
        2 => Test::From(term(dice)),
        3 => Test::To(term(dice)),
        4 => Test::Vlan(dice.pick(&[Vlan::Id, Vlan::Pcp, Vlan::Dei]), dice.pick(&[0, 1])),
        5 => Test::SourceMac([2; 6]),
        6 => Test::DestinationMac([0xff; 6]),
        7 => Test::EtherType(dice.pick(&[0x0800, 0x86dd, 0x0806, 0x0001_0800, 0])),
        8 | 9 => Test::IpProtocol(u32::from(dice.pick(&PROTOCOLS)) + 256 * dice.below(2) as u32),
        10 | 11 => Test::Source(net(dice)),
        12 | 13 => Test::Destination(net(dice)),
        14 => Test::SourceIn(net_set(dice)),
        15 => Test::DestinationIn(net_set(dice)),
        16 => {
            let (a, b) = (dice.byte(), dice.byte());
            Test::Tos { mask: dice.pick(&[0xff, 0xfc, 0x03, 0]), start: a.min(b), end: a.max(b) }
        }
        17 | 18 => Test::Icmp {
            kind: dice.pick(&[0, 3, 8, 128, 129, 135]),
            code: dice.pick(&[None, Some(0), Some(1), Some(3)]),
        },
        19 | 20 => {
            let (first, last) = range(dice);
            Test::SourcePort(first, last)
        }
        21 | 22 => {
            let (first, last) = range(dice);
            Test::DestinationPort(first, last)
        }
        23 => Test::SourcePortIn(port_set(dice)),
        24 => Test::DestinationPortIn(port_set(dice)),
        25 => {
            let (a, b) = (dice.below(120) as u16, dice.below(120) as u16);
            Test::Size(a.min(b), if dice.once_in(9) { u16::MAX } else { a.max(b) })
        }
        26 | 27 => Test::Characteristics(characteristics(dice)),
        28 => Test::Random(dice.pick(&[0, 1 << 31, u32::MAX])),
        29 | 30 => {
            let how = [
                TagTest::And,
                TagTest::Or,
                TagTest::Xor,
                TagTest::Difference,
                TagTest::Equal,
                TagTest::Sender,
                TagTest::Receiver,
            ];
            Test::Tag { how: dice.pick(&how), tag: dice.pick(&TAGS), value: dice.pick(&VALUES) }
        }
        31 => Test::Established,
        32 => Test::Zmtp(match dice.below(3) {
            0 => ZmtpTest::Spoken,
            1 => ZmtpTest::SocketType(dice.pick(&SOCKETS)),
            _ => ZmtpTest::Mechanism(dice.pick(&["NULL", "CURVE"]).into()),
        }),
        _ => Test::Zmq(zmq(dice)),
    }
}

fn characteristics(dice: &mut Dice) -> u64 {
    let mut bits = 0;
    for _ in 0..=dice.below(2) {
        bits |= 1 << dice.pick(&[63, 62, 61, 60, 59, 31, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 4]);
    }
    bits
}

fn zmq(dice: &mut Dice) -> ZmqTest {
    let word = dice.pick(&WORDS);
    match dice.below(6) {
        0 => ZmqTest::Service(dice.pick(&["telemetry", "command"]).into()),
        1 => ZmqTest::Socket(dice.pick(&SOCKETS)),
        2 => ZmqTest::Topic(word.as_bytes().into()),
        3 => ZmqTest::Identity(word.as_bytes().into()),
        4 => ZmqTest::Mechanism(dice.pick(&["NULL", "CURVE"]).into()),
        _ => ZmqTest::Size(dice.below(50) as u64, 50 + dice.below(50) as u64),
    }
}

/// The flat list; each rule's line is its number, counted from 1.
pub(crate) fn flat(rules: &[Rule]) -> List {
    let mut entries = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        flatten(&rule.items, &mut entries);
        let line = at as u32 + 1;
        let rule_ref = RuleRef { id: "rules".into(), file: "random".into(), line };
        entries.push(Entry::Act(Act { action: rule.action.clone(), rule: rule_ref }));
    }
    List::new(entries).expect("a tree is a list")
}

fn flatten(items: &[Item], entries: &mut Vec<Entry>) {
    for item in items {
        match &item.what {
            What::Match(sense, test) => {
                entries.push(Entry::Match { join: item.join, sense: *sense, test: test.clone() });
            }
            What::Group(inner) => {
                let at = entries.len();
                entries.push(Entry::Close);
                flatten(inner, entries);
                let skip = u16::try_from(entries.len() - at).expect("groups are short");
                entries[at] = Entry::Open { join: item.join, skip };
                entries.push(Entry::Close);
            }
        }
    }
}
