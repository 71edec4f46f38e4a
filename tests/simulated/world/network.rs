//! The network between the nodes: what it does to a datagram is chance, from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lockgate_proto::discard::Discard;
use lockgate_proto::outbox::{Envelope, Outbox};

use super::random::Random;

/// How the network treats datagrams; chances are in thousandths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) latency: Duration,
    /// More latency, by chance, without changing the order.
    pub(crate) jitter: Duration,
    pub(crate) loss: u32,
    pub(crate) duplicate: u32,
    /// A datagram is held up and overtaken.
    pub(crate) reorder: u32,
    /// For how long at most.
    pub(crate) held: Duration,
    pub(crate) corrupt: u32,
}

impl Weather {
    pub(crate) const FINE: Self = Self {
        latency: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0,
        duplicate: 0,
        reorder: 0,
        held: Duration::from_millis(30),
        corrupt: 0,
    };
}

/// A datagram on its way.
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// The ECN bits of its outer header.
    pub(crate) ecn: u8,
    pub(crate) bytes: Vec<u8>,
}

/// See the module.
pub(crate) struct Network {
    pub(crate) weather: Weather,
    /// Hosts that do not reach each other, the lower first.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    flying: BTreeMap<(Duration, u64), Datagram>,
    /// The last arrival of each direction.
    latest: BTreeMap<(SocketAddr, SocketAddr), Duration>,
    serial: u64,
    random: Random,
    /// Larger datagrams are lost.
    mtu: usize,
    pub(crate) carried: u64,
    pub(crate) too_large: u64,
    pub(crate) corrupted: u64,
}

impl Network {
    pub(crate) fn new(mtu: usize, random: Random) -> Self {
        Self {
            weather: Weather::FINE,
            cut: BTreeSet::new(),
            flying: BTreeMap::new(),
            latest: BTreeMap::new(),
            serial: 0,
            random,
            mtu,
            carried: 0,
            too_large: 0,
            corrupted: 0,
        }
    }

    /// Takes a datagram; what becomes of it is chance.
    pub(crate) fn send(&mut self, datagram: Datagram, now: Duration) {
        let weather = self.weather;
        if datagram.bytes.len() > self.mtu {
            self.too_large += 1;
            return;
        }
        if self.random.chance(weather.duplicate) {
            let Datagram { from, to, ecn, ref bytes } = datagram;
            self.carry(Datagram { from, to, ecn, bytes: bytes.clone() }, now);
        }
        self.carry(datagram, now);
    }

    fn carry(&mut self, mut datagram: Datagram, now: Duration) {
        let weather = self.weather;
        if self.random.chance(weather.loss) {
            return;
        }
        if self.random.chance(weather.corrupt) {
            self.corrupted += 1;
            let place = self.random.below(datagram.bytes.len());
            datagram.bytes[place] ^= 1 << self.random.below(8);
        }
        let mut due = now + weather.latency + self.random.duration(weather.jitter);
        if self.random.chance(weather.reorder) {
            due += self.random.duration(weather.held);
        } else {
            let latest = self.latest.entry((datagram.from, datagram.to)).or_default();
            due = due.max(*latest);
            *latest = due;
        }
        self.inject(datagram, due);
    }

    /// Has a datagram arrive at `due`, whoever sent it.
    pub(crate) fn inject(&mut self, datagram: Datagram, due: Duration) {
        self.serial += 1;
        self.flying.insert((due, self.serial), datagram);
    }

    /// What arrives at `now` or should have.
    pub(crate) fn arrive(&mut self, now: Duration) -> Option<Datagram> {
        let entry = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        self.carried += 1;
        Some(entry.remove())
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.flying.keys().next().map(|(due, _)| *due)
    }
}

/// Datagrams of one turn before they go out: `has_room` is honest about the batch.
pub(crate) struct Batch {
    pub(crate) datagrams: Vec<(Envelope, Vec<u8>)>,
}

const BATCH: usize = 64;

impl Batch {
    pub(crate) const fn new() -> Self {
        Self { datagrams: Vec::new() }
    }
}

impl Outbox for Batch {
    fn datagram(
        &mut self,
        envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        if self.datagrams.len() >= 4 * BATCH {
            return Err(Discard::OutboxFull);
        }
        // What was in the slot before is unspecified.
        let mut bytes = vec![0xA5; len];
        fill(&mut bytes)?;
        self.datagrams.push((*envelope, bytes));
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.datagrams.len() < BATCH
    }
}
