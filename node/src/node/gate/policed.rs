//! The policy's gate: whose packet it is, what the flow rules say of each packet, and what flows and rules say of what begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_proto::device::PeerId;
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{Answer, Direction, Flows, Limits, News, Question, Refusal, Subject, Verdict};
use lockgate_proto::now::Now;
use lockgate_proto::packet::{self, Fragment, Headers};
use lockgate_proto::program::{Judgement, Outcome, Packet, Tee, packet_facts};
use lockgate_proto::rules::{Pair, RuleRef, Rules};

use super::denials::{PacketDenials, Why};
use super::reading::{is_readable, subject};
use super::words::{Opening, passing_through, reason, refused};
use super::{Territory, Way};

/// The policy, and the flows that it has let through.
pub struct Policed {
    own: Arc<str>,
    territory: Territory,
    peers: BTreeMap<PeerId, Known>,
    rules: Arc<Rules>,
    /// Counts every change of what is in force: flows of an earlier one are judged again.
    revision: u64,
    pub(super) flows: Flows,
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

/// What the flow rules say of one packet.
enum Each {
    /// It passes, on this way.
    Passes(Way),
    /// They leave it to the rest of the policy; where that lets it pass, it goes this way.
    Open(Way),
}

impl Policed {
    pub(super) fn new(own: Arc<str>, territory: Territory, rules: Arc<Rules>, seed: u128) -> Self {
        let mut flows = Flows::new(Limits::default(), seed);
        flows.rules_changed(1);
        let (peers, denials) = (BTreeMap::new(), PacketDenials::default());
        Self { own, territory, peers, rules, revision: 1, flows, denials }
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
        packet: &[u8],
        now: Now,
    ) -> Result<Way, Discard> {
        let headers = packet::parse(packet)?;
        self.must_be_ours(direction, peer, &headers, now)?;
        let subject = subject(&headers, packet);
        let way = match self.each(direction, peer, &headers, packet, now)? {
            Each::Passes(way) => {
                if matches!(headers.fragment, Fragment::First { .. }) {
                    // So that the later ones can follow it. They stay behind where no flow can hold them.
                    let _ = self.flows.judge(direction, peer.number(), &subject, now, |_| Answer::Allow);
                }
                return Ok(way);
            }
            Each::Open(way) => way,
        };
        self.must_follow(direction, peer, &headers, &subject, now)?;
        Ok(way)
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
    fn each(
        &mut self,
        direction: Direction,
        peer: PeerId,
        headers: &Headers,
        packet: &[u8],
        now: Now,
    ) -> Result<Each, Discard> {
        let pair = self.peers.get(&peer).and_then(|known| known.pairs.of(direction));
        let Some(pair) = pair.filter(|_| !headers.fragment.is_later()) else {
            return Ok(Each::Open(Way::default()));
        };
        let facts = Packet { readable: is_readable(headers), ..packet_facts(packet) };
        let Some(judgement) = pair.each(&facts) else { return Ok(Each::Open(Way::default())) };
        let copy = judgement.tee.and_then(|tee| self.copy_to(tee));
        let Judgement { outcome, by, .. } = judgement;
        let rule = by.map(|act| &act.rule);
        let (refused_by, detour) = match outcome {
            Outcome::NoMatch => return Ok(Each::Open(Way { copy, detour: None })),
            Outcome::Drop => (rule.cloned(), None),
            Outcome::Accept => (pair.forbids(&facts).cloned(), None),
            Outcome::Redirect(to) => (pair.forbids(&facts).cloned(), Some(self.called(to))),
        };
        match (refused_by, detour) {
            (None, None) if outcome != Outcome::Drop => Ok(Each::Passes(Way { copy, detour: None })),
            (None, Some(Some(peer))) => Ok(Each::Passes(Way { copy, detour: Some(peer) })),
            // The node that it should go through is no peer of ours: it goes nowhere.
            (None, Some(None)) => Err(Discard::NoRoute),
            (rule, _) => Err(self.refuse(direction, peer, headers, rule.as_ref(), now)),
        }
    }

    fn refuse(
        &mut self,
        direction: Direction,
        peer: PeerId,
        headers: &Headers,
        rule: Option<&RuleRef>,
        now: Now,
    ) -> Discard {
        let Self { own, peers, denials, .. } = self;
        if let (Some(known), Some(rule)) = (peers.get(&peer), rule) {
            let asked = (Opening::by(headers).kind, Why::Forbidden);
            let between = between(direction, own, &known.name);
            denials.note(between, asked, (News::First, now.instant), || refused(headers, rule));
        }
        Discard::Denied
    }

    /// It belongs to a flow that the rules have let begin, or they let it begin one.
    fn must_follow(
        &mut self,
        direction: Direction,
        peer: PeerId,
        headers: &Headers,
        subject: &Subject,
        now: Now,
    ) -> Result<(), Discard> {
        let Self { own, peers, rules, flows, denials, .. } = self;
        let known = peers.get(&peer).ok_or(Discard::Denied)?;
        let mut opening = None;
        let ask = |question: &Question| {
            let asked = Opening::of(question);
            let (from, to) = between(question.direction, own, &known.name);
            let pair = known.pairs.of(question.direction);
            let begins = |packet: Packet| pair.is_some_and(|pair| pair.begins(&packet).is_some());
            let allows = asked.question(from, to).packets().any(begins);
            opening = Some((question.direction, asked));
            if allows { Answer::Allow } else { Answer::Deny }
        };
        let Verdict::Deny(refusal, news) = flows.judge(direction, peer.number(), subject, now, ask) else {
            return Ok(());
        };
        // A flow that was withdrawn is told as it was opened, whichever of its packets came first: those that follow are
        // refused by the rules like the first one of any other.
        let (direction, opening) = opening.unwrap_or((direction, Opening::by(headers)));
        let known_as = if refusal == Refusal::Withdrawn { Refusal::Rules } else { refusal };
        let (from, to) = between(direction, own, &known.name);
        let asked = (opening.kind, Why::Refused(known_as));
        denials.note((from, to), asked, (news, now.instant), || reason(&opening, refusal, rules, from, to));
        Err(Discard::Denied)
    }

    /// The peer of that name.
    fn called(&self, name: &str) -> Option<PeerId> {
        self.peers.iter().find(|(_, known)| *known.name == *name).map(|(peer, _)| *peer)
    }

    fn copy_to(&self, tee: Tee<'_>) -> Option<(PeerId, u16)> {
        self.called(tee.to).map(|peer| (peer, tee.length))
    }
}

/// Who sends to whom.
fn between<'a>(direction: Direction, own: &'a Arc<str>, peer: &'a Arc<str>) -> (&'a Arc<str>, &'a Arc<str>) {
    match direction {
        Direction::Out => (own, peer),
        Direction::In => (peer, own),
    }
}
