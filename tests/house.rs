//! The house keeps its own rules: floors, file sizes, README commands, licences, one version of each package.
#![expect(clippy::disallowed_methods, reason = "the test reads the sources")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest file, in lines; style.md aims below 400.
const LONGEST: usize = 500;
/// The crates, the lowest first, and the name that others import each by.
const CRATES: [(&str, &str); 3] = [
    ("proto", "lockgate_proto"),
    ("broker", "lockgate_broker"),
    ("node", "lockgate"),
];
/// What README.md may tell a user to type in a `sh` block, and where it is run by itself.
const README_COMMANDS: [(&str, &str); 8] = [
    ("cargo run --release -- demo", "tests/real"),
    ("cargo test --workspace", ".ci/run"),
    ("cargo build --release", ".ci/run"),
    ("lockgate keygen", "node/tests/verbs.rs"),
    ("lockgate pubkey", "node/tests/verbs.rs"),
    ("lockgate init", "node/tests/verbs.rs"),
    ("lockgate zmq", "tests/real/zmq_client.rs"),
    (".ci/run", "the gate itself"),
];

#[test]
fn imports_run_down_only() {
    let floors = Floors::parse(&read("ARCHITECTURE.md"));
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (krate, _) in CRATES {
        for file in rust_files(&root().join(krate).join("src")) {
            let room = room_of(&file, krate);
            if room == "lib" {
                continue;
            }
            for (to_crate, to_room) in imports(&without_tests(&read_path(&file)), krate) {
                seen += 1;
                if let Some(why) = floors.forbid((krate, &room), (&to_crate, &to_room)) {
                    wrong.push(format!(
                        "{}: {krate}/{room} -> {to_crate}/{to_room}: {why}",
                        short(&file)
                    ));
                }
            }
        }
    }
    assert!(seen > 0, "no import was found at all: the test is blind");
    assert!(
        wrong.is_empty(),
        "ARCHITECTURE.md's floors do not have:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_floor_test_sees_an_upward_arrow() {
    let floors = Floors::parse(
        "```floors\nnode: commands\nnode: a b\nnode: machine\nproto: device | rules\nproto: wire\nnever node: a -> machine\nexcept node: machine -> b\n```\n",
    );
    for (from, to, allowed) in [
        (("node", "commands"), ("node", "machine"), true),
        (("node", "machine"), ("node", "commands"), false),
        (("node", "machine"), ("node", "b"), true),
        (("node", "a"), ("node", "b"), false),
        (("node", "a"), ("node", "a"), true),
        (("node", "a"), ("node", "machine"), false),
        (("node", "machine"), ("proto", "device"), true),
        (("proto", "device"), ("node", "machine"), false),
        (("proto", "device"), ("proto", "rules"), false),
        (("proto", "rules"), ("proto", "wire"), true),
        (("proto", "attic"), ("proto", "wire"), false),
    ] {
        assert_eq!(
            floors.forbid(from, to).is_none(),
            allowed,
            "{from:?} -> {to:?}"
        );
    }
    let text = "use crate::{a::B, c};\nuse lockgate_proto::keys::Key;\n// crate::comment\nlet x = crate::d::y();";
    let found: Vec<String> = imports(text, "node")
        .into_iter()
        .map(|(krate, room)| format!("{krate}/{room}"))
        .collect();
    assert_eq!(found, ["node/a", "node/c", "node/d", "proto/keys"]);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    for dir in ["proto", "broker", "node", "tests", "benches"] {
        for file in rust_files(&root().join(dir)) {
            let lines = read_path(&file).lines().count();
            if lines > LONGEST {
                long.push(format!("{}: {lines} lines", short(&file)));
            }
        }
    }
    assert!(
        long.is_empty(),
        "split these (x.rs holds the main type, x/ its parts):\n{}",
        long.join("\n")
    );
}

#[test]
fn every_readme_command_is_run_somewhere() {
    for (command, runner) in README_COMMANDS
        .iter()
        .filter(|(_, runner)| *runner == ".ci/run")
    {
        assert!(
            read(runner).contains(command),
            "{runner} does not run  {command}"
        );
    }
    let Ok(readme) = std::fs::read_to_string(root().join("README.md")) else {
        return;
    };
    let strangers: Vec<&str> = shell_commands(&readme)
        .into_iter()
        .filter(|line| {
            !README_COMMANDS
                .iter()
                .any(|(command, _)| line.starts_with(command))
        })
        .collect();
    assert!(
        strangers.is_empty(),
        "README.md tells users to type what nothing runs; add a test and a line to README_COMMANDS:\n{}",
        strangers.join("\n")
    );
}

#[test]
fn every_dependency_has_a_licence_that_we_accept() {
    let deny = deny();
    let allowed: BTreeSet<&str> = strings(&deny["licenses"]["allow"]);
    let mut wrong = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        if !satisfied(licence, &allowed) {
            wrong.push(format!(
                "{} {}: {licence}",
                text(&package, "name"),
                text(&package, "version")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "deny.toml does not allow:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_licence_expression_is_read_with_its_parentheses() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for (expression, fine) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/GPL-3.0", true),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND GPL-3.0", false),
        ("ISC AND (GPL-3.0 OR MIT)", true),
        ("(MIT OR ISC) AND GPL-3.0", false),
        ("MIT OR ISC AND GPL-3.0", true),
        ("none", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), fine, "{expression}");
    }
}

#[test]
fn every_dependency_comes_from_the_default_registry_in_one_version() {
    let deny = deny();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        if let Some(source) = package["source"].as_str() {
            let registry = source.starts_with("registry+") && source.ends_with("/crates.io-index");
            assert!(registry, "{} comes from {source}", text(&package, "name"));
        }
        versions
            .entry(text(&package, "name"))
            .or_default()
            .insert(text(&package, "version"));
    }
    let skips: BTreeSet<&str> = deny["bans"]["skip"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|skip| {
            assert!(
                skip["reason"].as_str().is_some_and(|why| !why.is_empty()),
                "{skip:?} has no reason"
            );
            skip["crate"].as_str().expect("a name and a version")
        })
        .collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut doubles = Vec::new();
    for (name, versions) in &versions {
        let skip_for = |version: &String| {
            skips.iter().find(|skip| {
                skip.split_once('@').is_some_and(|(of, at)| {
                    of == name && format!("{version}.").starts_with(&format!("{at}."))
                })
            })
        };
        let kept: Vec<&String> = versions
            .iter()
            .filter(|version| skip_for(version).is_none())
            .collect();
        used.extend(versions.iter().filter_map(skip_for).copied());
        if kept.len() > 1 {
            doubles.push(format!("{name}: {kept:?}"));
        }
    }
    assert!(
        doubles.is_empty(),
        "twice in the tree, and not in deny.toml's skip list:\n{}",
        doubles.join("\n")
    );
    let idle: Vec<&&str> = skips.iter().filter(|skip| !used.contains(**skip)).collect();
    assert!(
        idle.is_empty(),
        "deny.toml skips what is not there any more: {idle:?}"
    );
}

