//! The outside of the tunnel: the UDP socket, and what waits to leave through it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lockgate_proto::now::{Moment, Now};
use lockgate_proto::outbox::Outbox;

use super::Tap;
use super::inside::Inside;
use crate::machine::bind::BindError;
use crate::machine::outbox::{Batch, Flushed, SendCounters};
use crate::machine::poller::{Interest, Poller, Ready};
use crate::machine::udp::{MarkError, ReceiveCounters, Udp};
use crate::node::Node;

/// The UDP socket's token.
pub(super) const UDP: u64 = 0;
/// Datagrams that a turn takes at most, so that the others get their turn.
const DATAGRAMS: usize = 256;
/// Pause after the system ran out of memory for a send.
const SHORT_OF_MEMORY: Duration = Duration::from_millis(1);

pub(super) struct Network {
    /// `None` while the tunnel is closed.
    udp: Option<Udp>,
    pub(super) batch: Batch,
    tap: Option<Tap>,
    mark: u32,
    /// By sockets that are closed.
    received: ReceiveCounters,
    /// There may be something to read.
    ready: bool,
    /// The socket took no more; it will tell.
    blocked: bool,
    /// Flush again then.
    flush_at: Option<Moment>,
}

impl Network {
    pub(super) fn new(udp: Option<Udp>, tap: Option<Tap>, poller: &Poller) -> io::Result<Self> {
        let batch = Batch::new();
        let received = ReceiveCounters::default();
        let mut network =
            Self { udp: None, batch, tap, mark: 0, received, ready: false, blocked: false, flush_at: None };
        if let Some(udp) = udp {
            network.install(udp, poller)?;
        }
        Ok(network)
    }

    fn install(&mut self, udp: Udp, poller: &Poller) -> io::Result<()> {
        poller.register(&udp, UDP, Interest::Read)?;
        self.udp = Some(udp);
        (self.ready, self.blocked, self.flush_at) = (true, false, None);
        Ok(())
    }

    /// Listens on `port` (0: the system chooses) for both IP versions. Where that fails, what was open stays open.
    pub(super) fn open(&mut self, port: u16, poller: &Poller) -> Result<(), BindError> {
        if port != 0 && self.port() == Some(port) {
            return Ok(());
        }
        let mut udp = Udp::bind_port(port)?.with_counters(self.received());
        if let Err(error) = udp.set_mark(self.mark) {
            tracing::warn!(%error, "datagrams leave without their mark");
        }
        self.install(udp, poller).map_err(|error| BindError::unwatched(port, &error))
    }

    /// Listens no more; what waited is dropped.
    pub(super) fn close(&mut self) {
        self.received = self.received();
        self.udp = None;
        self.batch.clear();
        (self.ready, self.blocked, self.flush_at) = (false, false, None);
    }

    /// Marks what is sent from now on, for policy routing.
    pub(super) fn set_mark(&mut self, mark: u32) -> Result<(), MarkError> {
        if let Some(udp) = &mut self.udp {
            udp.set_mark(mark)?;
        }
        self.mark = mark;
        Ok(())
    }

    pub(super) const fn mark(&self) -> u32 {
        self.mark
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.udp.as_ref().map(Udp::local_addr)
    }

    /// The port that it listens on.
    pub(super) fn port(&self) -> Option<u16> {
        self.local_addr().map(|local| local.port())
    }

    /// What the routing table here knows about the way to `remote`.
    pub(super) fn path_mtu(&self, remote: SocketAddr) -> Option<u16> {
        self.udp.as_ref()?.path_mtu(remote)
    }

    pub(super) fn counters(&self) -> (SendCounters, ReceiveCounters) {
        (self.batch.counters(), self.received())
    }

    fn received(&self) -> ReceiveCounters {
        self.udp.as_ref().map_or(self.received, Udp::counters)
    }

    pub(super) fn is_segmenting(&self) -> bool {
        self.udp.as_ref().is_some_and(|udp| self.batch.is_segmenting(udp))
    }

    /// Takes the datagrams that have arrived, up to a turn's share; packets in them go `inside`.
    pub(super) fn receive(
        &mut self,
        node: &mut Node,
        mut inside: Option<&mut Inside>,
        now: Now,
    ) -> io::Result<()> {
        let Self { udp: Some(udp), batch, ready, .. } = self else { return Ok(()) };
        let mut taken = 0;
        while *ready && taken < DATAGRAMS {
            let received = udp.recv(|path, ecn, datagram| {
                node.handle_udp(path, ecn, datagram, now, batch, &mut |packet| {
                    if let Some(inside) = &mut inside {
                        inside.push(packet);
                    }
                });
            })?;
            if let Some(inside) = &mut inside {
                inside.write();
            }
            taken += received.datagrams;
            *ready = !received.drained;
        }
        Ok(())
    }

    /// Whether more may be written for the socket.
    pub(super) fn has_room(&self) -> bool {
        self.batch.has_room()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, node: &mut Node, now: Moment, poller: &Poller) -> io::Result<()> {
        let Some(udp) = &self.udp else {
            self.batch.clear();
            return Ok(());
        };
        if self.blocked || self.flush_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        self.flush_at = None;
        if let Some(tap) = &mut self.tap {
            self.batch.peek(tap);
        }
        match self.batch.flush(udp) {
            Flushed::All => {}
            Flushed::Blocked => {
                self.blocked = true;
                poller.set_interest(udp, UDP, Interest::Both)?;
            }
            Flushed::Later => self.flush_at = Some(now + SHORT_OF_MEMORY),
        }
        while let Some(remote) = self.batch.take_stale() {
            node.forget_source(remote);
        }
        while let Some((remote, bytes)) = self.batch.take_failed() {
            node.unsent(remote, bytes);
        }
        Ok(())
    }

    /// When to flush again though nothing happened.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        self.flush_at
    }

    /// Whether there is more to read than waiting would tell.
    pub(super) fn is_busy(&self) -> bool {
        self.ready && self.udp.is_some()
    }

    /// Whether the socket takes no more at present.
    pub(super) fn is_waiting(&self) -> bool {
        self.blocked || self.flush_at.is_some()
    }

    /// The socket has something to tell.
    pub(super) fn note(&mut self, ready: Ready, poller: &Poller) {
        self.ready |= ready.readable;
        if ready.writable && self.blocked {
            self.blocked = false;
            if let Some(udp) = &self.udp {
                // If this fails, the loop only wakes more often than it must.
                let _ = poller.set_interest(udp, UDP, Interest::Read);
            }
        }
    }
}
