//! The obvious reading of a policy: its entries as they were written, one after the other, and nothing compiled.

use alloc::vec::Vec;
use core::time::Duration;

use super::policies::Drawn;
use super::scripts::{Asks, Does, RawMatch, RawRule};
use super::*;
use crate::policy::{Capability, Forbid, ForbidTarget, Packets, Service};

/// Socket types that are tried.
pub(super) const MODEL_SOCKETS: [SocketType; 6] = [
    SocketType::Sub,
    SocketType::Xsub,
    SocketType::Req,
    SocketType::Dealer,
    SocketType::Push,
    SocketType::Pair,
];

/// A message, or the first of many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) service: &'static str,
    pub(super) socket: SocketType,
    pub(super) topic: &'static str,
    pub(super) size: u64,
}

/// Who sends to whom under which policy, at which moment.
pub(super) struct World<'a> {
    drawn: &'a Drawn,
    from: &'a str,
    pub(super) to: &'static str,
    held: Vec<&'a Capability>,
}

/// How a match comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    /// False, whatever stands before it.
    Never,
    Maybe,
}

/// What is looked at.
#[derive(Clone, Copy)]
enum Thing<'t> {
    Packet(&'t Packet),
    Message(&'t Message),
}

/// What flow rules say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raw {
    Passes,
    /// It passes for now: something is not known yet.
    PassesForNow,
    Drops,
    Nothing,
}

fn is(it: bool) -> Truth {
    if it { Truth::Yes } else { Truth::No }
}

fn kind_fits(packets: &Packets, packet: &Packet) -> bool {
    match packets {
        Packets::Tcp(ports) => {
            packet.protocol == Some(6) && packet.ports.is_some_and(|(_, to)| ports.contains(&to))
        }
        Packets::Udp(ports) => {
            packet.protocol == Some(17) && packet.ports.is_some_and(|(_, to)| ports.contains(&to))
        }
        Packets::Icmp => {
            matches!((packet.ethertype, packet.protocol), (0x0800, Some(1)) | (0x86dd, Some(58)))
        }
    }
}

impl<'a> World<'a> {
    pub(super) fn new(drawn: &'a Drawn, from: &'a str, to: &'static str, hold: &[&str]) -> Self {
        Self::at(drawn, from, to, hold, drawn.wall)
    }

    pub(super) fn at(
        drawn: &'a Drawn,
        from: &'a str,
        to: &'static str,
        hold: &[&str],
        wall: Duration,
    ) -> Self {
        let may = |capability: &&Capability| {
            let granted = drawn.policy.grants.iter().any(|grant| {
                grant.node == from
                    && grant.capability == capability.name
                    && grant.from <= wall
                    && wall < grant.until
            });
            let may_hold = capability.from.as_ref().is_none_or(|from_| drawn.in_set(from, from_));
            may_hold && (granted || hold.contains(&capability.name.as_str()))
        };
        let held = drawn.policy.capabilities.iter().filter(may).collect();
        Self { drawn, from, to, held }
    }

    fn sends(&self, set: &TagExpr) -> bool {
        self.drawn.in_set(self.from, set)
    }

    fn receives(&self, set: &TagExpr) -> bool {
        self.drawn.in_set(self.to, set)
    }

    fn target_takes(&self, to: &Target, packet: &Packet) -> bool {
        matches!(to, Target::Packets(target) if self.receives(&target.to) && kind_fits(&target.packets, packet))
    }

    fn allow_names_packet(&self, packet: &Packet) -> bool {
        let allows = &self.drawn.policy.allows;
        allows.iter().any(|allow| self.sends(&allow.from) && self.target_takes(&allow.to, packet))
    }

    pub(super) fn capability_names_packet(&self, packet: &Packet) -> bool {
        self.held.iter().any(|held| self.target_takes(&held.to, packet))
    }

    fn forbid_is_between(&self, forbid: &Forbid) -> bool {
        self.sends(&forbid.from)
            && match &forbid.to {
                ForbidTarget::Everything(to) => self.receives(to),
                ForbidTarget::Packets(target) => self.receives(&target.to),
                ForbidTarget::Service(_) => true,
            }
    }

