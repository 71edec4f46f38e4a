//! An invariant: what no rule of the policy may let through.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::permission::{Reader, is_expression, last_word};
use super::{PacketTarget, Packets, TagExpr, only};
use crate::document::{Table, quoted};

/// A `[[forbid]]`.
///
/// No allow, capability or grant of the same policy can overlap it ([`super::Policy::parse`] refuses that); raw flow rules
/// are not compared with it.
#[derive(Clone, Debug)]
pub struct Forbid {
    /// Its name in logs and reports; unique.
    pub id: String,
    /// Where it stands in the file.
    pub line: usize,
    /// The nodes that must not reach it.
    pub from: TagExpr,
    /// What they must not reach.
    pub to: ForbidTarget,
    /// Why it exists.
    pub why: Option<String>,
}

/// What a forbid rules out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForbidTarget {
    /// Everything of these nodes: packets of any kind, and every service that they offer.
    Everything(TagExpr),
    /// Such packets to these nodes.
    Packets(PacketTarget),
    /// A service, by name, whoever offers it.
    Service(String),
}

impl fmt::Display for ForbidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything(to) => to.fmt(f),
            Self::Packets(target) => target.fmt(f),
            Self::Service(name) => f.write_str(name),
        }
    }
}

impl Reader<'_> {
    /// Reads every `[[forbid]]`; those with a mistake are left out.
    pub(super) fn forbids(&mut self, root: &Table) -> Vec<Forbid> {
        let tables = root.tables("forbid", self.mistakes);
        if let Some(first) = tables.get(MOST) {
            let mend = format!("write at most {MOST}, with wider conditions");
            let problem = format!("there are {} forbids", tables.len());
            self.mistakes.note(first.line, &first.path, problem, mend);
            return Vec::new();
        }
        tables.into_iter().filter_map(|table| self.forbid(table)).collect()
    }

    fn forbid(&mut self, table: &Table) -> Option<Forbid> {
        only(table, &KNOWN, self.mistakes);
        let id = self.id(table, "name it, as in  id = \"gateways-never-talk\"");
        let from = self.names.expression(table, "from", self.mistakes);
        let to = self.forbidden(table);
        let why = self.why(table);
        Some(Forbid { id: id?, line: table.line, from: from?, to: to?, why })
    }

    /// Reads `to`: a service, nodes, or nodes and a kind of packet.
    fn forbidden(&mut self, table: &Table) -> Option<ForbidTarget> {
        if !table.require("to", MEND, self.mistakes) {
            return None;
        }
        let to = table.text("to", self.mistakes)?;
        let key = table.path_to("to");
        let text = to.value.trim();
        if !is_expression(text) {
            return self.service(&to, &key, MEND).map(ForbidTarget::Service);
        }
        let (nodes, kind) = last_word(text);
        // A last word without `=` is no condition: what is no kind of packet either is a slip there.
        let packets = Packets::parse(kind);
        if packets.is_none() && !kind.contains('=') {
            let problem = format!("{} ends with no kind of packet", quoted(text));
            self.mistakes.note(to.line, &key, problem, MEND);
            return None;
        }
        let nodes = if packets.is_some() { nodes } else { text };
        let nodes = self.names.parse(nodes, to.line, &key, self.mistakes)?;
        Some(match packets {
            Some(packets) => ForbidTarget::Packets(PacketTarget { to: nodes, packets }),
            None => ForbidTarget::Everything(nodes),
        })
    }
}

/// Each rule is compared with each forbid.
const MOST: usize = 512;

const KNOWN: [&str; 4] = ["id", "from", "to", "why"];

const MEND: &str = "write nodes for everything of theirs: \"role=sensor-gw\"; a kind of packet behind them for that alone: \
                    \"role=sensor-gw tcp:22\", \"… udp:5000-5010\", \"… icmp\"; or the name of a service";
