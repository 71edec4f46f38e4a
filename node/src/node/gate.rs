//! What judges IP packets on their way into the tunnel and out of it. When in doubt, nothing passes.

mod denials;
mod territory;
#[cfg(test)]
mod tests;

pub use denials::PacketDenial;
pub use territory::Territory;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use lockgate_proto::device::PeerId;
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{
    self, Answer, Direction, Flows, Limits, News, Question, Quoted, QuotedTransport, Refusal, Subject,
    TcpFlags, Verdict,
};
use lockgate_proto::now::Now;
use lockgate_proto::packet::{self, Headers, Transport};
use lockgate_proto::prefix::Prefix;
use lockgate_proto::program::{self, NodeTags, Outcome, Parties, packet_facts};
use lockgate_proto::rules::{PacketKind, PacketQuestion, Rules};
use lockgate_proto::script::Script;

use denials::{PacketDenials, Why};

/// What judges IP packets.
pub enum Gate {
    /// There is no TUN device: no packet is ours.
    NoTun,
    /// Nothing passes: there are no rules.
    Shut,
    /// Everything passes: whoever runs this has said so.
    Open,
    /// The policy decides.
    Policy(Box<Policed>),
    /// Flow rules decide about each packet by itself.
    Script(Script),
}

/// The policy, and the flows that it has let through.
pub struct Policed {
    own: Arc<str>,
    territory: Territory,
    names: BTreeMap<PeerId, Arc<str>>,
    rules: Arc<Rules>,
    flows: Flows,
    denials: PacketDenials,
}

impl Gate {
    /// The policy's gate of the node called `own`, which speaks for `territory`; `seed` must be secret from peers.
    pub fn policy(own: Arc<str>, territory: Territory, rules: Arc<Rules>, seed: u128) -> Self {
        let mut flows = Flows::new(Limits::default(), seed);
        flows.rules_changed(rules.generation());
        let (names, denials) = (BTreeMap::new(), PacketDenials::default());
        Self::Policy(Box::new(Policed { own, territory, names, rules, flows, denials }))
    }

    /// What a peer is called in the policy, and which addresses it speaks for.
    pub(super) fn name(&mut self, peer: PeerId, name: Arc<str>, addresses: &[Prefix]) {
        if let Self::Policy(policed) = self {
            policed.names.insert(peer, name);
            policed.territory.cede(addresses);
        }
    }

    /// Other rules: every flow is judged again with its next packet.
    pub(super) fn replace_rules(&mut self, rules: Arc<Rules>) {
        if let Self::Policy(policed) = self {
            policed.flows.rules_changed(rules.generation());
            policed.rules = rules;
        }
    }

    /// Judges a packet to or from `peer`.
    pub(super) fn judge(
        &mut self,
        direction: Direction,
        peer: PeerId,
        packet: &[u8],
        now: Now,
    ) -> Result<(), Discard> {
        match self {
            Self::Open => Ok(()),
            Self::NoTun => Err(Discard::NoTun),
            Self::Shut => Err(Discard::Denied),
            Self::Policy(policed) => policed.judge(direction, peer, packet, now),
            Self::Script(script) => {
                let headers = packet::parse(packet)?;
                let subject = program::Subject::Packet(facts(&headers, packet));
                match script.judge(&nobody(direction), &[], &subject).outcome {
                    Outcome::Accept => Ok(()),
                    // Nobody has a name here, so that a packet cannot be sent on to one.
                    Outcome::Drop | Outcome::Redirect(_) | Outcome::NoMatch => Err(Discard::Denied),
                }
            }
        }
    }

    /// The next denial that nobody was told of.
    pub(super) fn poll_denial(&mut self) -> Option<PacketDenial> {
        match self {
            Self::Policy(policed) => policed.denials.poll(),
            _ => None,
        }
    }

    /// What was denied lately, oldest first.
    pub fn denials(&self) -> impl Iterator<Item = &PacketDenial> {
        let policed = if let Self::Policy(policed) = self { Some(policed) } else { None };
        policed.into_iter().flat_map(|policed| policed.denials.iter())
    }

