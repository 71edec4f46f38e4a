//! A capability: an allowance that a node may be given for a time; and the grants that give it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::permission::Reader;
use super::tags::check_name;
use super::{Limits, TagExpr, Target, meant, only, raw};
use crate::document::{Table, Value, duration_text, parse_duration, quoted};
use crate::zmtp::SocketType;

/// A `[capability.NAME]`: what an `[[allow]]` would be, for the nodes that hold it, while they hold it.
#[derive(Clone, Debug)]
pub struct Capability {
    /// Its name in logs and reports; unique among all rules.
    pub name: String,
    /// Where it stands in the file.
    pub line: usize,
    /// The nodes that may hold it; `None` for any that no forbid keeps from what it lets reach.
    pub from: Option<TagExpr>,
    /// What its holders may reach.
    pub to: Target,
    /// The socket types of the using applications; empty where every type that fits the service is fine.
    pub sockets: Vec<SocketType>,
    /// Prefixes of topics; empty where it does not narrow the service's.
    pub topics: Vec<String>,
    /// Its limits.
    pub limits: Limits,
    /// The longest that a node may be given it at a time.
    pub max_ttl: Duration,
    /// Why it exists.
    pub why: Option<String>,
}

/// A `[[grant]]`: a node holds a capability for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The capability's name.
    pub capability: String,
    /// The node that holds it.
    pub node: String,
    /// From when on, since the Unix epoch.
    pub from: Duration,
    /// Until when (not included), since the Unix epoch; at most the capability's `max_ttl` after `from`.
    pub until: Duration,
    /// Where it stands in the file.
    pub line: usize,
    /// Why it was given.
    pub why: Option<String>,
}

impl Grant {
    /// Whether the node holds the capability at `wall`, since the Unix epoch.
    pub fn holds_at(&self, wall: Duration) -> bool {
        self.from <= wall && wall < self.until
    }
}

