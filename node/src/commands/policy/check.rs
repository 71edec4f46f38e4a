//! `policy check`: every mistake, and what is dead, shadowed or too broad.

use super::super::Failure;
use crate::cli::Common;
use crate::cli::policy::PolicyFile;

/// Not built yet.
pub(super) fn run(_options: &PolicyFile, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
