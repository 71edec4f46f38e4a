//! The one question that every tool asks: may this node reach that?

use alloc::format;

use super::{Denial, Opening, PacketKind, PacketQuestion, RuleRef, Rules};
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
            match self.open(&opening) {
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
