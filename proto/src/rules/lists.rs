//! What a policy compiles to: three flat lists, one after the other.

use alloc::vec::Vec;

use crate::program::{Act, Judgement, List, Message, Outcome, Parties, Subject, Test};
use crate::script::Script;

/// The lists that judge packets, or those that judge messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// What nothing else can let pass.
    pub(super) forbids: List,
    /// The flow rules as written, asked about every packet; `None` where there are none.
    pub(super) raw: Option<Raw>,
    /// What may begin: a flow by its first packet, a connection by its opening.
    pub(super) allows: List,
    /// What capabilities that the sender holds let begin beside.
    pub(super) held: List,
}

/// Flow rules as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) base: List,
    /// Of the capabilities that every sender holds, by rising id.
    pub(super) capabilities: Vec<List>,
}

/// What the lists say together.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'l> {
    /// It may pass, by this rule.
    Passes(&'l Act),
    /// This rule denies it.
    Denied(&'l Act),
    /// No rule allows it.
    NoRule,
}

impl Raw {
    /// The rules of a script about packets, and those about messages.
    pub(super) fn of(script: &Script) -> (Self, Self) {
        let (packets, messages) = script.rules.by_subject();
        let mut wings = [packets, messages].map(|base| Self { base, capabilities: Vec::new() });
        let mut held: Vec<_> = script.capabilities.iter().filter(|held| held.is_default).collect();
        held.sort_by_key(|held| held.id);
        for capability in held {
            let (packets, messages) = capability.rules.by_subject();
            wings[0].capabilities.push(packets);
            wings[1].capabilities.push(messages);
        }
        let [packets, messages] = wings;
        (packets, messages)
    }

    fn judge(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Judgement<'_> {
        self.base.judge_with(&self.capabilities, parties, subject)
    }
}

impl Lists {
    /// What the flow rules say about this one packet; `None` where there are none.
    pub(super) fn each(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Option<Judgement<'_>> {
        self.raw.as_ref().map(|raw| raw.judge(parties, subject))
    }

    /// The rule that forbids it, if one does.
    pub(super) fn forbids(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Option<&Act> {
        let judgement = self.forbids.judge(parties, subject);
        judgement.by.filter(|_| judgement.outcome == Outcome::Drop)
    }

    /// Whether a flow or a connection may begin so.
    pub(super) fn begins(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Said<'_> {
        if let Some(act) = self.forbids(parties, subject) {
            return Said::Denied(act);
        }
        for list in [&self.allows, &self.held] {
            let judgement = list.judge(parties, subject);
            if let (Outcome::Accept, Some(act)) = (judgement.outcome, judgement.by) {
                return Said::Passes(act);
            }
        }
        Said::NoRule
    }

    /// Everything together, for what belongs to no flow yet.
    pub(super) fn judge(&self, parties: &Parties<'_>, subject: &Subject<'_>) -> Said<'_> {
        if let Some(judgement) = self.each(parties, subject)
            && let Some(act) = judgement.by
        {
            match judgement.outcome {
                Outcome::Drop => return Said::Denied(act),
                Outcome::Accept | Outcome::Redirect(_) => {
                    return self.forbids(parties, subject).map_or(Said::Passes(act), Said::Denied);
                }
                Outcome::NoMatch => {}
            }
        }
        self.begins(parties, subject)
    }

    /// The same lists where the parties are known; `message` where the connection is too.
    pub(super) fn fold(&self, parties: &Parties<'_>, message: Option<&Message<'_>>) -> Self {
        let known = |test: &Test| {
            let of_connection = message.and_then(|message| test.known_of_connection(message));
            test.known_of(parties).or(of_connection)
        };
        Self {
            forbids: self.forbids.fold(&known),
            raw: self.raw.as_ref().map(|raw| Raw {
                base: raw.base.fold(&known),
                capabilities: raw.capabilities.iter().map(|list| list.fold(&known)).collect(),
            }),
            allows: self.allows.fold(&known),
            held: self.held.fold(&known),
        }
    }

    /// Each list.
    pub(super) fn all(&self) -> impl Iterator<Item = &List> {
        core::iter::once(&self.forbids).chain(self.allowing())
    }

    /// Each list by what it is for, in the order in which they decide.
    pub(super) fn named(&self, wing: &'static str) -> impl Iterator<Item = (&'static str, &List)> {
        let names = if wing == "packets" { PACKETS } else { MESSAGES };
        let raw = self.raw.as_ref();
        let each = raw.into_iter().map(move |raw| (names[1], &raw.base));
        let held = raw.into_iter().flat_map(|raw| &raw.capabilities).map(move |list| (names[2], list));
        let first = core::iter::once((names[0], &self.forbids));
        first.chain(each).chain(held).chain([(names[3], &self.allows), (names[4], &self.held)])
    }

    /// Those that can let something pass.
    pub(super) fn allowing(&self) -> impl Iterator<Item = &List> {
        let raw = self.raw.iter().flat_map(|raw| core::iter::once(&raw.base).chain(&raw.capabilities));
        raw.chain([&self.allows, &self.held])
    }
}

const PACKETS: [&str; 5] = [
    "packets: what is forbidden, whatever allows it",
    "packets: flow rules, asked about every packet first",
    "packets: a capability of the flow rules that everybody holds",
    "packets: what may begin a flow",
    "packets: what capabilities let begin a flow",
];

const MESSAGES: [&str; 5] = [
    "messages: what is forbidden, and what a service is to everybody",
    "messages: flow rules, asked about every message first",
    "messages: a capability of the flow rules that everybody holds",
    "messages: what may pass",
    "messages: what capabilities let pass",
];
