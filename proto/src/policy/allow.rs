//! A rule: who may reach what.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::permission::Reader;
use super::{Limits, TagExpr, Target, only};
use crate::document::{Date, Table};
use crate::zmtp::SocketType;

/// An `[[allow]]`.
#[derive(Clone, Debug)]
pub struct Allow {
    /// Its name in logs and reports; unique.
    pub id: String,
    /// Where it stands in the file.
    pub line: usize,
    /// The nodes whose applications it lets through.
    pub from: TagExpr,
    /// What they may reach.
    pub to: Target,
    /// The socket types of the using applications; empty where every type that fits the service is fine.
    pub sockets: Vec<SocketType>,
    /// Prefixes of topics; empty where the rule does not narrow the service's.
    pub topics: Vec<String>,
    /// Limits of this rule.
    pub limits: Limits,
    /// Why it exists.
    pub why: Option<String>,
    /// When somebody should look at it again.
    pub review: Option<Date>,
}

impl Reader<'_> {
    /// Reads every `[[allow]]`; those with a mistake are left out.
    pub(super) fn allows(&mut self, root: &Table) -> Vec<Allow> {
        root.tables("allow", self.mistakes).into_iter().filter_map(|table| self.allow(table)).collect()
    }

    fn allow(&mut self, table: &Table) -> Option<Allow> {
        only(table, &KNOWN, self.mistakes);
        let id = self.id(table, "name the rule, as in  id = \"telemetry-to-historian\"");
        let from = self.names.expression(table, "from", self.mistakes);
        let permission = self.permission(table);
        let review = table.date("review", self.mistakes).map(|review| review.value);
        let (id, from, to) = (id?, from?, permission.to?);
        if !self.names.any(&from) {
            let problem = format!("no node is {from}: the rule lets nobody through");
            table.note("from", problem, "give a node these tags in [nodes]", self.warnings);
        }
        Some(Allow {
            id,
            line: table.line,
            from,
            to,
            sockets: permission.sockets,
            topics: permission.topics,
            limits: permission.limits,
            why: permission.why,
            review,
        })
    }
}

const KNOWN: [&str; 10] =
    ["id", "from", "to", "socket", "sockets", "topics", "max-message", "rate", "why", "review"];
