//! Packets that rules send to a third node: copies for its observers (`tee`, `watch`), and detours (`redirect`).
//!
//! Both go beyond cryptokey routing: a peer sends us what it has judged of the traffic between itself and another node. So it
//! speaks of its own traffic only: source or destination of the packet must lead to that peer. And never of ours: who is an end
//! of the traffic needs no copy of it, and a packet for us that came this way would have passed us by.

use std::net::{IpAddr, Ipv4Addr};

use lockgate_proto::device::{CopyOrder, Detour, Judged, PacketCopy, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::now::Now;
use lockgate_proto::outbox::Outbox;
use lockgate_proto::packet::{self, ecn};
use lockgate_proto::parcel::Parcel;

use super::Node;

impl Node {
    /// The peer of this name.
    pub fn peer_named(&self, name: &str) -> Option<PeerId> {
        self.peers.iter().find(|peer| &*peer.name == name).map(|peer| peer.id)
    }

    /// Sends copies of `packets` to the observers of a peer. `packet` is what was judged: the packet itself, or the super-packet.
    ///
    /// # Errors
    /// Why there is none. The packet itself is not concerned: this is to be counted, and it goes on.
    pub fn send_copies(
        &mut self,
        to: PeerId,
        order: CopyOrder,
        packet: &[u8],
        packets: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        if self.would_loop(to, packet) {
            return Err(Discard::RoutingLoop);
        }
        self.device.send_copies(to, order, packets, now, out)
    }

    /// Sends `packets` to a peer instead of their destination. `packet` is what was judged.
    ///
    /// # Errors
    /// Why they go no further.
    pub fn send_detours(
        &mut self,
        to: PeerId,
        judged: Judged,
        packet: &[u8],
        packets: &impl Parcel,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        if self.would_loop(to, packet) {
            return Err(Discard::RoutingLoop);
        }
        self.device.send_detours(to, judged, packets, now, out)
    }

    /// A peer has sent the first bytes of a packet, for whoever observes here.
    pub(super) fn copied(&mut self, peer: PeerId, copy: &PacketCopy<'_>, now: Now) -> Result<(), Discard> {
        let observes = self.broker.rules().observes(&self.name);
        let admitted = self.check_ends(peer, copy.judged, copy.bytes);
        let admitted = admitted.and(if observes { Ok(()) } else { Err(Discard::Denied) });
        match (admitted, self.known(peer)) {
            (Ok(()), Some((_, from))) => {
                self.observed.keep(&from, copy, now);
                Ok(())
            }
            (outcome, _) => {
                self.observed.refused();
                outcome.and(Err(Discard::ForeignCopy))
            }
        }
    }

    /// A peer has sent a packet here that was to go elsewhere: what the network has marked it with is taken over, then it goes
    /// `inside`, where the host does with it what it does.
    pub(super) fn detoured(
        &mut self,
        peer: PeerId,
        outer_ecn: u8,
        detour: Detour<'_>,
        inside: &mut impl FnMut(&[u8]),
    ) -> Result<(), Discard> {
        let Detour { judged, packet } = detour;
        self.check_ends(peer, judged, packet)?;
        if self.addresses.is_empty() {
            // A node that does not know its own addresses (`wg`) cannot tell what is not for it.
            return Err(Discard::ForeignCopy);
        }
        let Self { device, gate, .. } = &*self;
        gate.admits_detour(packet, |end| device.route(end))?;
        ecn::decapsulate(packet, outer_ecn)?;
        inside(packet);
        Ok(())
    }

    /// Whether a peer may speak of this packet, by its addresses: it goes between two hosts that are not of one node, the end that has
    /// judged it is that peer's, and none is our own.
    fn check_ends(&self, peer: PeerId, judged: Judged, packet: &[u8]) -> Result<(), Discard> {
        let ends = [packet::source(packet), packet::destination(packet)].map(|end| end.ok_or(Discard::NotIp));
        let [source, destination] = [ends[0]?, ends[1]?];
        let (near, far) =
            if judged == Judged::Outbound { (source, destination) } else { (destination, source) };
        let is_ours = |end: IpAddr| self.addresses.contains(&end);
        let is_theirs = self.device.route(near) == Some(peer) && self.device.route(far) != Some(peer);
        let is_group = destination.is_multicast() || destination == IpAddr::V4(Ipv4Addr::BROADCAST);
        if is_theirs && !is_group && !is_ours(source) && !is_ours(destination) {
            Ok(())
        } else {
            Err(Discard::ForeignCopy)
        }
    }
}

#[cfg(test)]
mod tests;
