//! `observe`: the copies that tee and watch rules send here.

use super::Failure;
use crate::cli::Common;
use crate::cli::policy::Observe;

/// Not built yet.
pub(super) fn run(_options: &Observe, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
