//! Traffic after the handshake, one direction: finds the frames in a stream of chunks, asks a judge about each message
//! and command, and passes maximal runs of accepted bytes on as slices of what came in.
//!
//! A body is passed (or skipped) as it arrives. Only what a verdict needs and a chunk's end cut in two is carried over:
//! a header with the first frame's peek, or a command.

use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use super::command::{encode_cancel, encode_subscribe};
use super::frame::Header;
use super::{Command, Fault, SocketType, Version};

mod judge;
mod walk;

pub use judge::{CommandVerdict, Judge, PartVerdict, Verdict};
use walk::Cut;

/// The most that a judge may see of a first frame.
const MAX_PEEK: usize = 255;
/// How much more than what has arrived the carry may reserve, so that a drip does not grow it byte by byte.
const CARRY_SLACK: usize = 512;

/// What a direction may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame; above it the connection ends.
    pub max_frame: u64,
    /// Bytes of all parts of one message that passes; above it the connection ends.
    pub max_message: u64,
    /// Parts of one message that passes; above it the connection ends.
    pub max_parts: u32,
    /// Bytes of a command's body, or of a subscription's topic; above it the connection ends.
    pub max_command: usize,
    /// How many bytes of a message's first frame the judge needs; 0 = none, at most 255.
    pub topic_peek: usize,
}

impl Default for Limits {
    /// 64 MiB for a frame and for a message, 1024 parts, commands of 64 KiB, no peek.
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            max_frame: 64 * MIB,
            max_message: 64 * MIB,
            max_parts: 1024,
            max_command: 64 * 1024,
            topic_peek: 0,
        }
    }
}

/// How far a scan came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Scanned {
    /// The whole chunk was taken.
    All,
    /// The judge said [`Verdict::Wait`]: the unread rest, to be given to [`Scanner::scan`] later, before anything else.
    /// It may be empty; the call must be made all the same.
    Waiting(Bytes),
    /// The judge closed the connection. Every later scan returns the same.
    Closed,
}

/// What passed and what did not, since the scanner was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the judge passed (counted at their start).
    pub messages: u64,
    /// Frames of messages, passed or dropped.
    pub frames: u64,
    /// Commands and subscriptions shown to the judge.
    pub commands: u64,
    /// Bytes given to `emit`.
    pub bytes: u64,
    /// Messages that the judge dropped.
    pub dropped_messages: u64,
    /// Bytes taken and not passed in their own form: dropped messages, dropped and replaced commands.
    pub dropped_bytes: u64,
}

/// One direction of a connection.
pub struct Scanner {
    version: Version,
    subscriber: bool,
    limits: Limits,
    /// The start of a piece of which the rest has not arrived.
    carry: Vec<u8>,
    /// Bytes of the current frame's body still to come.
    body: u64,
    /// Parts of the current message so far; 0 between messages.
    parts: u32,
    /// Bytes of the current message's parts so far.
    total: u64,
    /// The verdict on the latest message.
    dropping: bool,
    end: Option<Result<Scanned, Fault>>,
    counts: Counts,
}

/// What to do with a piece.
enum Action {
    Pass,
    Skip,
    Replace(Bytes),
    Wait,
    Close,
}

/// A piece whose verdict can be asked for: the header and as much of the body as that needs.
struct Piece {
    header: Header,
    len: usize,
}

impl Scanner {
    /// For what a `sender` of this type sends in the framing of `version`.
    #[must_use]
    pub fn new(version: Version, sender: SocketType, limits: Limits) -> Self {
        let limits = Limits { topic_peek: limits.topic_peek.min(MAX_PEEK), ..limits };
        Self {
            version,
            subscriber: sender.is_subscriber(),
            limits,
            carry: Vec::new(),
            body: 0,
            parts: 0,
            total: 0,
            dropping: false,
            end: None,
            counts: Counts::default(),
        }
    }

    /// Goes on under other limits. The judge may be shown more of a first frame than it now needs: what was held
    /// back for it is judged as it stands.
    pub fn set_limits(&mut self, limits: Limits) {
        let peek = limits.topic_peek.min(MAX_PEEK).max(self.limits.topic_peek);
        self.limits = Limits { topic_peek: peek, ..limits };
    }

    /// Takes the next chunk of the stream and calls `emit` for each maximal run of accepted bytes, in order.
    ///
    /// A subscription (in either form) that passes is emitted as a 3.1 command, whatever the sender speaks.
    ///
    /// # Errors
    /// The sender's fault; what was accepted before it has been emitted. Every later scan returns it again.
    pub fn scan(
        &mut self,
        chunk: Bytes,
        judge: &mut impl Judge,
        emit: &mut impl FnMut(Bytes),
    ) -> Result<Scanned, Fault> {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let mut cut = Cut::new(chunk, emit);
        let result = self.walk(&mut cut, judge);
        let (passed, dropped) = cut.finish();
        self.counts.bytes += passed;
        self.counts.dropped_bytes += dropped;
        if matches!(result, Err(_) | Ok(Scanned::Closed)) {
            self.carry = Vec::new();
            self.end = Some(result.clone());
        }
        result
    }

