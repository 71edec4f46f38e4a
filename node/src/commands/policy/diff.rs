//! `policy diff`: who gains and who loses what.

use super::super::Failure;
use crate::cli::Common;
use crate::cli::policy::PolicyDiff;

/// Not built yet.
pub(super) fn run(_options: &PolicyDiff, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
