//! The inside of the tunnel: the TUN device, what is read from it, and what waits to be written to it.

use std::io;

use lockgate_proto::now::Now;
use lockgate_proto::packet::coalesce::Coalescer;
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::vnet;

use self::joining::{Joining, Kind, write_singly};
use super::network::Network;
use crate::machine::poller::{Interest, Poller, Ready};
use crate::machine::tun::{Tun, TunRead, Written};
use crate::node::Node;
use crate::report::TunFacts;

mod joining;

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
    joining: Joining,
    /// Whether the coalescer joins TCP, and UDP.
    joins: (bool, bool),
    /// Where a packet that goes alone after all is made.
    single: Vec<u8>,
    /// There may be something to read.
    ready: bool,
    /// The device was deleted.
    pub(super) gone: bool,
}

impl Inside {
    pub(super) fn new(tun: Tun, poller: &Poller) -> io::Result<Self> {
        poller.register(&tun, TUN, Interest::Read)?;
        let mut coalescer = Coalescer::new();
        let joining = Joining::new(tun.offloads());
        coalescer.set_enabled(tun.offloads().tso || tun.offloads().uso);
        let joins = (joining.is_on(Kind::Tcp), joining.is_on(Kind::Udp));
        coalescer.set_tcp(joins.0);
        coalescer.set_udp(joins.1);
        Ok(Self { tun, coalescer, joining, joins, single: Vec::new(), ready: true, gone: false })
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
        let Self { tun, coalescer, joining, single, .. } = self;
        coalescer.drain(|item| {
            joining.count();
            let written = tun.write(item);
            let Some(kind) = Kind::of(item) else { return };
            match written {
                Written::Sent => joining.taken(kind),
                // Only where the packets pass alone was it the joining.
                Written::Refused
                    if write_singly(item, single, |packet| tun.write(packet)) == Ok(true)
                        && joining.refused(kind) =>
                {
                    tracing::warn!(
                        ?kind,
                        "the TUN device refuses coalesced packets; they go alone for a while"
                    );
                }
                _ => {}
            }
        });
        self.follow();
    }

    /// Has the coalescer join what is to be joined at present.
    fn follow(&mut self) {
        let now = (self.joining.is_on(Kind::Tcp), self.joining.is_on(Kind::Udp));
        if self.joins != now {
            self.joins = now;
            self.coalescer.set_tcp(now.0);
            self.coalescer.set_udp(now.1);
        }
    }

    /// What it has done, for reports.
    pub(super) fn facts(&self) -> TunFacts {
        TunFacts {
            name: self.tun.name().to_owned(),
            offloads: self.tun.offloads(),
            coalescing: self.joining.is_on(Kind::Tcp),
            coalescing_udp: self.joining.is_on(Kind::Udp),
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
