//! What an `[[allow]]` and a capability have in common: what they let reach, and how much of it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::service::{read_sockets, read_topics};
use super::tags::{Names, check_name};
use super::{Limits, PacketTarget, Packets, Service, Target, meant};
use crate::document::{Mistakes, Spot, Table, quoted};
use crate::zmtp::SocketType;

/// What is let through, as far as it could be read.
pub(super) struct Permission {
    pub(super) to: Option<Target>,
    pub(super) sockets: Vec<SocketType>,
    pub(super) topics: Vec<String>,
    pub(super) limits: Limits,
    pub(super) why: Option<String>,
}

/// What reading a rule needs.
pub(super) struct Reader<'r> {
    pub(super) names: &'r Names<'r>,
    pub(super) services: &'r BTreeMap<String, Service>,
    pub(super) mistakes: &'r mut Mistakes,
    pub(super) warnings: &'r mut Mistakes,
    pub(super) ids: Ids,
}

/// The ids that are taken, each with its line: one list for allows, forbids and capabilities, since reports and logs
/// name them all alike.
#[derive(Default)]
pub(super) struct Ids(BTreeMap<String, usize>);

impl Ids {
    /// Takes `id`; where that cannot be, the mistake is noted and the answer is false.
    pub(super) fn take(&mut self, id: &str, line: usize, key: &str, mistakes: &mut Mistakes) -> bool {
        if id == RULES || id.starts_with(SERVICE) {
            let problem = format!("{} already names something else in reports", quoted(id));
            mistakes.note(
                line,
                key,
                problem,
                "choose another: not `rules`, and none that begins with `service.`",
            );
            return false;
        }
        if let Some(first) = self.0.get(id) {
            let problem = format!("{} is taken by the rule in line {first}", quoted(id));
            mistakes.note(line, key, problem, "give each rule an id of its own");
            return false;
        }
        self.0.insert(id.to_string(), line);
        true
    }
}

impl Reader<'_> {
    /// The required `id` of a rule.
    pub(super) fn id(&mut self, table: &Table, mend: &str) -> Option<String> {
        if !table.require("id", mend, self.mistakes) {
            return None;
        }
        let id = table.text("id", self.mistakes)?;
        let key = table.path_to("id");
        check_name("rule", id.value, id.line, &key, self.mistakes);
        self.ids.take(id.value, id.line, &key, self.mistakes).then(|| id.value.to_string())
    }

    /// Reads what is let through.
    pub(super) fn permission(&mut self, table: &Table) -> Permission {
        let permission = Permission {
            to: self.target(table, TARGET_MEND),
            sockets: read_sockets(table, self.mistakes).unwrap_or_default(),
            topics: read_topics(table, self.mistakes),
            limits: Limits::read(table, self.mistakes),
            why: self.why(table),
        };
        match &permission.to {
            Some(Target::Service(name)) => self.fit(table, &self.services[name], &permission),
            Some(Target::Packets(target)) => self.packets_only(table, target),
            None => {}
        }
        permission
    }

    pub(super) fn why(&mut self, table: &Table) -> Option<String> {
        table.text("why", self.mistakes).map(|why| why.value.to_string())
    }

    /// Reads `to`: a service, or nodes and a kind of packet.
    pub(super) fn target(&mut self, table: &Table, mend: &str) -> Option<Target> {
        if !table.require("to", mend, self.mistakes) {
            return None;
        }
        let to = table.text("to", self.mistakes)?;
        let key = table.path_to("to");
        if is_expression(to.value) {
            return self.packet_target(&to, &key, mend).map(Target::Packets);
        }
        self.service(&to, &key, mend).map(Target::Service)
    }

    /// A service by its name.
    pub(super) fn service(&mut self, name: &Spot<&str>, key: &str, mend: &str) -> Option<String> {
        if self.services.contains_key(name.value) {
            return Some(name.value.to_string());
        }
        let mend = meant(name.value, self.services.keys().map(String::as_str), mend, self.mistakes);
        self.mistakes.note(name.line, key, format!("unknown service {}", quoted(name.value)), mend);
        None
    }

    /// `role=sensor-gw tcp:22`: an expression, then a kind of packet.
    fn packet_target(&mut self, to: &Spot<&str>, key: &str, mend: &str) -> Option<PacketTarget> {
        let text = to.value.trim();
        let (nodes, kind) = last_word(text);
        let Some(packets) = Packets::parse(kind) else {
            let problem = format!("{} names no service and no kind of packet", quoted(text));
            self.mistakes.note(to.line, key, problem, mend);
            return None;
        };
        let to = self.names.parse(nodes, to.line, key, self.mistakes)?;
        Some(PacketTarget { to, packets })
    }
}

/// Whether a target is meant as nodes rather than as the name of a service.
pub(super) fn is_expression(text: &str) -> bool {
    text.contains(['=', ' ', ':'])
}

/// An expression without its last word, and that word.
pub(super) fn last_word(text: &str) -> (&str, &str) {
    text.rsplit_once([' ', ',', '\t']).unwrap_or(("", text))
}

/// The id of flow rules without a name.
const RULES: &str = "rules";

/// How the ids of services begin.
const SERVICE: &str = "service.";

const TARGET_MEND: &str = "write a service, or nodes and a kind of packet: \"role=sensor-gw tcp:22\", \
                           \"… udp:5000-5010\", \"… icmp\"";
