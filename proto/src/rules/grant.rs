//! What an open connection may carry: asked per message, so without an allocation.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::lists::{Lists, Said};
use super::{Opening, RuleRef};
use crate::policy::Rate;
use crate::program::{Act, Action, Bounds, Direction, List, Message, NodeTags, Parties, Subject, Topic};
use crate::zmtp::SocketType;

/// What the rules leave open once a connection is known: which topics pass, and up to which size. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Grant(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// For where a message is sent and where it arrives; one where both judge the same.
    sides: Vec<(Direction, Lists)>,
    rules: Vec<RuleRef>,
    bounds: Bounds,
    max_message: u64,
    host_sockets: Vec<SocketType>,
    rate: Option<Rate>,
    user: Box<str>,
    host: Box<str>,
    service: Box<str>,
    socket: SocketType,
    tags: NodeTags,
}

/// A message may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Under which rule: an index into [`Grant::rules`].
    pub rule: usize,
    /// The most that the message may have, all its parts together, in bytes.
    pub limit: u64,
}

/// What a grant is made of.
pub(super) struct Granting<'a> {
    pub(super) sides: Vec<(Direction, Lists)>,
    pub(super) host_sockets: Vec<SocketType>,
    /// The rate under a rule; `None` where it has no limit.
    pub(super) limits: &'a dyn Fn(&RuleRef) -> Option<Rate>,
}

impl Grant {
    /// The most that a message may have where nobody said anything: 64 MiB.
    pub const MAX_MESSAGE: u64 = 64 << 20;

    /// What the folded lists leave open; `None` where that is nothing.
    pub(super) fn new(granting: Granting<'_>, opening: &Opening<'_>) -> Option<Self> {
        let Granting { sides, host_sockets, limits } = granting;
        let bounds = Bounds::of(sides.iter().flat_map(|(_, lists)| lists.all()), Self::MAX_MESSAGE);
        let mut rules: Vec<RuleRef> = Vec::new();
        for act in sides.iter().flat_map(|(_, lists)| lists.accepting()) {
            if !rules.contains(&act.rule) {
                rules.push(act.rule.clone());
            }
        }
        let rate = rules.iter().map(limits).reduce(|one, other| Some(one?.max(other?))).flatten();
        let mut parts = Parts {
            sides,
            rules,
            bounds,
            max_message: 0,
            host_sockets,
            rate,
            user: opening.user.into(),
            host: opening.host.into(),
            service: opening.service.into(),
            socket: opening.socket,
            tags: NodeTags::new(),
        };
        // As for `publish`: a message is passed on before its size is known.
        let may_pass = |size: &u64| parts.judge(Topic::BeginsWith(b""), *size).is_some();
        parts.max_message = parts.bounds.sizes.iter().copied().take_while(may_pass).last()?;
        Some(Self(Arc::new(parts)))
    }

    /// The rules that may let a message pass; at least one, of those in the policy the ones that allow the largest messages first.
    pub fn rules(&self) -> &[RuleRef] {
        &self.0.rules
    }

    /// The offering socket types that can answer; at least one.
    pub fn host_sockets(&self) -> &[SocketType] {
        &self.0.host_sockets
    }

    /// Up to which size messages may pass, all their parts together, in bytes: of no size up to this one do the rules let
    /// none pass.
    pub fn max_message(&self) -> u64 {
        self.0.max_message
    }

    /// The highest rate that any of the rules allows; `None` where there is no limit.
    pub fn rate(&self) -> Option<Rate> {
        self.0.rate
    }

    /// Whether the topic decides: whether each message and subscription has to be asked about.
    pub fn restricts_topics(&self) -> bool {
        self.0.bounds.asks_topics
    }

    /// How many bytes of a first frame decide; at most 255.
    pub fn longest_topic(&self) -> usize {
        self.0.bounds.longest_topic
    }

    /// Whether a message may pass whose first frame begins with these bytes, under which rule (the one that allows the
    /// largest message, where several fit) and up to which size.
    ///
    /// Give at least [`Grant::longest_topic`] bytes, or the whole frame where it is shorter.
    ///
    /// # Errors
    /// No rule allows the topic: drop the message whole, and count it.
    #[expect(clippy::result_unit_err, reason = "asked per message: there is nothing to say beyond no")]
    pub fn publish(&self, start_of_first_frame: &[u8]) -> Result<Passed, ()> {
        let mut passed = None;
        // A message is passed on before its size is known, so that every smaller one must be fine too.
        for size in &self.0.bounds.sizes {
            let Some(act) = self.0.judge(Topic::Is(start_of_first_frame), *size) else { break };
            passed = Some(Passed { rule: self.0.place(act), limit: *size });
        }
        passed.ok_or(())
    }

    /// Whether a subscription may pass, and under which rule (as for [`Grant::publish`]). It may be wider than a rule (`""`, "everything"), because each delivery is judged again by
    /// [`Grant::publish`].
    ///
    /// # Errors
    /// Nothing that it could match is allowed: drop it, and count it.
    #[expect(clippy::result_unit_err, reason = "asked per subscription: there is nothing to say beyond no")]
    pub fn subscribe(&self, topic: &[u8]) -> Result<usize, ()> {
        let by = |size: &u64| self.0.judge(Topic::BeginsWith(topic), *size);
        self.0.bounds.sizes.iter().find_map(by).map(|act| self.0.place(act)).ok_or(())
    }

    /// Whether both let the same pass, as far as their rules can be compared: what differs in words only counts as different.
    pub fn is_same(&self, other: &Self) -> bool {
        let (one, other) = (&*self.0, &*other.0);
        one.sides == other.sides && one.host_sockets == other.host_sockets && one.rate == other.rate
    }
}

impl Parts {
    /// Which of the rules it is.
    fn place(&self, act: &Act) -> usize {
        self.rules.iter().position(|rule| *rule == act.rule).unwrap_or(0)
    }

    /// The rule that lets such a message pass at both ends, if one does.
    fn judge(&self, topic: Topic<'_>, size: u64) -> Option<&Act> {
        // What the connection decides is folded away; what is left asks for the topic and the size.
        let message = Message {
            service: &self.service,
            socket: self.socket,
            identity: None,
            mechanism: "",
            topic,
            size,
        };
        let mut by = None;
        for (direction, lists) in &self.sides {
            let parties = Parties {
                direction: *direction,
                // As for `Rules::parties`.
                own: "",
                source: &self.user,
                destination: &self.host,
                source_tags: &self.tags,
                destination_tags: &self.tags,
                source_values: &[],
                destination_values: &[],
            };
            match lists.judge(&parties, &Subject::Message(message)) {
                Said::Passes(act) => by = by.or(Some(act)),
                Said::Denied(_) | Said::NoRule => return None,
            }
        }
        by
    }
}

impl Lists {
    /// The rules that may let something pass.
    fn accepting(&self) -> impl Iterator<Item = &Act> {
        let may = |act: &&Act| matches!(act.action, Action::Accept | Action::Redirect(_));
        self.allowing().flat_map(List::acts).filter(may)
    }
}
