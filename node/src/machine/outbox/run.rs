//! A run: consecutive datagrams of one length in one envelope, and what is tried when the kernel refuses it.

use lockgate_proto::outbox::{Envelope, Source};
use rustix::io::Errno;

/// Older kernels refuse more segments per call.
pub(super) const RUN_SEGMENTS: usize = 64;
/// A little below the 65507 that UDP can carry: at the limit a loopback receiver was seen to lose GRO.
pub(super) const RUN_BYTES: usize = 65_000;

/// How a run leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// In one call.
    Whole,
    /// The kernel refused to segment it, and nothing of it was tried alone yet.
    Refused,
    /// Alone, one after the other.
    OneByOne,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) envelope: Envelope,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) segment: usize,
    pub(super) count: usize,
    pub(super) open: bool,
    pub(super) manner: Manner,
    /// The source that the first of it was refused with; without it, it was not tried yet.
    pub(super) doubted: Option<Source>,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// The same once more, without its source.
    WithoutSource,
    /// Not as a whole.
    OneByOne,
    /// Later, when the socket is writable.
    Wait,
    /// Later, when the system has memory again.
    WaitForMemory,
    /// Nothing helps.
    GiveUp,
}

impl Run {
    /// A run of one datagram.
    pub(super) fn new(envelope: Envelope, start: usize, len: usize) -> Self {
        Self {
            envelope,
            start,
            len,
            segment: len.max(1),
            count: 1,
            open: len > 0,
            manner: Manner::Whole,
            doubted: None,
        }
    }

    /// Whether a datagram of `len` bytes may join it.
    pub(super) fn takes(&self, envelope: &Envelope, len: usize) -> bool {
        self.open
            && len > 0
            && len <= self.segment
            && self.count < RUN_SEGMENTS
            && self.len + len <= RUN_BYTES
            && self.envelope == *envelope
    }

    /// The kernel answered `errno` to all of it at once (`whole`), or to its first datagram. Changes the run to what is
    /// tried next.
    pub(super) fn mend(&mut self, errno: Errno, whole: bool) -> Mend {
        let mend = match errno {
            Errno::AGAIN => return Mend::Wait,
            Errno::NOBUFS | Errno::NOMEM => return Mend::WaitForMemory,
            // EINVAL may be about the source or about the segments; without a source we shall see.
            Errno::INVAL
            | Errno::ADDRNOTAVAIL
            | Errno::NODEV
            | Errno::NXIO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
                if self.envelope.path.source.is_some() =>
            {
                self.doubted = self.envelope.path.source.take();
                self.open = false;
                return Mend::WithoutSource;
            }
            // The segments are too large for the path: newer kernels say so. It says nothing about other paths.
            Errno::MSGSIZE if whole => {
                self.manner = Manner::OneByOne;
                Mend::OneByOne
            }
            Errno::INVAL | Errno::IO if whole => {
                self.manner = Manner::Refused;
                Mend::OneByOne
            }
            _ => Mend::GiveUp,
        };
        // It was not the source.
        if self.doubted.is_some() {
            self.envelope.path.source = self.doubted.take();
        }
        mend
    }
}
