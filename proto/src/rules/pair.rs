//! The rules between two nodes, as one of them judges by them: what is the same for all their packets is folded away.

use alloc::sync::Arc;

use super::lists::{Lists, Raw, Said};
use super::{RuleRef, Rules};
use crate::program::{Action, Direction, Judgement, List, NodeTags, Outcome, Packet, Parties, Subject, Test};
use crate::script::Script;

/// The rules for the packets from one node to another, at one of them.
#[derive(Clone, Debug)]
pub struct Pair {
    direction: Direction,
    source: Arc<str>,
    destination: Arc<str>,
    tags: NodeTags,
    lists: Lists,
    wants: Wants,
}

/// What judging needs to know beside the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Whether a packet belongs to a flow.
    pub established: bool,
    /// What a TCP flow speaks.
    pub spoken: bool,
    /// A random number.
    pub random: bool,
}

impl Pair {
    /// Whether there are flow rules, so that [`Self::each`] says something.
    pub const fn has_flow_rules(&self) -> bool {
        self.lists.raw.is_some()
    }

    /// What the flow rules say about this one packet; `None` where the policy has none.
    pub fn each(&self, packet: &Packet) -> Option<Judgement<'_>> {
        self.lists.raw.as_ref()?;
        self.lists.each(&self.parties(), &Subject::Packet(*packet))
    }

    /// The rule by which this packet passes where it belongs to no flow: all the lists together.
    pub fn passes(&self, packet: &Packet) -> Option<&RuleRef> {
        match self.lists.judge(&self.parties(), &Subject::Packet(*packet)) {
            Said::Passes(act) => Some(&act.rule),
            Said::Denied(_) | Said::NoRule => None,
        }
    }

    /// The rule by which a flow may begin with this packet, or go on that began so: of the flow rules or of the others.
    pub fn allows(&self, packet: &Packet) -> Option<&RuleRef> {
        match self.each(packet) {
            Some(Judgement {
                outcome: Outcome::Accept | Outcome::Redirect(_), undecided: false, by, ..
            }) => by.map(|act| &act.rule).filter(|_| self.forbids(packet).is_none()),
            Some(Judgement { outcome: Outcome::Drop, .. }) => None,
            _ => self.begins(packet),
        }
    }

    /// The rule by which a flow may begin with this packet, where the flow rules said nothing about the one in hand. What they
    /// would accept of another packet of the flow is theirs to accept when it comes; what they would drop does not begin.
    pub fn opens(&self, packet: &Packet) -> Option<&RuleRef> {
        let said = self.each(packet);
        self.begins(packet).filter(|_| said.is_none_or(|said| said.outcome != Outcome::Drop))
    }

    /// The rule that forbids the packet, whatever allows it.
    pub fn forbids(&self, packet: &Packet) -> Option<&RuleRef> {
        self.lists.forbids(&self.parties(), &Subject::Packet(*packet)).map(|act| &act.rule)
    }

    /// The rule that lets a flow begin with this packet.
    pub fn begins(&self, packet: &Packet) -> Option<&RuleRef> {
        match self.lists.begins(&self.parties(), &Subject::Packet(*packet)) {
            Said::Passes(act) => Some(&act.rule),
            Said::Denied(_) | Said::NoRule => None,
        }
    }

    /// What judging needs to know beside the packet.
    pub const fn wants(&self) -> Wants {
        self.wants
    }

    fn parties(&self) -> Parties<'_> {
        Parties {
            direction: self.direction,
            // As for `Rules::parties`.
            own: "",
            source: &self.source,
            destination: &self.destination,
            source_tags: &self.tags,
            destination_tags: &self.tags,
            source_values: &[],
            destination_values: &[],
        }
    }
}

impl Wants {
    /// What either needs.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            established: self.established || other.established,
            spoken: self.spoken || other.spoken,
            random: self.random || other.random,
        }
    }

    fn of(lists: &Lists) -> Self {
        let mut wants = Self::default();
        for test in lists.all().flat_map(List::tests) {
            match test {
                Test::Established => wants.established = true,
                Test::Zmtp(_) => wants.spoken = true,
                Test::Random(_) => wants.random = true,
                _ => {}
            }
        }
        wants
    }
}

impl Rules {
    /// The rules for the packets between `own` and `peer`, as `own` judges by them: `Out` for those to the peer, `In` for those
    /// from it. `None` where the policy does not know both.
    pub fn pair(&self, direction: Direction, own: &Arc<str>, peer: &Arc<str>) -> Option<Pair> {
        let (source, destination) = match direction {
            Direction::Out => (own, peer),
            Direction::In => (peer, own),
        };
        let parties = self.parties(direction, source, destination)?;
        let lists = self.packets.fold(&parties, None);
        let wants = Wants::of(&lists);
        let (source, destination) = (source.clone(), destination.clone());
        Some(Pair { direction, source, destination, tags: NodeTags::new(), lists, wants })
    }

    /// Whether flow rules send copies of anything to `own`.
    pub fn observes(&self, own: &str) -> bool {
        let acts = self.packets.allowing().flat_map(List::acts);
        acts.into_iter().any(|act| match &act.action {
            Action::Tee(copy) | Action::Watch(copy) => *copy.to == *own,
            _ => false,
        })
    }

    /// Whether flow rules send this packet, which is from one node to another, by way of `own`, and nothing forbids it.
    pub fn admits_detour(&self, own: &str, source: &str, destination: &str, packet: &Packet) -> bool {
        let Some(parties) = self.parties(Direction::In, source, destination) else { return false };
        let parties = Parties { own, ..parties };
        let subject = Subject::Packet(*packet);
        let judgement = self.packets.each(&parties, &subject);
        judgement.is_some_and(|judgement| judgement.detoured && !judgement.undecided)
            && self.packets.forbids(&parties, &subject).is_none()
    }
}

impl Pair {
    /// The rules of a script alone, for nodes without names; capabilities that every node holds are among them.
    pub fn of_script(direction: Direction, script: &Script) -> Self {
        let lists = Lists { raw: Some(Raw::of(script).0), ..Lists::default() };
        let wants = Wants::of(&lists);
        let nobody: Arc<str> = "".into();
        Self { direction, source: nobody.clone(), destination: nobody, tags: NodeTags::new(), lists, wants }
    }
}
