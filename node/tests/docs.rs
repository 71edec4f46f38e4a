//! The examples in docs/ are read as a node reads them, and docs/ names every key that there is.
#![expect(clippy::disallowed_methods, reason = "the test reads the documents")]

use std::path::Path;
use std::process::Command;

use clap::Parser;
use lockgate::cli::policy::PolicyVerb;
use lockgate::cli::{Cli, Verb};
use lockgate::config::Config;
use lockgate_proto::discard::Discard;
use lockgate_proto::document::Mistake;
use lockgate_proto::policy::Policy;
use lockgate_proto::script::{DIVERGENCES, Dialect, Options, Script};

/// What stands before an example of lockgate.toml that has no `[node]`.
const NODE: &str = r#"[node]
name = "edge-north"
key = "north.key"
address = ["10.77.0.11"]
listen = "0.0.0.0:51820"
policy = "policy.toml"
"#;

/// A peer for the examples of other sections.
const PEER: &str = r#"[[peer]]
name = "edge-south"
public_key = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
addresses = ["10.77.0.12"]
"#;

/// What stands before an example of policy.toml that has no `default`.
const POLICY: &str = r#"default = "deny"
[tags]
role = ["sensor-gw", "historian"]
site = ["north", "south"]
[nodes]
edge-north = { role = "sensor-gw", site = "north" }
edge-south = { role = "historian", site = "south" }
"#;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("docs/{name}: {error}"))
}

fn examples(text: &str) -> Vec<&str> {
    blocks(text, "toml")
}

/// The blocks of a kind.
fn blocks<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let fence = format!("```{kind}\n");
    let blocks = text.split(fence.as_str()).skip(1);
    blocks.map(|block| block.split_once("```").expect("the block ends").0).collect()
}

fn config_of(example: &str) -> String {
    let node = if example.contains("[node]") { "" } else { NODE };
    let peer = if example.contains("[[peer]]") { "" } else { PEER };
    format!("{node}{example}\n{peer}")
}

#[test]
fn every_example_of_a_configuration_is_valid() {
    let text = document("config.md");
    let examples = examples(&text);
    for example in &examples {
        let read = Config::parse("docs/config.md", &config_of(example), Path::new("/etc/lockgate"));
        let config = read.unwrap_or_else(|mistakes| panic!("{example}\n{mistakes:#?}"));
        assert_eq!(config.warnings, Vec::new(), "{example}");
    }
    assert!(examples.len() >= 4, "an example for each section: {}", examples.len());
}

#[test]
fn every_example_of_a_policy_is_valid() {
    for (name, least) in [("policy.md", 8), ("rules.md", 1)] {
        let text = document(name);
        let examples = examples(&text);
        for example in &examples {
            let head = if example.contains("default =") { "" } else { POLICY };
            let read = Policy::parse(name, &format!("{head}{example}"));
            let policy = read.unwrap_or_else(|mistakes| panic!("{example}\n{mistakes:#?}"));
            assert_eq!(policy.warnings, Vec::new(), "{example}");
        }
        assert!(examples.len() >= least, "{name}: an example for each section: {}", examples.len());
    }
}

#[test]
fn what_the_readme_adds_for_packets_is_valid() {
    let text = document("../README.md");
    let examples = examples(&text);
    let beginning = |with: &str| {
        let found = examples.iter().find(|example| example.starts_with(with));
        *found.unwrap_or_else(|| panic!("no example begins with {with}"))
    };
    let read = Config::parse("README.md", &config_of(beginning("[tun]")), Path::new("/etc/lockgate"));
    assert!(read.is_ok_and(|config| config.tun.is_some() && config.warnings.is_empty()));
    let read = Policy::parse("README.md", &format!("{POLICY}{}", beginning("[[allow]]")));
    assert!(read.is_ok_and(|policy| policy.warnings.is_empty()));
}

#[test]
fn every_example_of_flow_rules_compiles() {
    let text = document("rules.md");
    let examples = blocks(&text, "rules");
    for example in &examples {
        let compiled = Script::compile(example, &Options::new("rules.md", Dialect::Lockgate));
        let script = compiled.unwrap_or_else(|mistakes| panic!("{example}\n{mistakes:#?}"));
        assert_eq!(script.warnings, Vec::new(), "{example}");
    }
    assert!(examples.len() >= 6, "docs/rules.md shows few flow rules: is the test blind?");
}

