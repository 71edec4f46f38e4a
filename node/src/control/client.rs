//! The asking side: what `lockgate status` does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
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
    let exchanged = exchange(path, request, timeout);
    let (line, _) = exchanged.map_err(|error| explain(path, timeout, &error))?;
    understand(path, &line)
}

/// Asks the node at `path` for something whose answer goes on, and waits for the first line of it; blocking, `timeout` for each
/// step. What follows is read without waiting.
///
/// # Errors
/// As [`ask`].
pub fn follow(path: &Path, request: &Value, timeout: Duration) -> Result<(Value, Lines), AskError> {
    let named = |error| explain(path, timeout, &error);
    let (line, reader) = exchange(path, request, timeout).map_err(named)?;
    let answer = understand(path, &line)?;
    let (unread, stream) = (reader.buffer().to_vec(), reader.into_inner().into_inner());
    stream.set_nonblocking(true).map_err(named)?;
    Ok((answer, Lines { path: path.into(), stream, unread, read: 0 }))
}

fn understand(path: &Path, line: &[u8]) -> Result<Value, AskError> {
    let broken = |reason: &str| AskError::Broken { path: path.into(), reason: reason.into() };
    if line.is_empty() {
        return Err(broken("it closed the connection"));
    }
    let answer: Value = serde_json::from_slice(line).map_err(|_| broken("what came back is not JSON"))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(reason) => Err(AskError::Refused { reason: reason.into() }),
        None => Ok(answer),
    }
}

/// The first line of the answer, and where what follows is read.
fn exchange(
    path: &Path,
    request: &Value,
    timeout: Duration,
) -> io::Result<(Vec<u8>, BufReader<io::Take<UnixStream>>)> {
    let mut stream: UnixStream = unix::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(ANSWER));
    reader.read_until(b'\n', &mut line)?;
    Ok((line, reader))
}

/// The lines that follow an answer. Wait for its descriptor to become readable where there is none yet.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    stream: UnixStream,
    /// Of these bytes, those up to `read` have been handed out.
    unread: Vec<u8>,
    read: usize,
}

/// What follows an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A JSON value.
    Line(Value),
    /// Nothing yet.
    NotYet,
    /// The node has no more to say.
    End,
}

impl Lines {
    /// The next line, without waiting.
    ///
    /// # Errors
    /// [`AskError::Broken`] where the connection fails, or what comes is not JSON.
    pub fn read_line(&mut self) -> Result<Next, AskError> {
        loop {
            let unread = &self.unread[self.read..];
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line = understand(&self.path, &unread[..end])?;
                self.read += end + 1;
                return Ok(Next::Line(line));
            }
            if unread.len() as u64 > ANSWER {
                return Err(self.broken("its line has no end".into()));
            }
            self.unread.drain(..self.read);
            self.read = 0;
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Next::End),
                Ok(len) => self.unread.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::NotYet),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A node that was killed.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Next::End),
                Err(error) => return Err(self.broken(error.to_string())),
            }
        }
    }

    fn broken(&self, reason: String) -> AskError {
        AskError::Broken { path: self.path.clone(), reason }
    }
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
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
