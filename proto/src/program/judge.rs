//! Judging: one pass over a list, each entry looked at once, nothing allocated.

use alloc::sync::Arc;

use super::facts::{IPV4, IPV6};
use super::{
    Act, Action, Characteristics, Direction, EndSocket, Entry, Join, List, Message, Packet, Parties,
    Recognised, Sense, Subject, TagTest, Test, Topic, ZmqTest, ZmtpTest,
};

/// What a list says.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'l> {
    /// What is to be done.
    pub outcome: Outcome<'l>,
    /// The rule that decided; `None` where the list came to its end. Behind [`Outcome::NoMatch`] it is a `break`.
    pub by: Option<&'l Act>,
    /// A copy that is to be sent where the packet passes: the last `tee` or `watch` that matched.
    pub tee: Option<Tee<'l>>,
    /// The last `log` rule that matched.
    pub log: Option<&'l Act>,
    /// The packet came to this node because a rule made it the observer or the detour: what the usual checks of
    /// addresses say does not count (upstream's super-accept).
    pub detoured: bool,
    /// Any packet of the same flow and direction, with the same parties, is judged the same: nothing was asked that changes from packet to
    /// packet.
    pub steady: bool,
    /// Something was asked that is not known yet; what passes passes for now.
    pub undecided: bool,
    /// It was refused because a rule asks for what cannot be read.
    pub unreadable: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'l> {
    /// It may pass.
    Accept,
    /// It must not.
    Drop,
    /// It goes to this node instead.
    Redirect(&'l Arc<str>),
    /// The list decides nothing: a `break`, or no rule matched.
    NoMatch,
}

/// A copy to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tee<'l> {
    /// Who gets it.
    pub to: &'l Arc<str>,
    /// At most so many bytes.
    pub length: u16,
    /// It is a `watch` rule that asks for it.
    pub is_watch: bool,
}

/// How a test comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// Not known yet.
    Maybe,
    /// It will never be known.
    Doubt,
    /// It does not apply: false, also after `not`.
    Never,
    /// True, also after `not` (upstream's `icmp` without a code).
    Always,
    /// The packet should say, but cannot be read.
    Unreadable,
}

/// What holds so far in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    Maybe,
}

impl Holds {
    pub(super) fn join(self, join: Join, other: Self) -> Self {
        match (join, self, other) {
            (Join::And, Self::No, _) | (Join::And, _, Self::No) => Self::No,
            (Join::And, Self::Yes, other) => other,
            (Join::Or, Self::Yes, _) | (Join::Or, _, Self::Yes) => Self::Yes,
            (Join::Or, Self::No, other) => other,
            (_, Self::Maybe, _) => Self::Maybe,
        }
    }

    /// Whether what is joined cannot change it.
    pub(super) fn is_settled(self, join: Join) -> bool {
        matches!((self, join), (Self::No, Join::And) | (Self::Yes, Join::Or))
    }
}

impl Truth {
    /// With the `not` before it; an unreadable one is looked at before.
    pub(super) fn under(self, sense: Sense) -> Holds {
        match (self, sense) {
            (Self::Always, _) | (Self::Yes, Sense::Plain) | (Self::No, Sense::Not) => Holds::Yes,
            (Self::Maybe | Self::Doubt, _) => Holds::Maybe,
            _ => Holds::No,
        }
    }
}

fn is(it: bool) -> Truth {
    if it { Truth::Yes } else { Truth::No }
}

/// Where a pass over a list stands.
struct Pass<'l> {
    holds: Holds,
    groups: [(Holds, Join); List::DEEPEST],
    depth: usize,
    tee: Option<Tee<'l>>,
    log: Option<&'l Act>,
    detoured: bool,
    steady: bool,
    undecided: bool,
    /// Something was asked in this rule that will never be known.
    doubtful: bool,
    unreadable: bool,
}

impl List {
    /// Judges a packet or a message. It is total, allocates nothing and looks at each entry once at most.
    pub fn judge(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Judgement<'_> {
        let mut pass = Pass {
            holds: Holds::Yes,
            groups: [(Holds::Yes, Join::And); Self::DEEPEST],
            depth: 0,
            tee: None,
            log: None,
            detoured: false,
            steady: true,
            undecided: false,
            doubtful: false,
            unreadable: false,
        };
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            at += 1;
            match entry {
                Entry::Match { join, sense, test } => {
                    if !pass.unreadable && !pass.holds.is_settled(*join) {
                        pass.ask(*join, *sense, test, parties, subject);
                    }
                }
                Entry::Open { join, skip } => {
                    if pass.unreadable || pass.holds.is_settled(*join) {
                        at += usize::from(*skip);
                    } else {
                        pass.open(*join);
                    }
                }
                Entry::Close => pass.close(),
                Entry::Act(act) => {
                    if let Some(outcome) = pass.act(act, parties) {
                        return pass.end(outcome, Some(act));
                    }
                }
            }
        }
        pass.end(Outcome::NoMatch, None)
    }
}

