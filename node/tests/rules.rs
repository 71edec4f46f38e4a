//! `lockgate rules`, as a user runs it.
#![expect(clippy::disallowed_methods, reason = "the test writes the files that the command reads")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn lockgate(dir: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .arg("rules")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lockgate runs");
    let mut input = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // Where the arguments are refused nobody reads it.
        scope.spawn(move || drop(input.write_all(stdin)));
        child.wait_with_output().expect("our own child")
    })
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).expect("our own folder");
    }
    dir
}

const SCRIPT: &str = "\
tag role id 7 flag 0,3 both enum 2 hmi default hmi;
cap web id 9 default accept ipprotocol tcp and dport 80; break; ;
tee 64 deadbeef22 ipprotocol udp;
accept ipprotocol udp and (dport 53 or dport 5353) as names;
accept zmq service telemetry and zmq topic temp.;
break chr tcp_syn and not tseq role hmi;
accept ipsrc 10.0.0.0/8,fd00::/8 and established;
";
const UDP: &str = "4500001c00010000401100000a0000010a0000029c40003500080000";
const TCP: &str = "4500002800010000400600000a0000010a000002c350005000000001000000025002ffff00000000";

#[test]
fn a_compiled_script_printed_and_compiled_again_is_the_same() {
    let dir = folder(&[("a.rules", SCRIPT.as_bytes())]);
    let (code, first, warnings) = said(&lockgate(dir.path(), &["compile", "a.rules"], b""));
    assert_eq!((code, warnings.as_str()), (Some(0), ""));
    assert!(first.starts_with("tag role id 7 default 2 flag 0,3 both enum 2 hmi;"), "{first}");
    assert!(first.contains("dport 53 or dport 5353"), "{first}");
    let (code, second, _) = said(&lockgate(dir.path(), &["compile", "-"], first.as_bytes()));
    assert_eq!((code, &second), (Some(0), &first));
    let (_, report, _) = said(&lockgate(dir.path(), &["compile", "--json", "a.rules"], b""));
    let report: Value = serde_json::from_str(&report).expect("one object");
    assert_eq!(report, json!({ "ok": true, "program": first }));
}

#[test]
fn mistakes_are_told_with_their_places() {
    let dir =
        folder(&[("bad.rules", b"accept dport 80;\naccept dport ninety;\nallow everything;\n".as_slice())]);
    for format in ["program", "zerotier"] {
        let args = ["compile", "--format", format, "bad.rules"];
        let (code, out, err) = said(&lockgate(dir.path(), &args, b""));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.starts_with("bad.rules:2:14: error: \"ninety\""), "{err}");
        assert!(err.contains("\nbad.rules:3:1: error: \"allow\""), "{err}");
    }
    let args = ["compile", "--format", "zerotier", "--json", "bad.rules"];
    let (code, out, _) = said(&lockgate(dir.path(), &args, b""));
    let report: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)));
    assert_eq!((&report["error"]["line"], &report["error"]["column"]), (&json!(2), &json!(14)));
    assert_eq!(report["mistakes"].as_array().map(Vec::len), Some(2));
    let (code, _, err) = said(&lockgate(dir.path(), &["compile", "none.rules"], b""));
    assert!(code == Some(1) && err.contains("none.rules does not exist"), "{err}");
}

#[test]
fn what_only_our_dialect_says_has_no_json_of_zerotier() {
    let dir = folder(&[("a.rules", SCRIPT.as_bytes())]);
    let args = ["compile", "--format", "zerotier", "a.rules"];
    let (code, out, err) = said(&lockgate(dir.path(), &args, b""));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("a.rules:4:"), "{err}");
}

#[test]
fn a_warning_goes_to_stderr_and_the_exit_code_is_0() {
    let args = ["compile", "--format", "zerotier", "-"];
    let (code, out, err) = said(&lockgate(Path::new("."), &args, b"accept macsrc 11:22:33:44:55:66;"));
    assert!(code == Some(0) && out.contains("11:22:33:44:55:66"), "{out}");
    assert!(err.starts_with("-:1:") && err.contains("warning: macsrc never matches"), "{err}");
}

