//! The same vectors through the binary, as others would run them.

use std::io::Write;
use std::process::{Output, Stdio};

use lockgate_tests::rig::lockgate_command;
use serde_json::{Value, json};

use crate::{cases, divergences, folder, json as read_json, names, read};

fn lockgate(args: &[&str], stdin: &str) -> Output {
    let mut child = lockgate_command()
        .args(args)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lockgate runs");
    let mut input = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // What it prints is read meanwhile. Where it refuses the arguments it reads nothing.
        scope.spawn(move || drop(input.write_all(stdin.as_bytes())));
        child.wait_with_output().expect("our own child")
    })
}

fn refused(name: &str) -> Option<u32> {
    divergences::REFUSED.iter().find(|(script, _)| *script == name).map(|(_, line)| *line)
}

#[test]
fn compile_prints_what_upstreams_compiler_prints() {
    let mut alike = 0;
    for name in names() {
        let file = format!("scripts/{name}.ztr");
        let output = lockgate(&["rules", "compile", "--format", "zerotier", "--json", &file], "");
        let ours: Value = serde_json::from_slice(&output.stdout).expect("one object");
        let theirs = read_json(&format!("compiled/{name}.json"));
        let said = String::from_utf8_lossy(&output.stderr);
        let line = refused(&name).or(theirs["error"]["line"].as_u64().map(|line| line as u32));
        let Some(line) = line else {
            assert_eq!(ours, theirs, "{name}");
            assert_eq!(output.status.code(), Some(0), "{name}");
            alike += 1;
            continue;
        };
        assert_eq!((output.status.code(), &ours["ok"]), (Some(1), &json!(false)), "{name}: {ours}");
        assert_eq!(ours["error"]["line"], line, "{name}: {ours}");
        assert!(ours["error"]["message"].is_string() && ours["error"]["column"].is_u64(), "{name}: {ours}");
        assert!(
            said.starts_with(&format!("{file}:{line}:{}: error: ", ours["error"]["column"])),
            "{name}: {said}"
        );
    }
    assert!(alike >= 30, "{alike}");
}

#[test]
fn without_json_the_object_is_upstreams_own() {
    let output = lockgate(
        &["rules", "compile", "--format", "zerotier", "-"],
        &read("scripts/v09_tags_flags_enums.ztr"),
    );
    let ours: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let mut theirs = read_json("compiled/v09_tags_flags_enums.json");
    theirs.as_object_mut().expect("an object").remove("ok");
    assert_eq!(ours, theirs);
}

#[test]
fn judge_says_what_upstreams_filter_said() {
    let cases = cases();
    let lines: Vec<String> = read("verdicts.jsonl")
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let mut case: Value = serde_json::from_str(line).expect("an object");
            let name = case["script"].as_str().expect("a name").to_owned();
            // By path and by text in turn.
            if at % 2 == 0 {
                case["script"] = format!("scripts/{name}.ztr").into();
            } else {
                case["rules"] = read(&format!("scripts/{name}.ztr")).into();
                case.as_object_mut().expect("an object").remove("script");
            }
            case.to_string()
        })
        .collect();
    let output = lockgate(&["rules", "judge"], &lines.join("\n"));
    assert_eq!(output.status.code(), Some(1), "some scripts are refused");
    let answers = String::from_utf8(output.stdout).expect("text");
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(answers.len(), cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        let is_refused =
            refused(&case.script).is_some() && !divergences::ZEROTIER_ONLY.contains(&case.script.as_str());
        if is_refused {
            assert_eq!(answer["line"], case.line, "{answer}");
            assert!(answer["error"].is_string() && answer["verdict"].is_null(), "{answer}");
        } else {
            assert_eq!(
                answer["verdict"], *case.verdict,
                "line {} {} {}: {answer}",
                case.line, case.script, case.name
            );
        }
    }
}
