//! The matrix for programs: JSON and comma-separated values.

use serde_json::{Value, json};

use lockgate_proto::analysis::{Pair, Passes, Ports, Reach, ServicePass, TopicSet};
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::RuleRef;

/// By class, with the rules; and by node, as a scanner sees it.
pub(super) fn json(policy: &Policy, matrix: &Reach) -> Value {
    let classes: Vec<Value> =
        matrix.classes.iter().map(|class| json!({ "name": class.name, "nodes": class.nodes })).collect();
    let reach: Vec<Value> = matrix
        .pairs
        .iter()
        .map(|pair| {
            let mut report = passes(&pair.passes);
            report["from"] = json!(matrix.classes[pair.from].name);
            report["to"] = json!(matrix.classes[pair.to].name);
            report
        })
        .collect();
    let pairs: Vec<Value> = matrix.pairs.iter().flat_map(|pair| nodes(matrix, pair)).collect();
    json!({ "file": policy.file, "classes": classes, "reach": reach, "pairs": pairs })
}

/// What passes, with the rules.
pub(in crate::commands) fn passes(passes: &Passes) -> Value {
    json!({
        "services": passes.services.iter().map(service).collect::<Vec<_>>(),
        "tcp": passes.tcp.iter().map(ports).collect::<Vec<_>>(),
        "udp": passes.udp.iter().map(ports).collect::<Vec<_>>(),
        "icmp": passes.icmp.as_ref().map(rule),
        "other": passes.protocols.iter()
            .map(|other| json!({ "first": other.first, "last": other.last, "rule": rule(&other.rule) }))
            .collect::<Vec<_>>(),
    })
}

/// A rule by name and place.
pub(in crate::commands) fn rule(rule: &RuleRef) -> Value {
    json!({ "id": &*rule.id, "file": &*rule.file, "line": rule.line })
}

fn service(pass: &ServicePass) -> Value {
    let starts = |topics: &TopicSet| -> (Vec<String>, Vec<String>) {
        let text = |start: &Vec<u8>| String::from_utf8_lossy(start).into_owned();
        let spans = topics.spans();
        (
            spans.iter().map(|span| text(&span.start)).collect(),
            spans.iter().flat_map(|span| &span.except).map(text).collect(),
        )
    };
    let (topics, not_topics) = starts(&pass.topics);
    let sockets: Vec<String> = pass.sockets.iter().map(|socket| socket.name().to_lowercase()).collect();
    json!({
        "name": &*pass.name,
        "topics": topics,
        "not_topics": not_topics,
        "sockets": sockets,
        "rule": rule(&pass.rule),
    })
}

fn ports(ports: &Ports) -> Value {
    json!({ "first": ports.first, "last": ports.last, "rule": rule(&ports.rule) })
}

/// One for each two nodes. Port ranges that touch are one, whatever their rules: what a scanner finds open.
fn nodes(matrix: &Reach, pair: &Pair) -> Vec<Value> {
    let mut report = passes(&pair.passes);
    report["tcp"] = json!(open(&pair.passes.tcp));
    report["udp"] = json!(open(&pair.passes.udp));
    report["icmp"] = json!(pair.passes.icmp.is_some());
    let (from, to) = (&matrix.classes[pair.from].nodes, &matrix.classes[pair.to].nodes);
    let both = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
    both.filter(|(from, to)| from != to)
        .map(|(from, to)| {
            let mut report = report.clone();
            report["from"] = json!(from);
            report["to"] = json!(to);
            report
        })
        .collect()
}

fn open(ranges: &[Ports]) -> Vec<(u16, u16)> {
    let mut open: Vec<(u16, u16)> = Vec::new();
    for range in ranges {
        match open.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(range.first) => last.1 = range.last,
            _ => open.push((range.first, range.last)),
        }
    }
    open
}

/// A line for each thing that passes between two classes, and one with `nothing` where none does.
pub(super) fn csv(matrix: &Reach) -> String {
    let mut lines = vec!["from,from_nodes,to,to_nodes,what,rule,file,line".to_owned()];
    for pair in &matrix.pairs {
        let (from, to) = (&matrix.classes[pair.from], &matrix.classes[pair.to]);
        let mut row = |what: &str, rule: [&str; 3]| {
            let nodes = [from.nodes.join(" "), to.nodes.join(" ")];
            let cells = [&from.name, &nodes[0], &to.name, &nodes[1], what, rule[0], rule[1], rule[2]];
            lines.push(cells.map(cell).join(","));
        };
        for (what, rule) in pair.passes.told() {
            row(&what, [&rule.id, &rule.file, &rule.line.to_string()]);
        }
        if pair.passes.is_nothing() {
            row("nothing", [""; 3]);
        }
    }
    lines.join("\n")
}

/// Quoted where it has to be (RFC 4180).
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
