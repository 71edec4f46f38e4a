//! Where `--junit` may write: a rename takes the place of whatever has the name, so that it must be a report or nothing.

use std::fs::{metadata, symlink_metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::super::{Failure, unwritable};

/// Refuses what is no regular file, and the policy itself.
///
/// # Errors
/// What it is instead.
pub(super) fn check(report: &Path, policy: &Path) -> Result<(), Failure> {
    let found = match symlink_metadata(report) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unwritable(report, &error, MEND)),
    };
    let refuse = |what: &str| Err(Failure::failed(format!("{}: {what}", report.display()), MEND));
    if !found.is_file() {
        let kind = found.file_type();
        return refuse(match () {
            () if kind.is_symlink() => "a symbolic link, which the report would take the place of",
            () if kind.is_dir() => "a folder, not a file",
            () => "no regular file: the report would take its place",
        });
    }
    // One that cannot be looked at is told when it is read.
    let is_policy =
        metadata(policy).is_ok_and(|policy| (policy.dev(), policy.ino()) == (found.dev(), found.ino()));
    if is_policy { refuse("the policy itself: the report would take its place") } else { Ok(()) }
}

const MEND: &str = "name another file for the report";
