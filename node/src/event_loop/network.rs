//! The outside of the tunnel: the UDP socket, and what waits to leave through it.

use std::io;
use std::time::Duration;

use lockgate_proto::now::{Moment, Now};

use super::Tap;
use crate::machine::outbox::{Batch, Flushed};
use crate::machine::poller::{Interest, Poller, Ready};
use crate::machine::udp::Udp;
use crate::node::Node;

/// The UDP socket's token.
pub(super) const UDP: u64 = 0;
/// Datagrams that a turn takes at most, so that the applications get theirs.
const DATAGRAMS: usize = 256;
/// Pause after the system ran out of memory for a send.
const SHORT_OF_MEMORY: Duration = Duration::from_millis(1);

pub(super) struct Network {
    pub(super) udp: Udp,
    pub(super) batch: Batch,
    tap: Option<Tap>,
    /// There may be something to read.
    ready: bool,
    /// The socket took no more; it will tell.
    blocked: bool,
    /// Flush again then.
    flush_at: Option<Moment>,
}

impl Network {
    pub(super) fn new(udp: Udp, tap: Option<Tap>, poller: &Poller) -> io::Result<Self> {
        poller.register(&udp, UDP, Interest::Read)?;
        Ok(Self { udp, batch: Batch::new(), tap, ready: true, blocked: false, flush_at: None })
    }

    /// Takes the datagrams that have arrived, up to a turn's share.
    pub(super) fn receive(&mut self, node: &mut Node, now: Now) -> io::Result<()> {
        let mut taken = 0;
        while self.ready && taken < DATAGRAMS {
            let Self { udp, batch, .. } = self;
            let received =
                udp.recv(|path, _ecn, datagram| node.handle_udp(path.remote, datagram, now, batch))?;
            taken += received.datagrams;
            self.ready = !received.drained;
        }
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, now: Moment, poller: &Poller) -> io::Result<()> {
        if self.blocked || self.flush_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        self.flush_at = None;
        if let Some(tap) = &mut self.tap {
            self.batch.peek(tap);
        }
        match self.batch.flush(&self.udp) {
            Flushed::All => {}
            Flushed::Blocked => {
                self.blocked = true;
                poller.set_interest(&self.udp, UDP, Interest::Both)?;
            }
            Flushed::Later => self.flush_at = Some(now + SHORT_OF_MEMORY),
        }
        Ok(())
    }

    /// When to flush again though nothing happened.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.flush_at
    }

    /// Whether there is more to read than waiting would tell.
    pub(super) fn is_busy(&self) -> bool {
        self.ready
    }

    /// Whether the socket takes no more at present.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The socket has something to tell.
    pub(super) fn note(&mut self, ready: Ready, poller: &Poller) {
        self.ready |= ready.readable;
        if ready.writable && self.blocked {
            self.blocked = false;
            // If this fails, the loop only wakes more often than it must.
            let _ = poller.set_interest(&self.udp, UDP, Interest::Read);
        }
    }
}
