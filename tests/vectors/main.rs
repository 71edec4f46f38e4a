//! What ZeroTier's own compiler and packet filter made of scripts and packets (`zerotier/README.md`), and what we make of them.

mod cli;
mod divergences;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lockgate_proto::program::{Direction, List, NodeTags, Outcome, Parties, Subject, Test, packet_facts};
use lockgate_proto::script::{DIVERGENCES, Dialect, Options, Script, ScriptMistake};
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

#[test]
fn every_script_compiles_or_is_refused_where_upstream_or_the_list_of_divergences_says() {
    let mut wrong = Vec::new();
    let (mut compiled, mut refused) = (0, 0);
    for name in names() {
        let theirs = json(&format!("compiled/{name}.json"));
        let ours = compile(&name, Dialect::ZeroTier);
        let listed = divergences::REFUSED.iter().find(|(script, _)| *script == name);
        let line = listed.map(|(_, line)| *line).or(theirs["error"]["line"].as_u64().map(|line| line as u32));
        assert!(listed.is_none() || theirs["ok"] == true, "{name} is refused upstream too: no divergence");
        match (ours, line) {
            (Ok(script), None) => {
                compiled += 1;
                assert_eq!(Some(script.rules.entries().len()), entries(&theirs["config"]), "{name}");
            }
            (Err(mistakes), Some(line)) if mistakes[0].line == line => {
                refused += 1;
                assert!(!mistakes[0].problem.is_empty() && !mistakes[0].mend.is_empty(), "{name}");
            }
            (Ok(_), Some(line)) => wrong.push(format!("{name} compiles: not refused in line {line}")),
            (Err(mistakes), _) => wrong.push(format!("{name} is refused: {}", mistakes[0])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compiled >= 30 && refused >= 40, "{compiled} compiled, {refused} refused");
}

fn entries(config: &Value) -> Option<usize> {
    Some(config["rules"].as_array()?.len())
}

#[test]
fn our_own_dialect_takes_what_it_lists_and_refuses_the_rest() {
    for name in names() {
        let theirs = json(&format!("compiled/{name}.json"));
        let is_listed = divergences::REFUSED.iter().any(|(script, _)| *script == name)
            && !divergences::ZEROTIER_ONLY.contains(&name.as_str());
        let is_ours = divergences::OURS.iter().any(|(script, _)| *script == name);
        let ours = compile(&name, Dialect::Lockgate);
        assert_eq!(ours.is_ok(), is_ours || (theirs["ok"] == true && !is_listed), "{name}");
        if let (Ok(ours), Ok(theirs)) = (ours, compile(&name, Dialect::ZeroTier)) {
            // Names of nodes stand as they are, where ZeroTier takes out what is no hexadecimal digit.
            let is_named = |test: &Test| matches!(test, Test::SourceNode(_) | Test::DestinationNode(_));
            assert!(
                ours == theirs || ours.rules.tests().any(is_named),
                "{name}: a script of ZeroTier's means the same in ours"
            );
        }
    }
}

#[test]
fn each_divergence_has_a_reason() {
    let names = names();
    let listed: BTreeSet<&str> = DIVERGENCES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| names.iter().any(|known| known == name))
        .collect();
    assert_eq!(listed, divergences::REFUSED.iter().map(|(name, _)| *name).collect());
    for (what, reason) in DIVERGENCES.iter().chain(&divergences::OURS) {
        assert!(reason.split(' ').count() > 2, "{what}: {reason}");
    }
    assert!(divergences::OURS.iter().all(|(name, _)| names.iter().any(|known| known == name)));
}

#[test]
fn every_verdict_of_a_script_that_compiles_is_upstreams() {
    let mut scripts: BTreeMap<String, Option<Script>> = BTreeMap::new();
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in &cases() {
        let script = scripts
            .entry(case.script.clone())
            .or_insert_with(|| compile(&case.script, Dialect::ZeroTier).ok());
        let Some(script) = script else { continue };
        judged += 1;
        let tags = NodeTags::new();
        let outcome = script.judge(&parties(case, &tags), &case.held, &subject(case)).outcome;
        let ours = match outcome {
            Outcome::Accept => "accept",
            Outcome::Redirect(_) => "redirect",
            Outcome::Drop | Outcome::NoMatch => "drop",
        };
        if ours != case.verdict {
            wrong.push(format!("{}: {} {}: {ours}, not {}", case.line, case.script, case.name, case.verdict));
        }
    }
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged > 4_000, "{judged}");
}

fn compile(name: &str, dialect: Dialect) -> Result<Script, Vec<ScriptMistake>> {
    Script::compile(&read(&format!("scripts/{name}.ztr")), &Options::new(name, dialect))
}

/// The base rules, and where they decide nothing the sender's capabilities by rising id (reference 2.5, 2.6).
fn verdict(rules: &List, capabilities: &[(u32, List)], case: &Case) -> &'static str {
    let tags = NodeTags::new();
    let (parties, subject) = (parties(case, &tags), subject(case));
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

fn parties<'c>(case: &'c Case, tags: &'c NodeTags) -> Parties<'c> {
    let (source, destination, source_values, destination_values) = match case.direction {
        Direction::Out => ("local", "remote", &case.local, &case.remote),
        Direction::In => ("remote", "local", &case.remote, &case.local),
    };
    Parties {
        direction: case.direction,
        own: "local",
        source,
        destination,
        source_tags: tags,
        destination_tags: tags,
        source_values,
        destination_values,
    }
}

fn subject(case: &Case) -> Subject<'static> {
    Subject::Packet(packet_facts(&case.packet))
}

/// The names of all scripts, sorted.
fn names() -> Vec<String> {
    let entries = folder().join("scripts").read_dir().expect("a folder").flatten();
    let name = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.path())).collect();
    names.sort();
    assert!(names.len() >= 71, "{} scripts", names.len());
    names
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