    pub(super) fn forbids_packet(&self, packet: &Packet) -> bool {
        self.drawn.policy.forbids.iter().any(|forbid| {
            self.forbid_is_between(forbid)
                && match &forbid.to {
                    ForbidTarget::Everything(_) => true,
                    ForbidTarget::Packets(target) => kind_fits(&target.packets, packet),
                    ForbidTarget::Service(_) => false,
                }
        })
    }

    /// Whether anything keeps the node from all of a service of that host.
    pub(super) fn forbids(&self, service: &str) -> bool {
        self.drawn.policy.forbids.iter().any(|forbid| {
            self.forbid_is_between(forbid)
                && match &forbid.to {
                    ForbidTarget::Everything(_) => true,
                    ForbidTarget::Packets(_) => false,
                    ForbidTarget::Service(name) => name == service,
                }
        })
    }

    /// Whether a flow may begin with the packet, at both ends.
    pub(super) fn lets_begin(&self, packet: &Packet) -> bool {
        [Direction::Out, Direction::In].into_iter().all(|direction| {
            match self.raw(direction, Thing::Packet(packet)) {
                Raw::Drops => false,
                Raw::Passes | Raw::PassesForNow => !self.forbids_packet(packet),
                Raw::Nothing => self.begins(packet),
            }
        })
    }

    fn begins(&self, packet: &Packet) -> bool {
        !self.forbids_packet(packet)
            && (self.allow_names_packet(packet) || self.capability_names_packet(packet))
    }

    /// Whether the packet, or what began with it, may pass at one end.
    pub(super) fn lets_go_on(&self, direction: Direction, packet: &Packet) -> bool {
        match self.raw(direction, Thing::Packet(packet)) {
            Raw::Drops => false,
            Raw::Passes => !self.forbids_packet(packet),
            Raw::PassesForNow | Raw::Nothing => self.begins(packet),
        }
    }

    /// Whether anything at all lets it pass, whatever else there is: an allow, a held capability, a flow rule.
    pub(super) fn some_allow_names(&self, direction: Direction, packet: &Packet) -> bool {
        let raw = || self.drawn.raw.iter().chain(&self.drawn.raw_capability);
        let passes = |rule: &RawRule| {
            matches!(rule.action, Does::Accept | Does::Redirect(_))
                && self.all_hold(&rule.matches, direction, Thing::Packet(packet)) == Truth::Yes
        };
        self.allow_names_packet(packet) || self.capability_names_packet(packet) || raw().any(passes)
    }

    /// Whether that rule is one that lets such a flow begin.
    pub(super) fn names(&self, rule: &RuleRef, packet: &Packet) -> bool {
        let Policy { allows, .. } = &self.drawn.policy;
        let allowed = allows.iter().any(|allow| {
            *allow.id == *rule.id && self.sends(&allow.from) && self.target_takes(&allow.to, packet)
        });
        let held = self.held.iter().any(|held| {
            rule.id.strip_prefix("capability.") == Some(&held.name) && self.target_takes(&held.to, packet)
        });
        let raw = self.raw_rules().any(|raw| {
            raw.id == *rule.id
                && matches!(raw.action, Does::Accept | Does::Redirect(_))
                && self.all_hold(&raw.matches, Direction::In, Thing::Packet(packet)) != Truth::No
        });
        allowed || held || raw
    }

    pub(super) fn is_raw(&self, rule: &RuleRef) -> bool {
        self.raw_rules().any(|raw| raw.id == *rule.id)
    }

    fn raw_rules(&self) -> impl Iterator<Item = &RawRule> {
        self.drawn.raw.iter().chain(&self.drawn.raw_capability)
    }

    fn service(&self, name: &str) -> &Service {
        &self.drawn.policy.services[name]
    }

    pub(super) fn hosts(&self, service: &str) -> bool {
        self.receives(&self.service(service).hosted_by)
    }

    pub(super) fn most_of(&self, service: &str) -> u64 {
        self.service(service).limits.max_message.unwrap_or(Grant::MAX_MESSAGE)
    }

    pub(super) fn rate_of(&self, service: &str) -> Option<Rate> {
        self.service(service).limits.rate
    }

