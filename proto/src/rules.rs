//! The policy compiled for judging messages and packets: pure, immutable, default deny.
//!
//! A connection is judged once, when it opens ([`Rules::open`]); what it may then carry is a [`Grant`], which is
//! asked per message and per subscription without an allocation. The first packet of a
//! flow of IP packets is judged by [`Rules::packet`]. Both ends of a tunnel judge by the same rules.

mod ask;
mod compile;
mod denial;
mod differences;
mod grant;
mod held;
mod lists;
mod packet;
mod pair;

pub use ask::{Ask, Between, What};
pub use denial::Denial;
pub use differences::{Change, Difference, Differences, Disputed, Says, Staged};
pub use grant::{Grant, Passed};
pub use packet::{PacketKind, PacketQuestion};
pub use pair::{Pair, Wants};

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::document::quoted;
use crate::policy::{self, Capability, Limits, NodeTags, Policy, TagExpr, Target};
use crate::program::{Direction, Message, Parties, Subject, Topic};
use crate::zmtp::SocketType;

use compile::Compiler;
use denial::{near_miss, shortfall, wrong_socket};
use grant::Granting;
use lists::{Lists, Raw, Said};

pub use crate::policy::Rate;
pub use crate::program::RuleRef;

/// What an application asks for when it connects.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The node whose application uses the service.
    pub user: &'a str,
    /// The node that offers it.
    pub host: &'a str,
    /// The service.
    pub service: &'a str,
    /// The socket type of the using application.
    pub socket: SocketType,
    /// Its identity (routing id); empty where it has none.
    pub identity: &'a [u8],
}

impl<'a> Opening<'a> {
    /// Any message of the connection.
    const fn message(&self, identity: Option<&'a [u8]>) -> Message<'a> {
        Message {
            service: self.service,
            socket: self.socket,
            identity,
            // No other is spoken by a node (a handshake that asks for another fails).
            mechanism: "NULL",
            topic: Topic::BeginsWith(b""),
            size: 0,
        }
    }
}

/// A service as the rules know it.
#[derive(Clone, Debug)]
pub struct ServiceRule {
    rule: RuleRef,
    hosted_by: TagExpr,
    sockets: Vec<SocketType>,
    topics: Vec<String>,
    limits: Limits,
    admissions: Vec<Admission>,
}

impl ServiceRule {
    /// Where the policy declares it.
    pub fn declared(&self) -> &RuleRef {
        &self.rule
    }

    /// The socket types of the applications that offer it.
    pub fn sockets(&self) -> &[SocketType] {
        &self.sockets
    }

    /// The offering socket types that can talk to a using `socket`.
    fn answering(&self, socket: SocketType) -> Vec<SocketType> {
        self.sockets.iter().copied().filter(|offered| offered.matches(socket)).collect()
    }
}

/// One allow rule of a service.
#[derive(Clone, Debug)]
struct Admission {
    rule: RuleRef,
    from: TagExpr,
    sockets: Vec<SocketType>,
    topics: Vec<String>,
    limits: Limits,
}

impl Admission {
    fn takes(&self, socket: SocketType) -> bool {
        self.sockets.is_empty() || self.sockets.contains(&socket)
    }
}

/// The compiled policy. Share it in an `Arc`; a new policy is a new value with a higher generation.
#[derive(Clone, Debug)]
pub struct Rules {
    generation: u64,
    origin: Origin,
    nodes: BTreeMap<String, NodeTags>,
    /// What the tags of the flow rules are for each node.
    values: BTreeMap<String, Vec<(u32, u32)>>,
    services: BTreeMap<String, ServiceRule>,
    passages: Vec<packet::Passage>,
    capabilities: Vec<(RuleRef, Capability)>,
    grants: Vec<policy::Grant>,
    packets: Lists,
    messages: Lists,
}

/// Whether there is a policy at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Policy,
    Nothing,
}