impl<'l> Pass<'l> {
    fn ask(&mut self, join: Join, sense: Sense, test: &Test, parties: &Parties<'_>, subject: &Subject<'_>) {
        self.steady &= !test.is_volatile();
        let truth = test.ask(parties, subject);
        if truth == Truth::Unreadable {
            self.unreadable = true;
            return;
        }
        self.doubtful |= truth == Truth::Doubt;
        self.holds = self.holds.join(join, truth.under(sense));
    }

    fn open(&mut self, join: Join) {
        // `List::new` has counted them.
        if let Some(place) = self.groups.get_mut(self.depth) {
            *place = (self.holds, join);
            self.depth += 1;
            self.holds = Holds::Yes;
        }
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        let (before, join) = self.groups[self.depth];
        self.holds = before.join(join, self.holds);
    }

    /// The end of a rule; something where it decides.
    fn act(&mut self, act: &'l Act, parties: &Parties<'_>) -> Option<Outcome<'l>> {
        if self.unreadable {
            return Some(Outcome::Drop);
        }
        let holds = core::mem::replace(&mut self.holds, Holds::Yes);
        self.depth = 0;
        if core::mem::take(&mut self.doubtful) && holds == Holds::Maybe {
            return self.refuse_in_doubt(&act.action);
        }
        self.undecided |= holds == Holds::Maybe;
        match (holds, &act.action) {
            (Holds::No, Action::Tee(copy) | Action::Watch(copy)) => self.skip(&copy.to, parties),
            (Holds::No, Action::Redirect(to)) => self.skip(to, parties),
            // What may hold lets pass for now, and nothing else.
            (Holds::No, _) | (Holds::Maybe, Action::Drop | Action::Break) => {}
            (_, Action::Accept) => return Some(Outcome::Accept),
            (_, Action::Drop) => return Some(Outcome::Drop),
            (_, Action::Break) => return Some(Outcome::NoMatch),
            (Holds::Maybe, _) => {}
            (Holds::Yes, Action::Log) => self.log = Some(act),
            (Holds::Yes, Action::Tee(copy) | Action::Watch(copy)) => {
                let way = way(&copy.to, parties);
                if way == Way::Here {
                    self.detoured = true;
                    return Some(Outcome::Accept);
                }
                if way == Way::There {
                    // The controller sends -1 as 65535, and 0 stands for all.
                    let length =
                        u16::try_from(copy.length).ok().filter(|length| *length > 0).unwrap_or(u16::MAX);
                    let is_watch = matches!(act.action, Action::Watch(_));
                    self.tee = Some(Tee { to: &copy.to, length, is_watch });
                }
            }
            (Holds::Yes, Action::Redirect(to)) => match way(to, parties) {
                Way::Here => {
                    self.detoured = true;
                    return Some(Outcome::Accept);
                }
                Way::There => return Some(Outcome::Redirect(to)),
                Way::Nowhere => {}
            },
        }
        None
    }

    /// A rule of which nobody will ever know whether it holds: it lets nothing pass, and what might have stopped the
    /// packet does.
    fn refuse_in_doubt(&mut self, action: &Action) -> Option<Outcome<'l>> {
        let stops = matches!(action, Action::Drop | Action::Break | Action::Redirect(_));
        self.unreadable |= stops;
        stops.then_some(Outcome::Drop)
    }

    /// A rule that sends to another node, and does not hold: where that node is this one, what an earlier node sent
    /// here by it still counts as sent here.
    fn skip(&mut self, to: &str, parties: &Parties<'_>) {
        if parties.direction == Direction::In && to == parties.own {
            self.detoured = true;
        }
    }

    fn end(&self, outcome: Outcome<'l>, by: Option<&'l Act>) -> Judgement<'l> {
        Judgement {
            outcome,
            by,
            tee: self.tee,
            log: self.log,
            detoured: self.detoured && outcome == Outcome::Accept,
            steady: self.steady,
            undecided: self.undecided,
            unreadable: self.unreadable,
        }
    }
}

/// Whether a packet has to be sent to another node at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Here,
    Nowhere,
}

/// In upstream's order.
fn way(to: &str, parties: &Parties<'_>) -> Way {
    if to == parties.source {
        Way::Nowhere
    } else if to == parties.own {
        if parties.direction == Direction::In { Way::Here } else { Way::Nowhere }
    } else if to == parties.destination {
        Way::Nowhere
    } else {
        Way::There
    }
}

