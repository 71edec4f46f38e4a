//! What ZeroTier's own compiler and packet filter made of scripts and packets (`zerotier/README.md`), and what we make of them.

mod upstream;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockgate_proto::program::{Direction, List, NodeTags, Outcome, Parties, Subject, packet_facts};
use serde_json::Value;

/// A line of `verdicts.jsonl`.
struct Case {
    line: usize,
    script: String,
    name: String,
    packet: Vec<u8>,
    direction: Direction,
    local: Vec<(u32, u32)>,
    remote: Vec<(u32, u32)>,
    held: Vec<u32>,
    verdict: String,
}

#[test]
fn the_engine_judges_what_upstream_compiled_as_upstream_judges_it() {
    let mut compiled: BTreeMap<String, (List, Vec<(u32, List)>)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 5_000, "{} cases", cases.len());
    for case in &cases {
        let (rules, capabilities) = compiled.entry(case.script.clone()).or_insert_with(|| {
            let config = &json(&format!("compiled/{}.json", case.script))["config"];
            let mut capabilities: Vec<(u32, List)> = config["capabilities"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| (number(&one["id"]), upstream::list(&one["rules"])))
                .collect();
            capabilities.sort_by_key(|(id, _)| *id);
            (upstream::list(&config["rules"]), capabilities)
        });
        let ours = verdict(rules, capabilities, case);
        if ours != case.verdict {
            wrong.push(format!(
                "{}: {} {} {:?}: {ours}, not {}",
                case.line, case.script, case.name, case.direction, case.verdict
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The base rules, and where they decide nothing the sender's capabilities by rising id (reference 2.5, 2.6).
fn verdict(rules: &List, capabilities: &[(u32, List)], case: &Case) -> &'static str {
    let tags = NodeTags::new();
    let (source, destination, source_values, destination_values) = match case.direction {
        Direction::Out => ("local", "remote", &case.local, &case.remote),
        Direction::In => ("remote", "local", &case.remote, &case.local),
    };
    let parties = Parties {
        direction: case.direction,
        own: "local",
        source,
        destination,
        source_tags: &tags,
        destination_tags: &tags,
        source_values,
        destination_values,
    };
    let subject = Subject::Packet(packet_facts(&case.packet));
    match rules.judge(&parties, &subject).outcome {
        Outcome::Accept => return "accept",
        Outcome::Redirect(_) => return "redirect",
        Outcome::Drop => return "drop",
        Outcome::NoMatch => {}
    }
    for (_, list) in capabilities.iter().filter(|(id, _)| case.held.contains(id)) {
        match list.judge(&parties, &subject).outcome {
            Outcome::Accept => return "accept",
            Outcome::Redirect(_) => return "redirect",
            Outcome::Drop | Outcome::NoMatch => {}
        }
    }
    "drop"
}

fn cases() -> Vec<Case> {
    let parse = |(at, line): (usize, &str)| {
        let case: Value = serde_json::from_str(line).expect("a line is an object");
        let text = |key: &str| case[key].as_str().expect("text").to_owned();
        let values = |key: &str| {
            let values = case[key].as_object().expect("tags").iter();
            let mut values: Vec<(u32, u32)> =
                values.map(|(tag, value)| (tag.parse().expect("a tag's number"), number(value))).collect();
            values.sort_unstable();
            values
        };
        Case {
            line: at + 1,
            script: text("script"),
            name: text("packet_name"),
            packet: unhex(&text("packet")),
            direction: if text("direction") == "out" { Direction::Out } else { Direction::In },
            local: values("local_tags"),
            remote: values("remote_tags"),
            held: case["capabilities"].as_array().expect("a list").iter().map(number).collect(),
            verdict: text("verdict"),
        }
    };
    read("verdicts.jsonl").lines().enumerate().map(parse).collect()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_else(|| panic!("{value}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own fixtures")]
fn read(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/zerotier")
}
