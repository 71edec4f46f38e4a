//! What WireGuard's configuration protocol asks and changes: keys and peers. The socket is the event loop's.

use std::time::Duration;

use lockgate_proto::device::{AddPeerError, PeerConfig, PeerId};
use lockgate_proto::now::Now;

use super::Node;
use crate::uapi::{Change, Edit, PeerChange, PeerReport, Presence, Report};

impl Node {
    /// Applies one change. Those of the socket (port, mark) are not for here and change nothing.
    pub fn apply(&mut self, change: Change, now: Now) {
        match change {
            Change::PrivateKey(key) => {
                self.device.set_identity(key.map(|key| *key), now);
            }
            Change::ReplacePeers => {
                let peers: Vec<PeerId> = self.device.peers().collect();
                for peer in peers {
                    self.remove_peer(peer);
                }
            }
            Change::Peer(change) => self.change_peer(change, now),
            Change::ListenPort(_) | Change::Fwmark(_) => {}
        }
    }

    fn change_peer(&mut self, change: PeerChange, now: Now) {
        let known = self.device.peer_by_key(&change.public_key);
        let peer = match (change.presence, known) {
            (Presence::Removed, known) => {
                if let Some(peer) = known {
                    self.remove_peer(peer);
                }
                return;
            }
            (_, Some(peer)) => peer,
            (Presence::UpdateOnly, None) => return,
            (Presence::Wanted, None) => {
                let config = PeerConfig {
                    public_key: change.public_key,
                    preshared_key: None,
                    endpoint: None,
                    keepalive: None,
                };
                match self.device.add_peer(config, now) {
                    Ok(peer) => peer,
                    // Our own key is no peer, and this is no error either: one list of peers serves all their devices.
                    Err(AddPeerError::OwnKey | AddPeerError::Duplicate) => return,
                }
            }
        };
        for edit in change.edits {
            self.edit(peer, edit, now);
        }
    }

    fn remove_peer(&mut self, peer: PeerId) {
        self.device.remove_peer(peer);
        self.gate.forget_peer(peer);
    }

    fn edit(&mut self, peer: PeerId, edit: Edit, now: Now) {
        match edit {
            Edit::PresharedKey(key) => {
                self.device.set_preshared_key(peer, key.map(|key| *key));
            }
            Edit::Endpoint(endpoint) => {
                self.device.set_endpoint(peer, endpoint);
            }
            Edit::Keepalive(seconds) => {
                let interval = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
                self.device.set_keepalive(peer, interval, now);
            }
            Edit::ReplaceAllowedIps => self.device.clear_allowed_ips(peer),
            Edit::Allow(prefix) => {
                self.device.add_allowed_ip(peer, prefix);
            }
            Edit::Disallow(prefix) => {
                self.device.remove_allowed_ip(peer, prefix);
            }
        }
    }

    /// The keys and the peers. The port and the mark are the event loop's to fill in.
    pub fn settings(&self) -> Report {
        let ids: Vec<PeerId> = self.device.peers().collect();
        let mut peers = Vec::with_capacity(ids.len());
        peers.extend(ids.into_iter().filter_map(|peer| self.peer_settings(peer)));
        Report { private_key: self.device.private_key(), peers, ..Report::default() }
    }

    fn peer_settings(&self, peer: PeerId) -> Option<PeerReport> {
        let status = self.device.peer(peer)?;
        let handshake = status.last_handshake.map_or(Duration::ZERO, |then| then.wall);
        let keepalive = self.device.keepalive_interval(peer).map_or(0, |interval| interval.as_secs());
        Some(PeerReport {
            public_key: status.public_key,
            preshared_key: self.device.preshared_key(peer),
            endpoint: status.endpoint,
            last_handshake_seconds: handshake.as_secs(),
            last_handshake_nanoseconds: handshake.subsec_nanos(),
            tx_bytes: status.sent,
            rx_bytes: status.received,
            keepalive: u16::try_from(keepalive).unwrap_or(u16::MAX),
            allowed_ips: self.device.allowed_ips(peer).collect(),
        })
    }
}
