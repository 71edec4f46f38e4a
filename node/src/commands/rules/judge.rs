//! `rules judge`: packets against a script.

use super::super::Failure;
use crate::cli::Common;
use crate::cli::policy::RulesJudge;

/// Not built yet.
pub(super) fn run(_options: &RulesJudge, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