    /// How many flows are remembered, and what happened to them.
    pub fn flows(&self) -> Option<(usize, flows::Counters)> {
        match self {
            Self::Policy(policed) => Some((policed.flows.len(), policed.flows.counters())),
            _ => None,
        }
    }

    /// What it does, in a word for reports.
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::NoTun => "no_tun",
            Self::Shut => "shut",
            Self::Open => "open",
            Self::Policy(_) => "policy",
            Self::Script(_) => "rules",
        }
    }
}

impl Policed {
    fn judge(&mut self, direction: Direction, peer: PeerId, packet: &[u8], now: Now) -> Result<(), Discard> {
        let headers = packet::parse(packet)?;
        let Self { own, territory, names, rules, flows, denials } = self;
        let name = names.get(&peer).ok_or(Discard::Denied)?;
        let between = |direction| match direction {
            Direction::Out => (&*own, name),
            Direction::In => (name, &*own),
        };
        let (from, to) = between(direction);
        let (near, far) = match direction {
            Direction::Out => (headers.source, headers.destination),
            Direction::In => (headers.destination, headers.source),
        };
        if territory.holds(far) {
            // Our own address from outside, or a packet for our own network on its way out: a wider prefix of the peer's
            // does not make it the peer's.
            return Err(if direction == Direction::In { Discard::ForeignSource } else { Discard::NoRoute });
        }
        if !territory.holds(near) {
            let asked = (kind(headers.transport), Why::Transit);
            denials
                .note((from, to), asked, (News::First, now.instant), || passing_through(&headers, near, own));
            return Err(Discard::Transit);
        }
        let mut opening = None;
        let ask = |question: &Question| {
            let (from, to) = between(question.direction);
            let asked = PacketQuestion { from, to, kind: question.kind };
            opening = Some((question.direction, Opening::of(question)));
            if rules.permits(&asked).is_some() { Answer::Allow } else { Answer::Deny }
        };
        let subject = subject(&headers, packet);
        let Verdict::Deny(refusal, news) = flows.judge(direction, peer.number(), &subject, now, ask) else {
            return Ok(());
        };
        // A flow that was withdrawn is told as it was opened, whichever of its packets came first: those that follow are
        // refused by the rules like the first one of any other.
        let (direction, opening) = opening.unwrap_or((direction, Opening::by(&headers)));
        let known_as = if refusal == Refusal::Withdrawn { Refusal::Rules } else { refusal };
        let ((from, to), asked) = (between(direction), (opening.kind, Why::Refused(known_as)));
        denials.note((from, to), asked, (news, now.instant), || reason(&opening, refusal, rules, from, to));
        Err(Discard::Denied)
    }
}

/// The parties of a packet between peers that have keys and no names.
fn nobody(direction: Direction) -> Parties<'static> {
    static TAGS: NodeTags = NodeTags::new();
    Parties {
        direction,
        own: "",
        source: "",
        destination: "",
        source_tags: &TAGS,
        destination_tags: &TAGS,
        source_values: &[],
        destination_values: &[],
    }
}

/// The packet as the rules see it. What stands behind the fragment header of IPv6 is read here, and of a later fragment
/// nothing is, whatever its bytes look like.
fn facts(headers: &Headers, packet: &[u8]) -> program::Packet {
    let mut facts = packet_facts(packet);
    match headers.transport {
        Transport::LaterFragment | Transport::Unparsed => facts.readable = false,
        _ if headers.fragment == flows::Fragment::Whole => {}
        Transport::Tcp { source, destination, flags } => {
            (facts.protocol, facts.ports) = (Some(packet::TCP), Some((source, destination)));
            facts.tcp_flags |= u16::from(flags);
        }
        Transport::Udp { source, destination } => {
            (facts.protocol, facts.ports) = (Some(packet::UDP), Some((source, destination)));
        }
        Transport::Icmp { kind, code, .. } => {
            let protocol = if headers.source.is_ipv6() { packet::ICMPV6 } else { packet::ICMP };
            (facts.protocol, facts.icmp) = (Some(protocol), Some((kind, code)));
        }
        // Its ports may stand behind a header that was not read.
        Transport::Other(_) => facts.readable = false,
    }
    facts
}

