//! The verbs that need no running node, as a user runs them.
#![expect(clippy::disallowed_methods, reason = "the test looks at the files that the command wrote")]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn lockgate(dir: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lockgate runs");
    // A verb that reads no stdin may be gone already.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("our own child")
}

fn fine(dir: &Path, args: &[&str], stdin: &str) -> String {
    let output = lockgate(dir, args, stdin);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn refused(dir: &Path, args: &[&str], stdin: &str, code: i32, words: &[&str]) {
    let output = lockgate(dir, args, stdin);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?} says {word:?}, not: {said}");
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("the command wrote it").mode() & 0o777
}

#[test]
fn a_key_in_a_file_is_for_its_owner_and_its_public_half_is_printed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let public = fine(dir.path(), &["keygen", "node.key"], "");
    let file = dir.path().join("node.key");
    assert_eq!(mode(&file), 0o600);
    let private = std::fs::read_to_string(&file).expect("our own file");
    assert_eq!((private.trim().len(), public.trim().len()), (44, 44));
    assert_eq!(fine(dir.path(), &["pubkey"], &private), public);
    assert_eq!(std::fs::read_dir(dir.path()).expect("our own folder").count(), 1, "no draft is left behind");
}

#[test]
fn a_key_is_never_overwritten_unless_forced() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("node.key");
    std::fs::write(&file, "precious").expect("our own file");
    refused(dir.path(), &["keygen", "node.key"], "", 1, &["node.key", "is there already", "--force"]);
    assert_eq!(std::fs::read_to_string(&file).expect("our own file"), "precious");
    fine(dir.path(), &["keygen", "--force", "node.key"], "");
    assert_ne!(std::fs::read_to_string(&file).expect("our own file"), "precious");
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn two_keys_differ() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert_ne!(fine(dir.path(), &["keygen"], ""), fine(dir.path(), &["keygen"], ""));
}

#[test]
fn text_that_is_no_key_is_refused_and_not_repeated() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for text in ["", "short", &"A".repeat(43), &"A".repeat(5000)] {
        refused(dir.path(), &["pubkey"], text, 1, &["no private key", "hint:"]);
    }
    let output = lockgate(dir.path(), &["pubkey"], "secretsecretsecretsecretsecretsecretsecretse");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secretsecret"));
}

#[test]
fn init_writes_three_files_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let said = fine(dir.path(), &["init", "--name", "edge-north", "--dir", "a/b"], "");
    assert!(said.contains("lockgate check -c "), "{said}");
    let [config, policy, key] =
        ["lockgate.toml", "policy.toml", "node.key"].map(|file| dir.path().join("a/b").join(file));
    assert_eq!((mode(&config), mode(&policy), mode(&key)), (0o644, 0o644, 0o600));
    let text = std::fs::read_to_string(&config).expect("our own file");
    let public = fine(dir.path(), &["pubkey"], &std::fs::read_to_string(&key).expect("our own file"));
    for part in ["name    = \"edge-north\"", public.trim(), "[[offer]]", "[[use]]"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        !text.contains('@') && !std::fs::read_to_string(&policy).expect("our own file").contains('@'),
        "no blank is left"
    );
    refused(dir.path(), &["init", "--dir", "a/b"], "", 1, &["is there already", "--dir"]);
    assert_eq!(std::fs::read_to_string(&config).expect("our own file"), text);
}

#[test]
fn init_leaves_the_folder_alone_where_one_of_its_files_exists() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("policy.toml"), "mine").expect("our own file");
    refused(dir.path(), &["init"], "", 1, &["policy.toml is there already"]);
    assert_eq!(std::fs::read_dir(dir.path()).expect("our own folder").count(), 1);
}

#[test]
fn json_is_one_object() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let report: serde_json::Value =
        serde_json::from_str(&fine(dir.path(), &["init", "--name", "n", "--json"], "")).expect("JSON");
    assert_eq!(report["name"], "n");
    assert_eq!(report["files"].as_array().map(Vec::len), Some(3));
    let key: serde_json::Value =
        serde_json::from_str(&fine(dir.path(), &["keygen", "--json"], "")).expect("JSON");
    assert_eq!(key["private_key"].as_str().map(str::len), Some(44));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for args in [
        &["nonsense"][..],
        &[],
        &["init", "--name", "a b"],
        &["keygen", "--force"],
        &["pubkey", "--log", "=="],
    ] {
        assert_eq!(lockgate(dir.path(), args, "").status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_folder_that_is_missing_is_named_with_the_mend() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    refused(dir.path(), &["keygen", "no/such/node.key"], "", 1, &["no/such/node.key", "create its folder"]);
}