    /// Whether the service itself has such messages.
    pub(super) fn is_within_service(&self, message: &Message) -> bool {
        let service = self.service(message.service);
        self.hosts(message.service)
            && service.sockets.iter().any(|offered| offered.matches(message.socket))
            && begins_with_any(message.topic, &service.topics)
            && message.size <= self.most_of(message.service)
    }

    /// Whether a message passes at both ends.
    pub(super) fn passes(&self, message: &Message) -> bool {
        if !self.is_within_service(message) || self.forbids(message.service) {
            return false;
        }
        [Direction::Out, Direction::In].into_iter().all(|direction| {
            match self.raw(direction, Thing::Message(message)) {
                Raw::Drops => false,
                Raw::Passes | Raw::PassesForNow => true,
                Raw::Nothing => self.allow_names_message(message),
            }
        })
    }

    fn allow_names_message(&self, message: &Message) -> bool {
        let fits = |to: &Target, sockets: &[SocketType], topics: &[String], limits: &Limits| {
            matches!(to, Target::Service(name) if name == message.service)
                && (sockets.is_empty() || sockets.contains(&message.socket))
                && begins_with_any(message.topic, topics)
                && limits.max_message.is_none_or(|most| message.size <= most)
        };
        let allows = self.drawn.policy.allows.iter();
        let mut allows = allows.filter(|allow| self.sends(&allow.from));
        allows.any(|allow| fits(&allow.to, &allow.sockets, &allow.topics, &allow.limits))
            || self.held.iter().any(|held| fits(&held.to, &held.sockets, &held.topics, &held.limits))
    }

    fn raw(&self, direction: Direction, thing: Thing<'_>) -> Raw {
        let mut open = false;
        match self.raw_list(&self.drawn.raw, (direction, thing), &mut open) {
            Raw::Nothing => match self.raw_list(&self.drawn.raw_capability, (direction, thing), &mut open) {
                // What a capability does not want is not dropped for that.
                Raw::Drops => Raw::Nothing,
                said => said,
            },
            said => said,
        }
    }

