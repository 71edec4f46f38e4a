//! The policy that a verb is about: the file that was named, or the one of the node's configuration.

use std::path::{Path, PathBuf};

use lockgate_proto::document::MAX_TEXT;
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::Rules;

use super::super::{Failure, mistaken};
use crate::cli::Common;
use crate::config;
use crate::machine::clock::Clock;
use crate::machine::files::{self, FileError};

/// Reads and compiles the policy in `file`; without one, the policy that the configuration of `common` names.
///
/// # Errors
/// Every mistake in it, or why there is none to read.
pub(in crate::commands) fn load(file: Option<&Path>, common: &Common) -> Result<(Policy, Rules), Failure> {
    let path = locate(file, common)?;
    let text = read(&path)?;
    let policy = Policy::parse(&path.display().to_string(), &text).map_err(|mistakes| mistaken(&mistakes))?;
    let rules = Rules::compile(&policy, 1);
    Ok((policy, rules))
}

/// The same with the capabilities that nodes hold now. (The tests of a policy must not depend on when they run: they take [`load`].)
///
/// # Errors
/// Those of [`load`].
pub(in crate::commands) fn load_now(
    file: Option<&Path>,
    common: &Common,
) -> Result<(Policy, Rules), Failure> {
    let (policy, rules) = load(file, common)?;
    Ok((policy, rules.at(Clock::start().now().wall)))
}

/// The path of that policy.
///
/// # Errors
/// The configuration cannot be read or names no policy.
pub(in crate::commands) fn locate(file: Option<&Path>, common: &Common) -> Result<PathBuf, Failure> {
    if let Some(file) = file {
        return Ok(file.to_owned());
    }
    let config = config::read(&common.config).map_err(|mistakes| mistaken(&mistakes))?;
    config.policy.ok_or_else(|| {
        let what = format!("{}: it names no policy: nothing passes", config.file);
        Failure::failed(what, "add  policy = \"policy.toml\"  to [node], or name a policy file")
    })
}

/// The text of a policy file.
///
/// # Errors
/// Why it cannot be read.
pub(in crate::commands) fn read(path: &Path) -> Result<String, Failure> {
    files::read_text(path, MAX_TEXT as u64).map_err(|error| {
        let mend = match &error {
            FileError::Missing => "correct the path  (`lockgate init` writes an example)".to_owned(),
            other => other.mend(path),
        };
        Failure::failed(error.problem(path), mend)
    })
}
