//! Flows: which packets follow from one that the rules allowed.
//!
//! The rules are asked about the first packet of a flow; its other packets, in both directions, follow. When the rules
//! change, the next packet of each flow has it judged again, in the direction in which it was opened. Each end of a
//! tunnel has a table of its own. Nothing is copied from one end to the other.
//!
//! - TCP: a SYN opens a connection, in its own direction only: a SYN against the direction of a flow is judged as a new
//!   one (two ends that open at once both need to be allowed). Other segments open one too where the rules allow *their*
//!   direction, or long connections would not outlive a restart of this node; answers pass once the side that may open
//!   has sent something. Sequence numbers are not followed.
//! - UDP and other protocols: the first packet opens. ICMP echo: the request opens, replies with its identifier follow.
//!   Other ICMP is judged in its own direction, and has no answers.
//! - ICMP errors pass only if they quote a packet that went the other way in a flow of the same peer, whatever the
//!   rules say; redirects and source quenches count as other ICMP.
//! - Later fragments pass if the first one passed, came before them, and they leave its headers alone: all up to the
//!   end of the transport header.
//! - What cannot be read is denied.
//!
//! Memory is bounded, time is looked at when something comes, and no call works for longer than a bounded while.

mod flow;
mod hash;
mod key;
mod knows;
mod notes;
mod shares;
mod speakers;
mod subject;
mod table;
mod verdicts;

pub use speakers::{Seen, Speakers};
pub use subject::{
    Answer, Direction, Fragment, News, Question, Quoted, QuotedTransport, Refusal, Standing, Subject,
    TcpFlags, Transport, Verdict,
};
pub use verdicts::Verdicts;

use crate::now::Now;
use flow::Flow;
use hash::Seed;
use key::Key;
use notes::{Denials, Fragments};
use table::Table;

/// How much is remembered at most. The memory for it is reserved at construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows of all peers together: 104 to 120 bytes each. A full table is shared fairly among the peers that use it.
    pub flows: usize,
    /// Denials, so that a flood does not run the rules each time: about 80 bytes each.
    pub denials: usize,
    /// Packets in fragments: about 80 bytes each.
    pub fragments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows: 65_536, denials: 2_048, fragments: 1_024 }
    }
}

/// What happened in a flow table since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows that were opened.
    pub opened: u64,
    /// Flows that rested for too long.
    pub expired: u64,
    /// Flows that made room for others.
    pub evicted: u64,
    /// Flows that changed rules do not allow any more.
    pub withdrawn: u64,
    /// Packets that were denied, for whatever reason.
    pub denied: u64,
}

/// The flows between this node and its peers.
pub struct Flows {
    table: Table,
    denials: Denials,
    fragments: Fragments,
    generation: u64,
    counters: Counters,
}

impl Flows {
    /// An empty table. `seed` must not be known to peers: it keeps them from choosing addresses that collide.
    pub fn new(limits: Limits, seed: u128) -> Self {
        let seed = Seed::new(seed);
        Self {
            table: Table::new(limits.flows, seed),
            denials: Denials::new(limits.denials, seed),
            fragments: Fragments::new(limits.fragments, seed),
            generation: 0,
            counters: Counters::default(),
        }
    }

