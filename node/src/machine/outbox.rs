//! What is to be sent: datagrams written once into one slab, and sent as few, large system calls.
//!
//! Consecutive datagrams of one length in one envelope (both ends of the path, and the outer TOS) form a *run*; a shorter one
//! may end it. A run goes out in one `sendmsg` with `UDP_SEGMENT`. What the socket does not take stays where it is, in order.
//!
//! What the kernel refuses is tried in another way at once: without a source address that is gone, without segmentation.
//!
//! Nothing is lost under normal load: the slab begins at 1 MiB (a whole receive batch answered in kind) and
//! grows, while the socket is blocked, up to [`LARGEST`] (twice QUIC's window); it keeps what it grew to, so a steady
//! state allocates nothing. Only beyond that is a datagram refused with [`Discard::OutboxFull`], and counted.

mod run;

use std::collections::VecDeque;
use std::net::SocketAddr;

use lockgate_proto::discard::Discard;
use lockgate_proto::outbox::{Envelope, Outbox, Path};
use rustix::io::Errno;

use self::run::{Manner, Mend, Run};
use super::udp::Udp;

/// The slab at the beginning, in bytes.
const SMALLEST: usize = 1 << 20;
/// The slab at most, in bytes.
pub const LARGEST: usize = 8 << 20;
/// The most that one datagram can carry.
const DATAGRAM: usize = 65_507;
/// Runs that may wait: a bound for datagrams that fill no slab.
const RUNS: usize = 1 << 16;
/// After so many refusals of segmentation in a row, it is not tried for a while.
const PATIENCE: u32 = 4;
/// For so many runs.
const REST: u32 = 256;
/// Peers with a stale source that are remembered until somebody asks; the others are found again.
const STALE: usize = 64;

/// What a loop turn writes at most before it flushes.
const ENOUGH: usize = 512 * 1024;

/// What came of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flushed {
    /// Nothing is left.
    All,
    /// The socket's buffer is full: watch it for both directions (`Poller::set_interest`), flush when it is writable, and
    /// watch it for reading again after [`Flushed::All`].
    Blocked,
    /// The system is short of memory: flush again soon (a millisecond). No readiness will be told.
    Later,
}

/// What a batch has done since it was made. All of them only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounters {
    /// System calls that sent something.
    pub sends: u64,
    /// Datagrams sent (segments; divided by `sends` it says how well they batch).
    pub datagrams: u64,
    /// Bytes sent, UDP payload.
    pub bytes: u64,
    /// Runs that the kernel refused to segment and that went out one by one.
    pub fallbacks: u64,
    /// Times that our address or interface towards a peer turned out to be gone; the routing table chose another.
    pub stale_sources: u64,
    /// Datagrams that the system refused to send (unreachable, too large for the path, denied) and that are lost.
    pub errors: u64,
    /// Flushes that the socket stopped.
    pub blocked: u64,
    /// Datagrams refused because the slab was full.
    pub refused: u64,
}

/// The datagrams that wait to be sent.
#[derive(Debug)]
pub struct Batch {
    slab: Vec<u8>,
    used: usize,
    runs: VecDeque<Run>,
    counters: SendCounters,
    refusals: u32,
    resting: u32,
    stale: VecDeque<SocketAddr>,
    failed: VecDeque<(SocketAddr, u64)>,
    /// What lies before this place in the slab was shown to the tap.
    shown: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            slab: vec![0; SMALLEST],
            used: 0,
            runs: VecDeque::with_capacity(1024),
            counters: SendCounters::default(),
            refusals: 0,
            resting: 0,
            stale: VecDeque::with_capacity(STALE),
            failed: VecDeque::with_capacity(STALE),
            shown: 0,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes that wait. A loop that produces much flushes when this passes some 64 KiB, or stops producing.
    pub fn pending(&self) -> usize {
        self.runs.front().map_or(0, |first| self.used - first.start)
    }

    /// What was done so far.
    pub fn counters(&self) -> SendCounters {
        self.counters
    }

    /// Whether runs are sent with segmentation at present (`udp` may not have it; refusals suspend it for a while).
    pub fn is_segmenting(&self, udp: &Udp) -> bool {
        udp.has_gso() && self.resting == 0
    }

    /// A peer (its address) whose path has a source that can no longer be used, and that should be forgotten; each is told
    /// once for every time that it was found out.
    pub fn take_stale(&mut self) -> Option<SocketAddr> {
        self.stale.pop_front()
    }

    /// Where the system had no way to, and how many bytes for there are lost; each is told once.
    pub fn take_failed(&mut self) -> Option<(SocketAddr, u64)> {
        self.failed.pop_front()
    }

