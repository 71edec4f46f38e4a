//! The `lockgate` binary beside the running test, built where it is missing or older than its sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The path of an up-to-date `lockgate`.
pub fn lockgate() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = profile_dir().join("lockgate");
        let built = modified(&binary);
        if built.is_none_or(|built| newest_source() > built) {
            build();
        }
        assert!(binary.exists(), "{} was built but is not there", binary.display());
        binary
    })
}

/// A command that runs `lockgate`.
pub fn lockgate_command() -> Command {
    Command::new(lockgate())
}

/// `target/debug` or `target/release`: where this executable, or the `deps` folder that it is in, lies.
fn profile_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its executable");
    let dir = own.parent().expect("an executable lies in a folder");
    let dir =
        if dir.ends_with("deps") { dir.parent().expect("deps lies in a profile's folder") } else { dir };
    dir.to_owned()
}

fn build() {
    let profile = profile_dir();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "lockgate", "--bin", "lockgate", "--target-dir"]);
    cargo.arg(profile.parent().expect("a profile's folder lies in the target folder"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(root()).status().expect("cargo ran this test");
    assert!(status.success(), "lockgate does not build");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

fn newest_source() -> SystemTime {
    let mut newest = modified(&root().join("Cargo.lock")).expect("the workspace has a Cargo.lock");
    let mut folders: Vec<PathBuf> =
        ["proto/src", "broker/src", "node/src"].iter().map(|dir| root().join(dir)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a source folder").flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => newest = newest.max(modified(&entry.path()).unwrap_or(newest)),
            }
        }
    }
    newest
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
