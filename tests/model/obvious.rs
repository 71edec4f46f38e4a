//! The slow and obvious judge: trees instead of flat lists, nothing left out because the answer is known already.

use std::net::IpAddr;

use lockgate_proto::program::{
    Action, Direction, EndSocket, Join, Net, NodeTags, Recognised, Sense, TagTest, Test, Topic, ZmqTest,
    ZmtpTest,
};

use crate::programs::{Item, Rule, What};
use crate::reader;
use crate::worlds::{Thing, World};

/// What the model says; rules by their numbers, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) outcome: String,
    pub(crate) by: Option<u32>,
    /// Who gets a copy, and of how many bytes at most.
    pub(crate) tee: Option<(String, u16)>,
    pub(crate) log: Option<u32>,
    pub(crate) detoured: bool,
    pub(crate) undecided: bool,
}

/// How a test comes out, before the `not`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    Yes,
    No,
    /// False, also after `not`.
    Hard,
    /// True, also after `not`.
    Always,
    Unknown,
}

pub(crate) fn judge(rules: &[Rule], world: &World, thing: &Thing) -> Said {
    let mut said = Said { outcome: "no match".into(), ..Said::default() };
    let mut was_sent_here = false;
    for (number, rule) in (1..).zip(rules) {
        let holds = all(&rule.items, world, thing);
        said.undecided |= holds.is_none();
        let outcome = match &rule.action {
            Action::Accept if holds != Some(false) => Some("accept".to_owned()),
            Action::Drop if holds == Some(true) => Some("drop".to_owned()),
            Action::Break if holds == Some(true) => Some("no match".to_owned()),
            Action::Log if holds == Some(true) => {
                said.log = Some(number);
                None
            }
            Action::Tee(copy) | Action::Watch(copy) => {
                if holds == Some(true) && world.is_elsewhere(&copy.to) {
                    let length = if copy.length < 1 { 65_535 } else { copy.length as u16 };
                    said.tee = Some((copy.to.to_string(), length));
                }
                arrives(holds, &copy.to, world, &mut was_sent_here)
            }
            Action::Redirect(to) => {
                let here = arrives(holds, to, world, &mut was_sent_here);
                let there = holds == Some(true) && world.is_elsewhere(to);
                here.or_else(|| there.then(|| format!("redirect to {to}")))
            }
            _ => None,
        };
        if let Some(outcome) = outcome {
            said.detoured = was_sent_here && outcome == "accept";
            (said.outcome, said.by) = (outcome, Some(number));
            return said;
        }
    }
    said
}

/// A rule that sends to another node, where that node is this one.
fn arrives(holds: Option<bool>, to: &str, world: &World, was_sent_here: &mut bool) -> Option<String> {
    if world.direction == Direction::Out || to != world.own {
        return None;
    }
    match holds {
        Some(true) if to != world.source => {
            *was_sent_here = true;
            Some("accept".to_owned())
        }
        Some(false) => {
            *was_sent_here = true;
            None
        }
        _ => None,
    }
}

/// From left to right, without precedence: the last of them joined to all before it. `None` where it is not known.
fn all(items: &[Item], world: &World, thing: &Thing) -> Option<bool> {
    let Some((last, before)) = items.split_last() else { return Some(true) };
    let before = all(before, world, thing);
    let last_holds = match &last.what {
        What::Group(inner) => all(inner, world, thing),
        What::Match(sense, test) => match (truth(test, world, thing), sense) {
            (Truth::Always, _) | (Truth::Yes, Sense::Plain) | (Truth::No, Sense::Not) => Some(true),
            (Truth::Unknown, _) => None,
            _ => Some(false),
        },
    };
    let decides = last.join == Join::Or;
    match (before, last_holds) {
        (Some(one), _) | (_, Some(one)) if one == decides => Some(decides),
        (_, Some(one)) if one == decides => Some(decides),
        (None, _) | (_, None) => None,
        _ => Some(!decides),
    }
}

pub(crate) fn truth(test: &Test, world: &World, thing: &Thing) -> Truth {
    match (test, thing) {
        (Test::SourceNode(name), _) => yes(**name == *world.source),
        (Test::DestinationNode(name), _) => yes(**name == *world.destination),
        (Test::From(term), _) => yes(carries(world, world.source, &term.to_string())),
        (Test::To(term), _) => yes(carries(world, world.destination, &term.to_string())),
        (Test::Tag { how, tag, value }, _) => tags(*how, *tag, *value, world),
        (Test::Vlan(..) | Test::SourceMac(_) | Test::DestinationMac(_), _) => Truth::Hard,
        (Test::Zmq(test), Thing::Message { .. }) => about_message(test, thing),
        (_, Thing::Message { .. }) => match test {
            // Of the characteristics only these are a message's too.
            Test::Characteristics(bits) if bits & (1 << 63 | 1 << 60) != 0 => {
                yes(bits & 1 << 60 != 0 || world.direction == Direction::In)
            }
            _ => Truth::Hard,
        },
        (_, Thing::Packet { bytes, .. }) => about_packet(test, world, bytes, thing),
    }
}