impl Reader<'_> {
    /// Reads every `[capability.NAME]`; those with a mistake are left out.
    pub(super) fn capabilities(&mut self, root: &Table) -> Vec<Capability> {
        let Some(table) = root.table("capability", self.mistakes) else {
            return Vec::new();
        };
        let mut capabilities = Vec::new();
        for entry in &table.entries {
            let key = table.path_to(&entry.key);
            if raw::is_misplaced(table, entry, self.mistakes) {
                continue;
            }
            let Value::Table(body) = &entry.value else {
                let mend = format!("write a section  [{key}]");
                self.mistakes.note(entry.line, &key, "a capability is a section", mend);
                continue;
            };
            check_name("capability", &entry.key, entry.line, &key, self.mistakes);
            let free = self.ids.take(&entry.key, entry.line, &key, self.mistakes);
            capabilities.extend(self.capability(&entry.key, body).filter(|_| free));
        }
        capabilities
    }

    fn capability(&mut self, name: &str, table: &Table) -> Option<Capability> {
        only(table, &KNOWN, self.mistakes);
        let from = table.entry("from").map(|_| self.names.expression(table, "from", self.mistakes));
        let permission = self.permission(table);
        let max_ttl = self.max_ttl(table);
        if let Some(Some(from)) = &from
            && !self.names.any(from)
        {
            let problem = format!("no node is {from}: nobody can hold it");
            table.note("from", problem, "give a node these tags in [nodes]", self.warnings);
        }
        Some(Capability {
            name: name.to_string(),
            line: table.line,
            // One that is given and wrong must not become none at all.
            from: match from {
                Some(from) => Some(from?),
                None => None,
            },
            to: permission.to?,
            sockets: permission.sockets,
            topics: permission.topics,
            limits: permission.limits,
            max_ttl: max_ttl?,
            why: permission.why,
        })
    }

    fn max_ttl(&mut self, table: &Table) -> Option<Duration> {
        if !table.require(
            "max-ttl",
            "say how long a node may hold it at a time, as in  max-ttl = \"4h\"",
            self.mistakes,
        ) {
            return None;
        }
        let wanted = "a time, as in \"4h\", \"30m\" or \"7d\"";
        let ttl = table.parsed("max-ttl", wanted, parse_duration, self.mistakes)?.value;
        if (SHORTEST..=LONGEST).contains(&ttl) {
            return Some(ttl);
        }
        let mend = "write a time from \"1s\" to \"366d\"; what nodes may always do is an [[allow]]";
        table.note("max-ttl", "this time is out of range", mend, self.mistakes);
        None
    }

    /// Reads every `[[grant]]`; those with a mistake are left out.
    pub(super) fn grants(&mut self, root: &Table, capabilities: &[Capability]) -> Vec<Grant> {
        let known: BTreeMap<&str, &Capability> =
            capabilities.iter().map(|capability| (capability.name.as_str(), capability)).collect();
        let tables = root.tables("grant", self.mistakes);
        tables.into_iter().filter_map(|table| self.grant(root, table, &known)).collect()
    }

    fn grant(&mut self, root: &Table, table: &Table, known: &BTreeMap<&str, &Capability>) -> Option<Grant> {
        only(table, &GRANT_KNOWN, self.mistakes);
        let mend = "name a capability, as in  capability = \"firmware\"";
        let name = table.require("capability", mend, self.mistakes);
        let name = name.then(|| table.text("capability", self.mistakes)).flatten();
        let name =
            name.filter(|name| self.declared(root, name.value, name.line, &table.path_to("capability")));
        let mend = "name the node that holds it, as in  node = \"jump-1\"";
        let node = table.require("node", mend, self.mistakes);
        let node = node.then(|| table.text("node", self.mistakes)).flatten();
        let node = node.filter(|node| self.names.node(node, &table.path_to("node"), self.mistakes));
        let from = self.moment(table, "from");
        let until = self.moment(table, "until");
        let why = self.why(table);
        let (name, node) = (name?, node?);
        // One with a mistake in it is declared but not known.
        let capability = known.get(name.value)?;
        let may = self.may_hold(table, capability, node.value);
        let (from, until) = (from?, until?);
        let grant = Grant {
            capability: name.value.to_string(),
            node: node.value.to_string(),
            from,
            until,
            line: table.line,
            why,
        };
        (self.ends_in_time(table, capability, &grant) && may).then_some(grant)
    }

    /// Whether there is such a capability, mistaken or not; it is a mistake to name one that there is not.
    pub(super) fn declared(&mut self, root: &Table, name: &str, line: usize, key: &str) -> bool {
        let table = match root.value("capability") {
            Some(Value::Table(table)) => Some(table),
            _ => None,
        };
        if table.is_some_and(|table| table.entry(name).is_some()) {
            return true;
        }
        let known = table.into_iter().flat_map(|table| &table.entries).map(|entry| entry.key.as_str());
        let mend = meant(name, known, "declare it first: a section [capability.NAME]", self.mistakes);
        self.mistakes.note(line, key, format!("unknown capability {}", quoted(name)), mend);
        false
    }

    fn moment(&mut self, table: &Table, key: &str) -> Option<Duration> {
        let mend = format!("write a date and a time with an offset, as in  {key} = 2026-12-01T08:00:00Z");
        table
            .require(key, &mend, self.mistakes)
            .then(|| table.moment(key, self.mistakes))
            .flatten()
            .map(|at| at.value)
    }

    fn may_hold(&mut self, table: &Table, capability: &Capability, node: &str) -> bool {
        let Some(from) = &capability.from else { return true };
        let may = self.names.nodes.get(node).is_some_and(|tags| from.matches(node, tags));
        if !may {
            let problem = format!("{node} may not hold {}: it is for {from}", capability.name);
            let mend = format!("grant it to another node, or widen `from` in line {}", capability.line);
            table.note("node", problem, mend, self.mistakes);
        }
        may
    }

    fn ends_in_time(&mut self, table: &Table, capability: &Capability, grant: &Grant) -> bool {
        let Some(time) = grant.until.checked_sub(grant.from).filter(|time| !time.is_zero()) else {
            table.note("until", "it ends before it begins", "write a later `until`", self.mistakes);
            return false;
        };
        let fits = time <= capability.max_ttl;
        if !fits {
            let longest = duration_text(capability.max_ttl);
            let problem = format!(
                "{} is longer than {}, the max-ttl of {}",
                duration_text(time),
                longest,
                capability.name
            );
            table.note(
                "until",
                problem,
                format!("write an `until` at most {longest} after `from`"),
                self.mistakes,
            );
        }
        fits
    }
}

/// Shorter ones could end before anything reaches anybody.
const SHORTEST: Duration = Duration::from_secs(1);

/// What lasts longer is no exception any more.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

const KNOWN: [&str; 9] =
    ["from", "to", "socket", "sockets", "topics", "max-message", "rate", "max-ttl", "why"];

const GRANT_KNOWN: [&str; 5] = ["capability", "node", "from", "until", "why"];
