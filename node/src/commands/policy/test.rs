//! `policy test`: the tests in the file.

use super::super::Failure;
use crate::cli::Common;
use crate::cli::policy::PolicyTest;

/// Not built yet.
pub(super) fn run(_options: &PolicyTest, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
