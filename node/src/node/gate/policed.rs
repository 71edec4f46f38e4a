//! The policy's gate: whose packet it is, what the flow rules say of each packet, and what flows and rules say of what begins.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lockgate_proto::device::{CopyKind, CopyOrder, Judged, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{
    Answer, Direction, Flows, Limits, News, Question, Refusal, Subject, Verdict, Verdicts,
};
use lockgate_proto::now::Now;
use lockgate_proto::packet::{self, Fragment, Headers};
use lockgate_proto::program::{Judgement, Outcome, Packet, Tee};
use lockgate_proto::rules::{Pair, RuleRef, Rules};

use super::denials::{PacketDenials, Why};
use super::logged::Logged;
use super::random::Random;
use super::reading::{facts, subject};
use super::words::{Opening, passing_through, reason, refused};
use super::{Load, Territory, Way};

/// The policy, and the flows that it has let through.
pub struct Policed {
    own: Arc<str>,
    territory: Territory,
    peers: BTreeMap<PeerId, Known>,
    rules: Arc<Rules>,
    /// Counts every change of what is in force: flows of an earlier one are judged again.
    revision: u64,
    pub(super) flows: Flows,
    /// What the flow rules have said, where that cannot change from packet to packet.
    verdicts: Verdicts<Each>,
    random: Random,
    logged: Logged,
    pub(super) denials: PacketDenials,
}

/// A peer, and the rules between it and this node.
struct Known {
    name: Arc<str>,
    pairs: Pairs,
}

/// The rules for both directions; none where the policy does not know both nodes.
#[derive(Default)]
struct Pairs {
    out: Option<Pair>,
    inward: Option<Pair>,
}

impl Pairs {
    fn new(rules: &Rules, own: &Arc<str>, peer: &Arc<str>) -> Self {
        Self { out: rules.pair(Direction::Out, own, peer), inward: rules.pair(Direction::In, own, peer) }
    }

    const fn of(&self, direction: Direction) -> Option<&Pair> {
        match direction {
            Direction::Out => self.out.as_ref(),
            Direction::In => self.inward.as_ref(),
        }
    }
}

/// A packet that is judged.
struct One {
    direction: Direction,
    peer: PeerId,
    headers: Headers,
    subject: Subject,
    now: Now,
}

/// What the flow rules say of one packet.
#[derive(Clone, Copy)]
enum Each {
    /// It passes, on this way.
    Passes(Way),
    /// It passes, on this way, and what follows has to be known by it.
    Begins(Way),
    /// They leave it to the rest of the policy; where that lets it pass, it goes this way.
    Open(Way),
}

impl Each {
    /// Whether it is all that there is to say about such packets.
    const fn is_simple(self) -> bool {
        matches!(self, Self::Passes(Way { copy: None, .. }) | Self::Open(Way { copy: None, .. }))
    }
}

/// Why the flow rules do not let a packet pass.
enum No {
    Rule(RuleRef),
    Reason(Discard),
}

impl Policed {
    pub(super) fn new(own: Arc<str>, territory: Territory, rules: Arc<Rules>, seed: u128) -> Self {
        let mut flows = Flows::new(Limits::default(), seed);
        flows.rules_changed(1);
        Self {
            own,
            territory,
            peers: BTreeMap::new(),
            rules,
            revision: 1,
            flows,
            verdicts: Verdicts::new(VERDICTS, seed.rotate_left(64)),
            random: Random::new(seed),
            logged: Logged::default(),
            denials: PacketDenials::default(),
        }
    }

    pub(super) fn name(&mut self, peer: PeerId, name: Arc<str>) {
        let pairs = Pairs::new(&self.rules, &self.own, &name);
        self.peers.insert(peer, Known { name, pairs });
    }

    pub(super) fn territory(&mut self) -> &mut Territory {
        &mut self.territory
    }

    pub(super) fn replace_rules(&mut self, rules: Arc<Rules>) {
        self.revision += 1;
        self.flows.rules_changed(self.revision);
        for known in self.peers.values_mut() {
            known.pairs = Pairs::new(&rules, &self.own, &known.name);
        }
        self.rules = rules;
    }

