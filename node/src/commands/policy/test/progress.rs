//! How far a long command is: one line on a terminal, written again every second; nothing in a pipe.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use lockgate_proto::now::Moment;

use crate::machine::clock::Clock;

/// A line on stderr.
pub(super) struct Progress<W: Write> {
    /// `None` where nobody looks.
    out: Option<W>,
    clock: Clock,
    /// When it was last written.
    last: Option<Moment>,
}

impl Progress<io::Stderr> {
    /// On stderr, where that is a terminal.
    pub(super) fn on_stderr() -> Self {
        let out = Some(io::stderr()).filter(io::Stderr::is_terminal);
        Self { out, clock: Clock::start(), last: None }
    }
}

impl<W: Write> Progress<W> {
    /// So much is done. Whoever does not see it misses nothing: a line that cannot be written is no failure.
    pub(super) fn tell(&mut self, done: usize, all: usize, what: &str) {
        let Some(out) = &mut self.out else { return };
        let now = self.clock.now().instant;
        if self.last.is_some_and(|last| now.since(last) < EVERY) {
            return;
        }
        self.last = Some(now);
        let _ = write!(out, "\r{CLEAR}{done} of {all} {what}").and_then(|()| out.flush());
    }
}

impl<W: Write> Drop for Progress<W> {
    /// What follows begins on an empty line.
    fn drop(&mut self) {
        if let (Some(out), Some(_)) = (&mut self.out, self.last) {
            let _ = write!(out, "\r{CLEAR}").and_then(|()| out.flush());
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// Erases the rest of the line.
const CLEAR: &str = "\u{1b}[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_no_other_of_one_second_is_told_and_then_erased() {
        let mut written = Vec::new();
        let mut progress = Progress { out: Some(&mut written), clock: Clock::start(), last: None };
        for done in 0..100 {
            progress.tell(done, 100, "mutants");
        }
        drop(progress);
        let text = String::from_utf8(written).expect("text");
        assert!(text.starts_with("\r\u{1b}[K0 of 100 mutants") && text.ends_with("\r\u{1b}[K"), "{text:?}");
        assert!(text.matches("mutants").count() < 100, "{text:?}");
    }
}
