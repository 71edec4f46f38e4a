//! The one question that every tool asks: may this node reach that?

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};

use super::lists::{Lists, Said};
use super::{Denial, Grant, Opening, PacketKind, PacketQuestion, RuleRef, Rules, ServiceRule};
use crate::policy::NodeTags;
use crate::program::{Direction, List, Parties, Subject, Test};
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
    /// What `from` holds beside: lists for packets and for messages.
    held: (List, List),
    /// The lists for packets where they are sent and where they arrive; `None` where the policy does not know both nodes.
    packets: OnceCell<Option<[(Direction, Lists); 2]>>,
    /// The same for messages.
    messages: OnceCell<Option<[(Direction, Lists); 2]>>,
    /// The connections that somebody asked about.
    grants: RefCell<Vec<(String, SocketType, Option<Grant>)>>,
}

impl Between<'_> {
    /// As [`Rules::permits`].
    pub fn permits(&self, what: What<'_>) -> Option<RuleRef> {
        match what {
            What::Packets(kind) => match self.judge(kind) {
                Said::Passes(act) => Some(act.rule.clone()),
                Said::Denied(_) | Said::NoRule => None,
            },
            What::Service { name, topic, socket } => self.permits_service(name, topic, socket),
        }
    }

    /// What all the lists say at both ends, of whichever version of IP may pass.
    fn judge(&self, kind: PacketKind) -> Said<'_> {
        let Some(ends) = self.packets.get_or_init(|| self.fold(&self.rules.packets, &self.held.0)) else {
            return Said::NoRule;
        };
        let question = PacketQuestion { from: &self.from, to: &self.to, kind, addresses: None };
        let mut said = Said::NoRule;
        for packet in question.packets() {
            let subject = Subject::Packet(packet);
            let mut here = Said::NoRule;
            for (direction, lists) in ends {
                here = lists.judge(&self.folded(*direction), &subject);
                if !matches!(here, Said::Passes(_)) {
                    break;
                }
            }
            match here {
                Said::NoRule => {}
                Said::Denied(_) => said = here,
                Said::Passes(_) => return here,
            }
        }
        said
    }

    fn permits_service(
        &self,
        name: &str,
        topic: Option<&[u8]>,
        socket: Option<SocketType>,
    ) -> Option<RuleRef> {
        if !self.rules.may_use(&self.from, &self.to, name) {
            return None;
        }
        let service = self.rules.services.get(name)?;
        let fits = |one: &SocketType| socket.is_none_or(|socket| socket == *one);
        SocketType::ALL
            .into_iter()
            .filter(fits)
            .find_map(|socket| self.permits_by(service, name, topic, socket))
    }

    fn permits_by(
        &self,
        service: &ServiceRule,
        name: &str,
        topic: Option<&[u8]>,
        socket: SocketType,
    ) -> Option<RuleRef> {
        let mut grants = self.grants.borrow_mut();
        let known = grants.iter().position(|(service, one, _)| *one == socket && service == name);
        let at = known.unwrap_or_else(|| {
            grants.push((name.into(), socket, self.grant(service, name, socket)));
            grants.len() - 1
        });
        let grant = grants[at].2.as_ref()?;
        let rule = match topic {
            None => 0,
            Some(topic) => grant.publish(topic).ok()?.rule,
        };
        Some(grant.rules()[rule].clone())
    }

    /// What is left open of a connection.
    fn grant(&self, service: &ServiceRule, name: &str, socket: SocketType) -> Option<Grant> {
        let answering = service.answering(socket);
        if answering.is_empty() {
            return None;
        }
        let ends = self.messages.get_or_init(|| self.fold(&self.rules.messages, &self.held.1)).as_ref()?;
        let opening = Opening { user: &self.from, host: &self.to, service: name, socket, identity: &[] };
        let message = opening.message(None);
        let fold = |(direction, lists): &(Direction, Lists)| {
            (*direction, lists.fold(&self.folded(*direction), Some(&message)))
        };
        self.rules.grant_of(ends.each_ref().map(fold), &opening, service, answering)
    }

    fn fold(&self, lists: &Lists, held: &List) -> Option<[(Direction, Lists); 2]> {
        let fold = |direction| {
            let parties = self.rules.parties(direction, &self.from, &self.to)?;
            let mut folded = lists.fold(&parties, None);
            if !held.is_empty() {
                folded.held = folded.held.followed_by(&held.fold(&|test: &Test| test.known_of(&parties)));
            }
            Some((direction, folded))
        };
        Some([fold(Direction::Out)?, fold(Direction::In)?])
    }

    /// The parties for lists from which they are folded away.
    fn folded(&self, direction: Direction) -> Parties<'_> {
        Parties {
            direction,
            own: "",
            source: &self.from,
            destination: &self.to,
            source_tags: &NO_TAGS,
            destination_tags: &NO_TAGS,
            source_values: &[],
            destination_values: &[],
        }
    }
}

