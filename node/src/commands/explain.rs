//! `explain`: what the policy says about one thing.

use serde_json::{Value, json};

use lockgate_proto::analysis::{Asked, Explanation, Question, explain};
use lockgate_proto::policy::Policy;

use super::policy::file;
use super::reach::{report, table};
use super::{Failure, print};
use crate::cli::Common;
use crate::cli::policy::Explain;

/// Prints the answer; allowed is exit code 0, denied is 1, a name that the policy does not have is 2.
pub(super) fn run(options: &Explain, common: &Common) -> Result<(), Failure> {
    let (policy, rules) = file::load_now(options.policy.as_deref(), common)?;
    let question = Question::parse(&policy, &options.from, &options.to, options.packets.as_deref())
        .map_err(|misunderstood| Failure::usage(misunderstood.problem, misunderstood.mend))?;
    let explanation = explain(&policy, &rules, question);
    print(if common.json { json(&explanation).to_string() } else { screen(&policy, &explanation) })?;
    if explanation.verdict.is_ok() { Ok(()) } else { Err(Failure::Reported) }
}

fn json(explanation: &Explanation) -> Value {
    let question = &explanation.question;
    let (service, topic) = match &question.what {
        Asked::Service { name, topic } => (Some(name), topic.as_ref()),
        _ => (None, None),
    };
    let packets = match &question.what {
        Asked::Packets(kind) => Some(kind.to_string()),
        _ => None,
    };
    let denial = explanation.verdict.as_ref().err();
    json!({
        "allowed": explanation.verdict.is_ok(),
        "from": question.from,
        "to": question.to,
        "service": service,
        "topic": topic,
        "packets": packets,
        "rule": explanation.verdict.as_ref().ok().map(report::rule),
        "says": explanation.rule,
        "why": explanation.why,
        "limits": explanation.limits,
        "reason": denial.map(|denial| &denial.reason),
        "nearest": denial.and_then(|denial| denial.nearest.as_ref()).map(report::rule),
        "why_not": denial.map(|denial| &denial.why_not),
        "passes": report::passes(&explanation.passes),
        "hosts": explanation.hosts,
        "would_allow": explanation.would_allow,
    })
}

fn screen(policy: &Policy, explanation: &Explanation) -> String {
    let question = &explanation.question;
    let word = if explanation.verdict.is_ok() { "ALLOWED" } else { "DENIED" };
    let mut lines = Lines(vec![format!("{word:<INDENT$}{question}")]);
    lines.add("from", &node(policy, &question.from));
    lines.add("to", &node(policy, &question.to));
    match &explanation.verdict {
        Ok(_) if question.what == Asked::Everything => lines.passes(policy, explanation),
        Ok(rule) => {
            let says =
                if explanation.rule.is_empty() { String::new() } else { format!(": {}", explanation.rule) };
            lines.add("rule", &format!("{rule}{says}"));
            lines.add("why", explanation.why.as_deref().unwrap_or_default());
            lines.add("limits", &explanation.limits);
        }
        Err(denial) => {
            lines.add("reason", &denial.reason);
            match &denial.nearest {
                Some(rule) => lines.add("nearest", &format!("{rule}: {}", denial.why_not)),
                None => lines.add("nearest", &denial.why_not),
            }
        }
    }
    if let Asked::Service { name, .. } = &question.what {
        lines.passes(policy, explanation);
        let hosts =
            if explanation.hosts.is_empty() { "nobody".to_owned() } else { explanation.hosts.join(" ") };
        let set = policy.services.get(name).map_or_else(String::new, |service| service.hosted_by.to_string());
        lines.add("hosts", &format!("{hosts} ({set})"));
    }
    for way in &explanation.would_allow {
        // Whole, so that it can be copied.
        lines.0.push(format!(" {:<width$}{way}", "to allow", width = INDENT - 1));
    }
    lines.0.join("\n")
}

/// A node and what it carries.
fn node(policy: &Policy, name: &str) -> String {
    let tags = policy.node(name).into_iter().flatten();
    let tags: Vec<String> = tags.map(|(tag, value)| format!("{tag}={value}")).collect();
    if tags.is_empty() { format!("{name} (no tags)") } else { format!("{name} ({})", tags.join(" ")) }
}

/// Lines, each with what it is about in front.
struct Lines(Vec<String>);

impl Lines {
    /// Adds one, unless there is nothing to say; a long one goes on under itself.
    fn add(&mut self, label: &str, text: &str) {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let lines = table::wrapped(&words, WIDTH - INDENT);
        for (at, line) in lines.iter().enumerate().filter(|_| !text.is_empty()) {
            let label = if at == 0 { label } else { "" };
            self.0.push(format!(" {label:<width$}{line}", width = INDENT - 1));
        }
    }

    /// What passes between the two, one thing a line.
    fn passes(&mut self, policy: &Policy, explanation: &Explanation) {
        for (at, (what, rule)) in explanation.passes.told().iter().enumerate() {
            let label = if at == 0 { "passes" } else { "" };
            self.add(label, &format!("{what} by {}", table::place(rule, &policy.file)));
        }
        if explanation.passes.is_nothing() {
            self.add("passes", "nothing");
        }
    }
}

const WIDTH: usize = 100;
const INDENT: usize = 10;