#[test]
fn each_line_gets_its_answer_and_a_bad_one_only_an_error() {
    let dir = folder(&[("a.rules", SCRIPT.as_bytes())]);
    let line = |more: &str, packet: &str| {
        format!(r#"{{"script":"a.rules","direction":"out","packet":"{packet}"{more}}}"#)
    };
    let long = format!(r#"{{"rules":"{}"}}"#, "x".repeat(1 << 20));
    let lines = [
        line("", UDP),
        "this is no JSON".into(),
        line("", TCP),
        line(r#","capabilities":[9]"#, TCP),
        String::new(),
        long,
        line(r#","established":true"#, TCP),
        line(r#","local_tags":{"role":3}"#, TCP),
        line("", "00"),
    ];
    let (code, out, err) = said(&lockgate(dir.path(), &["judge"], lines.join("\n").as_bytes()));
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let answers: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let rule = |id: &str, line: u32| json!({ "id": id, "line": line });
    assert_eq!(
        answers[0],
        json!({ "verdict": "accept", "rule": rule("names", 4), "tee": { "to": "deadbeef22", "length": 28 } })
    );
    assert_eq!(answers[1]["line"], 2);
    assert_eq!(answers[2], json!({ "verdict": "drop", "rule": null }));
    assert_eq!(answers[3], json!({ "verdict": "accept", "rule": rule("rules", 2) }));
    assert_eq!(answers[4], json!({ "error": "the line is longer than 1048576 bytes", "line": 6 }));
    assert_eq!(answers[5], json!({ "verdict": "accept", "rule": rule("rules", 7) }));
    assert_eq!(answers[6], json!({ "verdict": "drop", "rule": rule("rules", 6) }));
    assert_eq!(answers[7], json!({ "verdict": "drop", "rule": null }));
    assert_eq!(answers.len(), 8);
}

#[test]
fn an_answer_comes_before_the_next_line_is_written() {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["rules", "judge"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("lockgate runs");
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    for port in [80, 81] {
        let line = format!(r#"{{"rules":"accept dport {port};","direction":"in","packet":"{TCP}"}}"#);
        writeln!(input, "{line}").expect("it reads");
        let mut answer = String::new();
        output.read_line(&mut answer).expect("it answers");
        assert_eq!(answer.contains("accept"), port == 80, "{answer}");
    }
    drop(input);
    assert!(child.wait().expect("our own child").success());
}

/// A capture in the byte order of this machine's neighbour: link type, then frames.
fn capture(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file: Vec<u8> = [0xa1b2_c3d4, 0x0002_0004, 0, 0, 65_535, link].map(u32::to_be_bytes).concat();
    for frame in frames {
        let length = frame.len() as u32;
        file.extend([1, 2, length, length].map(u32::to_be_bytes).concat());
        file.extend(frame);
    }
    file
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn the_packets_of_a_capture_are_judged_in_their_order() {
    let frame = |kind: [u8; 2], packet: &str| [vec![2; 12], kind.to_vec(), unhex(packet)].concat();
    let file = capture(1, &[frame([8, 0], UDP), frame([8, 6], "00"), frame([8, 0], TCP)]);
    let dir =
        folder(&[("a.rules", SCRIPT.as_bytes()), ("a.pcap", &file), ("cut.pcap", &file[..file.len() - 1])]);
    let judge = |more: &[&str], stdin: &[u8]| {
        said(&lockgate(dir.path(), &[&["judge", "--rules", "a.rules"], more].concat(), stdin))
    };
    let verdicts = |out: &str| -> Vec<Value> {
        out.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("an object")["verdict"].clone())
            .collect()
    };
    for (more, stdin) in [(&["a.pcap"][..], &[][..]), (&["-"], &file), (&[], &file)] {
        let (code, out, err) = judge(more, stdin);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert_eq!(verdicts(&out), [json!("accept"), json!(null), json!("drop")], "{out}");
        assert!(
            out.lines().nth(1).is_some_and(|line| line.contains("0x0806") && line.contains("\"packet\":2"))
        );
    }
    let (_, out, _) = judge(&["--capability", "9", "--direction", "in", "a.pcap"], b"");
    assert_eq!(verdicts(&out)[2], "accept", "{out}");
    let (code, out, err) = judge(&["cut.pcap"], b"");
    assert_eq!((code, out.lines().count()), (Some(1), 2));
    assert!(err.contains("cut.pcap: the file ends in the middle of a packet"), "{err}");
    for (args, code, word) in [
        (&["judge", "a.pcap"][..], 2, "--rules"),
        (&["judge", "--rules", "a.rules", "--local-tag", "no=1", "a.pcap"], 2, "no tag no"),
        (&["judge", "--rules", "a.rules", "--local-tag", "no", "a.pcap"], 2, "TAG=VALUE"),
        (&["judge", "--direction", "in"], 2, "pcap"),
        (&["judge", "none.jsonl"], 1, "does not exist"),
        (&["judge", "."], 1, "not a plain file"),
    ] {
        let (ended, _, err) = said(&lockgate(dir.path(), args, b""));
        assert!(ended == Some(code) && err.contains(word), "{args:?}: {ended:?} {err}");
    }
}

#[test]
fn the_examples_of_the_manual_are_judged_as_it_says() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let manual = std::fs::read_to_string(manual).expect("docs/operations.md");
    let blocks: Vec<&str> = manual
        .split("```jsonl\n")
        .skip(1)
        .map(|block| block.split_once("```").expect("the block ends").0)
        .collect();
    let [lines, answers] = blocks[..] else { panic!("a block of lines and one of answers") };
    let (code, out, _) = said(&lockgate(Path::new("."), &["judge"], lines.as_bytes()));
    assert_eq!((code, out.as_str()), (Some(1), answers));
}
