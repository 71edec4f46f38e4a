//! Judging a packet: what the flow rules say of each, and what flows and rules say of what begins.

mod one;

use std::sync::Arc;

use lockgate_proto::device::{CopyOrder, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{
    Answer, Direction, Flows, Limits, News, Question, Refusal, Speakers, Subject, Verdict, Verdicts,
};
use lockgate_proto::now::Now;
use lockgate_proto::packet::{self, Fragment, Headers, TCP};
use lockgate_proto::program::{Packet, RuleRef};
use lockgate_proto::rules::{Pair, Rules, Wants};
use lockgate_proto::script::Script;

use super::logged::Logged;
use super::random::Random;
use super::reading::{facts, subject};
use super::words::Opening;
use super::{Load, Way};
use one::{compare, conclude, decided, is_midstream, judge_all, may_begin, opener, rule_for, turned};

/// What judging remembers.
pub(super) struct Judging {
    /// Counts every change of what is in force: flows of an earlier one are judged again.
    revision: u64,
    /// The last of them by which the rules themselves became others.
    changed_at: u64,
    pub(super) flows: Flows,
    /// What the flow rules have said, where that cannot change from packet to packet.
    verdicts: Verdicts<Each>,
    random: Random,
    logged: Logged,
    /// Copies that were noted with packets in fragments.
    copies: Vec<(PeerId, CopyOrder)>,
    seed: u128,
    /// What TCP flows speak; only where rules ask for it.
    speakers: Option<Speakers>,
    /// The last one that was found, until somebody takes it.
    pub(super) dispute: Option<Dispute>,
}

/// The rules for both directions; none where the policy does not know both nodes.
#[derive(Default)]
pub(super) struct Pairs {
    out: Option<Pair>,
    inward: Option<Pair>,
}

impl Pairs {
    pub(super) fn new(rules: &Rules, own: &Arc<str>, peer: &Arc<str>) -> Self {
        Self { out: rules.pair(Direction::Out, own, peer), inward: rules.pair(Direction::In, own, peer) }
    }

    /// Those of a script: it knows no names.
    pub(super) fn of_script(script: &Script) -> Self {
        let pair = |direction| Some(Pair::of_script(direction, script));
        Self { out: pair(Direction::Out), inward: pair(Direction::In) }
    }

    /// What judging in either direction needs to know.
    fn wants(&self) -> Wants {
        let wants = |pair: &Option<Pair>| pair.as_ref().map(Pair::wants).unwrap_or_default();
        wants(&self.out).and(wants(&self.inward))
    }

    const fn of(&self, direction: Direction) -> Option<&Pair> {
        match direction {
            Direction::Out => self.out.as_ref(),
            Direction::In => self.inward.as_ref(),
        }
    }
}

/// A packet that is judged.
pub(super) struct One {
    pub(super) direction: Direction,
    pub(super) peer: PeerId,
    pub(super) headers: Headers,
    subject: Subject,
    pub(super) now: Now,
}

impl One {
    pub(super) fn read(
        direction: Direction,
        peer: PeerId,
        load: Load<'_>,
        now: Now,
    ) -> Result<Self, Discard> {
        let headers = packet::parse(load.packet)?;
        Ok(Self { direction, peer, headers, subject: subject(&headers, load.packet), now })
    }
}

/// Between whom it goes.
pub(super) struct Between<'a> {
    pub(super) pairs: &'a Pairs,
    /// The candidate's, where one is staged: they are asked, and decide nothing.
    pub(super) staged: Option<&'a Pairs>,
    /// The peer of that name.
    pub(super) called: &'a dyn Fn(&str) -> Option<PeerId>,
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
    /// The same, because of what its flow speaks: where the rest lets it not pass either, it is reset.
    Unheard(Way),
}

impl Each {
    /// Whether it is all that there is to say about such packets.
    const fn is_simple(self) -> bool {
        matches!(self, Self::Passes(Way { copy: None, .. }) | Self::Open(Way { copy: None, .. }))
    }
}

/// Why a packet does not pass.
pub(super) enum No {
    /// A rule drops or forbids it: as what it is to be counted.
    Rule(RuleRef, Discard),
    /// It follows from nothing that passed, and may not begin: how what it belongs to began, where that was asked, and whether
    /// that is news.
    Flow(Refusal, News, Option<(Direction, Opening)>, Discard),
    /// For another reason.
    Reason(Discard),
}

/// Something that the candidate judges otherwise.
pub(super) struct Dispute {
    pub(super) direction: Direction,
    pub(super) opening: Opening,
    /// The rule in force that allows it; `None` where it is denied.
    pub(super) enforced: Option<RuleRef>,
    /// The candidate's.
    pub(super) staged: Option<RuleRef>,
}