#[test]
fn what_is_refused_is_described_with_examples_that_are_refused() {
    let text = document("rules.md");
    for (_, reason) in DIVERGENCES {
        assert!(text.contains(&format!("| {reason} |\n")), "docs/rules.md does not say: {reason}");
    }
    let (_, table) = text.split_once("| for example | why |\n").expect("the table of what is refused");
    let rows = table.lines().take_while(|line| line.starts_with('|')).filter(|row| row.starts_with("| `"));
    let mut seen = 0;
    for row in rows {
        let example = row.split('`').nth(1).expect("an example");
        let is_taken = |dialect| Script::compile(example, &Options::new("rules.md", dialect)).is_ok();
        let ours = text.contains(&format!("own dialect takes `{example}`"));
        assert_eq!([is_taken(Dialect::ZeroTier), is_taken(Dialect::Lockgate)], [false, ours], "{example}");
        seen += 1;
    }
    assert!(seen >= 20, "{seen} examples of what is refused");
}

#[test]
fn every_reason_to_discard_is_described() {
    let text = document("operations.md");
    for reason in Discard::ALL {
        assert!(text.contains(&format!("`{}`", reason.name())), "`{}` is not described", reason.name());
    }
}

#[test]
fn every_key_is_described() {
    let mut config = format!("zzzzzz = 1\n{NODE}zzzzzz = 1\n{PEER}zzzzzz = 1\n[tun]\nzzzzzz = 1\n");
    config += "[[offer]]\nzzzzzz = 1\n[[use]]\nzzzzzz = 1\n";
    let found = Config::parse("f", &config, Path::new("/")).expect_err("unknown keys");
    described(&document("config.md"), &found, 5);
    let mut policy = format!("zzzzzz = 1\n{POLICY}");
    for section in ["[service.a]", "[[allow]]", "[[forbid]]", "[capability.c]", "[[grant]]", "[[test]]"] {
        policy += &format!("{section}\nzzzzzz = 1\n");
    }
    let found = Policy::parse("f", &policy).expect_err("unknown keys");
    described(&document("policy.md"), &found, 7);
}

/// The lines of the blocks of commands, each with the exit code that it is said to end with.
fn commands(text: &str) -> Vec<(Vec<&str>, i32)> {
    fn read(line: &str) -> Option<(Vec<&str>, i32)> {
        let (command, said) = line.split_once(" # ").unwrap_or((line, ""));
        let code = said.strip_prefix("exit code ").and_then(|said| said.split(':').next());
        let words = command.split('|').next()?.split_whitespace().collect();
        Some((words, code.map_or(0, |code| code.parse().expect("a number"))))
    }
    blocks(text, "sh").into_iter().flat_map(str::lines).filter_map(read).collect()
}

#[test]
fn what_the_manual_says_to_type_about_a_policy_ends_as_it_says() {
    let text = document("operations.md");
    let dir = tempfile::tempdir().expect("a folder");
    let plant = document("../configs/plant/policy.toml");
    let candidate = plant.replace("tcp:20-30", "tcp:20-22");
    std::fs::write(dir.path().join("policy.toml"), plant).expect("written");
    std::fs::write(dir.path().join("candidate.toml"), candidate).expect("written");
    let mut ran = 0;
    for (words, code) in commands(&text) {
        let parsed = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let asks_a_node = match parsed.verb {
            Verb::Status | Verb::Observe(_) => true,
            Verb::Policy(verb) => {
                matches!(verb, PolicyVerb::Stage(_) | PolicyVerb::Promote | PolicyVerb::Abort)
            }
            _ => false,
        };
        if !asks_a_node {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
            let output = command.args(&words[1..]).current_dir(dir.path()).output().expect("lockgate runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
            ran += 1;
        }
    }
    assert!(ran >= 7, "docs/operations.md says to type little: is the test blind?");
}

/// The document has each key that the hints to an unknown one list, as `key`.
fn described(document: &str, mistakes: &[Mistake], sections: usize) {
    let lists: Vec<&str> =
        mistakes.iter().filter_map(|mistake| mistake.mend.strip_prefix("known keys are: ")).collect();
    assert!(lists.len() >= sections, "{mistakes:#?}");
    for key in lists.iter().flat_map(|list| list.split(", ")) {
        let ways =
            [format!("`{key}`"), format!("`[{key}]`"), format!("`[[{key}]]`"), format!("`[{key}.NAME]`")];
        assert!(ways.iter().any(|way| document.contains(way)), "`{key}` is not described");
    }
}