impl Rules {
    /// Compiles a policy. `generation` tells later rules from earlier ones.
    pub fn compile(policy: &Policy, generation: u64) -> Self {
        let file: Arc<str> = policy.file.as_str().into();
        let place = |id: &str, line: usize| RuleRef {
            id: id.into(),
            file: file.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
        };
        let mut services: BTreeMap<String, ServiceRule> = BTreeMap::new();
        for (name, service) in &policy.services {
            let rule = ServiceRule {
                rule: place(&format!("service.{name}"), service.line),
                hosted_by: service.hosted_by.clone(),
                sockets: service.sockets.clone(),
                topics: service.topics.clone(),
                limits: service.limits,
                admissions: Vec::new(),
            };
            services.insert(name.clone(), rule);
        }
        let mut compiler = Compiler::default();
        for forbid in &policy.forbids {
            compiler.forbid(&place(&forbid.id, forbid.line), forbid);
        }
        let mut passages = Vec::new();
        for allow in &policy.allows {
            let rule = place(&allow.id, allow.line);
            match &allow.to {
                Target::Service(name) => {
                    let Some(service) = services.get_mut(name) else { continue };
                    service.admissions.push(Admission {
                        rule,
                        from: allow.from.clone(),
                        sockets: allow.sockets.clone(),
                        topics: allow.topics.clone(),
                        limits: allow.limits,
                    });
                }
                Target::Packets(target) => {
                    compiler.allow_packets(&rule, &allow.from, target);
                    passages.push(packet::Passage::new(rule, &allow.from, target));
                }
            }
        }
        compiler.services(&services);
        let (mut packets, mut messages) = compiler.finish();
        let mut values = BTreeMap::new();
        if let Some(raw) = &policy.rules {
            let (each, about) = Raw::of(&raw.script);
            (packets.raw, messages.raw) = (Some(each), Some(about));
            values = policy.nodes.iter().map(|(name, tags)| (name.clone(), raw.values(tags))).collect();
        }
        let capabilities = policy.capabilities.iter().map(|capability| {
            (place(&format!("capability.{}", capability.name), capability.line), capability.clone())
        });
        Self {
            generation,
            origin: Origin::Policy,
            nodes: policy.nodes.clone(),
            values,
            services,
            passages,
            capabilities: capabilities.collect(),
            grants: policy.grants.clone(),
            packets,
            messages,
        }
    }

    /// The rules without a policy: they deny everything, and every denial says why. Generation 0.
    pub fn nothing() -> Self {
        Self {
            generation: 0,
            origin: Origin::Nothing,
            nodes: BTreeMap::new(),
            values: BTreeMap::new(),
            services: BTreeMap::new(),
            passages: Vec::new(),
            capabilities: Vec::new(),
            grants: Vec::new(),
            packets: Lists::default(),
            messages: Lists::default(),
        }
    }

    /// Which policy this came from: higher is later, 0 is none.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The same rules with another generation. No policy stays of generation 0.
    pub fn renumbered(&self, generation: u64) -> Self {
        let generation = if self.is_nothing() { 0 } else { generation };
        Self { generation, ..self.clone() }
    }

