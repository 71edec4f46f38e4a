//! A service: what can be reached, and who may host it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::tags::{Names, check_name};
use super::{Limits, TagExpr, meant, only, raw};
use crate::document::{Entry, Mistakes, Spot, Table, Value, nearest, quoted};
use crate::program::LONGEST_TOPIC;
use crate::zmtp::SocketType;

/// What can be reached.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it stands in the file.
    pub line: usize,
    /// The nodes that may offer it.
    pub hosted_by: TagExpr,
    /// The socket types of the applications that offer it; at least one.
    pub sockets: Vec<SocketType>,
    /// Prefixes of the topics that exist at all; empty where topics are not restricted.
    pub topics: Vec<String>,
    /// Limits for everybody; a rule can only be stricter.
    pub limits: Limits,
}

/// Reads every `[service.NAME]`.
pub(super) fn read_all(
    root: &Table,
    names: &Names<'_>,
    mistakes: &mut Mistakes,
    warnings: &mut Mistakes,
) -> BTreeMap<String, Service> {
    let mut services = BTreeMap::new();
    let Some(table) = root.table("service", mistakes) else {
        return services;
    };
    for entry in &table.entries {
        if raw::is_misplaced(table, entry, mistakes) {
            continue;
        }
        let Value::Table(body) = &entry.value else {
            let mend = format!("write a section  [service.{}]", entry.key);
            table.note(&entry.key, "a service is a section", mend, mistakes);
            continue;
        };
        check_name("service", &entry.key, entry.line, &table.path_to(&entry.key), mistakes);
        if entry.key == "icmp" {
            let problem = "in tests, `icmp` behind a node means the packets";
            mistakes.note(entry.line, &table.path_to(&entry.key), problem, "call the service something else");
        }
        services.insert(entry.key.clone(), read(entry, body, names, mistakes, warnings));
    }
    services
}

/// Reads one. A service with a mistake in it is still known by name, so that its rules are not mistaken too.
fn read(
    entry: &Entry,
    table: &Table,
    names: &Names<'_>,
    mistakes: &mut Mistakes,
    warnings: &mut Mistakes,
) -> Service {
    only(table, &KNOWN, mistakes);
    let hosted_by = names.expression(table, "hosted-by", mistakes);
    let sockets = read_sockets(table, mistakes).unwrap_or_else(|| {
        table.require("socket", SOCKET_MEND, mistakes);
        Vec::new()
    });
    let topics = read_topics(table, mistakes);
    refuse_topics_without_publisher(table, &sockets, mistakes);
    refuse_unbuilt_mode(table, mistakes);
    let limits = Limits::read(table, mistakes);
    if let Some(hosts) = hosted_by.as_ref().filter(|hosts| !names.any(hosts)) {
        let problem = format!("no node is {hosts}: nobody may host {}", entry.key);
        table.note("hosted-by", problem, "give a node these tags in [nodes]", warnings);
    }
    let hosted_by = hosted_by.unwrap_or_default();
    Service { name: entry.key.clone(), line: table.line, hosted_by, sockets, topics, limits }
}

/// Reads `socket` or `sockets`; `None` where neither is given.
pub(super) fn read_sockets(table: &Table, mistakes: &mut Mistakes) -> Option<Vec<SocketType>> {
    let one = table.entry("socket").map(|_| table.text("socket", mistakes).into_iter().collect::<Vec<_>>());
    let many = table.entry("sockets").map(|_| {
        let many = table.texts("sockets", mistakes).unwrap_or_default();
        if matches!(table.value("sockets"), Some(Value::List(items)) if items.is_empty()) {
            table.note("sockets", "the list is empty", SOCKET_MEND, mistakes);
        }
        many
    });
    if one.is_some() && many.is_some() {
        table.note("sockets", "both `socket` and `sockets` are given", "keep one of the two", mistakes);
    }
    let key = if one.is_some() { "socket" } else { "sockets" };
    let given = one.or(many)?;
    let mut sockets: Vec<SocketType> = Vec::new();
    for name in given {
        if let Some(socket) =
            read_socket(&name, &table.path_to(key), mistakes).filter(|socket| !sockets.contains(socket))
        {
            sockets.push(socket);
        }
    }
    Some(sockets)
}

