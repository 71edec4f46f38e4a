//! Devices in one room: two or three of them on a virtual clock, with the network in a test's hands.

mod cookies;
mod copies;
mod crossing;
mod crowded;
mod echo;
mod fuzz;
mod identity;
mod paths;
mod routing;
mod sessions;
mod timing;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::*;
use crate::entropy::Entropy;
use crate::keys::PresharedKey;
use crate::outbox::{Envelope, Path};
use crate::peer::Reach;
use crate::prefix::Prefix;

/// A small generator: good enough to be seeded with.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Datagrams that were sent, and apart from them the envelopes of all that ever were.
#[derive(Default)]
pub(super) struct Sent(pub(super) Vec<(SocketAddr, Vec<u8>)>, pub(super) Vec<Envelope>);

/// An outbox with room for so many datagrams.
struct Narrow<'s>(&'s mut Sent, usize);

impl Outbox for Narrow<'_> {
    fn datagram(
        &mut self,
        envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        if !self.has_room() {
            return Err(Discard::OutboxFull);
        }
        self.0.datagram(envelope, len, fill)
    }

    fn has_room(&self) -> bool {
        self.0.0.len() < self.1
    }
}

impl Outbox for Sent {
    fn datagram(
        &mut self,
        envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        // A slot's content is unspecified before it is filled.
        let mut slot = vec![0xa5; len];
        fill(&mut slot)?;
        self.0.push((envelope.path.remote, slot));
        self.1.push(*envelope);
        Ok(())
    }
}

/// A device and all that a machine would keep around it.
pub(super) struct Host {
    pub(super) device: Device,
    pub(super) address: SocketAddr,
    pub(super) out: Sent,
    pub(super) links: Vec<Vec<u8>>,
    pub(super) discards: Vec<Discard>,
    pub(super) keepalives: usize,
    pub(super) echoes: Vec<Echo>,
    pub(super) copies: Vec<(Judged, CopyKind, u16, Vec<u8>)>,
    pub(super) detours: Vec<(Judged, Vec<u8>)>,
}

/// The room.
pub(super) struct Room {
    pub(super) hosts: Vec<Host>,
    pub(super) now: Now,
}

pub(super) const START: Duration = Duration::from_secs(1_000);
pub(super) const WALL: Duration = Duration::from_secs(1_700_000_000);

pub(super) fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host as u8 + 1], 51_820))
}

impl Room {
    /// `count` devices that know no one.
    pub(super) fn of(count: usize) -> Self {
        let now = Now { instant: Moment::new(START), wall: WALL };
        let hosts = (0..count)
            .map(|at| {
                let seed = at as u64 * 1_000_003 + 17;
                let randomness =
                    Randomness { secret: Box::new(Seeded(seed)), public: Box::new(Seeded(seed ^ 0xffff)) };
                let key = PrivateKey::from_bytes([at as u8 + 1; 32]);
                Host {
                    device: Device::new(key, randomness, now),
                    address: address(at),
                    out: Sent::default(),
                    links: Vec::new(),
                    discards: Vec::new(),
                    keepalives: 0,
                    echoes: Vec::new(),
                    copies: Vec::new(),
                    detours: Vec::new(),
                }
            })
            .collect();
        Self { hosts, now }
    }

    /// Two devices that are each other's peer 0.
    pub(super) fn pair() -> Self {
        let mut room = Self::of(2);
        room.introduce(0, 1);
        room
    }

    /// Two devices with a session that 0 began.
    pub(super) fn connected() -> Self {
        let mut room = Self::pair();
        room.begin(0);
        room.settle();
        assert_eq!(room.events(0), [Event::Up { peer: PEER }]);
        assert_eq!(room.events(1), [Event::Up { peer: PEER }]);
        room
    }

    pub(super) fn introduce(&mut self, one: usize, other: usize) {
        for (us, them) in [(one, other), (other, one)] {
            let config = PeerConfig {
                public_key: self.public_key(them),
                preshared_key: None,
                endpoint: Some(self.hosts[them].address),
                keepalive: None,
            };
            self.hosts[us].device.add_peer(config, self.now).unwrap();
        }
    }

    pub(super) fn public_key(&self, host: usize) -> PublicKey {
        self.hosts[host].device.public_key().unwrap()
    }

    /// Lets every host's first peer send it packets from anywhere.
    pub(super) fn allow_all(&mut self) {
        for host in &mut self.hosts {
            for prefix in ["0.0.0.0/0", "::/0"] {
                assert!(host.device.add_allowed_ip(PEER, self::prefix(prefix)));
            }
        }
    }

