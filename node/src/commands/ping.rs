//! `ping`: the round trip through the tunnel to a peer, with or without a TUN device.

use std::time::Duration;

use serde_json::{Value, json};

use super::status::{ask, text};
use super::{Failure, print};
use crate::cli::{Common, Ping};
use crate::machine::poller::Poller;

/// Sends the echoes one after the other and prints what came of them.
pub(super) fn run(options: &Ping, common: &Common) -> Result<(), Failure> {
    let (peer, service) = match options.target.split_once('/') {
        Some((peer, service)) => (peer, Some(service)),
        None => (options.target.as_str(), None),
    };
    let mut tally = Tally::default();
    for number in 1..=options.count {
        if number > 1 {
            pause(options.interval)?;
        }
        let question = json!({
            "command": "ping",
            "peer": peer,
            "size": options.size,
            "timeout_ms": options.timeout.as_millis() as u64,
        });
        let answer = ask(common, &question)?;
        if !common.json {
            print(line(peer, number, options.size, &answer))?;
        }
        tally.note(answer);
    }
    let policy = match service {
        None => Value::Null,
        Some(service) => ask(common, &json!({ "command": "may", "peer": peer, "service": service }))?,
    };
    let report = tally.report(peer, &policy);
    if common.json {
        print(&report)?;
    } else {
        print(summary(&report))?;
    }
    if tally.answered.is_empty() { Err(Failure::Reported) } else { Ok(()) }
}

/// Lets time pass.
fn pause(time: Duration) -> Result<(), Failure> {
    let rested = Poller::new().and_then(|mut poller| poller.wait(Some(time)).map(|_| ()));
    rested.map_err(|error| {
        Failure::failed(format!("the system gives no more descriptors: {error}"), "ulimit -n")
    })
}

/// What came of the echoes.
#[derive(Default)]
struct Tally {
    sent: u64,
    /// Round trips, in microseconds.
    answered: Vec<f64>,
    last: Value,
}

impl Tally {
    fn note(&mut self, answer: Value) {
        self.sent += 1;
        self.answered.extend(answer["round_trip_us"].as_f64());
        self.last = answer;
    }

    fn report(&mut self, peer: &str, policy: &Value) -> Value {
        self.answered.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = (part * self.answered.len() as f64).ceil() as usize;
            self.answered.get(place.saturating_sub(1).min(self.answered.len().saturating_sub(1))).copied()
        };
        json!({
            "peer": peer,
            "endpoint": self.last["endpoint"],
            "path_mtu": self.last["path_mtu"],
            "sent": self.sent,
            "answered": self.answered.len(),
            "round_trip_us": { "min": at(0.0), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) },
            "policy": policy,
        })
    }
}

fn line(peer: &str, number: u64, size: u16, answer: &Value) -> String {
    match answer["round_trip_us"].as_f64() {
        Some(time) => format!(
            "{peer} ({}): number {number}, {size} bytes, {:.3} ms",
            answer["endpoint"].as_str().unwrap_or("unknown"),
            time / 1000.0
        ),
        None => format!("{peer}: number {number}: no answer: {}", text(&answer["why"])),
    }
}

fn summary(report: &Value) -> String {
    let times = &report["round_trip_us"];
    let ms = |name: &str| times[name].as_f64().map_or("-".into(), |us| format!("{:.3}", us / 1000.0));
    let mut lines = vec![format!("{} of {} answered", report["answered"], report["sent"])];
    if times["p50"].is_number() {
        let times = ["min", "p50", "p99", "max"].map(ms).join("/");
        lines.push(format!("round trip min/p50/p99/max {times} ms"));
    }
    if let Some(mtu) = report["path_mtu"].as_u64() {
        lines.push(format!("path MTU {mtu} bytes, by the routing table here"));
    }
    if let Some(said) = report["policy"]["says"].as_str() {
        lines.push(format!("policy: {said}"));
    }
    lines.join("\n")
}
