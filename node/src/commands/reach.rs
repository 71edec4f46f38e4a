//! `reach`: who reaches what, by tag set.

pub(super) mod report;
pub(super) mod table;

use lockgate_proto::analysis::Reach as Matrix;

use super::policy::file;
use super::{Failure, print};
use crate::cli::Common;
use crate::cli::policy::Reach;

/// Prints the whole matrix of the policy.
pub(super) fn run(options: &Reach, common: &Common) -> Result<(), Failure> {
    let (policy, rules) = file::load_now(options.policy.as_deref(), common)?;
    let matrix = Matrix::of(&policy, &rules);
    if common.json {
        return print(report::json(&policy, &matrix));
    }
    if options.csv {
        return print(report::csv(&matrix));
    }
    print(table::screen(&policy.file, &matrix))
}
