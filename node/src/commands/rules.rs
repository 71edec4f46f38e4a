//! `rules`: flow rules in ZeroTier's language.

mod compile;
mod judge;

use super::Failure;
use crate::cli::Common;
use crate::cli::policy::RulesVerb;

/// Runs it.
pub(super) fn run(verb: &RulesVerb, common: &Common) -> Result<(), Failure> {
    match verb {
        RulesVerb::Compile(options) => compile::run(options, common),
        RulesVerb::Judge(options) => judge::run(options, common),
    }
}
