//! Other programs, run to their end.

use std::process::Command;

/// Runs a command and gives its stdout.
///
/// # Panics
/// If it fails, with the command and what it said.
pub fn run(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|why| panic!("{command:?}: {why}"))
}

/// Runs a command and gives its stdout; what it said on stderr (or stdout) where it failed.
pub fn try_run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.trim();
    Err(if complaint.is_empty() { said } else { complaint.to_owned() })
}

/// The words of a line; nothing is quoted.
pub(super) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