fn yes(it: bool) -> Truth {
    if it { Truth::Yes } else { Truth::No }
}

/// A term as it is written: `node=NAME` or `TAG=VALUE`.
fn carries(world: &World, node: &str, term: &str) -> bool {
    let (tag, value) = term.split_once('=').expect("a term");
    let tags: &NodeTags = if node == world.source { &world.source_tags } else { &world.destination_tags };
    if tag == "node" { node == value } else { tags.get(tag).is_some_and(|has| has == value) }
}

fn tags(how: TagTest, tag: u32, value: u32, world: &World) -> Truth {
    let of =
        |values: &[(u32, u32)]| values.iter().find(|(number, _)| *number == tag).map(|(_, value)| *value);
    let (sender, receiver) = (of(&world.source_values), of(&world.destination_values));
    match (how, sender, receiver) {
        (TagTest::Sender, Some(sender), _) => yes(sender == value),
        (TagTest::Receiver, _, Some(receiver)) => yes(receiver == value),
        (TagTest::Sender | TagTest::Receiver, ..) | (_, None, _) | (_, _, None) => Truth::Hard,
        (TagTest::And, Some(one), Some(other)) => yes(one & other == value),
        (TagTest::Or, Some(one), Some(other)) => yes(one | other == value),
        (TagTest::Xor, Some(one), Some(other)) => yes(one ^ other == value),
        (TagTest::Equal, Some(one), Some(other)) => yes(one == value && other == value),
        (TagTest::Difference, Some(one), Some(other)) => {
            yes((i64::from(one) - i64::from(other)).abs() <= i64::from(value))
        }
    }
}

fn about_packet(test: &Test, world: &World, packet: &[u8], thing: &Thing) -> Truth {
    let Thing::Packet { random, established, spoken, .. } = thing else { return Truth::Hard };
    match test {
        Test::EtherType(wanted) => yes(reader::ethertype(packet) == wanted % 65_536),
        Test::IpProtocol(wanted) => {
            known(reader::payload(packet), |(protocol, _)| u32::from(protocol) == wanted % 256)
        }
        Test::Source(net) => within(reader::source(packet), &[*net], Mask::OnlyPacket),
        Test::Destination(net) => within(reader::destination(packet), &[*net], Mask::OnlyPacket),
        Test::SourceIn(set) => within(reader::source(packet), &nets(set.prefixes()), Mask::Both),
        Test::DestinationIn(set) => within(reader::destination(packet), &nets(set.prefixes()), Mask::Both),
        Test::Tos { mask, start, end } => {
            known(reader::tos(packet), |tos| *start <= tos & mask && tos & mask <= *end)
        }
        Test::Icmp { kind, code } => match (reader::icmp(packet), code) {
            (Some((actual, _)), None) if actual == *kind => Truth::Always,
            (Some((actual, has)), Some(code)) if actual == *kind => yes(has == *code),
            _ => Truth::Hard,
        },
        Test::SourcePort(first, last) => port(packet, |(source, _)| source, &[(*first, *last)]),
        Test::DestinationPort(first, last) => port(packet, |(_, to)| to, &[(*first, *last)]),
        Test::SourcePortIn(set) => port(packet, |(source, _)| source, set.ranges()),
        Test::DestinationPortIn(set) => port(packet, |(_, to)| to, set.ranges()),
        Test::Size(first, last) => {
            let size = packet.len().min(65_535);
            yes(usize::from(*first) <= size && size <= usize::from(*last))
        }
        Test::Characteristics(bits) => yes(characteristics(world, packet) & bits != 0),
        Test::Random(most) => yes(random <= most),
        Test::Established => yes(*established),
        Test::Zmtp(test) => zmtp(test, packet, spoken),
        _ => Truth::Hard,
    }
}

