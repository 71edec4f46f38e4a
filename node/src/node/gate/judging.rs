//! Judging a packet: what the flow rules say of each, and what flows and rules say of what begins.

use std::sync::Arc;

use lockgate_proto::device::{CopyKind, CopyOrder, Judged, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{
    Answer, Direction, Flows, Limits, News, Question, Refusal, Speakers, Subject, Verdict, Verdicts,
};
use lockgate_proto::now::Now;
use lockgate_proto::packet::{self, Fragment, Headers, TCP, Transport};
use lockgate_proto::program::{Judgement, Outcome, Packet, Recognised, RuleRef, Tee};
use lockgate_proto::rules::{Pair, Rules, Wants};
use lockgate_proto::script::Script;

use super::logged::Logged;
use super::random::Random;
use super::reading::{facts, subject};
use super::words::Opening;
use super::{Load, Way};

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
    const fn is_detour(self) -> bool {
        matches!(self, Self::Passes(Way { detour: Some(_), .. }) | Self::Begins(Way { detour: Some(_), .. }))
    }

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
            seed: seed.rotate_left(32),
            speakers: None,
            dispute: None,
        }
    }

    /// Other rules hold: every flow is judged again with its next packet.
    pub(super) fn rules_changed(&mut self) {
        self.compare_anew();
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
        let said = self.each(one, load, between);
        if !matches!(said, Ok(Each::Open(_) | Each::Unheard(_))) {
            // Flow rules have decided: what is left of a packet follows what they said of its first part. On a detour nothing does,
            // or the rest would go straight.
            let follows = said.as_ref().is_ok_and(|said| !said.is_detour());
            let answer = if follows { Answer::Allow } else { Answer::Deny };
            self.flows.note_fragment(one.direction, one.peer.number(), &one.subject, one.now, answer);
        }
        match said? {
            Each::Passes(way) => Ok(way),
            Each::Begins(way) => {
                // Where no flow can hold it, what follows stays behind. Of a fragment the rest is looked after above.
                let subject = Subject { fragment: Fragment::Whole, ..one.subject };
                let _ = self.flows.admit(one.direction, one.peer.number(), &subject, one.now);
                Ok(way)
            }
            Each::Open(way) => self.must_follow(one, between, Discard::Denied).map(|()| way),
            Each::Unheard(way) => self.must_follow(one, between, Discard::WrongSpeech).map(|()| way),
        }
    }

    /// What the flow rules say of this one packet. A later fragment follows its first.
    fn each(&mut self, one: &One, load: Load<'_>, between: &Between<'_>) -> Result<Each, No> {
        let pair = between.pairs.of(one.direction);
        let Some(pair) = pair.filter(|pair| pair.has_flow_rules() && !one.headers.fragment.is_later()) else {
            return Ok(Each::Open(Way::default()));
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
        if said.is_err() && facts.tcp_flags & SYN_ACK == SYN {
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

/// What becomes of a packet that was judged.
fn conclude(
    pair: &Pair,
    facts: &Packet,
    judgement: &Judgement<'_>,
    between: &Between<'_>,
    direction: Direction,
) -> Result<Each, No> {
    let copy = judgement.tee.and_then(|tee| Some(((between.called)(tee.to)?, order(direction, tee))));
    // Whoever cannot be heard is reset too: it may begin again.
    let spoken = judgement.heard && facts.spoken != Recognised::Undecided;
    let why = if spoken { Discard::WrongSpeech } else { Discard::Denied };
    let rule = || judgement.by.map_or(No::Reason(why), |act| No::Rule(act.rule.clone(), why));
    let detour = match judgement.outcome {
        Outcome::Drop => return Err(rule()),
        Outcome::NoMatch if spoken => return Ok(Each::Unheard(Way { copy, detour: None })),
        Outcome::NoMatch => return Ok(Each::Open(Way { copy, detour: None })),
        Outcome::Accept => None,
        // Where the node that it should go through is no peer of ours, it goes nowhere.
        Outcome::Redirect(to) => Some((between.called)(to).ok_or(No::Reason(Discard::NoRoute))?),
    };
    // What belongs to a flow does not begin anything: how the flow began was asked.
    if !facts.established
        && let Some(forbid) = pair.forbids(facts)
    {
        return Err(No::Rule(forbid.clone(), why));
    }
    let way = Way { copy, detour };
    Ok(if between.pairs.wants().established { Each::Begins(way) } else { Each::Passes(way) })
}

/// Whether the flow rules let a packet pass; `None` where they leave that to the rest.
fn decided(said: &Result<Each, No>) -> Option<bool> {
    match said {
        Ok(Each::Open(_) | Each::Unheard(_)) => None,
        Ok(Each::Passes(_) | Each::Begins(_)) => Some(true),
        Err(_) => Some(false),
    }
}

/// Whether something may begin with the packet: of TCP, only with a SYN that answers nothing.
fn may_begin(facts: &Packet) -> bool {
    facts.protocol != Some(TCP) || facts.tcp_flags & (SYN | ACK) == SYN
}

/// Whether it is a TCP segment other than the SYN that begins a connection.
fn is_midstream(headers: &Headers) -> bool {
    matches!(headers.transport, Transport::Tcp { flags, .. } if u16::from(flags) & (SYN | ACK) != SYN)
}

/// The packet that it would be the answer to, as far as rules ask.
fn turned(facts: &Packet) -> Packet {
    let ports = facts.ports.map(|(source, destination)| (destination, source));
    Packet { source: facts.destination, destination: facts.source, ports, ..*facts }
}

fn order(direction: Direction, tee: Tee<'_>) -> CopyOrder {
    CopyOrder {
        judged: if direction == Direction::Out { Judged::Outbound } else { Judged::Inbound },
        kind: if tee.is_watch { CopyKind::Watch } else { CopyKind::Tee },
        length: tee.length,
    }
}

/// The rule that lets a flow begin, if one does.
fn rule_for<'p>(pairs: &'p Pairs, question: &Question) -> Option<&'p RuleRef> {
    let pair = pairs.of(question.direction)?;
    Opening::of(question).packets().find_map(|packet| pair.allows(&packet))
}

/// The rule that lets a flow begin with a packet that the flow rules have left open, if one does.
fn opener<'p>(pairs: &'p Pairs, question: &Question) -> Option<&'p RuleRef> {
    let pair = pairs.of(question.direction)?;
    Opening::of(question).packets().find_map(|packet| pair.opens(&packet))
}