    /// What one list says; `open` where something was asked so far that is not known yet.
    fn raw_list(
        &self,
        rules: &[RawRule],
        (direction, thing): (Direction, Thing<'_>),
        open: &mut bool,
    ) -> Raw {
        for rule in rules.iter().filter(|rule| is_for(rule, thing)) {
            let holds = self.all_hold(&rule.matches, direction, thing);
            *open |= holds == Truth::Maybe;
            let passes = if *open { Raw::PassesForNow } else { Raw::Passes };
            match (rule.action, holds) {
                (_, Truth::No | Truth::Never) => {}
                (Does::Accept, _) => return passes,
                (_, Truth::Maybe) | (Does::Tee(_) | Does::Log, _) => {}
                (Does::Drop, _) => return Raw::Drops,
                (Does::Break, _) => return Raw::Nothing,
                // To one of the two it is no detour.
                (Does::Redirect(to), _) if to == self.from || to == self.to => {}
                (Does::Redirect(_), _) => return passes,
            }
        }
        Raw::Nothing
    }

    /// From left to right, without precedence.
    fn all_hold(&self, matches: &[RawMatch], direction: Direction, thing: Thing<'_>) -> Truth {
        matches.iter().fold(Truth::Yes, |before, one| {
            let this = match (self.asks(one.asks, direction, thing), one.not) {
                (Truth::Never, _) => Truth::No,
                (Truth::Yes, true) => Truth::No,
                (Truth::No, true) => Truth::Yes,
                (truth, _) => truth,
            };
            let sides = [before, this];
            let (ends, goes_on) = if one.or { (Truth::Yes, Truth::No) } else { (Truth::No, Truth::Yes) };
            if sides.contains(&ends) {
                ends
            } else if sides == [goes_on; 2] {
                goes_on
            } else {
                Truth::Maybe
            }
        })
    }

    fn asks(&self, asks: Asks, direction: Direction, thing: Thing<'_>) -> Truth {
        let role = |node: &str| self.drawn.policy.nodes[node].get("role").map(String::as_str);
        let (sender, receiver) = (role(self.from), role(self.to));
        match (asks, thing) {
            (Asks::From(tag, value), _) => is(self.drawn.carries(self.from, tag, value)),
            (Asks::To(tag, value), _) => is(self.drawn.carries(self.to, tag, value)),
            (Asks::SourceNode(node), _) => is(node == self.from),
            (Asks::DestinationNode(node), _) => is(node == self.to),
            (Asks::SenderRole(wanted), _) => sender.map_or(Truth::Never, |role| is(role == wanted)),
            (Asks::BothRole(wanted), _) => {
                sender.zip(receiver).map_or(Truth::Never, |(one, other)| is(one == wanted && other == wanted))
            }
            (Asks::Inbound, _) => is(direction == Direction::In),
            (asks, Thing::Packet(packet)) => asks_packet(asks, packet),
            (Asks::Service(name), Thing::Message(message)) => is(name == message.service),
            (Asks::Socket(socket), Thing::Message(message)) => is(socket == message.socket),
            (Asks::Topic(topic), Thing::Message(message)) => is(message.topic.starts_with(topic)),
            (Asks::MessageSize(most), Thing::Message(message)) => is(message.size <= most),
            (_, Thing::Message(_)) => Truth::Never,
        }
    }
}

fn asks_packet(asks: Asks, packet: &Packet) -> Truth {
    let open = |known: bool| if packet.asked { Truth::Maybe } else { is(known) };
    match asks {
        Asks::Protocol(wanted) => packet.protocol.map_or(Truth::Never, |protocol| is(protocol == wanted)),
        // Of SCTP and UDP-Lite nobody asks by the port.
        Asks::Port(..) | Asks::SourcePort(_)
            if packet.asked && matches!(packet.protocol, Some(132 | 136)) =>
        {
            Truth::Maybe
        }
        Asks::Port(first, last) => is(packet.ports.is_some_and(|(_, to)| (first..=last).contains(&to))),
        Asks::SourcePort(_) if packet.ports.is_none() => Truth::No,
        Asks::SourcePort(port) => open(packet.ports.is_some_and(|(from, _)| from == port)),
        Asks::EtherType(wanted) => is(packet.ethertype == wanted),
        Asks::Established => is(packet.established),
        Asks::Size(most) => open(packet.size <= most),
        Asks::Syn => is(packet.tcp_flags & 2 != 0),
        Asks::Random => open(packet.random <= u32::MAX / 2),
        Asks::Zmtp if packet.protocol != Some(6) => Truth::Never,
        Asks::Zmtp if packet.spoken == Recognised::Undecided => Truth::Maybe,
        Asks::Zmtp => Truth::No,
        _ => Truth::Never,
    }
}

/// Rules with a `zmq` word are for messages, the others for packets.
fn is_for(rule: &RawRule, thing: Thing<'_>) -> bool {
    rule.is_about_messages() == matches!(thing, Thing::Message(_))
}

impl RawRule {
    fn is_about_messages(&self) -> bool {
        let zmq = |one: &RawMatch| {
            matches!(one.asks, Asks::Service(_) | Asks::Socket(_) | Asks::Topic(_) | Asks::MessageSize(_))
        };
        self.matches.iter().any(zmq)
    }
}

fn begins_with_any(topic: &str, prefixes: &[String]) -> bool {
    prefixes.is_empty() || prefixes.iter().any(|prefix| topic.starts_with(prefix.as_str()))
}

impl Drawn {
    /// Whether a flow rule breaks off for some messages. A connection is refused where the rules behind it refuse what it may be for
    /// and may not: more is denied then than this reading denies.
    pub(super) fn breaks_off_messages(&self) -> bool {
        let rules = self.raw.iter().chain(&self.raw_capability);
        rules.into_iter().any(|rule| rule.action == Does::Break && rule.is_about_messages())
    }

    /// Whether any flow rule is about messages.
    pub(super) fn asks_for_messages(&self) -> bool {
        self.raw.iter().chain(&self.raw_capability).any(RawRule::is_about_messages)
    }

    fn carries(&self, node: &str, tag: &str, value: &str) -> bool {
        self.policy.nodes[node].get(tag).is_some_and(|carried| carried == value)
    }

    fn in_set(&self, node: &str, set: &TagExpr) -> bool {
        !set.terms().is_empty()
            && set.terms().iter().all(|term| match term {
                policy::Term::Tag(tag, value) => self.carries(node, tag, value),
                policy::Term::Node(name) => name == node,
            })
    }
}
