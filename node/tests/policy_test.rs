//! `policy test` and `policy compile` as a user runs them, and what the policies that we hand out are worth.
#![expect(clippy::disallowed_methods, reason = "the test writes policies and reads reports")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What came of a run: exit code, stdout, stderr.
type Run = (Option<i32>, String, String);

fn lockgate(dir: &Path, args: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate")).args(args).current_dir(dir).output();
    let output = output.expect("lockgate runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn folder(tests: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("policy.toml"), format!("{POLICY}{tests}")).expect("our own file");
    dir
}

const POLICY: &str = r#"default = "deny"
[tags]
role = ["gw", "hmi", "historian"]
[nodes]
gw-1 = { role = "gw" }
hmi-1 = { role = "hmi" }
hist-1 = { role = "historian" }
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw tcp:22"
"#;

const WHOLE: &str = r#"[[test]]
from = "hmi-1"
allow = ["gw-1/tcp:22"]
deny = ["gw-1/tcp:21", "gw-1/tcp:23", "hist-1/tcp:22"]
[[test]]
from = "hist-1"
deny = ["gw-1/tcp:22"]
"#;

#[test]
fn tests_that_hold_and_notice_everything_are_fine() {
    let dir = folder(WHOLE);
    let (code, out, err) = lockgate(dir.path(), &["policy", "test", "--cover", "--mutate", "policy.toml"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["policy.toml: 5 passed, 0 failed", "cover: 1 of 1 rules"]);
    assert!(lines[2].starts_with("mutants: ") && lines[2].contains(", survived 0, "), "{out}");
}

#[test]
fn a_claim_that_fails_names_its_line_and_the_rule() {
    let dir = folder("[[test]]\nfrom = 'hmi-1'\nallow = ['gw-1/icmp']\ndeny = ['gw-1/tcp:22']\n");
    let (code, out, _) = lockgate(dir.path(), &["policy", "test", "--mutate", "policy.toml"]);
    assert_eq!(code, Some(1), "{out}");
    for said in [
        "FAILED policy.toml:14: allow gw-1/icmp from hmi-1",
        "expected allow, got deny: ",
        "nearest rule ssh (policy.toml:8)",
        "FAILED policy.toml:15: deny gw-1/tcp:22 from hmi-1",
        "expected deny, got allow by ssh (policy.toml:8)",
        "policy.toml: 0 passed, 2 failed",
        "mutants: not tried while a claim fails",
    ] {
        assert!(out.contains(said), "{said} in {out}");
    }
}

#[test]
fn without_tests_the_plain_question_is_answered_and_the_others_fail() {
    let dir = folder("");
    let (code, out, _) = lockgate(dir.path(), &["policy", "test", "policy.toml"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("policy.toml: 0 passed, 0 failed") && out.contains("there is no [[test]]"), "{out}");
    for option in ["--cover", "--mutate"] {
        assert_eq!(lockgate(dir.path(), &["policy", "test", option, "policy.toml"]).0, Some(1), "{option}");
    }
}

/// The report's own proposal, put into the file, is all that it takes.
#[test]
fn what_the_report_proposes_makes_the_policy_whole() {
    let dir = folder("");
    let (_, out, _) = lockgate(dir.path(), &["policy", "test", "--cover", "--mutate", "policy.toml"]);
    let proposed = out.lines().skip_while(|line| !line.starts_with("What is missing")).skip(1);
    let proposed: Vec<&str> = proposed.take_while(|line| line.starts_with("  ")).collect();
    let dir = folder(&proposed.join("\n"));
    let (code, out, err) = lockgate(dir.path(), &["policy", "test", "--cover", "--mutate", "policy.toml"]);
    assert_eq!(code, Some(0), "{}\n{out}\n{err}", proposed.join("\n"));
}

#[test]
fn json_tells_claims_gaps_and_survivors_with_their_remedies() {
    let dir = folder("[[test]]\nfrom = 'hmi-1'\nallow = ['gw-1/tcp:22']\n");
    let args = ["policy", "test", "--cover", "--mutate", "--json", "policy.toml"];
    let (code, out, _) = lockgate(dir.path(), &args);
    assert_eq!(code, Some(1), "{out}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["ok"], &report["passed"], &report["failed"]), (&false.into(), &1.into(), &0.into()));
    let claim = &report["claims"][0];
    assert_eq!(
        (&claim["line"], &claim["expected"], &claim["got"]),
        (&14.into(), &"allow".into(), &"allow".into())
    );
    assert_eq!(claim["rule"]["id"], "ssh");
    assert_eq!(report["cover"]["gaps"][0]["missing"], "near-miss");
    let survived = report["mutants"]["survived"].as_array().expect("a list");
    assert!(
        survived.iter().any(|one| one["test"]["claim"] == "gw-1/tcp:23" && one["test"]["expected"] == "deny"),
        "{out}"
    );
}

#[test]
fn junit_has_a_suite_for_each_test_and_survivors_as_failures() {
    let dir = folder("[[test]]\nfrom = 'hmi-1'\nallow = ['gw-1/tcp:22']\ndeny = ['gw-1/icmp']\n");
    let args = ["policy", "test", "--mutate", "--junit", "report.xml", "policy.toml"];
    assert_eq!(lockgate(dir.path(), &args).0, Some(1));
    let xml = std::fs::read_to_string(dir.path().join("report.xml")).expect("the report");
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"policy.toml\" ",
        "<testsuite name=\"policy.toml:12 from hmi-1\" tests=\"2\" failures=\"0\">",
        "<testcase classname=\"policy.toml\" name=\"allow gw-1/tcp:22 (line 14)\"/>",
        "<testsuite name=\"mutants\" ",
        "tcp:22 becomes tcp:22-23\">\n      <failure message=\"no test notices; this one would:&#10;[[test]]",
        "</testsuites>\n",
    ] {
        assert!(xml.contains(part), "{part} in {xml}");
    }
    let cases = xml.lines().filter(|line| line.trim_start().starts_with("<testcase "));
    let open = cases.filter(|line| !line.ends_with("/>")).count();
    assert_eq!(xml.matches("</testcase>").count(), open);
    assert_eq!(xml.matches("<testsuite ").count(), xml.matches("</testsuite>").count());
    let args = ["policy", "test", "--junit", "no/such/report.xml", "policy.toml"];
    let (code, _, err) = lockgate(dir.path(), &args);
    assert_eq!(code, Some(1));
    assert!(err.contains("no/such/report.xml") && err.contains("create its folder"), "{err}");
}

#[test]
fn junit_takes_the_place_of_reports_only() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let dir = folder("[[test]]\nfrom = 'hmi-1'\nallow = ['gw-1/tcp:22']\n");
    let at = |name: &str| dir.path().join(name);
    let policy = std::fs::read(at("policy.toml")).expect("the policy");
    std::fs::write(at("kept"), "kept").expect("a file");
    symlink("kept", at("link")).expect("a link");
    symlink("nothing", at("dangling")).expect("a link");
    std::fs::create_dir(at("sub")).expect("a folder");
    std::fs::hard_link(at("policy.toml"), at("same")).expect("a second name");
    let made = Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo runs");
    assert!(made.success());
    for (target, why) in [
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("sub", "a folder"),
        ("fifo", "no regular file"),
        ("policy.toml", "the policy itself"),
        ("sub/../policy.toml", "the policy itself"),
        ("same", "the policy itself"),
    ] {
        let (code, out, err) = lockgate(dir.path(), &["policy", "test", "--junit", target, "policy.toml"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{target}");
        let told = format!("{target}: {why}");
        assert!(err.contains(&told) && err.contains("name another file"), "{told} in {err}");
    }
    assert_eq!(std::fs::read(at("policy.toml")).expect("it is there"), policy);
    assert_eq!(std::fs::read(at("kept")).expect("it is there"), b"kept");
    assert!(at("link").is_symlink() && at("dangling").is_symlink());
    let fifo = std::fs::symlink_metadata(at("fifo")).expect("it is there");
    assert!(fifo.file_type().is_fifo());
    for target in ["kept", "new.xml"] {
        let (code, _, err) = lockgate(dir.path(), &["policy", "test", "--junit", target, "policy.toml"]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{target}");
        assert!(std::fs::read(at(target)).expect("the report").starts_with(b"<?xml"));
    }
}

#[test]
fn progress_is_for_terminals_only() {
    let dir = folder("[[test]]\nfrom = 'hmi-1'\nallow = ['gw-1/tcp:22']\n");
    let (_, out, err) = lockgate(dir.path(), &["policy", "test", "--mutate", "policy.toml"]);
    assert!(!out.contains("mutants tried") && err.is_empty(), "{err}");
}

#[test]
fn compile_prints_the_policy_as_flow_rules() {
    let dir = folder("");
    let (code, out, _) = lockgate(dir.path(), &["policy", "compile", "policy.toml"]);
    assert_eq!(code, Some(0));
    let rule = "accept from role=hmi and to role=gw and ipprotocol 6 and dport 22 as ssh;\n";
    assert_eq!(out, format!("# packets: what may begin a flow\n{rule}"));
    let (_, json, _) = lockgate(dir.path(), &["policy", "compile", "--json", "policy.toml"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["lists"][0]["rules"].as_str(), Some(rule));
}

#[test]
fn every_policy_that_we_hand_out_has_tests_that_notice_every_slip() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (code, _, err) = lockgate(dir.path(), &["init", "--name", "edge-north"]);
    assert_eq!(code, Some(0), "{err}");
    let mut policies = vec![dir.path().join("policy.toml")];
    for folder in std::fs::read_dir(configs).expect("the examples") {
        let folder = folder.expect("an example").path();
        let Ok(files) = std::fs::read_dir(folder) else { continue };
        let files = files.map(|file| file.expect("a file").path());
        policies.extend(files.filter(|file: &PathBuf| file.ends_with("policy.toml")));
    }
    assert!(policies.len() >= 2, "no example has a policy: the test is blind");
    for policy in &policies {
        let name = policy.to_str().expect("a plain path");
        let (code, out, err) = lockgate(dir.path(), &["policy", "test", "--cover", "--mutate", name]);
        assert_eq!(code, Some(0), "{name}\n{out}\n{err}");
    }
}
