//! The policy as its authors wrote it (`policy.toml`): allow-only, order-free, default deny.
//!
//! Parsing is total and tells every mistake at once. What this version cannot enforce (`mode = "broker"`) is refused: a
//! word that is silently ignored could grant what its author forbade. [`crate::rules`] compiles a policy for judging.

mod allow;
mod capability;
mod claims;
mod fit;
mod forbid;
mod limits;
mod overlap;
mod part;
mod permission;
mod raw;
mod service;
mod size;
mod tags;
mod target;

pub use allow::Allow;
pub use capability::{Capability, Grant};
pub use claims::{Claim, ClaimWhat, Test};
pub use forbid::{Forbid, ForbidTarget};
pub use limits::{Limits, Rate, size_text};
pub use overlap::can_meet;
pub use raw::RawRules;
pub use service::Service;
pub use target::{PacketTarget, Packets, Target};

pub use crate::program::{NodeTags, TagExpr, Term};

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::document::{self, Mistake, Mistakes, Table, quoted};
use permission::Ids;

/// A valid policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The file, as the operator named it.
    pub file: String,
    /// The closed vocabulary: each tag with its values.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Who carries which tags.
    pub nodes: BTreeMap<String, NodeTags>,
    /// What can be reached.
    pub services: BTreeMap<String, Service>,
    /// Who may reach it, in the order of the file (which decides nothing).
    pub allows: Vec<Allow>,
    /// What nobody may reach, in the order of the file. No allow, capability or grant overlaps one.
    pub forbids: Vec<Forbid>,
    /// What a node can be given for a time, in the order of the file.
    pub capabilities: Vec<Capability>,
    /// Who is given what, in the order of the file.
    pub grants: Vec<Grant>,
    /// Raw flow rules; `None` where there are none.
    pub rules: Option<RawRules>,
    /// The tests in the file, in its order.
    pub tests: Vec<Test>,
    /// What is valid but probably not meant so.
    pub warnings: Vec<Mistake>,
}

impl Policy {
    /// Reads a policy. `file` is the name to use in messages.
    ///
    /// # Errors
    /// Every mistake in `text`, in the order of the file; never an empty list.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Mistakes::new(file);
        let mut warnings = Mistakes::new(file);
        let policy =
            document::parse(text, &mut mistakes).map(|root| read(file, &root, &mut mistakes, &mut warnings));
        match policy {
            Some(policy) if mistakes.is_empty() => Ok(Self { warnings: warnings.into_list(), ..policy }),
            _ => Err(mistakes.into_list()),
        }
    }

    /// The tags of a node; `None` for a node that the policy does not name.
    pub fn node(&self, name: &str) -> Option<&NodeTags> {
        self.nodes.get(name)
    }
}

fn read(file: &str, root: &Table, mistakes: &mut Mistakes, warnings: &mut Mistakes) -> Policy {
    let mut policy = Policy {
        file: file.to_string(),
        tags: BTreeMap::new(),
        nodes: BTreeMap::new(),
        services: BTreeMap::new(),
        allows: Vec::new(),
        forbids: Vec::new(),
        capabilities: Vec::new(),
        grants: Vec::new(),
        rules: None,
        tests: Vec::new(),
        warnings: Vec::new(),
    };
    if root.entries.is_empty() {
        mistakes.note(0, "", "no policy: nothing passes", EMPTY_MEND);
        return policy;
    }
    root.only(&KNOWN, mistakes);
    read_default(root, mistakes);
    policy.tags = tags::read_vocabulary(root, mistakes);
    policy.nodes = tags::read_nodes(root, &policy.tags, mistakes);
    let names = tags::Names { tags: &policy.tags, nodes: &policy.nodes };
    policy.services = service::read_all(root, &names, mistakes, warnings);
    let mut reader = permission::Reader {
        names: &names,
        services: &policy.services,
        mistakes,
        warnings,
        ids: Ids::default(),
    };
    policy.allows = reader.allows(root);
    policy.forbids = reader.forbids(root);
    policy.capabilities = reader.capabilities(root);
    policy.grants = reader.grants(root, &policy.capabilities);
    policy.tests = reader.tests(root);
    policy.rules = raw::read(file, root, &names, mistakes, warnings);
    overlap::refuse(&policy, mistakes);
    size::refuse(&policy, mistakes);
    require_rules(root, &policy, mistakes);
    policy
}

fn read_default(root: &Table, mistakes: &mut Mistakes) {
    if !root.require(
        "default",
        "write  default = \"deny\"  at the top: it is the only accepted value",
        mistakes,
    ) {
        return;
    }
    let Some(default) = root.text("default", mistakes) else {
        return;
    };
    if default.value != "deny" {
        let problem = format!("{} is not accepted: what no rule allows is denied", quoted(default.value));
        root.note("default", problem, "write  default = \"deny\"", mistakes);
    }
}

/// A service that no rule names is a mistake: its author believes that somebody can use it.
fn require_rules(root: &Table, policy: &Policy, mistakes: &mut Mistakes) {
    let mut named = tags::names_in(root, "allow", "to");
    named.extend(tags::names_in(root, "capability", "to"));
    if let Some(rules) = &policy.rules {
        named.extend(rules.words());
    }
    for service in policy.services.values().filter(|service| !named.contains(&service.name.as_str())) {
        let key = format!("service.{}", service.name);
        let mend = format!("add an [[allow]] with  to = \"{}\" , or remove the service", service.name);
        mistakes.note(service.line, &key, "a service without a rule: nobody may use it", mend);
    }
}

/// Notes every key that is not `known`, and `rules` as what it is.
fn only(table: &Table, known: &[&str], mistakes: &mut Mistakes) {
    match table.entries.iter().find(|entry| raw::is_misplaced(table, entry, mistakes)) {
        None => table.only(known, mistakes),
        Some(rules) => {
            let known: Vec<&str> = known.iter().copied().chain([rules.key.as_str()]).collect();
            table.only(&known, mistakes);
        }
    }
}

/// `did you mean …?` for a name that is not in `known`; the whole list where nothing is near.
fn meant<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    none: &str,
    mistakes: &Mistakes,
) -> String {
    if mistakes.is_full() {
        return String::new();
    }
    if let Some(near) = mistakes.nearest(name, known.clone()) {
        return format!("did you mean {}?", quoted(near));
    }
    let mut listed: Vec<&str> = known.take(MOST_LISTED + 1).collect();
    if listed.is_empty() {
        return none.to_string();
    }
    if listed.len() > MOST_LISTED {
        listed[MOST_LISTED] = "…";
    }
    format!("known are: {}", listed.join(", "))
}

const KNOWN: [&str; 10] =
    ["default", "tags", "nodes", "service", "allow", "forbid", "capability", "grant", "rules", "test"];

const EMPTY_MEND: &str = "write  default = \"deny\" , then [tags], [nodes], a [service.NAME] and an [[allow]] \
                          for what should pass  (`lockgate init` writes an example)";

const MOST_LISTED: usize = 12;

#[cfg(test)]
mod tests;
