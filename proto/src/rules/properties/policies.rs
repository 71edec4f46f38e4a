//! Random policies as text, with everything in them; the flow rules also as plain lists.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;

/// A seeded generator (splitmix64); the same seed gives the same policy.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or(0) % sides
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    pub(super) fn some<T: Copy>(&mut self, from: &[T], most: usize) -> Vec<T> {
        let many = self.roll(most + 1);
        (0..many).map(|_| self.pick(from)).collect()
    }

    fn once_in(&mut self, many: usize) -> bool {
        self.roll(many) == 0
    }
}

/// A policy, and when it is asked.
pub(super) struct Drawn {
    pub(super) text: String,
    pub(super) policy: Policy,
    pub(super) raw: Vec<RawRule>,
    /// The rules of a capability of the flow rules that everybody holds.
    pub(super) raw_capability: Vec<RawRule>,
    pub(super) wall: Duration,
}

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

pub(super) const NODES: [&str; 5] = ["n0", "n1", "n2", "n3", "n4"];
pub(super) const ROLES: [&str; 3] = ["a", "b", "c"];
const SITES: [&str; 2] = ["n", "s"];
pub(super) const SERVICES: [&str; 2] = ["s0", "s1"];
pub(super) const CAPABILITIES: [&str; 3] = ["c0", "c1", "c2"];
pub(super) const TOPICS: [&str; 7] = ["", "t", "t.a", "t.ab", "u", "u.x", "v"];
const PORTS: [u16; 5] = [22, 53, 80, 443, 5000];
const USING: [&[&str]; 2] = [&["sub", "xsub"], &["req", "dealer", "push"]];

/// The start of time for grants: 2026-01-01T00:00:00Z.
const DAWN: u64 = 1_767_225_600;

/// A policy that compiles. Forbids are drawn beside it and put in afterwards, so that they overlap what is allowed as they
/// like: what the parser compares is refused before anything is judged, and judging must not need it.
pub(super) fn draw(dice: &mut Dice) -> Drawn {
    loop {
        let head = head(dice);
        let (raw, raw_capability) = raw(dice);
        let script = script(&raw, &raw_capability);
        let mut body = services(dice);
        body.push_str(&allows(dice));
        body.push_str(&capabilities(dice));
        let mut forbids = String::new();
        for at in 0..dice.roll(3) {
            let to = match dice.roll(3) {
                0 => expression(dice),
                1 => format!("{} {}", expression(dice), packets(dice)),
                _ => dice.pick(&SERVICES).to_owned(),
            };
            forbids.push_str(&format!(
                "[[forbid]]\nid = \"f{at}\"\nfrom = \"{}\"\nto = \"{to}\"\n",
                expression(dice)
            ));
        }
        let (text, apart) = (format!("{script}{head}{body}"), format!("{script}{head}{body}{forbids}"));
        // Topics of a rule outside its service's, or a grant to who may not hold it.
        let Ok(mut policy) = Policy::parse("p.toml", &text) else { continue };
        if Policy::parse("p.toml", &apart).is_err() || dice.once_in(2) {
            let other = format!("default = \"deny\"\n{head}{}{forbids}", placeholders());
            policy.forbids = Policy::parse("p.toml", &other)
                .unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{other}"))
                .forbids;
        } else {
            policy = Policy::parse("p.toml", &apart).expect("parsed above");
        }
        let wall = Duration::from_secs(DAWN + 500 + dice.roll(3000) as u64);
        return Drawn { text: apart, policy, raw, raw_capability, wall };
    }
}

fn head(dice: &mut Dice) -> String {
    let mut text = String::from("[tags]\nrole = [\"a\", \"b\", \"c\"]\nsite = [\"n\", \"s\"]\n[nodes]\n");
    for node in NODES {
        let role = if dice.once_in(5) { String::new() } else { format!("role = \"{}\"", dice.pick(&ROLES)) };
        let site = if dice.once_in(4) { String::new() } else { format!("site = \"{}\"", dice.pick(&SITES)) };
        let comma = if role.is_empty() || site.is_empty() { "" } else { ", " };
        text.push_str(&format!("{node} = {{ {role}{comma}{site} }}\n"));
    }
    text
}

/// The services by their names alone, and somebody who may use them: where only the forbids are read.
fn placeholders() -> String {
    let service = |name: &&str| {
        format!(
            "[service.{name}]\nhosted-by = \"role=a\"\nsocket = \"pub\"\n\
             [capability.hold-{name}]\nto = \"{name}\"\nmax-ttl = \"1h\"\n"
        )
    };
    SERVICES.iter().map(service).collect()
}

fn services(dice: &mut Dice) -> String {
    let mut text = String::new();
    for (at, name) in SERVICES.iter().enumerate() {
        let sockets =
            if at == 0 { dice.pick(&["pub", "xpub"]) } else { dice.pick(&["rep", "router", "pull"]) };
        text.push_str(&format!(
            "[service.{name}]\nhosted-by = \"{}\"\nsocket = \"{sockets}\"\n",
            expression(dice)
        ));
        if at == 0 && dice.once_in(2) {
            push_list(&mut text, "topics", &dice.some(&["t", "t.a", "u"], 2));
        }
        push_limits(dice, &mut text);
    }
    text
}