/// The floor plan: how high each room is, and in which wing.
struct Floors {
    rooms: BTreeMap<(String, String), (usize, Wing)>,
    never: BTreeSet<Arrow>,
    except: BTreeSet<Arrow>,
}

/// Crate, from, to.
type Arrow = (String, String, String);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wing {
    Common,
    Left,
    Right,
}

impl Floors {
    fn parse(text: &str) -> Self {
        let plan = text.split_once("```floors\n").expect("a block of floors").1;
        let plan = plan.split_once("```").expect("its end").0;
        let mut floors = Self {
            rooms: BTreeMap::new(),
            never: BTreeSet::new(),
            except: BTreeSet::new(),
        };
        for (depth, line) in plan.lines().enumerate() {
            let (head, rest) = line
                .split_once(": ")
                .unwrap_or_else(|| panic!("{line:?} is no floor"));
            match head.split_once(' ') {
                Some(("never", krate)) => floors.never.insert(arrow(krate, rest)),
                Some(("except", krate)) => floors.except.insert(arrow(krate, rest)),
                Some(_) => panic!("{line:?} is no floor"),
                None => floors.add(head, rest, usize::MAX - depth),
            };
        }
        floors
    }

    fn add(&mut self, krate: &str, rooms: &str, height: usize) -> bool {
        let (left, right) = rooms.split_once('|').unwrap_or((rooms, ""));
        let left_wing = if right.is_empty() {
            Wing::Common
        } else {
            Wing::Left
        };
        for (side, wing) in [(left, left_wing), (right, Wing::Right)] {
            for room in side.split_whitespace() {
                self.rooms
                    .insert((krate.to_owned(), room.to_owned()), (height, wing));
            }
        }
        true
    }

