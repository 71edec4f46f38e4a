//! `rules compile`: a script to a flat program, or to JSON.

use lockgate_proto::script::{Dialect, Options, Script, ScriptMistake};
use serde_json::{Value, json};

use super::super::{Failure, print};
use super::{json, script_text};
use crate::cli::Common;
use crate::cli::policy::{RulesCompile, RulesFormat};

/// Compiles and prints. Mistakes and warnings go to stderr as `FILE:LINE:COLUMN: …`.
pub(super) fn run(options: &RulesCompile, common: &Common) -> Result<(), Failure> {
    let text = script_text(&options.file)?;
    let file = options.file.display().to_string();
    let dialect = match options.format {
        RulesFormat::Program => Dialect::Lockgate,
        RulesFormat::Zerotier => Dialect::ZeroTier,
    };
    let script = match Script::compile(&text, &Options::new(&file, dialect)) {
        Ok(script) => script,
        Err(mistakes) => return refuse(&file, &mistakes, common),
    };
    for warning in &script.warnings {
        eprintln!("{}", complaint(&file, "warning", warning));
    }
    match options.format {
        RulesFormat::Program if common.json => print(json!({ "ok": true, "program": script.to_string() })),
        RulesFormat::Program => print(script.to_string().trim_end()),
        RulesFormat::Zerotier => {
            let mut said = json::zerotier(&script).map_err(|line| {
                Failure::failed(
                    format!("{file}:{line}: ZeroTier's language has no words for this rule"),
                    "write it without Lockgate's own words",
                )
            })?;
            // ZeroTier's compiler prints no `ok`.
            if common.json {
                said["ok"] = true.into();
            }
            print(format!("{said:#}"))
        }
    }
}

/// Mistakes are told on stderr; as JSON also on stdout, the first as upstream tells it.
fn refuse(file: &str, mistakes: &[ScriptMistake], common: &Common) -> Result<(), Failure> {
    for mistake in mistakes {
        eprintln!("{}", complaint(file, "error", mistake));
    }
    if common.json {
        let all: Vec<Value> = mistakes.iter().map(as_json).collect();
        print(json!({ "ok": false, "error": all.first(), "mistakes": all }))?;
    }
    Err(Failure::Reported)
}

/// A mistake or a warning, and its mend.
pub(super) fn complaint(file: &str, what: &str, mistake: &ScriptMistake) -> String {
    let ScriptMistake { line, column, problem, mend } = mistake;
    let hint = if mend.is_empty() { String::new() } else { format!("\n  hint: {mend}") };
    format!("{file}:{line}:{column}: {what}: {problem}{hint}")
}

fn as_json(mistake: &ScriptMistake) -> Value {
    json!({
        "line": mistake.line,
        "column": mistake.column,
        "message": mistake.problem,
        "mend": mistake.mend,
    })
}