    pub(super) fn judge(
        &mut self,
        direction: Direction,
        peer: PeerId,
        load: Load<'_>,
        now: Now,
    ) -> Result<Way, Discard> {
        let headers = packet::parse(load.packet)?;
        self.must_be_ours(direction, peer, &headers, now)?;
        let one = One { direction, peer, headers, subject: subject(&headers, load.packet), now };
        match self.each(&one, load)? {
            Each::Passes(way) => Ok(way),
            Each::Begins(way) => {
                // Where no flow can hold it, what follows stays behind.
                let _ = self.flows.judge(direction, peer.number(), &one.subject, now, |_| Answer::Allow);
                Ok(way)
            }
            Each::Open(way) => self.must_follow(&one).map(|()| way),
        }
    }

    /// Whether the policy makes this node an observer.
    pub(super) fn observes(&self) -> bool {
        self.rules.observes(&self.own)
    }

    /// Whether the policy sends such a packet, from one peer to another, by way of this node.
    pub(super) fn admits_detour(
        &self,
        packet: &[u8],
        route: impl Fn(IpAddr) -> Option<PeerId>,
    ) -> Result<(), Discard> {
        let headers = packet::parse(packet)?;
        let name = |end| route(end).and_then(|peer| self.peers.get(&peer)).map(|known| &*known.name);
        let ends = name(headers.source).zip(name(headers.destination));
        let (source, destination) = ends.ok_or(Discard::ForeignCopy)?;
        let size = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        let facts = facts(&headers, packet, size);
        if self.rules.admits_detour(&self.own, source, destination, &facts) {
            Ok(())
        } else {
            Err(Discard::Denied)
        }
    }

    /// A packet is judged as this node's only where its near end is this node's, and its far end is not.
    fn must_be_ours(
        &mut self,
        direction: Direction,
        peer: PeerId,
        headers: &Headers,
        now: Now,
    ) -> Result<(), Discard> {
        let Self { own, territory, peers, denials, .. } = self;
        let known = peers.get(&peer).ok_or(Discard::Denied)?;
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
            let asked = (Opening::by(headers).kind, Why::Transit);
            let between = between(direction, own, &known.name);
            denials.note(between, asked, (News::First, now.instant), || passing_through(headers, near, own));
            return Err(Discard::Transit);
        }
        Ok(())
    }

    /// What the flow rules say of this one packet. A later fragment follows its first.
    fn each(&mut self, one: &One, load: Load<'_>) -> Result<Each, Discard> {
        let Self { own, peers, flows, verdicts, random, logged, revision, .. } = self;
        let Some(known) = peers.get(&one.peer) else { return Err(Discard::Denied) };
        let pair = known.pairs.of(one.direction);
        let Some(pair) = pair.filter(|pair| pair.has_flow_rules() && !one.headers.fragment.is_later()) else {
            return Ok(Each::Open(Way::default()));
        };
        let number = one.peer.number();
        if let Some(said) = verdicts.get(one.direction, number, &one.subject, *revision) {
            return Ok(said);
        }
        let mut facts = facts(&one.headers, load.packet, load.lengths.0);
        if pair.wants().established {
            let ask = |question: &Question| {
                answer(&known.pairs, question, between(question.direction, own, &known.name))
            };
            flows.review(one.direction, number, &one.subject, one.now, ask);
            facts.established = flows.knows(one.direction, number, &one.subject, one.now);
        }
        if pair.wants().random {
            facts.random = random.next();
        }
        let judgement = judge_all(pair, &facts, load);
        if let Some(act) = judgement.log {
            logged.note(&act.rule, &one.headers, one.now);
        }
        let said = conclude(pair, &facts, &judgement, peers, one);
        match said {
            Ok(said) => {
                if judgement.steady && judgement.log.is_none() && said.is_simple() {
                    verdicts.put(one.direction, number, &one.subject, *revision, said);
                }
                Ok(said)
            }
            Err(No::Rule(rule)) => Err(self.refuse(one, &rule)),
            Err(No::Reason(reason)) => Err(reason),
        }
    }

    fn refuse(&mut self, one: &One, rule: &RuleRef) -> Discard {
        let Self { own, peers, denials, .. } = self;
        if let Some(known) = peers.get(&one.peer) {
            let asked = (Opening::by(&one.headers).kind, Why::Forbidden);
            let between = between(one.direction, own, &known.name);
            denials.note(between, asked, (News::First, one.now.instant), || refused(&one.headers, rule));
        }
        Discard::Denied
    }

    /// It belongs to a flow that the rules have let begin, or they let it begin one.
    fn must_follow(&mut self, one: &One) -> Result<(), Discard> {
        let Self { own, peers, rules, flows, denials, .. } = self;
        let known = peers.get(&one.peer).ok_or(Discard::Denied)?;
        let mut opening = None;
        let ask = |question: &Question| {
            opening = Some((question.direction, Opening::of(question)));
            answer(&known.pairs, question, between(question.direction, own, &known.name))
        };
        let verdict = flows.judge(one.direction, one.peer.number(), &one.subject, one.now, ask);
        let Verdict::Deny(refusal, news) = verdict else { return Ok(()) };
        // A flow that was withdrawn is told as it was opened, whichever of its packets came first: those that follow are
        // refused by the rules like the first one of any other.
        let (direction, opening) = opening.unwrap_or((one.direction, Opening::by(&one.headers)));
        let known_as = if refusal == Refusal::Withdrawn { Refusal::Rules } else { refusal };
        let (from, to) = between(direction, own, &known.name);
        let asked = (opening.kind, Why::Refused(known_as));
        let words = || reason(&opening, refusal, rules, from, to);
        denials.note((from, to), asked, (news, one.now.instant), words);
        Err(Discard::Denied)
    }
}

