//! A rule: who may reach what.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::service::{read_sockets, read_topics};
use super::tags::{Names, check_name};
use super::{Limits, Service, TagExpr, meant, size_text};
use crate::document::{Date, Mistakes, Spot, Table, quoted};
use crate::zmtp::SocketType;

/// An `[[allow]]`.
#[derive(Clone, Debug)]
pub struct Allow {
    /// Its name in logs and reports; unique.
    pub id: String,
    /// Where it stands in the file.
    pub line: usize,
    /// The nodes whose applications it lets through.
    pub from: TagExpr,
    /// What they may reach.
    pub to: Target,
    /// The socket types of the using applications; empty where every type that fits the service is fine.
    pub sockets: Vec<SocketType>,
    /// Prefixes of topics; empty where the rule does not narrow the service's.
    pub topics: Vec<String>,
    /// Limits of this rule.
    pub limits: Limits,
    /// Why it exists.
    pub why: Option<String>,
    /// When somebody should look at it again.
    pub review: Option<Date>,
}

/// What a rule lets reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A service, by name.
    Service(String),
    /// The first packet of a flow of IP packets; the flow's other packets, both ways, follow it.
    Packets(PacketTarget),
}

/// IP packets to a set of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketTarget {
    /// The nodes they may go to.
    pub to: TagExpr,
    /// Which packets.
    pub packets: Packets,
}

/// A kind of packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packets {
    /// TCP to these ports.
    Tcp(RangeInclusive<u16>),
    /// UDP to these ports.
    Udp(RangeInclusive<u16>),
    /// ICMP and ICMPv6.
    Icmp,
}

/// Reads every `[[allow]]`; those with a mistake are left out.
pub(super) fn read_all(
    root: &Table,
    names: &Names<'_>,
    services: &BTreeMap<String, Service>,
    mistakes: &mut Mistakes,
    warnings: &mut Mistakes,
) -> Vec<Allow> {
    let mut reader = Reader { names, services, mistakes, warnings, ids: BTreeMap::new() };
    root.tables("allow", reader.mistakes).into_iter().filter_map(|table| reader.read(table)).collect()
}

struct Reader<'r> {
    names: &'r Names<'r>,
    services: &'r BTreeMap<String, Service>,
    mistakes: &'r mut Mistakes,
    warnings: &'r mut Mistakes,
    ids: BTreeMap<String, usize>,
}