fn push_limits(dice: &mut Dice, text: &mut String) {
    if dice.once_in(2) {
        text.push_str(&format!("max-message = {}\n", 1 + dice.roll(2000)));
    }
    if dice.once_in(4) {
        text.push_str(&format!("rate = \"{}/s\"\n", 1 + dice.roll(100)));
    }
}

fn push_list(text: &mut String, key: &str, items: &[&str]) {
    if !items.is_empty() {
        text.push_str(&format!("{key} = {items:?}\n"));
    }
}

/// What an allow or a capability lets reach.
fn permission(dice: &mut Dice, at: usize) -> String {
    if at >= SERVICES.len() {
        return format!("to = \"{} {}\"\n", expression(dice), packets(dice));
    }
    let mut text = format!("to = \"{}\"\n", SERVICES[at]);
    if dice.once_in(3) {
        push_list(&mut text, "sockets", &dice.some(USING[at], 1));
    }
    if at == 0 && dice.once_in(2) {
        push_list(&mut text, "topics", &dice.some(&TOPICS[1..], 2));
    }
    push_limits(dice, &mut text);
    text
}

fn allows(dice: &mut Dice) -> String {
    let mut text = String::new();
    for at in 0..dice.roll(6) {
        let to = dice.roll(4);
        text.push_str(&format!("[[allow]]\nid = \"r{at}\"\nfrom = \"{}\"\n", expression(dice)));
        text.push_str(&permission(dice, to));
    }
    text
}

fn capabilities(dice: &mut Dice) -> String {
    let mut text = String::new();
    for (at, name) in CAPABILITIES.iter().enumerate() {
        text.push_str(&format!("[capability.{name}]\nmax-ttl = \"1h\"\n"));
        if dice.once_in(2) {
            text.push_str(&format!("from = \"{}\"\n", expression(dice)));
        }
        text.push_str(&permission(dice, at));
    }
    for _ in 0..1 + dice.roll(4) {
        let (capability, node) = (dice.pick(&CAPABILITIES), dice.pick(&NODES));
        let from = dice.roll(2000);
        let until = from + 1000 + dice.roll(2000);
        let moment = |seconds: usize| {
            format!("2026-01-01T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
        };
        text.push_str(&format!(
            "[[grant]]\ncapability = \"{capability}\"\nnode = \"{node}\"\nfrom = {}\nuntil = {}\n",
            moment(from),
            moment(until)
        ));
    }
    text
}

/// Who: one or two conditions.
fn expression(dice: &mut Dice) -> String {
    match dice.roll(6) {
        0 => format!("node={}", dice.pick(&NODES)),
        1 => format!("role={} site={}", dice.pick(&ROLES), dice.pick(&SITES)),
        2 => format!("site={}", dice.pick(&SITES)),
        _ => format!("role={}", dice.pick(&ROLES)),
    }
}

fn packets(dice: &mut Dice) -> String {
    let (one, other) = (dice.pick(&PORTS), dice.pick(&PORTS));
    let (first, last) = (one.min(other), one.max(other));
    match dice.roll(5) {
        0 => "icmp".to_owned(),
        1 => format!("udp:{first}-{last}"),
        2 => format!("udp:{one}"),
        3 => format!("tcp:{one}"),
        _ => format!("tcp:{first}-{last}"),
    }
}

/// Flow rules: the base, and those of a capability that everybody holds.
fn raw(dice: &mut Dice) -> (Vec<RawRule>, Vec<RawRule>) {
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
fn script(base: &[RawRule], capability: &[RawRule]) -> String {
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

/// What a flow may begin with.
pub(super) fn kind(dice: &mut Dice) -> PacketKind {
    let port = dice.pick(&[22, 53, 80, 443, 5000, 23]);
    match dice.roll(9) {
        0..=3 => PacketKind::Tcp(port),
        4 | 5 => PacketKind::Udp(port),
        6 => PacketKind::Icmp,
        7 => PacketKind::Other(dice.pick(&[47, 132, 6])),
        _ => PacketKind::Unparsed,
    }
}

/// A packet that can be read.
pub(super) fn packet(dice: &mut Dice) -> Packet {
    let is_v6 = dice.once_in(3);
    let address = |last: u8| -> core::net::IpAddr {
        if is_v6 { [0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into() } else { [10, 0, 0, last].into() }
    };
    let protocol = dice.pick(&[6, 6, 6, 17, 17, if is_v6 { 58 } else { 1 }, 47]);
    let ports = matches!(protocol, 6 | 17).then(|| (dice.pick(&PORTS), dice.pick(&PORTS)));
    Packet {
        ethertype: if is_v6 { 0x86dd } else { 0x0800 },
        source: Some(address(1)),
        destination: Some(address(2)),
        tos: 0,
        protocol: Some(protocol),
        icmp: matches!(protocol, 1 | 58).then_some((8, 0)),
        ports,
        tcp_flags: if protocol == 6 { dice.pick(&[2, 0x12, 0x10, 0x18]) } else { 0 },
        size: dice.pick(&[40, 100, 101, 1500]),
        random: dice.pick(&[0, u32::MAX]),
        established: dice.once_in(3),
        spoken: dice.pick(&SPOKEN),
        asked: false,
        readable: true,
    }
}