/// What becomes of a packet that was judged.
fn conclude(
    pair: &Pair,
    facts: &Packet,
    judgement: &Judgement<'_>,
    peers: &BTreeMap<PeerId, Known>,
    one: &One,
) -> Result<Each, No> {
    let called = |name: &str| peers.iter().find(|(_, known)| *known.name == *name).map(|(peer, _)| *peer);
    let copy = judgement.tee.and_then(|tee| Some((called(tee.to)?, order(one.direction, tee))));
    let rule = || judgement.by.map_or(No::Reason(Discard::Denied), |act| No::Rule(act.rule.clone()));
    let detour = match judgement.outcome {
        Outcome::Drop => return Err(rule()),
        Outcome::NoMatch => return Ok(Each::Open(Way { copy, detour: None })),
        Outcome::Accept => None,
        // Where the node that it should go through is no peer of ours, it goes nowhere.
        Outcome::Redirect(to) => Some(called(to).ok_or(No::Reason(Discard::NoRoute))?),
    };
    if let Some(forbid) = pair.forbids(facts) {
        return Err(No::Rule(forbid.clone()));
    }
    let way = Way { copy, detour };
    if pair.wants().established || matches!(one.headers.fragment, Fragment::First { .. }) {
        return Ok(Each::Begins(way));
    }
    Ok(Each::Passes(way))
}

fn order(direction: Direction, tee: Tee<'_>) -> CopyOrder {
    CopyOrder {
        judged: if direction == Direction::Out { Judged::Outbound } else { Judged::Inbound },
        kind: if tee.is_watch { CopyKind::Watch } else { CopyKind::Tee },
        length: tee.length,
    }
}

/// What the rules say about how a flow began.
fn answer(pairs: &Pairs, question: &Question, (from, to): (&Arc<str>, &Arc<str>)) -> Answer {
    let Some(pair) = pairs.of(question.direction) else { return Answer::Deny };
    let asked = Opening::of(question);
    let allows = asked.question(from, to).packets().any(|packet| pair.allows(&packet));
    if allows { Answer::Allow } else { Answer::Deny }
}

/// Judges the first and the last packet of a load: those between are like the first. Where they are told apart, none passes.
fn judge_all<'p>(pair: &'p Pair, facts: &Packet, load: Load<'_>) -> Judgement<'p> {
    let judge = |facts: &Packet| pair.each(facts).expect("the pair has flow rules");
    if !load.is_several() {
        return judge(facts);
    }
    let last = judge(&Packet { size: load.lengths.1, ..*facts });
    if last.steady {
        return last;
    }
    // FIN and PSH are of the last one only.
    let first = judge(&Packet { tcp_flags: facts.tcp_flags & !0b1001, ..*facts });
    if first.outcome == last.outcome { first } else { Judgement { outcome: Outcome::Drop, ..first } }
}

/// Who sends to whom.
fn between<'a>(direction: Direction, own: &'a Arc<str>, peer: &'a Arc<str>) -> (&'a Arc<str>, &'a Arc<str>) {
    match direction {
        Direction::Out => (own, peer),
        Direction::In => (peer, own),
    }
}

/// Flows whose verdict is kept: a megabyte or so.
const VERDICTS: usize = 8_192;