fn known<T>(it: Option<T>, is: impl Fn(T) -> bool) -> Truth {
    it.map_or(Truth::Hard, |it| yes(is(it)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mask {
    Both,
    /// Of IPv6: a rule with bits behind its mask holds nothing. Of IPv4 both.
    OnlyPacket,
}

fn nets(prefixes: &[lockgate_proto::prefix::Prefix]) -> Vec<Net> {
    prefixes.iter().map(|prefix| Net { address: prefix.address(), bits: prefix.bits() }).collect()
}

fn within(address: Option<IpAddr>, nets: &[Net], mask: Mask) -> Truth {
    let Some(address) = address else { return Truth::Hard };
    let same_family: Vec<&Net> =
        nets.iter().filter(|net| net.address.is_ipv4() == address.is_ipv4()).collect();
    if same_family.is_empty() {
        return Truth::Hard;
    }
    yes(same_family.iter().any(|net| {
        let (ours, theirs) = (bits(net.address), bits(address));
        let behind_is_clear = ours[usize::from(net.bits)..].iter().all(|bit| !bit);
        ours[..usize::from(net.bits)] == theirs[..usize::from(net.bits)]
            && (mask == Mask::Both || address.is_ipv4() || behind_is_clear)
    }))
}

fn bits(address: IpAddr) -> Vec<bool> {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (128 >> bit) != 0)).collect()
}

fn port(packet: &[u8], which: impl Fn((u16, u16)) -> u16, ranges: &[(u16, u16)]) -> Truth {
    let is_v4 = reader::is_v4(packet);
    let is_whole_v6 = reader::is_v6(packet) && reader::payload(packet).is_some();
    if !is_v4 && !is_whole_v6 {
        return Truth::Hard;
    }
    let Some(port) = reader::ports(packet).map(which) else { return Truth::No };
    let is_none = port == 0 && !is_v4;
    yes(!is_none && ranges.iter().any(|(first, last)| *first <= port && port <= *last))
}

fn characteristics(world: &World, packet: &[u8]) -> u64 {
    let mut bits = 1 << 60 | reader::tcp_flags(packet);
    if world.direction == Direction::In {
        bits |= 1 << 63;
    }
    match reader::destination(packet) {
        Some(IpAddr::V4(v4)) if v4.octets() == [255; 4] => bits |= 3 << 61,
        Some(IpAddr::V4(v4)) if (224..240).contains(&v4.octets()[0]) => bits |= 1 << 62,
        Some(IpAddr::V6(v6)) if v6.octets()[0] == 255 => bits |= 1 << 62,
        _ => {}
    }
    bits
}

fn zmtp(test: &ZmtpTest, packet: &[u8], spoken: &Recognised) -> Truth {
    if reader::payload(packet).map(|(protocol, _)| protocol) != Some(6) {
        return Truth::Hard;
    }
    match (test, spoken) {
        // The worlds of this model never leave it untold.
        (_, Recognised::Undecided | Recognised::Untold) => Truth::Unknown,
        (ZmtpTest::Spoken, spoken) => yes(*spoken != Recognised::Other),
        (_, Recognised::Other) => Truth::Hard,
        (ZmtpTest::Mechanism(name), Recognised::Zmtp { mechanism, .. }) => {
            yes(mechanism.iter().filter(|byte| **byte != 0).eq(name.as_bytes()))
        }
        (ZmtpTest::SocketType(wanted), Recognised::Zmtp { sockets: [one, other], .. }) => {
            let any = |of: EndSocket| *one == of || *other == of;
            match (any(EndSocket::Is(*wanted)), any(EndSocket::Pending)) {
                (true, _) => Truth::Yes,
                (false, true) => Truth::Unknown,
                (false, false) => Truth::No,
            }
        }
    }
}

fn about_message(test: &ZmqTest, thing: &Thing) -> Truth {
    let Thing::Message { service, socket, identity, mechanism, topic, size } = thing else {
        return Truth::Hard;
    };
    match (test, topic) {
        (ZmqTest::Service(name), _) => yes(**name == **service),
        (ZmqTest::Socket(wanted), _) => yes(wanted == socket),
        (ZmqTest::Identity(start), _) => yes(identity.starts_with(start)),
        (ZmqTest::Mechanism(name), _) => yes(**name == **mechanism),
        (ZmqTest::Size(first, last), _) => yes(first <= size && size <= last),
        (ZmqTest::Topic(start), Topic::Is(topic)) => yes(topic.starts_with(start)),
        // Of all that begins so: all, some or none.
        (ZmqTest::Topic(start), Topic::BeginsWith(topic)) => {
            let common = start.iter().zip(*topic).take_while(|(a, b)| a == b).count();
            match (common == start.len(), common == topic.len()) {
                (true, _) => Truth::Yes,
                (false, true) => Truth::Unknown,
                (false, false) => Truth::No,
            }
        }
    }
}
