//! The one question that every tool asks: may this node reach that?

use alloc::format;
use alloc::sync::Arc;

use super::lists::Said;
use super::{Denial, Opening, PacketKind, PacketQuestion, Pair, RuleRef, Rules};
use crate::program::Direction;
use crate::zmtp::SocketType;

/// May `from` reach `what` of `to`?
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The node that begins: that sends the first packet, or whose application uses the service.
    pub from: &'a str,
    /// The node that is reached: that the packet goes to, or that offers the service.
    pub to: &'a str,
    /// What is to be reached.
    pub what: What<'a>,
    /// Capabilities that `from` holds for this question, beside those that the policy grants it.
    pub hold: &'a [&'a str],
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A flow of IP packets, by its first packet.
    Packets(PacketKind),
    /// A service.
    Service {
        /// Its name.
        name: &'a str,
        /// The start of a message; `None` for any: whether there is one that passes.
        topic: Option<&'a [u8]>,
        /// The type of the using application's socket; `None` for any that fits the service.
        socket: Option<SocketType>,
    },
}

/// The rules between two nodes, with what is the same for all questions about them done once.
#[derive(Debug)]
pub struct Between<'r> {
    rules: &'r Rules,
    from: Arc<str>,
    to: Arc<str>,
    /// As the one judges that begins, and as the other.
    ends: Option<(Pair, Pair)>,
}

impl Between<'_> {
    /// As [`Rules::permits`].
    pub fn permits(&self, what: What<'_>) -> Option<RuleRef> {
        let What::Packets(kind) = what else {
            return self.rules.permits(&Ask { from: &self.from, to: &self.to, what, hold: &[] });
        };
        let (out, inward) = self.ends.as_ref()?;
        let question = PacketQuestion { from: &self.from, to: &self.to, kind, addresses: None };
        let rule = question.packets().find_map(|packet| {
            out.passes(&packet)?;
            inward.passes(&packet)
        });
        rule.cloned()
    }
}

impl Rules {
    /// Answers it: the rule that allows it.
    ///
    /// # Errors
    /// Why not: the reason, the nearest rule and why that one does not match.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<RuleRef, Denial> {
        if !ask.hold.is_empty() {
            let holding = self.holding(ask.from, ask.hold);
            return holding.ask(&Ask { hold: &[], ..*ask });
        }
        match ask.what {
            What::Packets(kind) => {
                self.packet(&PacketQuestion { from: ask.from, to: ask.to, kind, addresses: None }).cloned()
            }
            What::Service { name, topic, socket } => self.ask_service(ask, name, topic, socket),
        }
    }

    /// The same answer without the words, for who has many questions.
    pub fn permits(&self, ask: &Ask<'_>) -> Option<RuleRef> {
        if !ask.hold.is_empty() {
            let holding = self.holding(ask.from, ask.hold);
            return holding.permits(&Ask { hold: &[], ..*ask });
        }
        match ask.what {
            What::Packets(kind) => {
                let question = PacketQuestion { from: ask.from, to: ask.to, kind, addresses: None };
                match self.judge(&question) {
                    Said::Passes(act) => Some(act.rule.clone()),
                    Said::Denied(_) | Said::NoRule => None,
                }
            }
            What::Service { name, topic, socket } => {
                let allowed = self.may_use(ask.from, ask.to, name);
                allowed.then(|| self.ask_service(ask, name, topic, socket).ok()).flatten()
            }
        }
    }

    /// Many questions about the same two nodes.
    pub fn between<'r>(&'r self, from: &str, to: &str) -> Between<'r> {
        let (from, to): (Arc<str>, Arc<str>) = (from.into(), to.into());
        let ends = self.pair(Direction::Out, &from, &to).zip(self.pair(Direction::In, &to, &from));
        Between { rules: self, from, to, ends }
    }

    fn ask_service(
        &self,
        ask: &Ask<'_>,
        service: &str,
        topic: Option<&[u8]>,
        socket: Option<SocketType>,
    ) -> Result<RuleRef, Denial> {
        let fitting = SocketType::ALL.iter().copied().filter(|one| {
            socket.map_or_else(
                || self.service(service).is_none_or(|known| known.sockets().iter().any(|s| s.matches(*one))),
                |socket| socket == *one,
            )
        });
        let mut denial = None;
        for socket in fitting {
            let opening = Opening { user: ask.from, host: ask.to, service, socket, identity: &[] };
            match self.may_open(&opening) {
                Ok(grant) => {
                    let Some(topic) = topic else { return Ok(grant.rules()[0].clone()) };
                    match grant.publish(topic) {
                        Ok(passed) => return Ok(grant.rules()[passed.rule].clone()),
                        Err(()) => {
                            denial = Some(Denial {
                                reason: format!("no rule lets {} have such a message of {service}", ask.from),
                                nearest: grant.rules().first().cloned(),
                                why_not: "its topic is none of the allowed ones".into(),
                            });
                        }
                    }
                }
                Err(other) => denial = denial.or(Some(other)),
            }
        }
        Err(denial
            .unwrap_or_else(|| Denial::bare(format!("no socket type fits {service}"), "correct the policy")))
    }
}