impl Judging {
    pub(super) fn new(seed: u128) -> Self {
        let mut flows = Flows::new(Limits::default(), seed);
        flows.rules_changed(1);
        Self {
            revision: 1,
            changed_at: 1,
            flows,
            verdicts: Verdicts::new(VERDICTS, seed.rotate_left(64)),
            random: Random::new(seed),
            logged: Logged::default(),
            copies: Vec::new(),
            seed: seed.rotate_left(32),
            speakers: None,
            dispute: None,
        }
    }

    /// Other rules hold: every flow is judged again with its next packet.
    pub(super) fn rules_changed(&mut self) {
        self.compare_anew();
        self.copies.clear();
        self.changed_at = self.revision;
    }

    /// Another candidate is staged, or none: every flow is compared with its next packet, and stays.
    pub(super) fn compare_anew(&mut self) {
        self.revision += 1;
        self.flows.rules_changed(self.revision);
    }

    /// Forgets the flows of a peer.
    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        self.flows.forget_peer(peer.number());
        if let Some(speakers) = &mut self.speakers {
            speakers.forget_peer(peer.number());
        }
    }

    /// Whether the packet may pass, and which way.
    pub(super) fn judge(&mut self, one: &One, load: Load<'_>, between: &Between<'_>) -> Result<Way, No> {
        let way = self.way(one, load, between);
        // What is left of a packet follows what was said of its first part, on the same way. On a detour nothing does, or the rest
        // would go straight.
        let (number, now) = (one.peer.number(), one.now);
        if matches!(one.headers.fragment, Fragment::First { .. }) {
            let follows = way.as_ref().is_ok_and(|way| way.detour.is_none());
            let mark = way.as_ref().ok().and_then(|way| way.copy).map_or(Some(0), |copy| self.mark(copy));
            let answer = if follows && mark.is_some() { Answer::Allow } else { Answer::Deny };
            let noted = (answer, mark.unwrap_or(0));
            self.flows.note_fragment(one.direction, number, &one.subject, now, noted);
        }
        way
    }

    fn way(&mut self, one: &One, load: Load<'_>, between: &Between<'_>) -> Result<Way, No> {
        match self.each(one, load, between)? {
            Each::Passes(way) => Ok(way),
            Each::Begins(way) => {
                // Where no flow can hold it, what follows stays behind. Of a fragment the rest is looked after elsewhere.
                let subject = Subject { fragment: Fragment::Whole, ..one.subject };
                let _ = self.flows.admit(one.direction, one.peer.number(), &subject, one.now);
                Ok(way)
            }
            Each::Open(way) => self.must_follow(one, between, Discard::Denied).map(|()| way),
            Each::Unheard(way) => self.must_follow(one, between, Discard::WrongSpeech).map(|()| way),
        }
    }

    /// The number by which a copy is noted; `None` where there are too many different ones.
    fn mark(&mut self, copy: (PeerId, CopyOrder)) -> Option<u16> {
        let known = self.copies.iter().position(|other| *other == copy);
        let place = known.or_else(|| {
            (self.copies.len() < COPIES).then(|| {
                self.copies.push(copy);
                self.copies.len() - 1
            })
        });
        place.and_then(|place| u16::try_from(place + 1).ok())
    }

    /// The copy that was noted with the first part of this packet.
    fn marked(&self, one: &One) -> Option<(PeerId, CopyOrder)> {
        let mark = self.flows.mark(one.direction, one.peer.number(), &one.subject, one.now)?;
        self.copies.get(usize::from(mark).checked_sub(1)?).copied()
    }

    /// What the flow rules say of this one packet. A later fragment follows its first.
    fn each(&mut self, one: &One, load: Load<'_>, between: &Between<'_>) -> Result<Each, No> {
        let pair = between.pairs.of(one.direction);
        let Some(pair) = pair.filter(|pair| pair.has_flow_rules() && !one.headers.fragment.is_later()) else {
            let copy = if one.headers.fragment.is_later() { self.marked(one) } else { None };
            return Ok(Each::Open(Way { copy, detour: None }));
        };
        let wants = between.pairs.wants().and(between.staged.map(Pairs::wants).unwrap_or_default());
        let number = one.peer.number();
        // A recogniser has to hear everything; what it heard before a gap proves nothing.
        if !wants.spoken
            && let Some(speakers) = &mut self.speakers
        {
            speakers.forget(one.direction, number, &one.subject);
        }
        if !wants.spoken
            && let Some(said) = self.verdicts.get(one.direction, number, &one.subject, self.revision)
        {
            return Ok(said);
        }
        let facts = self.facts(one, load, wants, between.pairs)?;
        let judgement = judge_all(pair, &facts, load);
        if let Some(act) = judgement.log {
            self.logged.note(&act.rule, &one.headers, one.now);
        }
        let said = conclude(pair, &facts, &judgement, between, one.direction);
        if let (Some(staged), Some(enforced)) = (between.staged, decided(&said).filter(|_| may_begin(&facts)))
        {
            let enforced = judgement.by.map(|act| &act.rule).filter(|_| enforced);
            let forth = staged.of(one.direction).and_then(|pair| pair.allows(&facts));
            // Flow rules let answers pass by themselves; under the candidate they may follow from what they answer.
            let back = || staged.of(one.direction.opposite())?.allows(&turned(&facts));
            let staged = forth.or_else(|| enforced.and_then(|_| back()));
            compare(&mut self.dispute, (one.direction, Opening::by(&one.headers)), enforced, staged);
        }
        if said.is_err() && may_begin(&facts) {
            // It opens nothing, so that there is nothing to hear.
            if let Some(speakers) = &mut self.speakers {
                speakers.forget(one.direction, number, &one.subject);
            }
        }
        let said = said?;
        if judgement.steady && judgement.log.is_none() && said.is_simple() {
            self.verdicts.put(one.direction, number, &one.subject, self.revision, said);
        }
        Ok(said)
    }

    /// What the flow rules may ask about a packet.
    fn facts(&mut self, one: &One, load: Load<'_>, wants: Wants, pairs: &Pairs) -> Result<Packet, No> {
        let mut facts = facts(&one.headers, load.packet, load.lengths.0);
        let number = one.peer.number();
        if wants.established {
            let changed_at = self.changed_at;
            let ask = |question: &Question| {
                let stays = question.allowed_by.is_some_and(|revision| revision >= changed_at);
                if stays || rule_for(pairs, question).is_some() { Answer::Allow } else { Answer::Deny }
            };
            self.flows.review(one.direction, number, &one.subject, one.now, ask);
            facts.established = self.flows.knows(one.direction, number, &one.subject, one.now);
        }
        if wants.random {
            facts.random = self.random.next();
        }
        if wants.spoken && facts.protocol == Some(TCP) {
            let seed = self.seed;
            let speakers = self.speakers.get_or_insert_with(|| Speakers::new(SPEAKERS, seed));
            let seen = speakers.watch(one.direction, number, &one.subject, load.packet, one.now);
            if seen.gap {
                return Err(No::Reason(Discard::Gap));
            }
            facts.spoken = seen.spoken;
        }
        Ok(facts)
    }

    /// It belongs to a flow that the rules have let begin, or they let it begin one.
    fn must_follow(&mut self, one: &One, between: &Between<'_>, else_as: Discard) -> Result<(), No> {
        let (mut opening, dispute, changed_at) = (None, &mut self.dispute, self.changed_at);
        let ask = |question: &Question| {
            opening = Some((question.direction, Opening::of(question)));
            // What is new is the packet in hand, and the flow rules have left that to the others.
            let enforced = match question.allowed_by {
                Some(_) => rule_for(between.pairs, question),
                None => opener(between.pairs, question),
            };
            // A candidate was staged since, or taken away: that changes nothing.
            let stays = question.allowed_by.is_some_and(|revision| revision >= changed_at);
            if let Some(staged) = between.staged.filter(|_| enforced.is_some() || !stays) {
                let asked = Opening::of(question);
                // In mid-stream both are asked what flow rules leave to the others.
                let whole = question.allowed_by.is_some() || !is_midstream(&one.headers);
                let staged = if whole { rule_for(staged, question) } else { opener(staged, question) };
                compare(dispute, (question.direction, asked), enforced, staged);
            }
            if stays || enforced.is_some() { Answer::Allow } else { Answer::Deny }
        };
        match self.flows.judge(one.direction, one.peer.number(), &one.subject, one.now, ask) {
            Verdict::Pass(_) => Ok(()),
            Verdict::Deny(refusal, news) => Err(No::Flow(refusal, news, opening, else_as)),
        }
    }
}

/// Different copies that are noted with fragments at most: as many as there are rules for them, in a policy that can be read.
const COPIES: usize = 255;
/// Flows whose verdict is kept: a megabyte or so.
const VERDICTS: usize = 8_192;
/// TCP flows whose speech is watched: 900 bytes each.
const SPEAKERS: usize = 4_096;
