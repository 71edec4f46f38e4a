//! `policy stage`, `promote` and `abort`: a candidate beside the policy in force.

use super::super::Failure;
use crate::cli::Common;
use crate::cli::policy::PolicyFile;

/// Not built yet.
pub(super) fn stage(_options: &PolicyFile, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}

/// Not built yet.
pub(super) fn promote(_common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}

/// Not built yet.
pub(super) fn abort(_common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
