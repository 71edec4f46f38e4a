//! The house keeps its own rules: floors, file sizes, README commands, licences, one version of each package.
#![expect(clippy::disallowed_methods, reason = "the test reads the sources")]

use std::path::{Path, PathBuf};

use floors::{CRATES, Floors, imports};

#[path = "house/dependencies.rs"]
mod dependencies;
#[path = "house/floors.rs"]
mod floors;

/// Longest file, in lines; style.md aims below 400.
const LONGEST: usize = 500;
/// What README.md may tell a user to type in a `sh` block, and where it is run by itself.
const README_COMMANDS: [(&str, &str); 21] = [
    ("cargo run --release -- demo", "tests/real"),
    ("cargo test --workspace", ".ci/run"),
    ("cargo build --release", ".ci/run"),
    ("lockgate keygen", "node/tests/verbs.rs"),
    ("lockgate pubkey", "node/tests/walk.rs"),
    ("lockgate init", "node/tests/walk.rs"),
    ("lockgate check", "node/tests/walk.rs"),
    ("lockgate up", "node/tests/walk.rs"),
    ("lockgate status", "node/tests/walk.rs"),
    ("lockgate zmq", "node/tests/walk.rs"),
    ("lockgate ping", "node/tests/walk.rs"),
    ("lockgate peers", "node/tests/walk.rs"),
    ("lockgate policy", "node/tests/walk.rs"),
    ("lockgate reach", "node/tests/walk.rs"),
    ("lockgate explain", "node/tests/walk.rs"),
    // These need root: in namespaces, under other interface names and paths.
    ("lockgate wg --allow-all", "tests/network/wg_quick.rs"),
    ("wg syncconf", "tests/network/wg_quick.rs"),
    ("ip link set", "tests/network/rig"),
    ("WG_QUICK_USERSPACE_IMPLEMENTATION=lockgate-wg wg-quick up", "tests/network/wg_quick.rs"),
    ("wg show", "tests/network/wg.rs"),
    ("wg-quick down", "tests/network/wg_quick.rs"),
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
                    wrong.push(format!("{}: {krate}/{room} -> {to_crate}/{to_room}: {why}", short(&file)));
                }
            }
        }
    }
    assert!(seen > 0, "no import was found at all: the test is blind");
    assert!(wrong.is_empty(), "ARCHITECTURE.md's floors do not have:\n{}", wrong.join("\n"));
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
    assert!(long.is_empty(), "split these (x.rs holds the main type, x/ its parts):\n{}", long.join("\n"));
}

#[test]
fn every_readme_command_is_run_somewhere() {
    for (command, runner) in README_COMMANDS.iter().filter(|(_, runner)| *runner == ".ci/run") {
        assert!(read(runner).contains(command), "{runner} does not run  {command}");
    }
    for (command, runner) in README_COMMANDS {
        assert!(root().join(runner).exists(), "{runner}, which runs  {command} , is gone");
    }
    let readme = read("README.md");
    assert!(
        !shell_commands(&readme).is_empty(),
        "README.md tells nobody to type anything: the test is blind"
    );
    let strangers: Vec<&str> = shell_commands(&readme)
        .into_iter()
        .filter(|line| !README_COMMANDS.iter().any(|(command, _)| line.starts_with(command)))
        .collect();
    assert!(
        strangers.is_empty(),
        "README.md tells users to type what nothing runs; add a test and a line to README_COMMANDS:\n{}",
        strangers.join("\n")
    );
}

fn without_tests(text: &str) -> String {
    text.split_once("#[cfg(test)]\nmod ").map_or(text, |(code, _)| code).to_owned()
}

fn room_of(file: &Path, krate: &str) -> String {
    let inside = file.strip_prefix(root().join(krate).join("src")).expect("a source file");
    let first = inside.components().next().expect("a file").as_os_str().to_string_lossy();
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
                commands.push(command);
            }
            _ => {}
        }
    }
    commands
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

fn short(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

fn read(name: &str) -> String {
    read_path(&root().join(name))
}

fn read_path(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
