//! `explain`: what the policy says about one thing.

use super::Failure;
use crate::cli::Common;
use crate::cli::policy::Explain;

/// Not built yet.
pub(super) fn run(_options: &Explain, _common: &Common) -> Result<(), Failure> {
    Err(Failure::failed("not built yet", ""))
}