    /// Other rules hold from now on: each flow is judged again with its next packet. Any number that is not the one
    /// before will do.
    pub fn rules_changed(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Judges a packet to or from `peer`. `ask` is called at most once, and only for what no flow and no fresh denial
    /// answers; it is given the first packet of the flow, also where the packet in hand is a later one.
    pub fn judge(
        &mut self,
        direction: Direction,
        peer: u32,
        subject: &Subject,
        now: Now,
        ask: impl FnOnce(&Question) -> Answer,
    ) -> Verdict {
        self.judge_packet(&Packet { direction, peer, subject, now: millis(now), admitted: false }, ask)
    }

    /// A packet that the rules let pass by itself. What follows from it is known ([`Flows::knows`]), and passes only where rules say
    /// so, unless a flow that carries is there already. That another packet like it was denied just now counts for nothing.
    pub fn admit(&mut self, direction: Direction, peer: u32, subject: &Subject, now: Now) -> Verdict {
        let packet = Packet { direction, peer, subject, now: millis(now), admitted: true };
        self.judge_packet(&packet, |_| Answer::Allow)
    }

    fn judge_packet(&mut self, packet: &Packet<'_>, ask: impl FnOnce(&Question) -> Answer) -> Verdict {
        let verdict = match packet.subject.fragment {
            Fragment::Whole => self.judge_whole(packet, ask),
            Fragment::First { id, header } => {
                let verdict = self.judge_whole(packet, ask);
                let answer = if verdict.passes() { Answer::Allow } else { Answer::Deny };
                self.note_first(packet, id, header, answer);
                verdict
            }
            Fragment::Later { id, offset } => self.judge_later(packet, id, offset),
        };
        self.counters.denied += u64::from(!verdict.passes());
        verdict
    }

    /// Notes what was said of a first fragment that was judged elsewhere: later ones follow it where it passed. No flow is
    /// opened. What is no first fragment changes nothing.
    pub fn note_fragment(
        &mut self,
        direction: Direction,
        peer: u32,
        subject: &Subject,
        now: Now,
        answer: Answer,
    ) {
        if let Fragment::First { id, header } = subject.fragment {
            self.note_first(
                &Packet { direction, peer, subject, now: millis(now), admitted: false },
                id,
                header,
                answer,
            );
        }
    }

    /// Forgets all flows and fragments of a peer (it was removed, and its number may be given to another); how many they were.
    pub fn forget_peer(&mut self, peer: u32) -> usize {
        self.fragments.forget(peer);
        self.table.forget(peer)
    }

    /// Looks at `many` flows and forgets those that rested for too long. New flows do the same for a few; this is for
    /// quiet times, so that what is counted exists.
    pub fn sweep(&mut self, many: usize, now: Now) {
        self.table.sweep(many, millis(now));
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many flows there may be.
    pub fn limit(&self) -> usize {
        self.table.limit()
    }

    /// How many flows a peer has.
    pub fn held_by(&self, peer: u32) -> usize {
        self.table.held_by(peer)
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters { expired: self.table.expired, evicted: self.table.evicted, ..self.counters }
    }

    fn judge_whole(&mut self, packet: &Packet<'_>, ask: impl FnOnce(&Question) -> Answer) -> Verdict {
        let Packet { direction, peer, subject, now, .. } = *packet;
        if let Transport::Icmp { kind, quoted, .. } = subject.transport
            && key::is_error(key::is_v6(subject.source), kind)
        {
            return self.judge_error(packet, quoted);
        }
        let Some(key) = Key::of(direction, peer, subject) else {
            return self.deny(packet, Refusal::Unparsed);
        };
        let opens = packet.flags().opens();
        let admitted = packet.admitted;
        let before = self.table.find(&key, now).filter(|at| admitted || self.table.flow(*at).carries());
        if let Some(at) = before
            && !(opens && self.table.flow(at).origin != direction)
        {
            return self.judge_known(at, packet, ask);
        }
        if let Transport::Icmp { kind, .. } = subject.transport
            && key::is_echo_reply(key::is_v6(subject.source), kind)
            && let Some(key) = Key::alone(direction, peer, subject)
        {
            return match self.table.find(&key, now) {
                Some(at) => self.judge_known(at, packet, ask),
                None => self.judge_new(key, packet, ask),
            };
        }
        self.judge_new(key, packet, ask)
    }

    /// A packet of a flow.
    fn judge_known(
        &mut self,
        at: u32,
        packet: &Packet<'_>,
        ask: impl FnOnce(&Question) -> Answer,
    ) -> Verdict {
        let generation = self.generation;
        if self.table.flow(at).generation != generation
            && let Err(news) = self.judge_again(at, packet.now, ask)
        {
            return Verdict::Deny(Refusal::Withdrawn, news);
        }
        self.table.update(at, |flow| {
            flow.generation = generation;
            flow.carry(packet.direction, packet.flags(), packet.now);
        });
        Verdict::Pass(Standing::Known)
    }

    /// A flow that rules of before allowed: it stays, or ends here.
    #[cold]
    fn judge_again(&mut self, at: u32, now: u64, ask: impl FnOnce(&Question) -> Answer) -> Result<(), News> {
        let flow = self.table.flow(at);
        let question = flow.key.question(flow.origin);
        let question = Question { allowed_by: Some(flow.generation), ..question };
        if ask(&question) == Answer::Allow {
            return Ok(());
        }
        self.table.remove(at);
        self.counters.withdrawn += 1;
        self.note(&question, Refusal::Rules, now);
        Err(self.note(&question, Refusal::Withdrawn, now))
    }

    /// A packet that belongs to no flow, or is a SYN against the direction of its flow.
    fn judge_new(&mut self, key: Key, packet: &Packet<'_>, ask: impl FnOnce(&Question) -> Answer) -> Verdict {
        if packet.is_tcp() && !packet.flags().may_begin() {
            return self.deny(packet, Refusal::NoConnection);
        }
        let question = packet.question();
        let denial = Key::denial(&question, Refusal::Rules as u8);
        if !packet.admitted && denial.is_some_and(|key| self.denials.holds(&key, self.generation, packet.now))
        {
            return Verdict::Deny(Refusal::Rules, News::Repeated);
        }
        if ask(&question) == Answer::Deny {
            return self.deny(packet, Refusal::Rules);
        }
        let flow = Flow::opened(key, packet.direction, self.generation, packet.flags(), packet.now);
        let flow = if packet.admitted { flow.alone() } else { flow };
        if let Some(at) = self.table.find(&key, packet.now) {
            self.table.remove(at);
        }
        if !self.table.insert(flow, packet.now) {
            return self.deny(packet, Refusal::Full);
        }
        self.counters.opened += 1;
        Verdict::Pass(Standing::Opened)
    }

    /// An ICMP error: it belongs to the flow of the packet that it quotes.
    fn judge_error(&mut self, packet: &Packet<'_>, quoted: Option<Quoted>) -> Verdict {
        let flow = self.flow_quoted(packet, quoted);
        // A flow that other rules allowed is no proof: the next packet of its own decides.
        match flow.is_some_and(|flow| flow.generation == self.generation && flow.carries()) {
            true => Verdict::Pass(Standing::Related),
            false => self.deny(packet, Refusal::Unrelated),
        }
    }

    /// The flow in which the packet went that an ICMP error quotes.
    fn flow_quoted(&self, packet: &Packet<'_>, quoted: Option<Quoted>) -> Option<&Flow> {
        let went = packet.direction.opposite();
        let quoted = quoted.filter(|quoted| quoted.source == packet.subject.destination)?;
        let flow = self.table.peek(&Key::quoted(went, packet.peer, &quoted)?, packet.now)?;
        flow.saw(went).then_some(flow)
    }

    fn note_first(&mut self, packet: &Packet<'_>, id: u32, header: u16, answer: Answer) {
        let Some(key) = Key::fragments(packet.direction, packet.peer, packet.subject, id) else {
            return;
        };
        match answer {
            Answer::Allow => self.fragments.pass(&key, header, self.generation, packet.now),
            Answer::Deny => self.fragments.stop(&key),
        }
    }

    fn judge_later(&mut self, packet: &Packet<'_>, id: u32, offset: u16) -> Verdict {
        let key = Key::fragments(packet.direction, packet.peer, packet.subject, id);
        match key.is_some_and(|key| self.fragments.follows(&key, offset, self.generation, packet.now)) {
            true => Verdict::Pass(Standing::Fragment),
            false => self.deny(packet, Refusal::Fragment),
        }
    }

    fn deny(&mut self, packet: &Packet<'_>, refusal: Refusal) -> Verdict {
        Verdict::Deny(refusal, self.note(&packet.question(), refusal, packet.now))
    }

    fn note(&mut self, question: &Question, refusal: Refusal, now: u64) -> News {
        let key = Key::denial(question, refusal as u8);
        key.map_or(News::Repeated, |key| self.denials.note(&key, self.generation, now))
    }
}

/// A packet to judge.
struct Packet<'a> {
    direction: Direction,
    peer: u32,
    subject: &'a Subject,
    now: u64,
    /// Whether the rules let it pass by itself.
    admitted: bool,
}

impl Packet<'_> {
    fn is_tcp(&self) -> bool {
        matches!(self.subject.transport, Transport::Tcp { .. })
    }

    fn flags(&self) -> TcpFlags {
        match self.subject.transport {
            Transport::Tcp { flags, .. } => flags,
            _ => TcpFlags::default(),
        }
    }

    fn question(&self) -> Question {
        key::question(self.direction, self.peer, self.subject)
    }
}

/// Milliseconds since the epoch of the machine.
fn millis(now: Now) -> u64 {
    let since = now.instant.since_epoch();
    since.as_secs().saturating_mul(1000).saturating_add(u64::from(since.subsec_millis()))
}

#[cfg(test)]
mod fairness;
#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
