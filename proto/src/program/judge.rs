//! Judging: one pass over a list, each entry looked at once, nothing allocated.

use alloc::sync::Arc;

use super::ask::Truth;
use super::{Act, Action, Direction, Entry, Join, List, Parties, Sense, Subject, Test};

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
    /// What its flow speaks was asked before it was decided: it may have had a say.
    pub heard: bool,
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
    /// What the flow speaks was asked.
    heard: bool,
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
            heard: false,
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
        self.heard |= matches!(test, Test::Zmtp(_));
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
            heard: self.heard,
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

/// In upstream's order. (The policy judges without a node of its own, so that a node which rules name takes no more than others
/// of what is for it.)
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
