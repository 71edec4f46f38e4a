//! `lockgate demo`: what README.md promises about it, run as a user runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

use lockgate_tests::rig::lockgate_command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::apps::{connected, receive_text};

const SERVICES: [&str; 3] = ["telemetry", "command", "jobs"];

/// A demo whose output is read line by line; killed when it goes out of scope.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    read: Vec<String>,
}

impl Demo {
    fn start(options: &[&str]) -> Self {
        let mut child = lockgate_command()
            .arg("demo")
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("lockgate runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped above"));
        Self { child, stdout, read: Vec::new() }
    }

    /// Reads up to the first line that contains `needle`, and returns it.
    fn line(&mut self, needle: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "the demo ended before {needle:?}:\n{}", self.read.join(""));
            self.read.push(line.clone());
            if line.contains(needle) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The endpoint that the introduction names for a service.
    fn endpoint(&mut self, service: &str) -> String {
        let line = self.line(&format!("  {service} "));
        let endpoint = line.split_whitespace().find(|word| word.starts_with("tcp://127.0.0.1:"));
        endpoint.unwrap_or_else(|| panic!("{line:?} names no endpoint")).to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// The rest of its output; it must end with `code`, and with nothing on stderr where that is 0.
    fn end(mut self, code: i32) -> String {
        let (mut rest, mut errors) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).expect("text");
        let mut stderr = self.child.stderr.take().expect("piped above");
        stderr.read_to_string(&mut errors).expect("text");
        let status = self.child.wait().expect("our own child");
        assert_eq!(status.code(), Some(code), "{}{rest}{errors}", self.read.join(""));
        assert!(code != 0 || errors.is_empty(), "{errors}");
        rest
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Fails where it has ended already, which is all it is for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_data_of_the_demo_says_that_everything_held() {
    let output = Demo::start(&["--seconds", "3", "--json"]).end(0);
    let data: Value = serde_json::from_str(&output).expect("exactly one JSON object");
    for service in SERVICES {
        let of = &data["services"][service];
        assert!(of["sent"].as_u64() > Some(100), "{data}");
        assert_eq!(of["sent"], of["delivered"], "{data}");
        let [p50, p99, p999] =
            ["p50", "p99", "p99.9"].map(|at| of["latency_us"][at].as_f64().expect("a percentile"));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{data}");
    }
    for (service, socket, what, rule, why) in [
        ("telemetry", "sub", "subscribe", "rule", "raw."),
        ("command", "dealer", "open", "nearest_rule", "REQ"),
    ] {
        let denied = data["denied"].as_array().expect("a list");
        let denial = denied
            .iter()
            .find(|denial| denial["service"] == service)
            .unwrap_or_else(|| panic!("nothing denied on {service}: {data}"));
        assert_eq!((&denial["who"], &denial["what"]), (&"south".into(), &what.into()), "{data}");
        assert_eq!(denial["socket"], socket, "{data}");
        assert!(denial[rule].as_str().is_some_and(|rule| rule.contains("(demo-policy.toml:")), "{data}");
        assert!(denial["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{data}");
        assert!(denial["count"].as_u64() >= Some(1), "{data}");
    }
    assert_eq!(data["plaintext_on_wire"], 0, "{data}");
    assert!(data["datagrams"].as_u64() > Some(500), "{data}");
    // The same search, where there is something to find.
    assert!(data["control"]["messages"].as_u64() > Some(500), "{data}");
    assert_eq!(data["control"]["messages"], data["control"]["recognised"], "{data}");
    assert_eq!(data["held"], true, "{data}");
}

#[test]
fn outside_applications_join_in_by_the_printed_endpoints_and_ctrl_c_ends_it_with_the_summary() {
    let mut demo = Demo::start(&[]);
    let [telemetry, command, jobs] = SERVICES.map(|service| demo.endpoint(service));
    demo.line("1 s | telemetry: sent ");
    let asker = connected(zmq::REQ, &command);
    asker.send("is anybody there?", 0).expect("sent");
    assert_eq!(receive_text(&asker), "is anybody there?");
    let pusher = connected(zmq::PUSH, &jobs);
    pusher.send("a job from outside", 0).expect("sent");
    let subscriber = connected(zmq::SUB, &telemetry);
    subscriber.set_subscribe(b"vib.").expect("a subscription");
    assert!(receive_text(&subscriber).starts_with("vib.gearbox-1|"));
    let line = demo.line(" s | telemetry: sent ");
    assert!(line.contains("denied ") && line.ends_with(" datagrams, 0 with plaintext"), "{line}");
    // It reads no more, and the demo would wait for it to take what is on its way.
    drop(subscriber);
    demo.signal(Signal::INT);
    let rest = demo.end(0);
    assert!(!rest.contains('\u{1b}'), "plain lines in a pipe: {rest:?}");
    let summary = rest.split_once("Summary\n").unwrap_or_else(|| panic!("no summary: {rest}")).1;
    for service in ["command", "jobs"] {
        let row = summary.lines().find(|line| line.trim_start().starts_with(service)).expect("a row");
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words[1], words[2], "sent and delivered: {row}");
        assert_eq!(words[3], "1", "one message from outside: {row}");
    }
    assert!(summary.contains("nearest rule historian-commands-gateways (demo-policy.toml:"), "{summary}");
    assert!(summary.trim_end().ends_with("Everything held."), "{summary}");
}

#[test]
fn a_demo_that_is_stopped_at_once_says_what_did_not_hold() {
    let mut demo = Demo::start(&[]);
    demo.line("Two nodes in this process");
    demo.signal(Signal::TERM);
    // It may have been quick enough all the same.
    let mut rest = String::new();
    demo.stdout.read_to_string(&mut rest).expect("text");
    let status = demo.child.wait().expect("our own child");
    let held = rest.trim_end().ends_with("Everything held.");
    assert_eq!(status.code(), Some(if held { 0 } else { 1 }), "{rest}");
    assert!(held || rest.contains("Did not hold: "), "{rest}");
}
