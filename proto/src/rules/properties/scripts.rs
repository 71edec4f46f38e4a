//! Random flow rules: as plain lists, and as text.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::policies::{Dice, NODES, PORTS, ROLES, SERVICES, SITES, TOPICS};
use super::*;

/// A flow rule as it was drawn.
#[derive(Clone, Debug)]
pub(super) struct RawRule {
    pub(super) id: String,
    pub(super) action: Does,
    pub(super) matches: Vec<RawMatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Accept,
    Drop,
    Break,
    Tee(&'static str),
    Redirect(&'static str),
    Log,
}

#[derive(Clone, Debug)]
pub(super) struct RawMatch {
    pub(super) or: bool,
    pub(super) not: bool,
    pub(super) asks: Asks,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    Protocol(u8),
    Port(u16, u16),
    SourcePort(u16),
    EtherType(u16),
    From(&'static str, &'static str),
    To(&'static str, &'static str),
    SourceNode(&'static str),
    DestinationNode(&'static str),
    SenderRole(&'static str),
    BothRole(&'static str),
    Established,
    Size(u16),
    Inbound,
    Syn,
    Random,
    Zmtp,
    Service(&'static str),
    Socket(SocketType),
    Topic(&'static str),
    MessageSize(u64),
}

/// Flow rules: the base, and those of a capability that everybody holds.
pub(super) fn raw(dice: &mut Dice) -> (Vec<RawRule>, Vec<RawRule>) {
    if dice.once_in(3) {
        return (Vec::new(), Vec::new());
    }
    let many = dice.roll(7);
    let base = (0..many).map(|at| raw_rule(dice, at)).collect();
    let many = if dice.once_in(3) { 1 + dice.roll(3) } else { 0 };
    let capability = (0..many).map(|at| raw_rule(dice, 100 + at)).collect();
    (base, capability)
}

fn raw_rule(dice: &mut Dice, at: usize) -> RawRule {
    let action = match dice.roll(12) {
        0..=4 => Does::Accept,
        5 | 6 => Does::Drop,
        7 | 8 => Does::Break,
        9 => Does::Tee(dice.pick(&NODES)),
        10 => Does::Redirect(dice.pick(&NODES)),
        _ => Does::Log,
    };
    let is_message = dice.once_in(3);
    let many = 1 + dice.roll(3);
    let matches = (0..many).map(|place| RawMatch {
        or: place > 0 && dice.once_in(4),
        not: dice.once_in(5),
        asks: if is_message { message_match(dice, place) } else { packet_match(dice) },
    });
    RawRule { id: format!("x{at}"), action, matches: matches.collect() }
}

fn message_match(dice: &mut Dice, place: usize) -> Asks {
    if place == 0 {
        return Asks::Service(dice.pick(&SERVICES));
    }
    match dice.roll(6) {
        0 => Asks::Socket(dice.pick(&MODEL_SOCKETS)),
        1 | 2 => Asks::Topic(dice.pick(&TOPICS[1..])),
        3 => Asks::MessageSize(dice.roll(2500) as u64),
        _ => who(dice),
    }
}

fn who(dice: &mut Dice) -> Asks {
    match dice.roll(8) {
        0 => Asks::SourceNode(dice.pick(&NODES)),
        1 => Asks::DestinationNode(dice.pick(&NODES)),
        2 => Asks::SenderRole(dice.pick(&ROLES)),
        3 => Asks::BothRole(dice.pick(&ROLES)),
        4 => Asks::From("role", dice.pick(&ROLES)),
        5 => Asks::To("role", dice.pick(&ROLES)),
        6 => Asks::From("site", dice.pick(&SITES)),
        _ => Asks::Inbound,
    }
}

fn packet_match(dice: &mut Dice) -> Asks {
    let (one, other) = (dice.pick(&PORTS), dice.pick(&PORTS));
    match dice.roll(14) {
        0..=2 => Asks::Protocol(dice.pick(&[6, 6, 17, 1, 58])),
        3..=5 => Asks::Port(one.min(other), one.max(other)),
        6 => Asks::SourcePort(one),
        7 => Asks::EtherType(dice.pick(&[0x0800, 0x86dd])),
        8 => dice.pick(&[Asks::Established, Asks::Syn, Asks::Random]),
        9 => dice.pick(&[Asks::Size(100), Asks::Size(1500), Asks::Zmtp]),
        _ => who(dice),
    }
}

/// The flow rules as the key `rules` of the file, and the default before them.
pub(super) fn script(base: &[RawRule], capability: &[RawRule]) -> String {
    let mut text = String::from("default = \"deny\"\n");
    if base.is_empty() && capability.is_empty() {
        return text;
    }
    text.push_str("rules = '''\n");
    let rules = |rules: &[RawRule]| rules.iter().map(rule_text).collect::<String>();
    if !capability.is_empty() {
        text.push_str(&format!("cap everybodys id 7 default\n{};\n", rules(capability)));
    }
    text.push_str(&rules(base));
    text.push_str("'''\n");
    text
}

fn rule_text(rule: &RawRule) -> String {
    let mut text = match rule.action {
        Does::Accept => "accept".to_owned(),
        Does::Drop => "drop".to_owned(),
        Does::Break => "break".to_owned(),
        Does::Tee(to) => format!("tee -1 {to}"),
        Does::Redirect(to) => format!("redirect {to}"),
        Does::Log => "log".to_owned(),
    };
    for (at, one) in rule.matches.iter().enumerate() {
        let joined = if at == 0 {
            ""
        } else if one.or {
            " or"
        } else {
            " and"
        };
        let not = if one.not { " not" } else { "" };
        text.push_str(&format!("{joined}{not} {}", one.asks.text()));
    }
    format!("{text} as {};\n", rule.id)
}

impl Asks {
    fn text(self) -> String {
        match self {
            Self::Protocol(number) => format!("ipprotocol {number}"),
            Self::Port(first, last) => format!("dport {first}-{last}"),
            Self::SourcePort(port) => format!("sport {port}"),
            Self::EtherType(kind) => format!("ethertype {kind}"),
            Self::From(tag, value) => format!("from {tag}={value}"),
            Self::To(tag, value) => format!("to {tag}={value}"),
            Self::SourceNode(node) => format!("ztsrc {node}"),
            Self::DestinationNode(node) => format!("ztdest {node}"),
            Self::SenderRole(role) => format!("tseq role {role}"),
            Self::BothRole(role) => format!("teq role {role}"),
            Self::Established => "established".to_owned(),
            Self::Size(most) => format!("framesize 0-{most}"),
            Self::Inbound => "chr inbound".to_owned(),
            Self::Syn => "chr tcp_syn".to_owned(),
            Self::Random => "random 0.5".to_owned(),
            Self::Zmtp => "zmtp".to_owned(),
            Self::Service(name) => format!("zmq service {name}"),
            Self::Socket(socket) => format!("zmq socket {}", socket.name()),
            Self::Topic(topic) => format!("zmq topic {topic}"),
            Self::MessageSize(most) => format!("zmq size 0-{most}"),
        }
    }
}