    /// Drops what waits, and what was learnt of the socket: there is none any more.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.stale.clear();
        self.failed.clear();
        (self.used, self.shown) = (0, 0);
        (self.refusals, self.resting) = (0, 0);
    }

    /// Shows every datagram that waits to `look`, once each.
    pub fn peek(&mut self, look: &mut dyn FnMut(&[u8])) {
        for run in &self.runs {
            let mut start = run.start;
            for datagram in self.slab[start..start + run.len].chunks(run.segment.max(1)) {
                if start >= self.shown {
                    look(datagram);
                }
                start += datagram.len();
            }
        }
        self.shown = self.used;
    }

    /// Sends what waits, in order, until the socket takes no more.
    pub fn flush(&mut self, udp: &Udp) -> Flushed {
        self.flush_through(udp.has_gso(), |envelope, contents, segment| udp.send(envelope, contents, segment))
    }

    fn flush_through(
        &mut self,
        segmenting: bool,
        mut send: impl FnMut(&Envelope, &[u8], Option<usize>) -> Result<(), Errno>,
    ) -> Flushed {
        while let Some(run) = self.runs.front_mut() {
            let mut whole = run.manner == Manner::Whole && run.count > 1 && segmenting;
            if whole && self.resting > 0 {
                self.resting -= 1;
                whole = false;
            }
            if !whole {
                run.open = false;
            }
            let size = if whole { run.len } else { run.len.min(run.segment) };
            let count = if whole { run.count as u64 } else { 1 };
            let contents = &self.slab[run.start..run.start + size];
            match send(&run.envelope, contents, whole.then_some(run.segment)) {
                Ok(()) => self.note_sent(count, size),
                Err(errno) => match run.mend(errno, whole) {
                    Mend::WithoutSource => continue,
                    Mend::OneByOne => {
                        self.counters.fallbacks += 1;
                        continue;
                    }
                    Mend::Wait => {
                        self.counters.blocked += 1;
                        return Flushed::Blocked;
                    }
                    Mend::WaitForMemory => return Flushed::Later,
                    Mend::GiveUp => {
                        let remote = run.envelope.path.remote;
                        self.counters.errors += count;
                        self.note_failed(remote, size);
                    }
                },
            }
            self.advance(size);
        }
        Flushed::All
    }

    /// The first of the first run went out.
    fn note_sent(&mut self, datagrams: u64, bytes: usize) {
        self.counters.sends += 1;
        self.counters.datagrams += datagrams;
        self.counters.bytes += bytes as u64;
        let Some(run) = self.runs.front_mut() else { return };
        let doubted = run.doubted.take();
        let stale = Path { source: doubted, ..run.envelope.path };
        match run.manner {
            Manner::Whole if datagrams > 1 => self.refusals = 0,
            // What was refused whole goes alone: so it was the segmentation, and not the datagrams or their path.
            Manner::Refused => self.refusals += 1,
            Manner::Whole | Manner::OneByOne => {}
        }
        if self.refusals >= PATIENCE {
            self.refusals = 0;
            self.resting = REST;
        }
        if doubted.is_some() {
            self.note_stale(stale);
        }
    }

    /// What was refused with this path's source went out without it: nothing that waits needs to try that again.
    fn note_stale(&mut self, path: Path) {
        self.counters.stale_sources += 1;
        for run in self.runs.iter_mut().filter(|run| run.envelope.path == path) {
            run.envelope.path.source = None;
            run.open = false;
        }
        if self.stale.len() < STALE && !self.stale.contains(&path.remote) {
            self.stale.push_back(path.remote);
        }
    }

    fn note_failed(&mut self, remote: SocketAddr, bytes: usize) {
        if let Some((_, sum)) = self.failed.back_mut().filter(|(last, _)| *last == remote) {
            *sum += bytes as u64;
        } else if self.failed.len() < STALE {
            self.failed.push_back((remote, bytes as u64));
        }
    }

    /// The first `size` bytes of the first run are done with.
    fn advance(&mut self, size: usize) {
        if let Some(run) = self.runs.front_mut() {
            // Where anything of it is left, it went alone.
            run.manner = Manner::OneByOne;
            run.start += size;
            run.len -= size;
            run.count = if run.len == 0 { 0 } else { run.count - 1 };
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
        if self.runs.is_empty() {
            self.used = 0;
            self.shown = 0;
        }
    }

    /// Makes room for `len` more bytes: by moving what waits to the front, else by growing.
    fn make_room(&mut self, len: usize) -> Result<(), Discard> {
        if self.used + len <= self.slab.len() {
            return Ok(());
        }
        let head = self.runs.front().map_or(self.used, |first| first.start);
        let must_move = self.slab.len() >= LARGEST && self.used - head + len <= self.slab.len();
        if head >= self.used / 2 || must_move {
            self.slab.copy_within(head..self.used, 0);
            self.used -= head;
            self.shown = self.shown.saturating_sub(head);
            for run in &mut self.runs {
                run.start -= head;
            }
        }
        while self.used + len > self.slab.len() {
            if self.slab.len() >= LARGEST {
                self.counters.refused += 1;
                return Err(Discard::OutboxFull);
            }
            self.slab.resize((self.slab.len() * 2).min(LARGEST), 0);
        }
        Ok(())
    }

    fn note(&mut self, envelope: &Envelope, len: usize) {
        let start = self.used;
        self.used += len;
        match self.runs.back_mut() {
            Some(last) if last.takes(envelope, len) => {
                last.len += len;
                last.count += 1;
                last.open = len == last.segment;
            }
            _ => self.runs.push_back(Run::new(*envelope, start, len)),
        }
    }
}

impl Outbox for Batch {
    fn has_room(&self) -> bool {
        self.pending() < ENOUGH
    }

    /// Refuses what no datagram can carry ([`Discard::Malformed`]) and what no longer fits ([`Discard::OutboxFull`]).
    fn datagram(
        &mut self,
        envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        if len > DATAGRAM {
            return Err(Discard::Malformed);
        }
        if self.runs.len() >= RUNS {
            self.counters.refused += 1;
            return Err(Discard::OutboxFull);
        }
        self.make_room(len)?;
        fill(&mut self.slab[self.used..self.used + len])?;
        self.note(envelope, len);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
