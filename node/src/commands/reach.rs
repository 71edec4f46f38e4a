//! `reach`: who reaches what.

use super::Failure;
use crate::cli::Common;
use crate::cli::policy::Reach;

/// Not built yet.
pub(super) fn run(_options: &Reach, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
