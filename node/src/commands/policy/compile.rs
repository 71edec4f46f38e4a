//! `policy compile`: the flow rules that a policy stands for.

use serde_json::{Value, json};

use super::super::{Failure, print};
use super::file;
use crate::cli::Common;
use crate::cli::policy::PolicyFile;

/// Prints the lists that the policy compiles to, in the language of `lockgate rules`.
pub(super) fn run(options: &PolicyFile, common: &Common) -> Result<(), Failure> {
    let (policy, rules) = file::load_now(options.file.as_deref(), common)?;
    let lists = rules.program().filter(|(_, list)| !list.is_empty());
    if common.json {
        let lists: Vec<Value> =
            lists.map(|(purpose, list)| json!({ "for": purpose, "rules": list.to_string() })).collect();
        return print(json!({ "file": policy.file, "lists": lists }));
    }
    let lists: Vec<String> = lists.map(|(purpose, list)| format!("# {purpose}\n{list}")).collect();
    print(lists.join("\n").trim_end())
}
