//! The tests in a policy file: what a node must be able to reach, and what it must not.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::permission::Reader;
use super::target::parse_port;
use super::{meant, only};
use crate::document::{Spot, Table, quoted};

/// A `[[test]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Where it stands in the file.
    pub line: usize,
    /// The node that begins.
    pub from: String,
    /// The capabilities that it holds for this test, beside those that are granted.
    pub hold: Vec<Spot<String>>,
    /// What it must be able to reach.
    pub allow: Vec<Claim>,
    /// What it must not be able to reach.
    pub deny: Vec<Claim>,
}

/// One line of a test: a node, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// As it is written: `edge-north/telemetry#temp.1`.
    pub text: String,
    /// Where it stands in the file.
    pub line: usize,
    /// The node that is reached.
    pub to: String,
    /// What of it.
    pub what: ClaimWhat,
}

/// What a claim is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimWhat {
    /// TCP to this port: `edge-north/tcp:22`.
    Tcp(u16),
    /// UDP to this port: `edge-north/udp:53`.
    Udp(u16),
    /// ICMP and ICMPv6: `edge-north/icmp`.
    Icmp,
    /// A service: `edge-north/telemetry`, `edge-north/telemetry#temp.1`.
    Service {
        /// Its name.
        name: String,
        /// How a message begins; `None` for any: whether there is one that passes.
        topic: Option<String>,
    },
}

impl Reader<'_> {
    /// Reads every `[[test]]`; those with a mistake are left out.
    pub(super) fn tests(&mut self, root: &Table) -> Vec<Test> {
        let tables = root.tables("test", self.mistakes);
        tables.into_iter().filter_map(|table| self.test(root, table)).collect()
    }

    fn test(&mut self, root: &Table, table: &Table) -> Option<Test> {
        only(table, &KNOWN, self.mistakes);
        let mend = "name the node that begins, as in  from = \"edge-south\"";
        let from = table.require("from", mend, self.mistakes);
        let from = from.then(|| table.text("from", self.mistakes)).flatten();
        let from = from.filter(|from| self.names.node(from, &table.path_to("from"), self.mistakes));
        let hold = self.held(root, table);
        let allow = self.claims(table, "allow");
        let deny = self.claims(table, "deny");
        if table.entry("allow").is_none() && table.entry("deny").is_none() {
            self.mistakes.note(table.line, &table.path, "the test claims nothing", CLAIM_MEND);
        }
        let (allow, deny) = (allow?, deny?);
        self.refuse_both(table, &allow, &deny);
        Some(Test { line: table.line, from: from?.value.to_string(), hold: hold?, allow, deny })
    }

    fn held(&mut self, root: &Table, table: &Table) -> Option<Vec<Spot<String>>> {
        let Some(names) = self.list(table, "hold")? else {
            return Some(Vec::new());
        };
        let key = table.path_to("hold");
        let mut held = Vec::new();
        for name in &names {
            if !self.declared(root, name.value, name.line, &key) {
                return None;
            }
            held.push(Spot { value: name.value.to_string(), line: name.line });
        }
        Some(held)
    }

    /// The texts at `key`, if there are any; `None` where they are no texts.
    fn list<'t>(&mut self, table: &'t Table, key: &str) -> Option<Option<Vec<Spot<&'t str>>>> {
        if table.entry(key).is_none() {
            return Some(None);
        }
        let texts = table.texts(key, self.mistakes)?;
        if texts.is_empty() {
            table.note(
                key,
                "the list is empty",
                format!("list something, or leave `{key}` out"),
                self.mistakes,
            );
            return None;
        }
        Some(Some(texts))
    }

    fn claims(&mut self, table: &Table, key: &str) -> Option<Vec<Claim>> {
        let Some(texts) = self.list(table, key)? else {
            return Some(Vec::new());
        };
        let path = table.path_to(key);
        let claims: Vec<Option<Claim>> = texts.iter().map(|text| self.claim(text, &path)).collect();
        claims.into_iter().collect()
    }

    fn claim(&mut self, text: &Spot<&str>, key: &str) -> Option<Claim> {
        let Some((to, what)) = text.value.split_once('/').filter(|(_, what)| !what.is_empty()) else {
            let problem = format!("{} does not say what of which node", quoted(text.value));
            self.mistakes.note(text.line, key, problem, CLAIM_MEND);
            return None;
        };
        let node = Spot { value: to, line: text.line };
        let known = self.names.node(&node, key, self.mistakes);
        let what = self.claim_what(what, text.line, key);
        let what = what.filter(|_| known)?;
        Some(Claim { text: text.value.to_string(), line: text.line, to: to.to_string(), what })
    }

    fn claim_what(&mut self, text: &str, line: usize, key: &str) -> Option<ClaimWhat> {
        let (name, topic) = text.split_once('#').map_or((text, None), |(name, topic)| (name, Some(topic)));
        if name == "icmp" && topic.is_none() {
            return Some(ClaimWhat::Icmp);
        }
        if let Some((protocol, port)) = name.split_once(':') {
            let port = parse_port(port).filter(|_| topic.is_none());
            let what = match (protocol, port) {
                ("tcp", Some(port)) => Some(ClaimWhat::Tcp(port)),
                ("udp", Some(port)) => Some(ClaimWhat::Udp(port)),
                _ => None,
            };
            if what.is_none() {
                let problem = format!("{} is no kind of packet with one port", quoted(text));
                self.mistakes.note(line, key, problem, CLAIM_MEND);
            }
            return what;
        }
        if !self.services.contains_key(name) {
            let mend = meant(name, self.services.keys().map(String::as_str), CLAIM_MEND, self.mistakes);
            self.mistakes.note(line, key, format!("unknown service {}", quoted(name)), mend);
            return None;
        }
        Some(ClaimWhat::Service { name: name.to_string(), topic: topic.map(ToString::to_string) })
    }

    /// No policy passes a test that wants a thing allowed and denied.
    fn refuse_both(&mut self, table: &Table, allow: &[Claim], deny: &[Claim]) {
        let allowed: BTreeMap<&str, usize> =
            allow.iter().map(|claim| (claim.text.as_str(), claim.line)).collect();
        let key = table.path_to("deny");
        for claim in deny {
            if let Some(line) = allowed.get(claim.text.as_str()) {
                let problem = format!("{} is also to be allowed, in line {line}", quoted(&claim.text));
                self.mistakes.note(claim.line, &key, problem, "keep one of the two");
            }
        }
    }
}

const KNOWN: [&str; 4] = ["from", "hold", "allow", "deny"];

const CLAIM_MEND: &str = "write a node and what of it: \"edge-north/telemetry\", \"edge-north/telemetry#temp.1\", \
                          \"edge-north/tcp:22\", \"edge-north/udp:53\", \"edge-north/icmp\"";
