//! What the demo shows: a few lines that change in place on a terminal, a line a second in a pipe, a table at the end.

use std::time::Duration;

use super::apps::SERVICES;
use super::outcome::{Outcome, Refusal};
use super::{Play, print};
use crate::commands::Failure;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// A terminal: the lines change where they are.
    Live,
    /// A pipe or a file.
    Lines,
    /// The one JSON object at the end is all.
    Silent,
}

/// See the module.
pub(super) struct View {
    manner: Manner,
    /// Lines to go up before the next writing.
    written: usize,
}

/// One line each, however narrow the terminal is: a wrapped line would be one more to go up.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

impl View {
    /// The view for where stdout goes.
    pub(super) fn new(json: bool, terminal: bool) -> Self {
        let manner = match (json, terminal) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Live,
            (false, false) => Manner::Lines,
        };
        Self { manner, written: 0 }
    }

    /// Says what there is, and how to join in.
    pub(super) fn begin(&self, play: &Play) -> Result<(), Failure> {
        if self.manner == Manner::Silent {
            return Ok(());
        }
        print(introduction(play))
    }

    /// Shows how things are, `age` after the ways stood.
    pub(super) fn refresh(&mut self, outcome: &Outcome, age: Duration) -> Result<(), Failure> {
        match self.manner {
            Manner::Silent => Ok(()),
            Manner::Lines => print(line(outcome, age)),
            Manner::Live => {
                let lines = live(outcome, age);
                let up = self.go_up();
                self.written = lines.len();
                print(format!("{up}{NO_WRAP}{}{WRAP}", lines.join("\n")))
            }
        }
    }

    /// Shows what came of it, in place of the lines that changed.
    pub(super) fn end(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        match self.manner {
            Manner::Silent => print(outcome.json()),
            Manner::Lines => print(format!("\n{}", summary(outcome))),
            Manner::Live => print(format!("{}{}", self.go_up(), summary(outcome))),
        }
    }

    /// To the beginning of what was written last, and away with it.
    fn go_up(&self) -> String {
        match self.written {
            0 => String::new(),
            written => format!("\x1b[{written}F\x1b[J"),
        }
    }
}

fn introduction(play: &Play) -> String {
    let [north, south] = &play.nodes;
    let mut lines = vec!["Two nodes in this process, and a Noise tunnel over UDP between them.".to_owned()];
    for (node, does) in [(north, "offers telemetry and command"), (south, "offers jobs")] {
        lines.push(format!("  {}  {:<15}  {does}", node.name, node.udp));
        lines.push(format!("         public key {}, made just now", node.public_key));
    }
    lines.push(String::new());
    lines.push("Join in from another terminal, with this or any ZeroMQ application:".to_owned());
    // As it was called, so that the line can be copied.
    let lockgate = std::env::args().next().unwrap_or_else(|| "lockgate".to_owned());
    for (node, service, verb, more) in [
        (south, "telemetry", "sub", "--topic temp."),
        (south, "command", "req", "hello"),
        (north, "jobs", "push", "job-1"),
    ] {
        let endpoint = node.endpoint(service).unwrap_or_default();
        lines.push(format!("  {service:<9} {lockgate} zmq {verb} {endpoint} {more}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// One line for a pipe.
fn line(outcome: &Outcome, age: Duration) -> String {
    let mut words = vec![format!("{} s", age.as_secs())];
    for (service, figures) in SERVICES.iter().zip(&outcome.services) {
        words.push(format!(
            "{service}: sent {} delivered {} p50 {} p99 {}",
            figures.sent,
            figures.delivered,
            time(figures.p50),
            time(figures.p99)
        ));
    }
    words.push(format!("denied {}", denied(outcome)));
    words.push(wire(outcome));
    words.join(" | ")
}

/// The lines that change on a terminal.
fn live(outcome: &Outcome, age: Duration) -> Vec<String> {
    let mut lines = table(outcome);
    lines.push(format!("denied attempts {}   {}", denied(outcome), wire(outcome)));
    lines.push(format!("{} s; Ctrl-C ends it", age.as_secs()));
    lines
}

/// The services, with a head.
fn table(outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<11}{:>9}{:>11}{:>9}{:>11}{:>11}{:>11}",
        "SERVICE", "SENT", "DELIVERED", "OUTSIDE", "P50", "P99", "P99.9"
    )];
    for (service, figures) in SERVICES.iter().zip(&outcome.services) {
        lines.push(format!(
            "{service:<11}{:>9}{:>11}{:>9}{:>11}{:>11}{:>11}",
            figures.sent,
            figures.delivered,
            figures.outside,
            time(figures.p50),
            time(figures.p99),
            time(figures.p999),
        ));
    }
    lines
}

/// The whole result.
fn summary(outcome: &Outcome) -> String {
    let mut lines = vec!["Summary".to_owned()];
    lines.extend(table(outcome).into_iter().map(|line| format!("  {line}")));
    lines.push("  (one way for telemetry and jobs, there and back for command)".to_owned());
    lines.push(String::new());
    lines.push("Denied".to_owned());
    lines.extend(outcome.denied.iter().map(refusal));
    lines.push(String::new());
    lines.push("Wire".to_owned());
    let findings = outcome.findings;
    lines.push(format!("  {}", wire(outcome)));
    lines.push(format!(
        "  the same search over {} messages as the applications sent them: {} found",
        findings.messages, findings.recognised
    ));
    lines.push(String::new());
    match outcome.faults() {
        faults if faults.is_empty() => lines.push("Everything held.".to_owned()),
        faults => lines.extend(faults.iter().map(|fault| format!("Did not hold: {fault}"))),
    }
    lines.join("\n")
}

fn refusal(refusal: &Refusal) -> String {
    let Refusal { who, service, socket, what, reason, count, .. } = refusal;
    let done = match what.as_str() {
        "open" => format!("connects to {service}"),
        "subscribe" => format!("subscribes to what it may not have of {service}"),
        other => format!("{other} on {service}"),
    };
    let reason = reason.replace("; nearest rule", ";\n          nearest rule");
    format!("  {count:>4} x  {socket} of {who} {done}\n          {reason}")
}

fn denied(outcome: &Outcome) -> u64 {
    outcome.denied.iter().map(|refusal| refusal.count).sum()
}

fn wire(outcome: &Outcome) -> String {
    let findings = outcome.findings;
    format!("{} datagrams, {} with plaintext", findings.datagrams, findings.plaintext)
}

/// A latency, in the unit that keeps it short.
fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 1000.0 => format!("{us:.0} us"),
        us if us < 100_000.0 => format!("{:.1} ms", us / 1000.0),
        us => format!("{:.0} ms", us / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_short() {
        for (microseconds, text) in
            [(0.0, "0 us"), (123.4, "123 us"), (1500.0, "1.5 ms"), (250_000.0, "250 ms")]
        {
            assert_eq!(time(microseconds), text);
        }
    }
}
