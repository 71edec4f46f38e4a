//! Cryptokey routing: which peer an inner address belongs to.
//!
//! It works both ways: a packet to an address goes to the owner of the longest prefix that contains it, and a packet from an
//! address is accepted from that owner only.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Device, PeerId};
use crate::discard::Discard;
use crate::prefix::Prefix;

impl Device {
    /// Gives `prefix` to a peer, and takes it from whoever had it. Whether there is such a peer.
    pub fn add_allowed_ip(&mut self, peer: PeerId, prefix: Prefix) -> bool {
        let is_there = self.peers.contains_key(&peer);
        if is_there {
            self.routes.insert(prefix, peer);
        }
        is_there
    }

    /// Takes exactly `prefix` from a peer; whether it had it.
    pub fn remove_allowed_ip(&mut self, peer: PeerId, prefix: Prefix) -> bool {
        self.routes.is_owned(prefix, peer) && self.routes.remove(prefix).is_some()
    }

    /// Takes all prefixes from a peer.
    pub fn clear_allowed_ips(&mut self, peer: PeerId) {
        self.routes.remove_all(peer);
    }

    /// The prefixes of a peer, in order.
    pub fn allowed_ips(&self, peer: PeerId) -> impl Iterator<Item = Prefix> + '_ {
        self.routes.of(peer)
    }

    /// Whose an inner address is: the peer with the longest prefix that contains it.
    pub fn route(&self, address: IpAddr) -> Option<PeerId> {
        self.routes.lookup(address)
    }

    /// Whether an inner packet may come from `peer`: its source routes back to exactly that peer.
    pub(super) fn check_source(&self, peer: PeerId, packet: &[u8]) -> Result<(), Discard> {
        let owner = source(packet).and_then(|source| self.routes.lookup(source));
        if owner == Some(peer) { Ok(()) } else { Err(Discard::ForeignSource) }
    }
}

/// The source address of an IP packet.
fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => packet.get(12..)?.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        _ => packet.get(8..)?.first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
    }
}
