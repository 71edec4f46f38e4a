//! A device that remembers what it was told and does nothing with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lockgate::machine::poller::{Poller, Waker};
use lockgate::uapi::server::{FOLDER, Patience, UapiRequest, UapiServer, bind, serve};
use lockgate::uapi::{Change, Edit, Errno, PeerChange, PeerReport, Presence, Report};
use lockgate_proto::keys::PublicKey;
use lockgate_proto::prefix::Prefix;

/// The device, its socket, and the thread in the reactor's place. Ends when dropped.
pub(crate) struct FakeDevice {
    stopping: Arc<AtomicBool>,
    waker: Waker,
    reactor: Option<JoinHandle<()>>,
}

impl FakeDevice {
    pub(crate) fn start(interface: &str) -> Self {
        let mut poller = Poller::new().expect("descriptors");
        let waker = poller.waker();
        let socket = bind(Path::new(FOLDER), interface).expect("the name is ours");
        let server = serve(socket, poller.waker(), Patience::default()).expect("a thread");
        let stopping = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopping);
        let reactor = thread::spawn(move || {
            let mut state = State::default();
            while !until.load(Ordering::Acquire) {
                state.serve(&server);
                poller.wait(Some(Duration::from_secs(60))).expect("epoll");
            }
        });
        Self { stopping, waker, reactor: Some(reactor) }
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.waker.wake();
        let ended = self.reactor.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

#[derive(Default)]
struct State {
    report: Report,
    peers: BTreeMap<PublicKey, PeerReport>,
    owners: BTreeMap<Prefix, PublicKey>,
}

impl State {
    fn serve(&mut self, server: &UapiServer) {
        while let Ok(request) = server.requests.try_recv() {
            match request {
                UapiRequest::Get { reply } => drop(reply.send(self.report())),
                UapiRequest::Set { changes, reply } => {
                    let outcome = changes.into_iter().try_for_each(|change| self.apply(change));
                    // A client that has left needs no answer.
                    let _ = reply.send(outcome);
                }
            }
        }
    }

    fn report(&self) -> Report {
        let peers = self.peers.values().map(|peer| PeerReport {
            preshared_key: peer.preshared_key.clone(),
            allowed_ips: peer.allowed_ips.clone(),
            ..*peer
        });
        // By the order of their text, which the tests write down.
        let mut peers: Vec<PeerReport> = peers.collect();
        peers.sort_by_key(|peer| peer.public_key.to_base64());
        Report { private_key: self.report.private_key.clone(), peers, ..self.report }
    }

    fn apply(&mut self, change: Change) -> Result<(), Errno> {
        match change {
            Change::PrivateKey(key) => self.report.private_key = key.map(|key| *key),
            Change::ListenPort(1) => return Err(Errno::AddressInUse),
            Change::ListenPort(port) => self.report.listen_port = port,
            Change::Fwmark(mark) => self.report.fwmark = mark,
            Change::ReplacePeers => self.peers.clear(),
            Change::Peer(change) => self.apply_peer(change),
        }
        Ok(())
    }

    fn apply_peer(&mut self, change: PeerChange) {
        let key = change.public_key;
        match change.presence {
            Presence::Removed => drop(self.peers.remove(&key)),
            Presence::UpdateOnly if !self.peers.contains_key(&key) => {}
            Presence::Wanted | Presence::UpdateOnly => {
                self.peers.entry(key).or_insert_with(|| PeerReport::new(key));
                for edit in change.edits {
                    self.edit(key, edit);
                }
            }
        }
    }

    fn edit(&mut self, key: PublicKey, edit: Edit) {
        if let Edit::Allow(range) = edit
            && let Some(owner) = self.owners.insert(range, key)
            && let Some(owner) = self.peers.get_mut(&owner)
        {
            owner.allowed_ips.retain(|other| *other != range);
        }
        let Some(peer) = self.peers.get_mut(&key) else { return };
        match edit {
            Edit::PresharedKey(key) => peer.preshared_key = key.map(|key| *key),
            Edit::Endpoint(endpoint) => peer.endpoint = Some(endpoint),
            Edit::Keepalive(seconds) => peer.keepalive = seconds,
            Edit::ReplaceAllowedIps => {
                for range in peer.allowed_ips.drain(..) {
                    self.owners.remove(&range);
                }
            }
            Edit::Allow(range) => peer.allowed_ips.push(range),
            Edit::Disallow(range) => peer.allowed_ips.retain(|other| *other != range),
        }
    }
}
