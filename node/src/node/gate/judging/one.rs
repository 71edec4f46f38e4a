//! What the judgement of one packet comes to.

use lockgate_proto::device::{CopyKind, CopyOrder, Judged};
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{Direction, Question};
use lockgate_proto::packet::{Headers, TCP, Transport};
use lockgate_proto::program::{Judgement, Outcome, Packet, Recognised, RuleRef, Tee};
use lockgate_proto::rules::Pair;

use super::{Between, Dispute, Each, No, Pairs};
use crate::node::gate::words::Opening;
use crate::node::gate::{Load, Way};

/// What becomes of a packet that was judged.
pub(super) fn conclude(
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
pub(super) fn decided(said: &Result<Each, No>) -> Option<bool> {
    match said {
        Ok(Each::Open(_) | Each::Unheard(_)) => None,
        Ok(Each::Passes(_) | Each::Begins(_)) => Some(true),
        Err(_) => Some(false),
    }
}

/// Whether something may begin with the packet: of TCP, only with a SYN that answers nothing.
pub(super) fn may_begin(facts: &Packet) -> bool {
    facts.protocol != Some(TCP) || facts.tcp_flags & (SYN | ACK) == SYN
}

/// Whether it is a TCP segment other than the SYN that begins a connection.
pub(super) fn is_midstream(headers: &Headers) -> bool {
    matches!(headers.transport, Transport::Tcp { flags, .. } if u16::from(flags) & (SYN | ACK) != SYN)
}

/// The packet that it would be the answer to, as far as rules ask.
pub(super) fn turned(facts: &Packet) -> Packet {
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
pub(super) fn rule_for<'p>(pairs: &'p Pairs, question: &Question) -> Option<&'p RuleRef> {
    let pair = pairs.of(question.direction)?;
    Opening::of(question).packets().find_map(|packet| pair.allows(&packet))
}

/// The rule that lets a flow begin with a packet that the flow rules have left open, if one does.
pub(super) fn opener<'p>(pairs: &'p Pairs, question: &Question) -> Option<&'p RuleRef> {
    let pair = pairs.of(question.direction)?;
    Opening::of(question).packets().find_map(|packet| pair.opens(&packet))
}

/// Notes where the candidate says another thing.
pub(super) fn compare(
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
pub(super) fn judge_all<'p>(pair: &'p Pair, facts: &Packet, load: Load<'_>) -> Judgement<'p> {
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