impl Test {
    /// Whether the answer can change from one packet of a flow to the next.
    pub(super) fn is_volatile(&self) -> bool {
        match self {
            Self::Characteristics(bits) => bits & Characteristics::TCP_FLAGS != 0,
            Self::Size(..) | Self::Random(_) | Self::Tos { .. } | Self::Icmp { .. } => true,
            Self::Established | Self::Zmtp(_) => true,
            _ => false,
        }
    }

    /// Asks it.
    pub(super) fn ask(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Truth {
        if let Some(truth) = self.ask_parties(parties) {
            return truth;
        }
        match (self, subject) {
            (Self::Characteristics(wanted), Subject::Message(_)) if wanted & OF_MESSAGES == 0 => Truth::Never,
            (Self::Characteristics(wanted), subject) => {
                let bits = characteristics(parties, subject) & wanted;
                let in_doubt = bits & !Characteristics::TCP_FLAGS == 0
                    && wanted & Characteristics::TCP_FLAGS != 0
                    && matches!(subject, Subject::Packet(Packet { readable: false, .. }));
                if in_doubt { Truth::Unreadable } else { is(bits != 0) }
            }
            (Self::Random(_), Subject::Packet(packet)) if packet.asked => Truth::Maybe,
            (Self::Random(most), Subject::Packet(packet)) => is(packet.random <= *most),
            (Self::Zmq(test), Subject::Message(message)) => test.ask(message),
            (Self::Zmtp(test), Subject::Packet(packet)) => test.ask(packet),
            (_, Subject::Packet(packet)) => self.ask_packet(packet),
            (_, Subject::Message(_)) => Truth::Never,
        }
    }

    /// Asks it where the parties alone are the answer.
    pub(super) fn ask_parties(&self, parties: &Parties<'_>) -> Option<Truth> {
        Some(match self {
            Self::SourceNode(name) => is(**name == *parties.source),
            Self::DestinationNode(name) => is(**name == *parties.destination),
            Self::From(term) => is(term.matches(parties.source, parties.source_tags)),
            Self::To(term) => is(term.matches(parties.destination, parties.destination_tags)),
            Self::Tag { how, tag, value } => tags(*how, *tag, *value, parties),
            Self::Vlan(..) | Self::SourceMac(_) | Self::DestinationMac(_) => Truth::Never,
            _ => return None,
        })
    }

    /// Whether a question leaves the answer open.
    fn is_open(&self, packet: &Packet) -> bool {
        match self {
            Self::Source(_) | Self::SourceIn(_) => packet.source.is_none(),
            Self::Destination(_) | Self::DestinationIn(_) => packet.destination.is_none(),
            Self::SourcePort(..) | Self::SourcePortIn(_) => packet.ports.is_some(),
            Self::Icmp { .. } => matches!(packet.protocol, Some(1 | 58)) && packet.icmp.is_none(),
            Self::Size(..) | Self::Tos { .. } => true,
            _ => false,
        }
    }

    fn ask_packet(&self, packet: &Packet) -> Truth {
        if packet.asked && self.is_open(packet) {
            return Truth::Maybe;
        }
        let has_header = packet.source.is_some();
        match self {
            Self::EtherType(wanted) => is(packet.ethertype == *wanted as u16),
            Self::IpProtocol(wanted) => match packet.protocol {
                _ if !packet.readable => Truth::Unreadable,
                Some(protocol) => is(protocol == *wanted as u8),
                None => Truth::Never,
            },
            Self::Source(net) => holds(packet.source.and_then(|source| net.holds(source))),
            Self::Destination(net) => {
                holds(packet.destination.and_then(|destination| net.holds(destination)))
            }
            Self::SourceIn(set) => holds(packet.source.and_then(|source| set.holds(source))),
            Self::DestinationIn(set) => {
                holds(packet.destination.and_then(|destination| set.holds(destination)))
            }
            Self::Tos { .. } if !has_header => Truth::Never,
            Self::Tos { mask, start, end } => is((*start..=*end).contains(&(packet.tos & mask))),
            Self::Icmp { kind, code } => match packet.icmp {
                _ if !packet.readable => Truth::Unreadable,
                Some((actual, _)) if actual != *kind => Truth::Never,
                Some((_, actual)) => code.map_or(Truth::Always, |code| is(actual == code)),
                None => Truth::Never,
            },
            Self::SourcePort(first, last) => {
                port(packet, |(source, _)| source, |port| (*first..=*last).contains(&port))
            }
            Self::DestinationPort(first, last) => {
                port(packet, |(_, destination)| destination, |port| (*first..=*last).contains(&port))
            }
            Self::SourcePortIn(set) => port(packet, |(source, _)| source, |port| set.holds(port)),
            Self::DestinationPortIn(set) => {
                port(packet, |(_, destination)| destination, |port| set.holds(port))
            }
            Self::Size(first, last) => is((*first..=*last).contains(&packet.size)),
            Self::Established => is(packet.established),
            _ => Truth::Never,
        }
    }
}

fn holds(answer: Option<bool>) -> Truth {
    answer.map_or(Truth::Never, is)
}

/// Upstream takes port 0 of IPv6 for "no port".
fn port(packet: &Packet, which: impl Fn((u16, u16)) -> u16, fits: impl Fn(u16) -> bool) -> Truth {
    if !packet.readable {
        return Truth::Unreadable;
    }
    let is_v4 = packet.ethertype == IPV4 && (packet.source.is_some() || packet.asked);
    if !is_v4 && (packet.ethertype != IPV6 || packet.protocol.is_none()) {
        return Truth::Never;
    }
    let asked = packet.ports.map(which);
    is(asked.is_some_and(|port| fits(port) && (is_v4 || port != 0)))
}

fn tags(how: TagTest, tag: u32, value: u32, parties: &Parties<'_>) -> Truth {
    let of = |values: &[(u32, u32)]| {
        let at = values.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        Some(values[at].1)
    };
    let (sender, receiver) = (of(parties.source_values), of(parties.destination_values));
    let answer = match how {
        TagTest::Sender => sender.map(|sender| sender == value),
        TagTest::Receiver => receiver.map(|receiver| receiver == value),
        _ => sender.zip(receiver).map(|(one, other)| match how {
            TagTest::And => one & other == value,
            TagTest::Or => one | other == value,
            TagTest::Xor => one ^ other == value,
            TagTest::Difference => one.abs_diff(other) <= value,
            _ => one == value && other == value,
        }),
    };
    holds(answer)
}

fn characteristics(parties: &Parties<'_>, subject: &Subject<'_>) -> u64 {
    let mut bits = Characteristics::IP_AUTHENTICATED;
    if parties.direction == Direction::In {
        bits |= Characteristics::INBOUND;
    }
    if let Subject::Packet(packet) = subject {
        bits |= u64::from(packet.tcp_flags);
        if let Some(destination) = packet.destination {
            let is_everybody = destination == core::net::IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
            if is_everybody {
                bits |= Characteristics::BROADCAST;
            }
            if is_everybody || destination.is_multicast() {
                bits |= Characteristics::MULTICAST;
            }
        }
    }
    bits
}

impl ZmqTest {
    pub(super) fn ask(&self, message: &Message<'_>) -> Truth {
        match self {
            Self::Service(name) => is(**name == *message.service),
            Self::Socket(socket) => is(*socket == message.socket),
            Self::Identity(start) => is(message.identity.starts_with(start)),
            Self::Mechanism(name) => is(**name == *message.mechanism),
            Self::Size(first, last) => is((*first..=*last).contains(&message.size)),
            Self::Topic(start) => match message.topic {
                Topic::Is(topic) => is(topic.starts_with(start)),
                Topic::BeginsWith(topic) if topic.starts_with(start) => Truth::Yes,
                Topic::BeginsWith(topic) if start.starts_with(topic) => Truth::Maybe,
                Topic::BeginsWith(_) => Truth::No,
            },
        }
    }
}

impl ZmtpTest {
    fn ask(&self, packet: &Packet) -> Truth {
        if packet.protocol != Some(TCP) {
            return Truth::Never;
        }
        let (spoken, sockets) = match packet.spoken {
            Recognised::Undecided => return Truth::Maybe,
            Recognised::Untold => return Truth::Doubt,
            Recognised::Other => return if *self == Self::Spoken { Truth::No } else { Truth::Never },
            Recognised::Zmtp { mechanism, sockets } => (mechanism, sockets),
        };
        match self {
            Self::Spoken => Truth::Yes,
            Self::Mechanism(name) => {
                let len = spoken.iter().position(|byte| *byte == 0).unwrap_or(spoken.len());
                is(spoken[..len] == *name.as_bytes())
            }
            Self::SocketType(wanted) if sockets.contains(&EndSocket::Is(*wanted)) => Truth::Yes,
            Self::SocketType(_) if sockets.contains(&EndSocket::Hidden) => Truth::Doubt,
            Self::SocketType(_) if sockets.contains(&EndSocket::Pending) => Truth::Maybe,
            Self::SocketType(_) => Truth::No,
        }
    }
}

const TCP: u8 = 6;
/// The characteristics that a message has too: `not chr tcp_syn` says nothing about it.
const OF_MESSAGES: u64 = Characteristics::INBOUND | Characteristics::IP_AUTHENTICATED;
