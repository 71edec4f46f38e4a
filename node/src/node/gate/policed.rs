//! The policy's gate: whose packet it is, between which nodes it goes, and what is told of a refusal.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lockgate_proto::device::PeerId;
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{Direction, News, Refusal};
use lockgate_proto::now::Now;
use lockgate_proto::packet;
use lockgate_proto::rules::{Change, Denial, Disputed, Rules, Staged};

use super::denials::{PacketDenials, Why};
use super::judging::{Between, Dispute, Judging, No, One, Pairs};
use super::reading::facts;
use super::words::{Opening, passing_through, reason, refused};
use super::{Load, Territory, Way};

/// The policy, and the flows that it has let through.
pub struct Policed {
    own: Arc<str>,
    territory: Territory,
    peers: BTreeMap<PeerId, Known>,
    rules: Arc<Rules>,
    /// A candidate, and where it judged otherwise.
    pub(super) staged: Option<Staged>,
    pub(super) judging: Judging,
    pub(super) denials: PacketDenials,
}

/// A peer, and the rules between it and this node.
struct Known {
    name: Arc<str>,
    pairs: Pairs,
    /// The candidate's, while one is staged.
    staged: Option<Pairs>,
}

impl Policed {
    pub(super) fn new(own: Arc<str>, territory: Territory, rules: Arc<Rules>, seed: u128) -> Self {
        let (peers, denials) = (BTreeMap::new(), PacketDenials::default());
        Self { own, territory, peers, rules, staged: None, judging: Judging::new(seed), denials }
    }

    pub(super) fn name(&mut self, peer: PeerId, name: Arc<str>) {
        // What was said of the peer by another name does not hold of this one.
        self.judging.rules_changed();
        let pairs = Pairs::new(&self.rules, &self.own, &name);
        let staged = self.staged.as_ref().map(|staged| Pairs::new(&staged.rules, &self.own, &name));
        self.peers.insert(peer, Known { name, pairs, staged });
    }

    pub(super) fn territory(&mut self) -> &mut Territory {
        &mut self.territory
    }

    pub(super) fn replace_rules(&mut self, rules: Arc<Rules>) {
        self.judging.rules_changed();
        for known in self.peers.values_mut() {
            known.pairs = Pairs::new(&rules, &self.own, &known.name);
        }
        self.rules = rules;
    }

    /// Puts a candidate beside the rules, or takes it away: flows that are open are compared with their next packet.
    pub(super) fn stage(&mut self, candidate: Option<Arc<Rules>>) {
        self.judging.compare_anew();
        for known in self.peers.values_mut() {
            known.staged = candidate.as_ref().map(|rules| Pairs::new(rules, &self.own, &known.name));
        }
        self.staged = candidate.map(Staged::new);
    }

    /// The candidate as it is from now on; what it has differed in is kept.
    pub(super) fn update_candidate(&mut self, rules: Arc<Rules>) {
        let before = self.staged.take();
        self.stage(Some(rules));
        if let (Some(before), Some(staged)) = (before, &mut self.staged) {
            staged.differences = before.differences;
        }
    }

    pub(super) fn judge(
        &mut self,
        direction: Direction,
        peer: PeerId,
        load: Load<'_>,
        now: Now,
    ) -> Result<Way, Discard> {
        let one = One::read(direction, peer, load, now)?;
        self.must_be_ours(&one)?;
        let Self { peers, judging, .. } = self;
        let Some(known) = peers.get(&peer) else { return Err(Discard::Denied) };
        let called = |name: &str| peers.iter().find(|(_, known)| *known.name == *name).map(|(peer, _)| *peer);
        let between = Between { pairs: &known.pairs, staged: known.staged.as_ref(), called: &called };
        let judged = judging.judge(&one, load, &between);
        if let Some(dispute) = judging.dispute.take() {
            self.note_difference(peer, &dispute, now);
        }
        judged.map_err(|no| self.refuse(&one, no))
    }

