//! The walk over one chunk, and the runs that are cut out of it.

use bytes::Bytes;

use super::{Action, CARRY_SLACK, Judge, Scanned, Scanner};
use crate::zmtp::Fault;

/// A chunk on its way: everything before `kept` was emitted or skipped, `kept..at` is accepted, the rest unread.
pub(super) struct Cut<'e, E: FnMut(Bytes)> {
    chunk: Bytes,
    kept: usize,
    at: usize,
    passed: u64,
    dropped: u64,
    emit: &'e mut E,
}

impl<'e, E: FnMut(Bytes)> Cut<'e, E> {
    pub(super) fn new(chunk: Bytes, emit: &'e mut E) -> Self {
        Self { chunk, kept: 0, at: 0, passed: 0, dropped: 0, emit }
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        &self.chunk[self.at..]
    }

    #[inline]
    fn pass(&mut self, len: usize) {
        self.at += len;
    }

    #[inline]
    fn skip(&mut self, len: usize) {
        self.dropped += len as u64;
        self.set_aside(len);
    }

    /// Takes bytes out of the run without counting them: their fate is open.
    #[inline]
    fn set_aside(&mut self, len: usize) {
        self.flush();
        self.at += len;
        self.kept = self.at;
    }

    #[inline]
    fn flush(&mut self) {
        if self.kept < self.at {
            let run = self.chunk.slice(self.kept..self.at);
            self.kept = self.at;
            self.put(run);
        }
    }

    /// Emits bytes that are not of this chunk.
    fn insert(&mut self, bytes: Bytes) {
        self.flush();
        if !bytes.is_empty() {
            self.put(bytes);
        }
    }

    #[inline]
    fn put(&mut self, run: Bytes) {
        self.passed += run.len() as u64;
        (self.emit)(run);
    }

    /// Emits the last run; bytes passed, bytes dropped.
    pub(super) fn finish(mut self) -> (u64, u64) {
        self.flush();
        (self.passed, self.dropped)
    }
}

impl Scanner {
    /// From the chunk's start to its end, or to where the judge or a fault stops it.
    pub(super) fn walk<E: FnMut(Bytes)>(
        &mut self,
        cut: &mut Cut<'_, E>,
        judge: &mut impl Judge,
    ) -> Result<Scanned, Fault> {
        if !self.carry.is_empty()
            && let Some(stop) = self.walk_carry(cut, judge)?
        {
            return Ok(stop);
        }
        loop {
            if self.body > 0 {
                self.walk_body(cut);
            }
            let rest = cut.rest();
            if rest.is_empty() {
                return Ok(Scanned::All);
            }
            let piece = match self.look(rest)? {
                Ok(piece) => piece,
                Err(wanted) => {
                    self.keep(wanted, cut);
                    return Ok(Scanned::All);
                }
            };
            match self.decide(&piece, rest, judge)? {
                Action::Pass => cut.pass(piece.len),
                Action::Skip => cut.skip(piece.len),
                Action::Replace(bytes) => {
                    cut.skip(piece.len);
                    cut.insert(bytes);
                }
                Action::Wait => return Ok(Scanned::Waiting(cut.chunk.slice(cut.at..))),
                Action::Close => return Ok(Scanned::Closed),
            }
        }
    }

    /// As much of the current body as the chunk has.
    #[inline]
    fn walk_body<E: FnMut(Bytes)>(&mut self, cut: &mut Cut<'_, E>) {
        let here = usize::try_from(self.body).unwrap_or(usize::MAX).min(cut.rest().len());
        self.body -= here as u64;
        if self.dropping {
            cut.skip(here);
        } else {
            cut.pass(here);
        }
    }

    /// Completes the carried piece with the chunk's first bytes. `Some` where the scan stops here.
    #[cold]
    fn walk_carry<E: FnMut(Bytes)>(
        &mut self,
        cut: &mut Cut<'_, E>,
        judge: &mut impl Judge,
    ) -> Result<Option<Scanned>, Fault> {
        let piece = loop {
            match self.look(&self.carry)? {
                Ok(piece) => break piece,
                Err(_) if cut.rest().is_empty() => return Ok(Some(Scanned::All)),
                Err(wanted) => self.keep(wanted, cut),
            }
        };
        let carry = self.take_carry();
        debug_assert_eq!(piece.len, carry.len(), "a carry never has more than its piece");
        match self.decide(&piece, &carry, judge)? {
            Action::Pass => cut.insert(carry.into()),
            Action::Skip => cut.dropped += carry.len() as u64,
            Action::Replace(bytes) => {
                cut.dropped += carry.len() as u64;
                cut.insert(bytes);
            }
            Action::Wait => {
                self.carry = carry;
                return Ok(Some(Scanned::Waiting(cut.chunk.slice(cut.at..))));
            }
            Action::Close => return Ok(Some(Scanned::Closed)),
        }
        Ok(None)
    }

    /// Moves bytes from the chunk to the carry until it has `wanted` or the chunk ends.
    #[cold]
    fn keep<E: FnMut(Bytes)>(&mut self, wanted: usize, cut: &mut Cut<'_, E>) {
        let missing = wanted - self.carry.len();
        let here = missing.min(cut.rest().len());
        if self.carry.capacity() - self.carry.len() < here {
            self.carry.reserve_exact(here.max(missing.min(CARRY_SLACK)));
        }
        self.carry.extend_from_slice(&cut.rest()[..here]);
        cut.set_aside(here);
    }
}