impl Reader<'_> {
    fn read(&mut self, table: &Table) -> Option<Allow> {
        table.only(&KNOWN, self.mistakes);
        let id = self.id(table);
        let from = self.names.expression(table, "from", self.mistakes);
        let to = self.target(table);
        let sockets = read_sockets(table, self.mistakes).unwrap_or_default();
        let topics = read_topics(table, self.mistakes);
        let limits = Limits::read(table, self.mistakes);
        let why = table.text("why", self.mistakes).map(|why| why.value.to_string());
        let review = table.date("review", self.mistakes).map(|review| review.value);
        match &to {
            Some(Target::Service(name)) => {
                self.fit(table, &self.services[name], &sockets, &topics, &limits);
            }
            Some(Target::Packets(target)) => self.packets_only(table, target),
            None => {}
        }
        let (id, from, to) = (id?, from?, to?);
        if !self.names.any(&from) {
            let problem = format!("no node is {from}: the rule lets nobody through");
            table.note("from", problem, "give a node these tags in [nodes]", self.warnings);
        }
        Some(Allow { id, line: table.line, from, to, sockets, topics, limits, why, review })
    }

    fn id(&mut self, table: &Table) -> Option<String> {
        if !table.require("id", "name the rule, as in  id = \"telemetry-to-historian\"", self.mistakes) {
            return None;
        }
        let id = table.text("id", self.mistakes)?;
        check_name("rule", id.value, id.line, "allow.id", self.mistakes);
        if let Some(first) = self.ids.get(id.value) {
            let problem = format!("{} is taken by the rule in line {first}", quoted(id.value));
            self.mistakes.note(id.line, "allow.id", problem, "give each rule an id of its own");
            return None;
        }
        self.ids.insert(id.value.to_string(), id.line);
        Some(id.value.to_string())
    }

    fn target(&mut self, table: &Table) -> Option<Target> {
        if !table.require("to", TARGET_MEND, self.mistakes) {
            return None;
        }
        let to = table.text("to", self.mistakes)?;
        if to.value.contains(['=', ' ', ':']) {
            return self.packet_target(&to).map(Target::Packets);
        }
        if self.services.contains_key(to.value) {
            return Some(Target::Service(to.value.to_string()));
        }
        let mend = meant(to.value, self.services.keys().map(String::as_str), TARGET_MEND, self.mistakes);
        self.mistakes.note(to.line, "allow.to", format!("unknown service {}", quoted(to.value)), mend);
        None
    }

    /// `role=sensor-gw tcp:22`: an expression, then a kind of packet.
    fn packet_target(&mut self, to: &Spot<&str>) -> Option<PacketTarget> {
        let text = to.value.trim();
        let (nodes, kind) = text.rsplit_once([' ', ',']).unwrap_or(("", text));
        let Some(packets) = parse_packets(kind) else {
            let problem = format!("{} names no service and no kind of packet", quoted(text));
            self.mistakes.note(to.line, "allow.to", problem, TARGET_MEND);
            return None;
        };
        let to = self.names.parse(nodes, to.line, "allow.to", self.mistakes)?;
        Some(PacketTarget { to, packets })
    }

    /// A rule that asks for what its service does not have is a mistake: it would never let anything through.
    fn fit(
        &mut self,
        table: &Table,
        service: &Service,
        sockets: &[SocketType],
        topics: &[String],
        limits: &Limits,
    ) {
        self.fit_sockets(table, service, sockets);
        self.fit_topics(table, service, topics);
        self.fit_size(table, service, limits);
    }

    fn fit_sockets(&mut self, table: &Table, service: &Service, sockets: &[SocketType]) {
        // A service without sockets is mistaken itself.
        let fits = |using: &SocketType| {
            service.sockets.is_empty() || service.sockets.iter().any(|one| one.matches(*using))
        };
        for socket in sockets.iter().filter(|socket| !fits(socket)) {
            let (socket, theirs) = (lower(*socket), sockets_of(service));
            let fitting = SocketType::ALL.into_iter().filter(fits).map(lower);
            let fitting = fitting.collect::<Vec<_>>().join(", ");
            let one = table.entry("socket").is_some();
            table.note(
                if one { "socket" } else { "sockets" },
                format!("a {socket} socket cannot talk to {theirs}"),
                format!("these can: {fitting} (the type of the application that uses the service)"),
                self.mistakes,
            );
        }
    }

    fn fit_topics(&mut self, table: &Table, service: &Service, topics: &[String]) {
        if !topics.is_empty() && service.sockets.iter().any(|socket| !socket.is_publisher()) {
            let (name, theirs) = (&service.name, sockets_of(service));
            let problem = format!("{name} has no topics: it is offered by {theirs}");
            table.note("topics", problem, "remove `topics`", self.mistakes);
        }
        let inside = |topic: &str| {
            service.topics.iter().any(|of| of.starts_with(topic) || topic.starts_with(of.as_str()))
        };
        for topic in topics.iter().filter(|topic| !service.topics.is_empty() && !inside(topic)) {
            let problem = format!("{} lies outside the topics of {}", quoted(topic), service.name);
            let known: Vec<String> = service.topics.iter().map(|topic| quoted(topic)).collect();
            let mend = format!("the service has {}; add it there, or remove it here", known.join(", "));
            table.note("topics", problem, mend, self.mistakes);
        }
    }

    fn fit_size(&mut self, table: &Table, service: &Service, limits: &Limits) {
        if let (Some(here), Some(there)) = (limits.max_message, service.limits.max_message)
            && here > there
        {
            let problem = format!(
                "{} is more than {} allows: {} holds",
                size_text(here),
                service.name,
                size_text(there)
            );
            table.note("max-message", problem, "raise the service's limit, or lower this one", self.warnings);
        }
    }

    /// A rule for packets: nothing about messages fits it.
    fn packets_only(&mut self, table: &Table, target: &PacketTarget) {
        for key in ["socket", "sockets", "topics", "max-message", "rate"] {
            if table.entry(key).is_some() {
                let problem = "packets have none: this belongs to rules for a service";
                table.note(key, problem, "remove it, or write a service in `to`", self.mistakes);
            }
        }
        if !self.names.any(&target.to) {
            let problem = format!("no node is {}: the rule lets nothing through", target.to);
            table.note("to", problem, "give a node these tags in [nodes]", self.warnings);
        }
    }
}

fn parse_packets(text: &str) -> Option<Packets> {
    match text.split_once(':') {
        None => (text == "icmp").then_some(Packets::Icmp),
        Some(("tcp", ports)) => parse_ports(ports).map(Packets::Tcp),
        Some(("udp", ports)) => parse_ports(ports).map(Packets::Udp),
        Some(_) => None,
    }
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    (first <= last).then_some(first..=last)
}

fn parse_port(text: &str) -> Option<u16> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| plain && *port > 0)
}

fn lower(socket: SocketType) -> String {
    socket.name().to_lowercase()
}

/// `a pub socket`, `rep or router sockets`.
fn sockets_of(service: &Service) -> String {
    let names: Vec<String> = service.sockets.iter().copied().map(lower).collect();
    match names.as_slice() {
        [one] => format!("a {one} socket"),
        many => format!("{} sockets", many.join(" or ")),
    }
}

const KNOWN: [&str; 10] =
    ["id", "from", "to", "socket", "sockets", "topics", "max-message", "rate", "why", "review"];

const TARGET_MEND: &str = "write a service, or nodes and a kind of packet: \"role=sensor-gw tcp:22\", \
                           \"… udp:5000-5010\", \"… icmp\"";
