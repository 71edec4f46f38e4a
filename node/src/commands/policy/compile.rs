//! `policy compile`: the flow rules that a policy stands for.

use lockgate_proto::rules::policy_text;
use serde_json::json;

use super::super::{Failure, print};
use super::file;
use crate::cli::Common;
use crate::cli::policy::PolicyFile;

/// Prints them, in the language of `lockgate rules`.
pub(super) fn run(options: &PolicyFile, common: &Common) -> Result<(), Failure> {
    let (policy, _) = file::load(options.file.as_deref(), common)?;
    let text = policy_text(&policy);
    if common.json {
        return print(json!({ "file": policy.file, "rules": text }));
    }
    print(text.trim_end())
}
