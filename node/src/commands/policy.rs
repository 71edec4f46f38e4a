//! `policy`: the policy file on its own, and a candidate beside the one in force.

mod check;
mod compile;
mod diff;
pub(super) mod file;
mod staging;
mod test;

use super::Failure;
use crate::cli::Common;
use crate::cli::policy::PolicyVerb;

/// Runs it.
pub(super) fn run(verb: &PolicyVerb, common: &Common) -> Result<(), Failure> {
    match verb {
        PolicyVerb::Check(options) => check::run(options, common),
        PolicyVerb::Test(options) => test::run(options, common),
        PolicyVerb::Diff(options) => diff::run(options, common),
        PolicyVerb::Compile(options) => compile::run(options, common),
        PolicyVerb::Stage(options) => staging::stage(options, common),
        PolicyVerb::Promote => staging::promote(common),
        PolicyVerb::Abort => staging::abort(common),
    }
}
