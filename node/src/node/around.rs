//! What the machine around a node asks it and tells it: for reports, and about sockets, interfaces and addresses.

use std::net::SocketAddr;

use lockgate_broker::broker::Broker;
use lockgate_proto::device::PeerId;
use lockgate_proto::discard::Discard;
use lockgate_proto::document::nearest;
use lockgate_proto::keys::PublicKey;
use lockgate_proto::now::Now;
use lockgate_proto::outbox::{Outbox, Source};

use super::{Gate, Node, PeerReport};
use crate::counters::Discards;

impl Node {
    /// What judges IP packets.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The broker, for what applications do.
    pub const fn broker(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// The broker, for reports.
    pub const fn broker_report(&self) -> &Broker {
        &self.broker
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This node's public key, if it has a key.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.device.public_key()
    }

    /// Asks the device of the peer called `name` for an echo of `size` bytes; returns which peer that is, and the
    /// number of the echo.
    ///
    /// # Errors
    /// Why nothing was sent, in words.
    pub fn ping(
        &mut self,
        name: &str,
        size: usize,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(PeerId, u64), String> {
        let peer = self.peer_named(name).ok_or_else(|| self.unknown(name))?;
        self.next_echo = self.next_echo.wrapping_add(1);
        let sent = self.device.send_echo(peer, self.next_echo, size, now, out);
        sent.map_err(|reason| format!("nothing was sent to {name}: {}", reason.name()))?;
        Ok((peer, self.next_echo))
    }

    /// Where a peer is.
    pub fn endpoint(&self, peer: PeerId) -> Option<SocketAddr> {
        self.device.endpoint(peer)
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.peers.iter().map(|peer| &*peer.name);
        let mend = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the peers here are: {}", names.collect::<Vec<_>>().join(", ")),
        };
        format!("no [[peer]] is called {name}\n  hint: {mend}")
    }

    /// Where each peer is, in the order of the configuration.
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, Option<SocketAddr>)> + '_ {
        self.peers.iter().map(|peer| (&*peer.name, self.device.endpoint(peer.id)))
    }

    /// The interface's MTU, in bytes: padding never goes beyond it.
    pub fn set_mtu(&mut self, mtu: u16) {
        self.device.set_mtu(mtu);
    }

    /// Where the tunnel's own datagrams come from, so that they are known when they come out of the TUN device.
    pub fn set_listen_port(&mut self, port: Option<u16>) {
        self.listen_port = port;
    }

    /// The interface is down: sessions end, nothing is sent or accepted.
    pub fn rest(&mut self) {
        self.device.stop();
    }

    /// The interface is up.
    pub fn resume(&mut self, now: Now) {
        self.device.start(now);
    }

    /// The address from which this peer was sent to is gone.
    pub fn forget_source(&mut self, remote: SocketAddr) {
        self.device.forget_source(remote);
    }

    /// So many bytes for the peer at `remote` could not be sent.
    pub fn unsent(&mut self, remote: SocketAddr, bytes: u64) {
        self.device.unsent(remote, bytes);
    }

    /// Where the peers are and which of our addresses they reached us at, as far as that holds.
    pub fn sources(&self) -> impl Iterator<Item = (SocketAddr, Source)> + '_ {
        self.device.sources().map(|(_, remote, source)| (remote, source))
    }

    /// Addresses or routes have changed: the routing table chooses again.
    pub fn forget_sources(&mut self) {
        self.device.forget_sources();
    }

    /// Counts what the machine has discarded.
    pub fn discard(&mut self, reason: Discard) {
        self.discards.note(reason);
    }

    /// The peers, in the order of the configuration.
    pub fn peers(&self) -> impl Iterator<Item = PeerReport> + '_ {
        self.peers.iter().filter_map(|peer| {
            let tunnel = self.device.peer(peer.id)?;
            let addresses = self.device.allowed_ips(peer.id).collect();
            Some(PeerReport { name: peer.name.clone(), tunnel, addresses })
        })
    }

    /// Why datagrams went no further.
    pub const fn discards(&self) -> &Discards {
        &self.discards
    }
}
