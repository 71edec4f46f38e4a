//! The verbs, one file each, and what they share: how a verb prints and how it fails.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use lockgate_proto::document::Mistake;

use crate::cli::{Cli, Verb};

mod check;
#[cfg(feature = "demo")]
mod demo;
mod explain;
mod init;
mod keygen;
mod observe;
mod peers;
mod ping;
mod policy;
mod pubkey;
mod reach;
mod rules;
mod status;
mod up;
mod wg;
mod zmq;

/// Runs the verb of `cli`.
///
/// # Errors
/// What `main` reports and turns into an exit code.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let common = cli.common;
    match cli.verb {
        #[cfg(feature = "demo")]
        Verb::Demo(options) => demo::run(&options, &common),
        Verb::Check => check::run(&common),
        Verb::Up => up::run(&common),
        Verb::Peers => peers::run(&common),
        Verb::Ping(options) => ping::run(&options, &common),
        Verb::Status => status::run(&common),
        Verb::Keygen(options) => keygen::run(&options, &common),
        Verb::Pubkey => pubkey::run(&common),
        Verb::Init(options) => init::run(&options, &common),
        Verb::Explain(options) => explain::run(&options, &common),
        Verb::Reach(options) => reach::run(&options, &common),
        Verb::Policy(verb) => policy::run(&verb, &common),
        Verb::Rules(verb) => rules::run(&verb, &common),
        Verb::Observe(options) => observe::run(&options, &common),
        Verb::Wg(options) => wg::run(&options),
        Verb::Zmq(options) => zmq::run(options, &common),
    }
}

/// Why a verb did not end well.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: something was found, or did not work.
    Failed(Complaint),
    /// Exit code 2: what was typed makes no sense.
    Usage(Complaint),
    /// Exit code 3: the answer could not be had.
    CannotTell(Complaint),
    /// Exit code 1: what was found has been printed already.
    Reported,
    /// Exit code 0: whoever read our output has seen enough (`lockgate … | head -1`).
    ReaderLeft,
}

/// What went wrong, and what to do next.
#[derive(Debug)]
pub struct Complaint {
    /// Names the file, line and key, or the endpoint.
    pub what: String,
    /// The mend; may be empty where the first line says it.
    pub hint: String,
}

impl Failure {
    /// Exit code 1.
    pub fn failed(what: impl Display, hint: impl Display) -> Self {
        Self::Failed(Complaint::new(what, hint))
    }

    /// Exit code 2.
    pub fn usage(what: impl Display, hint: impl Display) -> Self {
        Self::Usage(Complaint::new(what, hint))
    }

    /// Exit code 3.
    pub fn cannot_tell(what: impl Display, hint: impl Display) -> Self {
        Self::CannotTell(Complaint::new(what, hint))
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::ReaderLeft => 0,
            Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) => 2,
            Self::CannotTell(_) => 3,
        })
    }

    /// Writes the complaint as `error:` and `hint:` lines.
    pub fn report(&self, to: &mut impl Write) {
        let (Self::Failed(complaint) | Self::Usage(complaint) | Self::CannotTell(complaint)) = self else {
            return;
        };
        // Where stderr is gone too there is nobody left to tell: the exit code still says it.
        let _ = writeln!(to, "error: {}", complaint.what);
        if !complaint.hint.is_empty() {
            let _ = writeln!(to, "  hint: {}", complaint.hint);
        }
    }
}

impl Complaint {
    fn new(what: impl Display, hint: impl Display) -> Self {
        Self { what: what.to_string(), hint: hint.to_string() }
    }
}

/// Prints a line to stdout and lets a reader in a pipe see it now.
///
/// # Errors
/// [`Failure::ReaderLeft`] where the pipe is closed; a failure where stdout cannot be written (a full disk).
pub fn print(line: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderLeft,
        _ => Failure::failed(format!("stdout: {error}"), "make room, or send the output elsewhere"),
    })
}

/// Prints every mistake as it is, and how many there are.
fn mistaken(mistakes: &[Mistake]) -> Failure {
    let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    // Each mistake brings its own "error:" and hint.
    let text = all.join("\n");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    Failure::failed(text, "")
}

/// The complaint where the system has no more.
fn out_of(error: io::Error) -> Failure {
    let what = format!("the system gives no more descriptors or threads: {error}");
    Failure::failed(what, "raise the limits (ulimit -n, -u)")
}

/// The complaint of an error whose text brings its own hint.
fn plain(error: impl Display) -> Failure {
    Failure::failed(error, "")
}

/// The complaint about a file that could not be written.
fn unwritable(path: &Path, error: &io::Error, mend_existing: &str) -> Failure {
    let what = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} is there already", path.display()), mend_existing)
        }
        io::ErrorKind::NotFound => Failure::failed(what, "create its folder first, or name another"),
        io::ErrorKind::PermissionDenied => {
            Failure::failed(what, "choose a folder that you may write to, or run as its owner")
        }
        _ => Failure::failed(what, "name another file"),
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.report(&mut text);
        f.write_str(String::from_utf8_lossy(&text).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_and_what_next() {
        let mut said = Vec::new();
        Failure::failed("a.toml:3: no key", "run  lockgate keygen").report(&mut said);
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "error: a.toml:3: no key\n  hint: run  lockgate keygen\n"
        );
    }

    #[test]
    fn a_reader_that_left_is_not_an_error() {
        let mut said = Vec::new();
        Failure::ReaderLeft.report(&mut said);
        assert!(said.is_empty());
        assert_eq!(format!("{:?}", Failure::ReaderLeft.exit_code()), format!("{:?}", ExitCode::SUCCESS));
    }
}