/// Notes where the candidate says another thing.
fn compare(
    dispute: &mut Option<Dispute>,
    (direction, opening): (Direction, Opening),
    enforced: Option<&RuleRef>,
    staged: Option<&RuleRef>,
) {
    if enforced.is_some() != staged.is_some() {
        let (enforced, staged) = (enforced.cloned(), staged.cloned());
        *dispute = Some(Dispute { direction, opening, enforced, staged });
    }
}

/// Judges the first packet of a load, the last, and those between, which are all alike. Where they are told apart, none passes.
fn judge_all<'p>(pair: &'p Pair, facts: &Packet, load: Load<'_>) -> Judgement<'p> {
    let judge = |facts: &Packet| pair.each(facts).expect("the pair has flow rules");
    if !load.is_several() {
        return judge(facts);
    }
    // FIN and PSH are of the last one only, CWR of the first (as `Segments` cuts them).
    let last = Packet { size: load.lengths.1, tcp_flags: facts.tcp_flags & !CWR, ..*facts };
    let last = judge(&last);
    if last.steady {
        return last;
    }
    let first = Packet { tcp_flags: facts.tcp_flags & !(FIN | PSH), ..*facts };
    let between = judge(&Packet { tcp_flags: first.tcp_flags & !CWR, ..first });
    let first = judge(&first);
    let agree = first.outcome == last.outcome && first.outcome == between.outcome;
    if agree { first } else { Judgement { outcome: Outcome::Drop, ..first } }
}

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
const CWR: u16 = 0x80;
/// Flows whose verdict is kept: a megabyte or so.
const VERDICTS: usize = 8_192;
/// TCP flows whose speech is watched: 900 bytes each.
const SPEAKERS: usize = 4_096;

const SYN_ACK: u16 = 0x12;
