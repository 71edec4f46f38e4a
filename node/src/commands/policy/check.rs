//! `policy check`: every mistake, and what is dead, shadowed or too broad.

use serde_json::{Value, json};

use lockgate_proto::analysis::{Finding, findings};
use lockgate_proto::document::Mistake;
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::Rules;

use super::super::{Failure, mistaken, print};
use super::file;
use crate::cli::Common;
use crate::cli::policy::PolicyFile;
use crate::machine::clock::Clock;

/// Reads the policy and prints what is wrong with it: a mistake or a warning is exit code 1, notes alone are 0.
pub(super) fn run(options: &PolicyFile, common: &Common) -> Result<(), Failure> {
    let path = file::locate(options.file.as_deref(), common)?;
    let name = path.display().to_string();
    let policy = match Policy::parse(&name, &file::read(&path)?) {
        Ok(policy) => policy,
        Err(mistakes) if common.json => {
            print(json(&name, &mistakes, &[]))?;
            return Err(Failure::Reported);
        }
        Err(mistakes) => return Err(mistaken(&mistakes)),
    };
    let wall = Clock::start().now().wall;
    let found = findings(&policy, &Rules::compile(&policy, 1).at(wall), wall);
    if common.json {
        print(json(&name, &[], &found))?;
    } else {
        for finding in &found {
            print(finding)?;
        }
        print(summary(&policy, &found))?;
    }
    if found.iter().any(|finding| finding.kind.is_warning()) { Err(Failure::Reported) } else { Ok(()) }
}

fn summary(policy: &Policy, found: &[Finding]) -> String {
    let warnings = found.iter().filter(|finding| finding.kind.is_warning()).count();
    let count = |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
    let found = match (warnings, found.len() - warnings) {
        (0, 0) => "ok".to_owned(),
        (0, notes) => format!("ok, {}", count(notes, "note")),
        (warnings, 0) => count(warnings, "warning"),
        (warnings, notes) => format!("{}, {}", count(warnings, "warning"), count(notes, "note")),
    };
    let rules = policy.allows.len() + policy.forbids.len() + policy.capabilities.len();
    let parts = [
        count(policy.nodes.len(), "node"),
        count(policy.services.len(), "service"),
        count(rules, "rule"),
        count(policy.tests.len(), "test"),
    ];
    format!("{}: {found}: {}", policy.file, parts.join(", "))
}

fn json(file: &str, mistakes: &[Mistake], found: &[Finding]) -> Value {
    let told = |mistake: &Mistake| json!({ "line": mistake.line, "key": mistake.key, "problem": mistake.problem, "mend": mistake.mend });
    let findings: Vec<Value> = found
        .iter()
        .map(|finding| {
            let mut report = told(&finding.told);
            report["kind"] = json!(finding.kind.name());
            report["severity"] = json!(if finding.kind.is_warning() { "warning" } else { "note" });
            report
        })
        .collect();
    json!({
        "file": file,
        "ok": mistakes.is_empty() && !found.iter().any(|finding| finding.kind.is_warning()),
        "mistakes": mistakes.iter().map(told).collect::<Vec<_>>(),
        "findings": findings,
    })
}
