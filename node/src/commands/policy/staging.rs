//! `policy stage`, `promote` and `abort`: a candidate beside the policy in force.

use std::path::absolute;

use serde_json::{Value, json};

use super::super::status::{ask, text};
use super::super::{Failure, mistaken, print};
use crate::cli::Common;
use crate::cli::policy::PolicyFile;
use crate::config;

/// Has the running node judge by a candidate too.
pub(super) fn stage(options: &PolicyFile, common: &Common) -> Result<(), Failure> {
    let config = config::read(&common.config).map_err(|mistakes| mistaken(&mistakes))?;
    let Some(file) = options.file.clone().or(config.policy) else {
        return Err(Failure::usage(
            "there is no policy to be staged: the configuration names none",
            "lockgate policy stage FILE",
        ));
    };
    // The node has another working directory.
    let path = absolute(&file)
        .map_err(|error| Failure::failed(format!("{}: {error}", file.display()), "name an absolute path"))?;
    let Some(path) = path.to_str() else {
        return Err(Failure::usage(format!("{} is not UTF-8", file.display()), "give the file another name"));
    };
    let answer = ask(common, &json!({ "command": "stage", "file": path })).map_err(without_prefix)?;
    if common.json {
        return print(&answer);
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        print(text(warning).replacen("error:", "warning:", 1))?;
    }
    print(staged(&answer))
}

/// Has the running node put its candidate in force.
pub(super) fn promote(common: &Common) -> Result<(), Failure> {
    let answer = ask(common, &json!({ "command": "promote" }))?;
    print(if common.json { answer.to_string() } else { promoted(&answer) })
}

/// Has the running node forget its candidate.
pub(super) fn abort(common: &Common) -> Result<(), Failure> {
    let answer = ask(common, &json!({ "command": "abort" }))?;
    let said = || {
        let (file, seen) = (text(&answer["aborted"]), seen(&answer));
        format!("{file} is staged no longer; the policy in force stays as it is ({seen})")
    };
    print(if common.json { answer.to_string() } else { said() })
}

fn staged(answer: &Value) -> String {
    let file = text(&answer["staged"]);
    let instead = match answer["replaced"].as_str() {
        Some(replaced) if replaced == file => ", in the place of what it held before".to_owned(),
        Some(replaced) => format!(", in the place of {replaced}"),
        None => String::new(),
    };
    format!(
        "{file} is staged{instead}: it is judged beside the policy in force, which goes on deciding\n  \
         hint: lockgate status  lists where they differ; then  lockgate policy promote  or  lockgate policy abort"
    )
}

fn promoted(answer: &Value) -> String {
    let (candidate, seen) = (text(&answer["promoted"]), seen(answer));
    let mut said = format!(
        "{candidate}, as it was when it was staged, is the policy in force ({seen})\nNo file was written: "
    );
    said += &match answer["file"].as_str() {
        Some(file) if file == candidate => {
            format!("a SIGHUP or a restart reads {file} again as it is then.")
        }
        Some(file) => format!(
            "{file} still holds the old policy, and a SIGHUP or a restart brings that back.\n  \
             hint: to keep the new one:  cp {candidate} {file}"
        ),
        None => format!(
            "after a restart there is no policy.\n  hint: to keep the new one:  policy = \"{candidate}\"  under [node]"
        ),
    };
    said
}

/// What was seen while both were judged.
fn seen(answer: &Value) -> String {
    let count = |key| answer["seen"][key].as_u64().unwrap_or(0);
    let (denied, allowed) = (count("newly_denied"), count("newly_allowed"));
    format!("while it was staged it would have newly denied {denied} and newly allowed {allowed}")
}

/// Each mistake brings its own `error:`, and the first one gets another.
fn without_prefix(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(complaint) => {
            let what = complaint.what.strip_prefix("error: ").unwrap_or(&complaint.what).to_owned();
            Failure::failed(what, complaint.hint)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_says_what_a_restart_would_read() {
        let answer = |file: Value| json!({ "promoted": "/p/next.toml", "file": file, "seen": { "newly_denied": 3, "newly_allowed": 0 } });
        for (file, words) in [
            (json!("/p/policy.toml"), "/p/policy.toml still holds the old policy"),
            (json!("/p/policy.toml"), "cp /p/next.toml /p/policy.toml"),
            (json!("/p/next.toml"), "reads /p/next.toml again"),
            (Value::Null, "policy = \"/p/next.toml\""),
        ] {
            let said = promoted(&answer(file));
            assert!(said.contains(words) && said.contains("No file was written"), "{said}");
            assert!(said.contains("newly denied 3 and newly allowed 0"), "{said}");
        }
    }
}
