//! An answer that goes on: lines from the event loop to one client, bounded, and never waited for.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Lines that wait for one client at most.
const LINES: usize = 4096;
/// Bytes that wait for one client at most, as the event loop counts them.
const BYTES: u32 = 4 << 20;

/// A line, made into text where it is written. One line may be for many clients.
pub type Line = Arc<dyn Display + Send + Sync>;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It is on its way.
    Taken,
    /// The client is too slow: the line is lost.
    Full,
    /// The client has gone.
    Gone,
}

/// The event loop's end.
#[derive(Debug)]
pub struct Feed {
    lines: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// The server's end.
pub(super) struct Lines(mpsc::Receiver<Waiting>);

/// A line that waits, and the room that it takes.
pub(super) struct Waiting {
    line: Line,
    _room: OwnedSemaphorePermit,
}

pub(super) fn feed() -> (Feed, Lines) {
    let (sender, receiver) = mpsc::channel(LINES);
    (Feed { lines: sender, room: Arc::new(Semaphore::new(BYTES as usize)) }, Lines(receiver))
}

impl Feed {
    /// Gives the client a line of about `size` bytes, or nothing: never waits.
    pub fn push(&self, line: Line, size: usize) -> Fed {
        if self.is_gone() {
            return Fed::Gone;
        }
        let size = u32::try_from(size).unwrap_or(BYTES).min(BYTES);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
            return Fed::Full;
        };
        match self.lines.try_send(Waiting { line, _room: room }) {
            Ok(()) => Fed::Taken,
            Err(TrySendError::Full(_)) => Fed::Full,
            Err(TrySendError::Closed(_)) => Fed::Gone,
        }
    }

    /// Whether the client has gone.
    pub fn is_gone(&self) -> bool {
        self.lines.is_closed()
    }
}

impl Lines {
    /// The next line; `None` once the event loop has no more.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        self.0.recv().await
    }
}

impl Waiting {
    /// The line with its end.
    pub(super) fn text(&self) -> String {
        format!("{}\n", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Arc::new("x")
    }

    #[test]
    fn a_slow_client_loses_lines_and_gets_others_once_it_has_read() {
        let (feed, mut lines) = feed();
        for _ in 0..LINES {
            assert_eq!(feed.push(line(), 0), Fed::Taken);
        }
        assert_eq!(feed.push(line(), 0), Fed::Full);
        assert_eq!(lines.0.try_recv().unwrap().text(), "x\n");
        assert_eq!(feed.push(line(), 0), Fed::Taken);
    }

    #[test]
    fn large_lines_are_bounded_by_their_bytes() {
        let (feed, mut lines) = feed();
        for _ in 0..4 {
            assert_eq!(feed.push(line(), BYTES as usize / 4), Fed::Taken);
        }
        assert_eq!(feed.push(line(), 1), Fed::Full);
        assert_eq!(feed.push(line(), usize::MAX), Fed::Full);
        drop(lines.0.try_recv().unwrap());
        assert_eq!(feed.push(line(), BYTES as usize / 4), Fed::Taken);
        while lines.0.try_recv().is_ok() {}
        assert_eq!(feed.push(line(), usize::MAX), Fed::Taken, "one line always fits where nothing waits");
    }

    #[test]
    fn a_client_that_has_gone_is_seen() {
        let (feed, lines) = feed();
        assert!(!feed.is_gone());
        drop(lines);
        assert!(feed.is_gone());
        assert_eq!(feed.push(line(), 0), Fed::Gone);
    }
}
