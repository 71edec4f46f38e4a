//! The inside of the tunnel: the TUN device, what is read from it, and what waits to be written to it.

use std::io;

use lockgate_proto::now::Now;
use lockgate_proto::packet::coalesce::Coalescer;
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::vnet;

use super::network::Network;
use crate::machine::poller::{Interest, Poller, Ready};
use crate::machine::tun::{Tun, TunRead, Written};
use crate::node::Node;
use crate::report::TunFacts;

/// The TUN device's token.
pub(super) const TUN: u64 = 1;
/// Bytes that a turn takes at most, so that the other direction gets its turn.
const SHARE: usize = 512 << 10;
/// Reads that a turn takes at most: small packets cost a read each.
const READS: usize = 128;
/// What waits for the UDP socket is sent when there is so much of it: the other end can then begin.
const FLUSH: usize = 32 << 10;

pub(super) struct Inside {
    pub(super) tun: Tun,
    pub(super) coalescer: Coalescer,
    coalesces: bool,
    /// There may be something to read.
    ready: bool,
    /// The device was deleted.
    pub(super) gone: bool,
}

impl Inside {
    pub(super) fn new(tun: Tun, poller: &Poller) -> io::Result<Self> {
        poller.register(&tun, TUN, Interest::Read)?;
        let mut coalescer = Coalescer::new();
        let offloads = tun.offloads();
        coalescer.set_enabled(offloads.tso);
        coalescer.set_udp(offloads.uso);
        Ok(Self { coalesces: offloads.tso, tun, coalescer, ready: true, gone: false })
    }

    /// Takes what local applications have sent, up to a turn's share, and sends it on.
    pub(super) fn read(
        &mut self,
        node: &mut Node,
        network: &mut Network,
        now: Now,
        poller: &Poller,
    ) -> io::Result<()> {
        let (mut bytes, mut reads) = (0, 0);
        while self.ready && bytes < SHARE && reads < READS && network.has_room() {
            let Self { tun, coalescer, .. } = self;
            match tun.read()? {
                TunRead::Frame(frame) => {
                    bytes += frame.packet.len();
                    reads += 1;
                    let header = vnet::Header::parse(&frame.header);
                    match Segments::new(&header, frame.packet) {
                        Ok(packets) => {
                            node.handle_tun(&packets, now, &mut network.batch, &mut |answer| {
                                let _ = coalescer.push(answer);
                            });
                        }
                        Err(reason) => node.discard(reason),
                    }
                }
                TunRead::Drained => self.ready = false,
                // Counted by the device; a turn takes so many at most.
                TunRead::Lost => reads += 1,
                TunRead::Gone => {
                    self.gone = true;
                    self.ready = false;
                }
            }
            if network.batch.pending() >= FLUSH {
                network.flush(node, now.instant, poller)?;
            }
        }
        // What the node has said about them.
        self.write();
        Ok(())
    }

    /// Puts an opened packet beside the others of its flow.
    pub(super) fn push(&mut self, packet: &[u8]) {
        if self.coalescer.is_full() {
            self.write();
        }
        // Only what is longer than any packet is refused, and no datagram can hold that.
        let _ = self.coalescer.push(packet);
    }

    /// Writes what waits.
    pub(super) fn write(&mut self) {
        if self.coalescer.is_empty() {
            return;
        }
        let Self { tun, coalescer, .. } = self;
        let mut refused = false;
        coalescer.drain(|item| refused |= tun.write(item) == Written::Refused);
        if refused {
            tracing::warn!(
                "the TUN device takes no coalesced packets; they are written one by one from now on"
            );
            self.coalesces = false;
            coalescer.set_enabled(false);
            coalescer.set_udp(false);
        }
    }

    /// What it has done, for reports.
    pub(super) fn facts(&self) -> TunFacts {
        TunFacts {
            name: self.tun.name().to_owned(),
            offloads: self.tun.offloads(),
            coalescing: self.coalesces,
            counters: self.tun.counters(),
        }
    }

    /// Whether there is more to read than waiting would tell.
    pub(super) const fn is_busy(&self) -> bool {
        self.ready
    }

    /// The device has something to tell.
    pub(super) const fn note(&mut self, ready: Ready) {
        self.ready |= ready.readable || ready.hangup;
    }
}
