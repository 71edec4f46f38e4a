//! `demo`: two nodes and their applications in one process.

use super::Failure;
use crate::cli::{Common, Demo};

/// x
pub(super) fn run(_options: &Demo, _common: &Common) -> Result<(), Failure> {
    Ok(())
}