    /// Whether the policy sends such a packet, from one peer to another, by way of this node.
    pub(super) fn admits_detour(
        &self,
        packet: &[u8],
        route: impl Fn(IpAddr) -> Option<PeerId>,
    ) -> Result<(), Discard> {
        let headers = packet::parse(packet)?;
        let (source, destination) = (route(headers.source), route(headers.destination));
        if self.territory.holds(headers.source) || self.territory.holds(headers.destination) {
            return Err(Discard::ForeignCopy);
        }
        let name = |end: Option<PeerId>| self.peers.get(&end?).map(|known| &*known.name);
        let ends = name(source).zip(name(destination));
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
    fn must_be_ours(&mut self, one: &One) -> Result<(), Discard> {
        let Self { own, territory, peers, denials, .. } = self;
        let known = peers.get(&one.peer).ok_or(Discard::Denied)?;
        let headers = &one.headers;
        let (near, far) = match one.direction {
            Direction::Out => (headers.source, headers.destination),
            Direction::In => (headers.destination, headers.source),
        };
        if territory.holds(far) {
            // Our own address from outside, or a packet for our own network on its way out: a wider prefix of the peer's
            // does not make it the peer's.
            let is_in = one.direction == Direction::In;
            return Err(if is_in { Discard::ForeignSource } else { Discard::NoRoute });
        }
        if !territory.holds(near) {
            let asked = (Opening::by(headers).kind, Why::Transit);
            let parties = parties(one.direction, own, &known.name);
            denials
                .note(parties, asked, (News::First, one.now.instant), || passing_through(headers, near, own));
            return Err(Discard::Transit);
        }
        Ok(())
    }

    fn note_difference(&mut self, peer: PeerId, dispute: &Dispute, now: Now) {
        let Self { own, peers, rules, staged, .. } = self;
        let (Some(known), Some(staged)) = (peers.get(&peer), staged) else { return };
        let Dispute { direction, opening, enforced, staged: wanted } = dispute;
        let (from, to) = parties(*direction, own, &known.name);
        let (change, allowed_by, denies) = match (enforced, wanted) {
            (Some(rule), None) => (Change::Denied, rule, &*staged.rules),
            (None, Some(rule)) => (Change::Allowed, rule, &**rules),
            _ => return,
        };
        let object = opening.kind.to_string();
        let disputed = Disputed { from, to, act: "packets", object: &object, change, allowed_by };
        let words = || match denies.packet(&opening.question(from, to)) {
            Err(denial) => denial,
            Ok(rule) => Denial {
                reason: format!("a flow rule drops {opening}"),
                nearest: Some(rule.clone()),
                why_not: "it is not asked".to_owned(),
            },
        };
        staged.differences.note(&disputed, now.instant, words);
    }

    /// Notes why a packet does not pass.
    fn refuse(&mut self, one: &One, no: No) -> Discard {
        let Self { own, peers, rules, denials, .. } = self;
        let Some(known) = peers.get(&one.peer) else { return Discard::Denied };
        match no {
            No::Reason(reason) => reason,
            No::Rule(rule, counted_as) => {
                let asked = (Opening::by(&one.headers).kind, Why::Forbidden);
                let parties = parties(one.direction, own, &known.name);
                let news = (News::First, one.now.instant);
                denials.note(parties, asked, news, || refused(&one.headers, &rule));
                counted_as
            }
            No::Flow(refusal, news, opening, counted_as) => {
                // A flow that was withdrawn is told as it was opened, whichever of its packets came first: those that follow are
                // refused by the rules like the first one of any other.
                let (direction, opening) = opening.unwrap_or((one.direction, Opening::by(&one.headers)));
                let known_as = if refusal == Refusal::Withdrawn { Refusal::Rules } else { refusal };
                let (from, to) = parties(direction, own, &known.name);
                let asked = (opening.kind, Why::Refused(known_as));
                let words = || reason(&opening, refusal, rules, from, to);
                denials.note((from, to), asked, (news, one.now.instant), words);
                counted_as
            }
        }
    }
}

/// Who sends to whom.
fn parties<'a>(direction: Direction, own: &'a Arc<str>, peer: &'a Arc<str>) -> (&'a Arc<str>, &'a Arc<str>) {
    match direction {
        Direction::Out => (own, peer),
        Direction::In => (peer, own),
    }
}