    /// Whether what was emitted so far ends between messages: a command may be added to it, or the stream may end.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.dropping || (self.body == 0 && self.parts == 0)
    }

    /// Bytes held back because their verdict needs more: at most `max_command` + 10, or a header and the peek.
    #[must_use]
    pub fn carried(&self) -> usize {
        self.carry.len()
    }

    /// What passed and what did not.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Looks at a piece's start. `Err` holds how many bytes are needed to know more.
    #[inline]
    fn look(&self, bytes: &[u8]) -> Result<Result<Piece, usize>, Fault> {
        let Some(header) = Header::parse(bytes, self.version)? else {
            return Ok(Err(Header::wanted(bytes)));
        };
        let wanted = if header.is_command() {
            if header.size > self.limits.max_command as u64 {
                return Err(Fault::CommandTooLarge);
            }
            header.size
        } else {
            if header.size > self.limits.max_frame {
                return Err(Fault::FrameTooLarge);
            }
            let peek = if self.parts == 0 { self.limits.topic_peek as u64 } else { 0 };
            if self.subscriber { self.subscriber_peek(header, bytes, peek)? } else { peek.min(header.size) }
        };
        let len = header.len + wanted as usize;
        Ok(if bytes.len() < len { Err(len) } else { Ok(Piece { header, len }) })
    }

    /// A subscriber's frame may be a subscription in the message form: that needs its first byte, and then all of it.
    ///
    /// libzmq's XPUB takes a later part that begins so for a subscription too, so no such part may pass unseen.
    #[cold]
    fn subscriber_peek(&self, header: Header, bytes: &[u8], peek: u64) -> Result<u64, Fault> {
        let is_later = self.parts > 0;
        if header.size == 0 || (is_later && self.dropping) {
            return Ok(0);
        }
        match bytes.get(header.len) {
            None => Ok(1),
            Some(0 | 1) if is_later || header.more() => Err(Fault::HiddenSubscription),
            Some(0 | 1) if header.size - 1 > self.limits.max_command as u64 => Err(Fault::CommandTooLarge),
            Some(0 | 1) => Ok(header.size),
            Some(_) => Ok(peek.max(1).min(header.size)),
        }
    }

    /// Asks for the verdict on a piece that is whole, and enters the frame's body.
    #[inline]
    fn decide(&mut self, piece: &Piece, bytes: &[u8], judge: &mut impl Judge) -> Result<Action, Fault> {
        let header = piece.header;
        let body = &bytes[header.len..piece.len];
        let action = if header.is_command() {
            return self.command(body, judge);
        } else if self.parts > 0 {
            self.part(header, judge)?
        } else {
            match body {
                [kind @ (0 | 1), topic @ ..] if self.subscriber => {
                    return Ok(self.subscription(*kind, topic, judge));
                }
                _ => self.message(header, body, judge)?,
            }
        };
        if matches!(action, Action::Pass | Action::Skip) {
            self.counts.frames += 1;
            self.body = header.size - body.len() as u64;
            self.parts = if header.more() { self.parts.saturating_add(1) } else { 0 };
        }
        Ok(action)
    }

    #[inline]
    fn message(&mut self, header: Header, body: &[u8], judge: &mut impl Judge) -> Result<Action, Fault> {
        let start = &body[..body.len().min(self.limits.topic_peek)];
        match judge.message(start, header.size, header.more()) {
            Verdict::Pass if header.size > self.limits.max_message => Err(Fault::MessageTooLarge),
            Verdict::Pass => {
                self.dropping = false;
                self.total = header.size;
                self.counts.messages += 1;
                Ok(Action::Pass)
            }
            Verdict::Drop => {
                self.dropping = true;
                self.counts.dropped_messages += 1;
                Ok(Action::Skip)
            }
            Verdict::Wait => Ok(Action::Wait),
            Verdict::Close => Ok(Action::Close),
        }
    }

    #[inline]
    fn part(&mut self, header: Header, judge: &mut impl Judge) -> Result<Action, Fault> {
        if self.dropping {
            return Ok(Action::Skip);
        }
        let parts = self.parts.saturating_add(1);
        self.total = self.total.saturating_add(header.size);
        if self.total > self.limits.max_message {
            return Err(Fault::MessageTooLarge);
        }
        if parts > self.limits.max_parts {
            return Err(Fault::TooManyParts);
        }
        Ok(match judge.part(self.total, parts) {
            PartVerdict::Pass => Action::Pass,
            PartVerdict::Close => Action::Close,
        })
    }

    #[cold]
    fn command(&mut self, body: &[u8], judge: &mut impl Judge) -> Result<Action, Fault> {
        let command = Command::parse(body)?;
        if self.parts > 0 && !command.may_interleave() {
            return Err(Fault::Interleaved);
        }
        self.counts.commands += 1;
        Ok(match judge.command(command) {
            CommandVerdict::Pass => Action::Pass,
            CommandVerdict::Drop => Action::Skip,
            CommandVerdict::Replace(bytes) => Action::Replace(bytes),
            CommandVerdict::Close => Action::Close,
        })
    }

    /// A subscription in the message form: `kind` is its first byte.
    #[cold]
    fn subscription(&mut self, kind: u8, topic: &[u8], judge: &mut impl Judge) -> Action {
        self.counts.commands += 1;
        let command = if kind == 1 { Command::Subscribe(topic) } else { Command::Cancel(topic) };
        match judge.command(command) {
            CommandVerdict::Pass => {
                let mut canonical = BytesMut::new();
                let encode = if kind == 1 { encode_subscribe } else { encode_cancel };
                encode(topic, Version::V3_1, &mut canonical);
                Action::Replace(canonical.freeze())
            }
            CommandVerdict::Drop => Action::Skip,
            CommandVerdict::Replace(bytes) => Action::Replace(bytes),
            CommandVerdict::Close => Action::Close,
        }
    }

    /// Moves the carry out, for it to be emitted.
    fn take_carry(&mut self) -> Vec<u8> {
        mem::take(&mut self.carry)
    }
}

#[cfg(test)]
mod tests;
