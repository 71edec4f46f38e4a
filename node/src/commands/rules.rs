//! `rules`: flow rules in ZeroTier's language.

mod compile;
mod json;
mod judge;

use std::io::{self, Read};
use std::path::Path;

use super::Failure;
use crate::cli::Common;
use crate::cli::policy::RulesVerb;
use crate::machine::files;

/// Runs it.
pub(super) fn run(verb: &RulesVerb, common: &Common) -> Result<(), Failure> {
    match verb {
        RulesVerb::Compile(options) => compile::run(options, common),
        RulesVerb::Judge(options) => judge::run(options),
    }
}

/// The text of a script; `-` is stdin.
fn script_text(path: &Path) -> Result<String, Failure> {
    if path != Path::new("-") {
        return files::read_text(path, MOST_SCRIPT)
            .map_err(|error| Failure::failed(error.problem(path), error.mend(path)));
    }
    let mut text = String::new();
    let read = io::stdin().lock().take(MOST_SCRIPT + 1).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() as u64 <= MOST_SCRIPT => Ok(text),
        Ok(_) => {
            Err(Failure::failed("the script on stdin is too long", format!("at most {MOST_SCRIPT} bytes")))
        }
        Err(error) => Err(Failure::failed(format!("stdin: {error}"), "it must be UTF-8 text")),
    }
}

/// The longest script.
const MOST_SCRIPT: u64 = 1 << 20;