    /// Why `from` may not import `to`; `None` where it may.
    fn forbid(&self, from: (&str, &str), to: (&str, &str)) -> Option<&'static str> {
        let owned = |(krate, room): (&str, &str)| (krate.to_owned(), room.to_owned());
        let own_arrow = (from.0.to_owned(), from.1.to_owned(), to.1.to_owned());
        let Some((height, wing)) = self.rooms.get(&owned(from)) else {
            return Some("the importing room is on no floor");
        };
        if from.0 != to.0 {
            let rank = |krate: &str| CRATES.iter().position(|(name, _)| *name == krate);
            return (rank(from.0) <= rank(to.0)).then_some("a higher crate");
        }
        if from.1 == to.1 || self.except.contains(&own_arrow) {
            return None;
        }
        let Some((to_height, to_wing)) = self.rooms.get(&owned(to)) else {
            return Some("the imported room is on no floor");
        };
        if self.never.contains(&own_arrow) {
            return Some("the plan says never");
        }
        if *wing != Wing::Common && *to_wing != Wing::Common && wing != to_wing {
            return Some("the other wing");
        }
        (to_height >= height).then_some("not below")
    }
}

fn arrow(krate: &str, rest: &str) -> Arrow {
    let (from, to) = rest
        .split_once(" -> ")
        .unwrap_or_else(|| panic!("{rest:?} is no arrow"));
    (
        krate.to_owned(),
        from.trim().to_owned(),
        to.trim().to_owned(),
    )
}

/// The rooms that a file's code names, by crate, in order of name.
fn imports(text: &str, own: &str) -> BTreeSet<(String, String)> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = BTreeSet::new();
    let names = CRATES.map(|(krate, name)| (krate, format!("{name}::")));
    for (krate, prefix) in [(own, "crate::".to_owned())].into_iter().chain(names) {
        for (at, _) in code.match_indices(&prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            for room in heads(&code[at + prefix.len()..]) {
                found.insert((krate.to_owned(), room));
            }
        }
    }
    found
}

/// The first names of a path, or of each path in a group `{a::b, c}`; only lower-case names are rooms.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let is_room = |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase());
    let Some(group) = path.strip_prefix('{') else {
        return Some(word(path)).filter(is_room).into_iter().collect();
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(is_room);
    names
}

fn without_tests(text: &str) -> String {
    text.split_once("#[cfg(test)]\nmod ")
        .map_or(text, |(code, _)| code)
        .to_owned()
}

fn room_of(file: &Path, krate: &str) -> String {
    let inside = file
        .strip_prefix(root().join(krate).join("src"))
        .expect("a source file");
    let first = inside
        .components()
        .next()
        .expect("a file")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn shell_commands(readme: &str) -> Vec<&str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in readme.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() && !command.starts_with('#') => {
                commands.push(command)
            }
            _ => {}
        }
    }
    commands
}

/// Whether an SPDX expression can be met with `allowed`; `/` is the old way to write OR, and AND binds tighter.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "_WITH_");
    let tokens: Vec<String> = spaced
        .split_whitespace()
        .map(|token| token.replace("_WITH_", " WITH "))
        .collect();
    // Of each open parenthesis: whether an alternative is met already, and whether the present one still is.
    let mut stack = vec![(false, true)];
    for token in &tokens {
        let (any, all) = stack.last_mut().expect("parentheses match");
        match token.as_str() {
            "OR" => {
                *any |= *all;
                *all = true;
            }
            "AND" => {}
            "(" => stack.push((false, true)),
            ")" => {
                let (any, all) = stack.pop().expect("parentheses match");
                stack.last_mut().expect("parentheses match").1 &= any | all;
            }
            licence => *all &= allowed.contains(licence),
        }
    }
    let (any, all) = stack.pop().expect("parentheses match");
    any | all
}

fn deny() -> toml::Table {
    read("deny.toml").parse().expect("deny.toml is TOML")
}

fn strings(list: &toml::Value) -> BTreeSet<&str> {
    list.as_array()
        .expect("a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect()
}

/// Every package that is compiled on this platform, for tests or for users.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .expect("cargo ran this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .expect("a resolved graph");
    let used: BTreeSet<&str> = nodes
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter(|package| used.contains(package["id"].as_str().unwrap_or_default()))
        .cloned()
        .collect()
}

fn text(package: &Value, key: &str) -> String {
    package[key].as_str().unwrap_or_default().to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

fn short(file: &Path) -> String {
    file.strip_prefix(root())
        .unwrap_or(file)
        .display()
        .to_string()
}

fn read(name: &str) -> String {
    read_path(&root().join(name))
}

fn read_path(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
