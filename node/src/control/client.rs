//! The asking side: what `lockgate status` does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::machine::unix;

/// The longest answer, in bytes.
const ANSWER: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error(
        "no node is running: nobody answers on {path}\n  hint: start it with `lockgate up`, or name its socket if it is another one"
    )]
    NotRunning {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Somebody listens, but not for this user.
    #[error(
        "this user may not control the node on {path}\n  hint: run this as the user that runs the node, or as root"
    )]
    Denied {
        /// Where it was asked.
        path: PathBuf,
    },
    /// It is there but says nothing in time.
    #[error(
        "the node on {path} did not answer within {timeout:?}\n  hint: it may be overloaded or stopping; look at its log"
    )]
    TimedOut {
        /// Where it was asked.
        path: PathBuf,
        /// How long.
        timeout: Duration,
    },
    /// It closed the connection, or answered something else than JSON.
    #[error(
        "the node on {path} gave no answer: {reason}\n  hint: it serves a few clients at a time; try again, or look at its log"
    )]
    Broken {
        /// Where it was asked.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It answered that it could not do it.
    #[error("the node refused: {reason}")]
    Refused {
        /// In its own words.
        reason: String,
    },
}

/// Asks the node at `path` and waits for its answer; blocking, `timeout` for each step.
///
/// # Errors
/// In words for the operator; an answer with an `error` is one too.
pub fn ask(path: &Path, request: &Value, timeout: Duration) -> Result<Value, AskError> {
    let line = exchange(path, request, timeout).map_err(|error| explain(path, timeout, &error))?;
    let broken = |reason: &str| AskError::Broken { path: path.into(), reason: reason.into() };
    if line.is_empty() {
        return Err(broken("it closed the connection"));
    }
    let answer: Value = serde_json::from_slice(&line).map_err(|_| broken("what came back is not JSON"))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(reason) => Err(AskError::Refused { reason: reason.into() }),
        None => Ok(answer),
    }
}

fn exchange(path: &Path, request: &Value, timeout: Duration) -> io::Result<Vec<u8>> {
    let mut stream: UnixStream = unix::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(ANSWER)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn explain(path: &Path, timeout: Duration, error: &io::Error) -> AskError {
    use io::ErrorKind as Kind;
    let path = path.to_path_buf();
    match error.kind() {
        Kind::NotFound | Kind::ConnectionRefused => AskError::NotRunning { path },
        Kind::PermissionDenied => AskError::Denied { path },
        Kind::WouldBlock | Kind::TimedOut => AskError::TimedOut { path, timeout },
        _ => AskError::Broken { path, reason: error.to_string() },
    }
}