/// The packet as the flow table sees it.
fn subject(headers: &Headers, packet: &[u8]) -> Subject {
    let transport = match headers.transport {
        Transport::Tcp { source, destination, flags } => {
            flows::Transport::Tcp { source, destination, flags: TcpFlags(flags) }
        }
        Transport::Udp { source, destination } => flows::Transport::Udp { source, destination },
        Transport::Icmp { kind, code, id } => {
            let quoted = packet::quoted(packet).and_then(quoted);
            flows::Transport::Icmp { kind, code, id: id.unwrap_or(0), quoted }
        }
        Transport::Other(protocol) => flows::Transport::Other(protocol),
        // Of a later fragment nothing but its place is looked at.
        Transport::LaterFragment | Transport::Unparsed => flows::Transport::Unparsed,
    };
    Subject {
        source: headers.source,
        destination: headers.destination,
        transport,
        fragment: headers.fragment,
    }
}

/// What an ICMP error quotes.
fn quoted(headers: Headers) -> Option<Quoted> {
    let transport = match headers.transport {
        Transport::Tcp { source, destination, .. } => QuotedTransport::Tcp(source, destination),
        Transport::Udp { source, destination } => QuotedTransport::Udp(source, destination),
        Transport::Icmp { kind, id, .. } => QuotedTransport::Icmp(kind, id?),
        Transport::Other(protocol) => QuotedTransport::Other(protocol),
        Transport::LaterFragment | Transport::Unparsed => return None,
    };
    Some(Quoted { source: headers.source, destination: headers.destination, transport })
}

/// A packet that opens a flow, or would have.
struct Opening {
    kind: PacketKind,
    source: IpAddr,
    destination: IpAddr,
}

impl Opening {
    const fn of(question: &Question) -> Self {
        Self { kind: question.kind, source: question.source, destination: question.destination }
    }

    const fn by(headers: &Headers) -> Self {
        let (source, destination) = (headers.source, headers.destination);
        Self { kind: kind(headers.transport), source, destination }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.kind, self.source, self.destination)
    }
}

fn passing_through(headers: &Headers, near: IpAddr, own: &str) -> String {
    let opening = Opening::by(headers);
    format!(
        "{opening}: {near} is no address of {own}: it forwards for the networks under [tun] networks only"
    )
}

fn reason(opening: &Opening, refusal: Refusal, rules: &Rules, from: &str, to: &str) -> String {
    let judgement = || match rules.packet(&PacketQuestion { from, to, kind: opening.kind }) {
        Err(denial) => denial.to_string(),
        Ok(rule) => format!("the rules have changed just now: {rule}"),
    };
    let why = match refusal {
        Refusal::Rules => judgement(),
        Refusal::Withdrawn => format!("the rule that let it through is gone: {}", judgement()),
        Refusal::NoConnection => "a TCP segment of no connection".to_owned(),
        Refusal::Unrelated => "an ICMP error about no packet that passed here".to_owned(),
        Refusal::Fragment => "a fragment of no packet that passed".to_owned(),
        Refusal::Unparsed => "it cannot be read down to its ports".to_owned(),
        Refusal::Full => "the table of flows is full".to_owned(),
    };
    format!("{opening}: {why}")
}

const fn kind(transport: Transport) -> PacketKind {
    match transport {
        Transport::Tcp { destination, .. } => PacketKind::Tcp(destination),
        Transport::Udp { destination, .. } => PacketKind::Udp(destination),
        Transport::Icmp { .. } => PacketKind::Icmp,
        Transport::Other(protocol) => PacketKind::Other(protocol),
        Transport::LaterFragment | Transport::Unparsed => PacketKind::Unparsed,
    }
}
