//! `rules compile`: a script to a flat program, or to JSON.

use super::super::Failure;
use crate::cli::Common;
use crate::cli::policy::RulesCompile;

/// Not built yet.
pub(super) fn run(_options: &RulesCompile, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