fn read_socket(name: &Spot<&str>, key: &str, mistakes: &mut Mistakes) -> Option<SocketType> {
    let known: Vec<String> = SocketType::ALL.iter().map(|socket| socket.name().to_lowercase()).collect();
    let found = known.iter().position(|known| known == name.value);
    if found.is_none() {
        let all = || known.iter().map(String::as_str);
        let mend = nearest(name.value, all()).map_or_else(
            || format!("known are: {}", known.join(", ")),
            |near| format!("did you mean {}?", quoted(near)),
        );
        mistakes.note(name.line, key, format!("unknown socket type {}", quoted(name.value)), mend);
    }
    found.map(|at| SocketType::ALL[at])
}

/// Reads `topics`: prefixes. None given means no restriction; an empty list or an empty prefix is ambiguous.
pub(super) fn read_topics(table: &Table, mistakes: &mut Mistakes) -> Vec<String> {
    let Some(given) = table.texts("topics", mistakes) else {
        return Vec::new();
    };
    if matches!(table.value("topics"), Some(Value::List(items)) if items.is_empty()) {
        table.note(
            "topics",
            "the list is empty",
            "list prefixes, or leave `topics` out to restrict no topic",
            mistakes,
        );
    }
    if given.len() > MOST_TOPICS {
        let problem = format!("{} prefixes are listed", given.len());
        table.note("topics", problem, format!("list at most {MOST_TOPICS}"), mistakes);
        return Vec::new();
    }
    let key = table.path_to("topics");
    for topic in &given {
        if topic.value.is_empty() {
            let mend = "write a prefix, or leave `topics` out to restrict no topic";
            mistakes.note(topic.line, &key, "an empty prefix is every topic", mend);
        } else if topic.value.len() > LONGEST_TOPIC {
            let problem = format!("a prefix of {} bytes is too long", topic.value.len());
            mistakes.note(topic.line, &key, problem, format!("use at most {LONGEST_TOPIC} bytes"));
        }
    }
    given.iter().map(|topic| topic.value.to_string()).collect()
}

/// Topics exist on publish sockets only; elsewhere a topic rule would hold nothing back.
fn refuse_topics_without_publisher(table: &Table, sockets: &[SocketType], mistakes: &mut Mistakes) {
    let other = sockets.iter().find(|socket| !socket.is_publisher());
    if let (Some(other), Some(_)) = (other, table.entry("topics")) {
        let problem = format!("a {} socket has no topics", other.name().to_lowercase());
        table.note(
            "topics",
            problem,
            "remove `topics`, or offer the service with pub or xpub sockets only",
            mistakes,
        );
    }
}

fn refuse_unbuilt_mode(table: &Table, mistakes: &mut Mistakes) {
    let Some(mode) = table.text("mode", mistakes) else {
        return;
    };
    match mode.value {
        "stream" => {}
        "broker" => table.note(
            "mode",
            "\"broker\" is not built yet",
            "write  mode = \"stream\" , or remove `mode`",
            mistakes,
        ),
        other => {
            let problem = format!("unknown mode {}", quoted(other));
            table.note("mode", problem, meant(other, ["stream"].into_iter(), "", mistakes), mistakes);
        }
    }
}

/// Each message is compared with each prefix.
const MOST_TOPICS: usize = 256;

const KNOWN: [&str; 7] = ["hosted-by", "socket", "sockets", "topics", "max-message", "rate", "mode"];

const SOCKET_MEND: &str = "write the type of the application's socket, as in  socket = \"pub\"  or  sockets = [\"rep\", \"router\"]";