    /// Whether there is no policy at all, so that nothing passes.
    pub fn is_nothing(&self) -> bool {
        self.origin == Origin::Nothing
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&ServiceRule> {
        self.services.get(name)
    }

    /// The names of all services, sorted.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// The names of all nodes, sorted.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// The nodes that may host `service`, sorted; none for an unknown service.
    pub fn hosts(&self, service: &str) -> impl Iterator<Item = &str> {
        let hosted_by = self.services.get(service).map(|service| &service.hosted_by);
        self.nodes
            .iter()
            .filter(move |(node, tags)| hosted_by.is_some_and(|hosts| hosts.matches(node, tags)))
            .map(|(node, _)| node.as_str())
    }

    /// Whether `node` may offer `service`.
    ///
    /// # Errors
    /// The reason, with the service's own declaration as the nearest rule.
    pub fn may_host(&self, node: &str, service: &str) -> Result<(), Denial> {
        let declared = self.known_service(service)?;
        let tags = self.known_node(node)?;
        if declared.hosted_by.matches(node, tags) {
            return Ok(());
        }
        Err(Denial {
            reason: format!("node {node} may not host {service}"),
            nearest: Some(declared.rule.clone()),
            why_not: format!(
                "it is hosted by {}: {}",
                declared.hosted_by,
                shortfall(&declared.hosted_by, node, tags)
            ),
        })
    }

    /// Judges a connection of an application to a service.
    ///
    /// # Errors
    /// The reason, the nearest rule and why that one does not match.
    pub fn open(&self, opening: &Opening<'_>) -> Result<Grant, Denial> {
        self.judge_opening(opening, Some(opening.identity))
    }

    /// Judges whether an application with some identity may open the connection; that of `opening` does not count. The grant is for
    /// questions, never for a connection: what only some identities may have passes.
    ///
    /// # Errors
    /// As [`Rules::open`].
    pub fn may_open(&self, opening: &Opening<'_>) -> Result<Grant, Denial> {
        self.judge_opening(opening, None)
    }

    fn judge_opening(&self, opening: &Opening<'_>, identity: Option<&[u8]>) -> Result<Grant, Denial> {
        let service = self.known_service(opening.service)?;
        let tags = self.known_node(opening.user)?;
        self.may_host(opening.host, opening.service)?;
        let answering = service.answering(opening.socket);
        if answering.is_empty() {
            return Err(wrong_socket(opening, service));
        }
        let message = opening.message(identity);
        self.grant(opening, &message, service, answering)
            .ok_or_else(|| self.closed(opening, &message, service, tags))
    }

    /// Whether the nodes and the service are known, and the one may host it: the cheap reasons for a denial.
    fn may_use(&self, user: &str, host: &str, service: &str) -> bool {
        let (Some(service), Some(tags)) = (self.services.get(service), self.nodes.get(host)) else {
            return false;
        };
        self.nodes.contains_key(user) && service.hosted_by.matches(host, tags)
    }

    /// What the lists leave open of a connection.
    fn grant(
        &self,
        opening: &Opening<'_>,
        message: &Message<'_>,
        service: &ServiceRule,
        host_sockets: Vec<SocketType>,
    ) -> Option<Grant> {
        let fold = |direction| {
            let parties = self.parties(direction, opening.user, opening.host)?;
            Some((direction, self.messages.fold(&parties, Some(message))))
        };
        self.grant_of([fold(Direction::Out)?, fold(Direction::In)?], opening, service, host_sockets)
    }

    /// What is left open where these lists judge at the ends.
    fn grant_of(
        &self,
        ends: [(Direction, Lists); 2],
        opening: &Opening<'_>,
        service: &ServiceRule,
        host_sockets: Vec<SocketType>,
    ) -> Option<Grant> {
        let mut sides = Vec::from(ends);
        if sides[0].1 == sides[1].1 {
            sides.pop();
        }
        Grant::new(Granting { sides, host_sockets, limits: &|rule| self.rate_under(service, rule) }, opening)
    }

    /// The rate under a rule that lets a service be used: never more than the service's own.
    fn rate_under(&self, service: &ServiceRule, rule: &RuleRef) -> Option<Rate> {
        let allowed = service.admissions.iter().find(|admission| admission.rule == *rule);
        let held = self.capabilities.iter().find(|(place, _)| place == rule);
        let limits = allowed.map(|allowed| allowed.limits).or(held.map(|(_, held)| held.limits));
        match (limits.and_then(|limits| limits.rate), service.limits.rate) {
            (Some(here), Some(there)) => Some(here.min(there)),
            (here, there) => here.or(there),
        }
    }

    /// Two nodes of the policy, seen from one of them. What a rule has sent to this node by a detour comes on another way
    /// ([`Rules::admits_detour`]): what comes straight is judged as nobody's, or being named as an observer would let in everything
    /// that is to be observed.
    fn parties<'r>(&'r self, direction: Direction, from: &'r str, to: &'r str) -> Option<Parties<'r>> {
        Some(Parties {
            direction,
            own: "",
            source: from,
            destination: to,
            source_tags: self.nodes.get(from)?,
            destination_tags: self.nodes.get(to)?,
            source_values: self.values.get(from).map_or(&[], Vec::as_slice),
            destination_values: self.values.get(to).map_or(&[], Vec::as_slice),
        })
    }

    /// Why nothing of a connection may pass.
    fn closed(
        &self,
        opening: &Opening<'_>,
        message: &Message<'_>,
        service: &ServiceRule,
        tags: &NodeTags,
    ) -> Denial {
        let subject = Subject::Message(*message);
        let forbidden = [Direction::Out, Direction::In].into_iter().find_map(|direction| {
            let parties = self.parties(direction, opening.user, opening.host)?;
            match self.messages.judge(&parties, &subject) {
                Said::Denied(act) => Some(act),
                _ => None,
            }
        });
        match forbidden {
            Some(act) => Denial {
                reason: format!("{} may not use {}", opening.user, opening.service),
                nearest: Some(act.rule.clone()),
                why_not: "it forbids that".to_owned(),
            },
            None => near_miss(opening, service, tags),
        }
    }

    fn known_service(&self, name: &str) -> Result<&ServiceRule, Denial> {
        if self.is_nothing() {
            return Err(Denial::bare(
                "there is no policy: nothing passes",
                "write one and name it in lockgate.toml",
            ));
        }
        self.services.get(name).ok_or_else(|| {
            let reason = format!("the policy has no service {}", quoted(name));
            Denial::bare(reason, "add it there, or correct the name")
        })
    }

    fn known_node(&self, name: &str) -> Result<&NodeTags, Denial> {
        self.nodes.get(name).ok_or_else(|| {
            let reason = format!("the policy has no node {}", quoted(name));
            Denial::bare(reason, "add it there, or correct the name")
        })
    }
}

#[cfg(test)]
mod packet_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod random;
#[cfg(test)]
mod raw_tests;
#[cfg(test)]
mod tests;
