//! Who decides what passes.

use bytes::Bytes;

use crate::zmtp::Command;

/// On a message, from its first frame's header and start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// All its parts pass.
    Pass,
    /// None of its parts pass.
    Drop,
    /// The connection ends here; why is the judge's to remember.
    Close,
    /// Not yet: the judge will be asked again about the same message.
    Wait,
}

/// On a later part of a message that passes. Dropping is no choice: some of it is gone already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PartVerdict {
    /// It passes.
    Pass,
    /// The connection ends here.
    Close,
}

/// On a command or a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CommandVerdict {
    /// It passes, a subscription in its 3.1 form.
    Pass,
    /// It is swallowed.
    Drop,
    /// These bytes pass in its place: whole frames.
    Replace(Bytes),
    /// The connection ends here.
    Close,
}

/// Decides what passes in one direction.
pub trait Judge {
    /// A message begins: the first `topic_peek` bytes of its first frame (or all, if it has fewer), that frame's `size`
    /// in bytes, and whether `more` parts follow.
    fn message(&mut self, start: &[u8], size: u64, more: bool) -> Verdict;

    /// A later part of a passing message would bring it to `total` bytes in `parts` parts, all within the limits.
    #[inline]
    fn part(&mut self, total: u64, parts: u32) -> PartVerdict {
        let _ = (total, parts);
        PartVerdict::Pass
    }

    /// A command, or a subscription in either form.
    fn command(&mut self, command: Command<'_>) -> CommandVerdict;
}