/// Of nodes of which everything is folded away.
static NO_TAGS: NodeTags = NodeTags::new();

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
        self.between_holding(from, to, &[])
    }

    /// The same where `from` holds these capabilities beside those that the policy grants it.
    pub fn between_holding<'r>(&'r self, from: &str, to: &str, hold: &[&str]) -> Between<'r> {
        let held = if hold.is_empty() {
            Default::default()
        } else {
            self.held(hold.iter().map(|name| (from, *name)))
        };
        Between {
            rules: self,
            from: from.into(),
            to: to.into(),
            held,
            packets: OnceCell::new(),
            messages: OnceCell::new(),
            grants: RefCell::new(Vec::new()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const POLICY: &str = "default = 'deny'\nrules = '''\ndrop dport 23;\naccept zmq service jobs and zmq topic c from role=b;\n\
        accept from role=b and ipprotocol 132;\n'''\n\
        [tags]\nrole = ['a', 'b']\n[nodes]\nn1 = { role = 'a' }\nn2 = { role = 'b' }\nn3 = { role = 'b' }\n\
        [service.tele]\nhosted-by = 'role=a'\nsocket = 'pub'\ntopics = ['t.', 'u.']\nmax-message = '1KiB'\n\
        [service.jobs]\nhosted-by = 'role=b'\nsocket = 'rep'\n\
        [[allow]]\nid = 'tele'\nfrom = 'role=b'\nto = 'tele'\ntopics = ['t.']\nsockets = ['sub']\n\
        [[allow]]\nid = 'ssh'\nfrom = 'role=a'\nto = 'role=b tcp:22-23'\n\
        [[forbid]]\nid = 'never'\nfrom = 'node=n3'\nto = 'node=n2 tcp:1-9'\n\
        [capability.more]\nto = 'tele'\nmax-ttl = '1h'\n\
        [capability.web]\nto = 'role=a tcp:80'\nfrom = 'node=n2'\nmax-ttl = '1h'\n";

    #[test]
    fn between_two_nodes_the_answers_are_those_of_ask() {
        let policy = Policy::parse("p.toml", POLICY).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let rules = Rules::compile(&policy, 1);
        let mut whats: Vec<What<'_>> = [22, 23, 80, 5].map(PacketKind::Tcp).map(What::Packets).into();
        whats.extend([PacketKind::Icmp, PacketKind::Other(132), PacketKind::Unparsed].map(What::Packets));
        for name in ["tele", "jobs", "none"] {
            for topic in [None, Some(&b""[..]), Some(b"t."), Some(b"u.x"), Some(b"c")] {
                let sockets = SocketType::ALL.into_iter().map(Some).chain([None]);
                whats.extend(sockets.map(|socket| What::Service { name, topic, socket }));
            }
        }
        let nodes = ["n1", "n2", "n3", "stranger"];
        let (mut passed, mut denied) = (0, 0);
        for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))) {
            for hold in [&[][..], &["more"], &["web"], &["web", "more"]] {
                let between = rules.between_holding(from, to, hold);
                for what in &whats {
                    let asked = rules.ask(&Ask { from, to, what: *what, hold }).ok();
                    assert_eq!(between.permits(*what), asked, "{from} {to} {hold:?} {what:?}");
                    *(if asked.is_some() { &mut passed } else { &mut denied }) += 1;
                }
            }
        }
        assert!(passed > 100 && denied > 100, "{passed} {denied}");
    }
}
