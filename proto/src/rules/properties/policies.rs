//! Random policies as text, with everything in them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::scripts::{RawRule, raw, script};
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

    pub(super) fn once_in(&mut self, many: usize) -> bool {
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

pub(super) const NODES: [&str; 5] = ["n0", "n1", "n2", "n3", "n4"];
pub(super) const ROLES: [&str; 3] = ["a", "b", "c"];
pub(super) const SITES: [&str; 2] = ["n", "s"];
pub(super) const SERVICES: [&str; 2] = ["s0", "s1"];
pub(super) const CAPABILITIES: [&str; 3] = ["c0", "c1", "c2"];
pub(super) const TOPICS: [&str; 7] = ["", "t", "t.a", "t.ab", "u", "u.x", "v"];
pub(super) const PORTS: [u16; 5] = [22, 53, 80, 443, 5000];
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