    /// Sends an IP packet to the first peer.
    pub(super) fn ip(&mut self, host: usize, packet: &[u8]) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[host];
        device.send_ip(PEER, packet, self.now, out)
    }

    pub(super) fn begin(&mut self, host: usize) {
        let Host { device, out, .. } = &mut self.hosts[host];
        device.begin_handshake(PEER, self.now, out).unwrap();
    }

    pub(super) fn link(&mut self, host: usize, datagram: &[u8]) -> Result<(), Discard> {
        let Host { device, out, .. } = &mut self.hosts[host];
        device.send_link(PEER, datagram, self.now, out)
    }

    /// Takes what a host has sent.
    pub(super) fn take(&mut self, host: usize) -> Vec<Vec<u8>> {
        self.hosts[host].out.0.drain(..).map(|(_, datagram)| datagram).collect()
    }

    /// Gives a host a datagram, as if it came from `from`.
    pub(super) fn give(
        &mut self,
        host: usize,
        from: impl Into<Path>,
        datagram: &[u8],
    ) -> Result<Option<Vec<u8>>, Discard> {
        let now = self.now;
        let host = &mut self.hosts[host];
        let mut datagram = datagram.to_vec();
        let received = host.device.handle_datagram(from, &mut datagram, now, &mut host.out)?;
        Ok(match received.content {
            Content::Link(link) => Some(link.bytes().to_vec()),
            Content::Ip(packet) => Some(packet.to_vec()),
            Content::Echo(echo) => {
                host.echoes.push(echo);
                None
            }
            Content::Copy(it) => {
                host.copies.push((it.judged, it.kind, it.original_length, it.bytes.to_vec()));
                None
            }
            Content::Detour(it) => {
                host.detours.push((it.judged, it.packet.to_vec()));
                None
            }
            Content::Nothing => None,
        })
    }

    /// Delivers one round of what every host has sent; whether there was anything.
    pub(super) fn deliver(&mut self) -> bool {
        let mut any = false;
        let mut rounds = Vec::new();
        for host in &mut self.hosts {
            rounds.push((host.address, core::mem::take(&mut host.out.0)));
        }
        for (from, sent) in rounds {
            for (to, datagram) in sent {
                any = true;
                let Some(at) = self.hosts.iter().position(|host| host.address == to) else {
                    continue;
                };
                let is_keepalive = datagram.len() == 32;
                match self.give(at, from, &datagram) {
                    Ok(Some(link)) => self.hosts[at].links.push(link),
                    Ok(None) => self.hosts[at].keepalives += usize::from(is_keepalive),
                    Err(discard) => self.hosts[at].discards.push(discard),
                }
            }
        }
        any
    }

    /// Delivers until all is quiet.
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000 {
            if !self.deliver() {
                return;
            }
        }
        panic!("the hosts never stop answering each other");
    }

    /// Moves the clock without waking anyone.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.now = Now { instant: self.now.instant + time, wall: self.now.wall + time };
    }

    /// Lets `time` pass, waking every host when it wants, and delivering what it sends.
    pub(super) fn pass(&mut self, time: Duration) {
        self.pass_with(time, Self::settle);
    }

    /// Lets `time` pass while everything that is sent is lost; returns how many datagrams each host sent and when.
    pub(super) fn pass_in_vain(&mut self, time: Duration) -> Vec<(Duration, usize, usize)> {
        let mut lost = Vec::new();
        self.pass_with(time, |room| {
            for host in 0..room.hosts.len() {
                for datagram in room.take(host) {
                    lost.push((room.now.instant.since_epoch() - START, host, datagram.len()));
                }
            }
        });
        lost
    }

    fn pass_with(&mut self, time: Duration, mut deliver: impl FnMut(&mut Self)) {
        let end = self.now.instant + time;
        deliver(self);
        loop {
            let next = self
                .hosts
                .iter()
                .filter_map(|host| host.device.poll_timeout())
                .map(|(moment, _)| moment)
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.sleep(next.since(self.now.instant));
            for host in &mut self.hosts {
                host.device.handle_timeout(self.now, &mut host.out);
            }
            deliver(self);
        }
        self.sleep(end.since(self.now.instant));
    }

    pub(super) fn events(&mut self, host: usize) -> Vec<Event> {
        core::iter::from_fn(|| self.hosts[host].device.poll_event()).collect()
    }

    pub(super) fn status(&self, host: usize) -> PeerStatus {
        self.hosts[host].device.peer(PEER).unwrap()
    }

    /// Asserts that a datagram from each side arrives at the other at once.
    pub(super) fn assert_talks(&mut self) {
        for (us, them) in [(0, 1), (1, 0)] {
            self.hosts[them].links.clear();
            self.link(us, b"still there?").unwrap();
            self.settle();
            assert_eq!(self.hosts[them].links, [b"still there?"], "from {us} to {them}");
        }
    }
}

/// The peer of each device in a [`Room::pair`].
pub(super) const PEER: PeerId = PeerId(0);

/// `address/bits`.
pub(super) fn prefix(text: &str) -> Prefix {
    let (address, bits) = text.split_once('/').unwrap();
    Prefix::masked(address.parse().unwrap(), bits.parse().unwrap()).unwrap()
}

/// An IP packet of `len` bytes from `source`, with this type-of-service byte.
pub(super) fn packet(source: &str, tos: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![7; len];
    match source.parse().unwrap() {
        IpAddr::V4(source) => {
            packet[..4].copy_from_slice(&[0x45, tos, (len >> 8) as u8, len as u8]);
            packet[12..16].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            let rest = len - 40;
            packet[..6].copy_from_slice(&[0x60 | tos >> 4, tos << 4, 0, 0, (rest >> 8) as u8, rest as u8]);
            packet[8..24].copy_from_slice(&source.octets());
        }
    }
    packet
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
