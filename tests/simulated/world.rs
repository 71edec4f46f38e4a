//! The world: hosts, the network between them, applications, and a clock that jumps to what happens next.

pub(crate) mod application;
mod connection;
pub(crate) mod fixture;
mod frames;
pub(crate) mod host;
pub(crate) mod ledger;
pub(crate) mod network;
mod pipes;
pub(crate) mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lockgate::machine::clock::Clock;
use lockgate_broker::apps::AppId;
use lockgate_broker::broker::Door;
use lockgate_broker::services::{OfferId, Reach, UseId};
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::outbox::Envelope;

use application::{Application, Habits, Place};
use connection::Side;
use host::{Host, HostPlan};
use ledger::Ledger;
use network::{Batch, Datagram, Network};
use pipes::{Pipe, Shared};
use random::Random;

/// See the module.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) apps: Vec<Application>,
    pub(crate) ledger: Ledger,
    /// Dials under way: when they are decided, where and for which offer.
    dials: Vec<(Duration, usize, AppId, OfferId)>,
    /// Counters that may move because of what the test did.
    pub(crate) excused: BTreeSet<&'static str>,
    /// Datagrams to addresses where no host is: address and length.
    pub(crate) strays: Vec<(SocketAddr, usize)>,
}

/// Turns at one moment; more are a loop that never rests.
const MAX_TURNS: usize = 20_000;

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {}, after {:?} of virtual time: rerun with LOCKGATE_SEED={0}",
                self.seed, self.now
            );
            if std::env::var_os("LOCKGATE_SEED").is_some() {
                self.describe();
            }
        }
    }
}

/// The seed of the environment, or `default`.
pub(crate) fn seed_or(default: u64) -> u64 {
    std::env::var("LOCKGATE_SEED").map_or(default, |text| text.parse().expect("LOCKGATE_SEED is a number"))
}

impl World {
    pub(crate) fn new(seed: u64, plans: Vec<HostPlan>, keepalives: bool) -> Self {
        let mut random = Random::new(seed);
        let names: Vec<_> = plans.iter().map(|plan| (plan.name, plan.tun)).collect();
        let identities: Vec<PrivateKey> = names.iter().map(|_| PrivateKey::generate(&mut random)).collect();
        let addresses: Vec<SocketAddr> = (1..).take(names.len()).map(address).collect();
        let mut known = host::acquaint(&names, &identities, &addresses, keepalives, &mut random).into_iter();
        let base = Clock::start().std_base();
        let (least, most) = (*host::UDP_PAYLOADS.start(), *host::UDP_PAYLOADS.end());
        let mtu = least + random.below(most - least + 1);
        let plans = plans.into_iter().zip(identities).zip(addresses);
        let hosts = plans.map(|((mut plan, identity), address)| {
            plan.udp_payload = mtu;
            let peers = known.next().expect("as many as there are hosts");
            Host::new(plan, address, identity, peers, base, &mut random)
        });
        let hosts = hosts.collect();
        let network = Network::new(mtu, random.fork());
        let mut world = Self {
            seed,
            now: Duration::ZERO,
            random,
            hosts,
            network,
            apps: Vec::new(),
            ledger: Ledger::default(),
            dials: Vec::new(),
            excused: BTreeSet::new(),
            strays: Vec::new(),
        };
        for host in 0..world.hosts.len() {
            let batch = world.hosts[host].start(Duration::ZERO);
            world.post(host, batch);
        }
        world
    }

    /// Starts an application on `host` for `service`; its place among the applications.
    pub(crate) fn app(&mut self, host: usize, service: &str, habits: Habits) -> usize {
        let plan = &self.hosts[host].plan;
        let offer = plan.offers.iter().position(|(name, _)| *name == service);
        let place = match offer.map(|place| (place, plan.offers[place].1)) {
            Some((place, Reach::Dial)) => Place::Binds(OfferId(place)),
            Some((place, Reach::Listen)) => Place::Connects(Door::Offer(OfferId(place))),
            None => {
                let place =
                    plan.uses.iter().position(|name| *name == service).expect("a service of the host");
                Place::Connects(Door::Use(UseId(place)))
            }
        };
        self.apps.push(Application::new(host, place, habits, self.now));
        self.apps.len() - 1
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            match self.next_event() {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
        }
        self.now = end;
    }

    /// Lets time pass in steps until `done`, at most `time`; how long it took, if it came to pass.
    pub(crate) fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let began = self.now;
        while self.now < began + time {
            if done(self) {
                return Some(self.now - began);
            }
            self.run(Duration::from_millis(5));
        }
        done(self).then(|| self.now - began)
    }

    fn next_event(&self) -> Option<Duration> {
        let hosts = self.hosts.iter().filter_map(Host::next_turn);
        let awake = |app: &&Application| !self.hosts[app.host].asleep;
        let apps = self.apps.iter().filter(awake).filter_map(Application::next_turn);
        let dials = self.dials.iter().map(|dial| dial.0);
        hosts.chain(apps).chain(dials).chain(self.network.next_arrival()).min()
    }

    /// Everybody has their turn until nothing more happens at this moment.
    fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            self.deliver();
            self.answer_dials();
            let mut acted = false;
            for app in self.random.shuffled(self.apps.len()) {
                acted |= self.app_turn(app);
            }
            for host in self.random.shuffled(self.hosts.len()) {
                if self.hosts[host].has_work(self.now) {
                    acted = true;
                    let batch = self.hosts[host].turn(self.now, &mut self.random);
                    self.post(host, batch);
                    self.note_dials(host);
                }
            }
            if !acted {
                return;
            }
        }
        panic!("the world does not come to rest at {:?}", self.now);
    }

    fn deliver(&mut self) {
        while let Some(datagram) = self.network.arrive(self.now) {
            match self.hosts.iter_mut().find(|host| host.address == datagram.to) {
                Some(host) if !host.asleep => host.inbox.push(datagram),
                Some(_) => {}
                None => self.strays.push((datagram.to, datagram.bytes.len())),
            }
        }
    }

    fn post(&mut self, host: usize, batch: Batch) {
        let from = self.hosts[host].address;
        for (Envelope { path, tos }, bytes) in batch.datagrams {
            let to = path.remote;
            let there = self.hosts.iter().position(|other| other.address == to);
            let cut =
                there.is_some_and(|there| self.network.cut.contains(&(host.min(there), host.max(there))));
            if !cut {
                self.network.send(Datagram { from, to, ecn: tos & 0b11, bytes }, self.now);
            }
        }
    }

    fn note_dials(&mut self, host: usize) {
        while let Some((app, offer)) = self.hosts[host].pipes.dials.pop_front() {
            let due = self.now + self.random.duration(Duration::from_millis(20));
            self.dials.push((due, host, app, offer));
        }
    }

    fn answer_dials(&mut self) {
        let now = self.now;
        let due = self.dials.extract_if(.., |dial| dial.0 <= now).collect::<Vec<_>>();
        for (_, host, app, offer) in due {
            let bound = |other: &&mut Application| {
                other.host == host && other.place == Place::Binds(offer) && other.running
            };
            let pipe = self.apps.iter_mut().find(bound).map(|application| {
                let pipe = Pipe::shared();
                application.join(pipe.clone(), Side::Node, &mut self.ledger);
                pipe
            });
            self.hosts[host].dialed.push((app, pipe));
        }
    }

    fn app_turn(&mut self, place: usize) -> bool {
        let app = &mut self.apps[place];
        if self.hosts[app.host].asleep {
            return false;
        }
        let mut acted = false;
        if app.connects_at.is_some_and(|due| due <= self.now)
            && let Place::Connects(door) = app.place
        {
            app.connects_at = None;
            let pipe: Shared = Pipe::shared();
            app.join(pipe.clone(), Side::Application, &mut self.ledger);
            self.hosts[app.host].entering.push((door, pipe));
            acted = true;
        }
        acted | app.turn(self.now, &mut self.ledger)
    }

    /// Says how everybody is, for whoever looks for a fault.
    fn describe(&self) {
        for host in &self.hosts {
            eprintln!("{} at {}: {:?}", host.plan.name, host.address, host.discards());
            for peer in host.node.peers() {
                let tunnel = peer.tunnel;
                let endpoint = tunnel.endpoint.map(|endpoint| endpoint.to_string());
                eprintln!(
                    "  {} {} at {endpoint:?}, {} sessions, handshake {:?}, {} staged",
                    peer.name,
                    tunnel.reach.name(),
                    tunnel.sessions,
                    tunnel.last_handshake.map(|now| now.instant.since_epoch()),
                    tunnel.staged
                );
            }
            for report in host.node.broker_report().services() {
                eprintln!("  {report:?}");
            }
            eprintln!("  {:?}", host.node.broker_report().denials().collect::<Vec<_>>());
        }
        for (place, app) in self.apps.iter().enumerate() {
            eprintln!("{place}: {app:?}");
        }
    }

    /// The node of `host` dies and begins anew.
    pub(crate) fn restart(&mut self, host: usize) {
        // What is under way belongs to sessions and streams that nobody has any more.
        self.excuse(&["unknown_index", "not_authentic", "stale_initiation", "rate_limited", "expired"]);
        self.dials.retain(|dial| dial.1 != host);
        let batch = self.hosts[host].restart(self.now, &mut self.random);
        self.post(host, batch);
    }

    /// The process of an application dies; another begins `later`, when the test says so.
    pub(crate) fn kill(&mut self, app: usize) {
        self.apps[app].kill(&mut self.ledger);
    }

    pub(crate) fn revive(&mut self, app: usize) {
        self.apps[app].revive(self.now);
    }

    /// The host gets another address.
    pub(crate) fn roam(&mut self, host: usize) {
        let octet = u8::try_from(100 + self.random.below(100)).expect("below 200");
        self.hosts[host].address = address(octet);
    }

    /// Applications send nothing new from now on.
    pub(crate) fn hush(&mut self) {
        for app in &mut self.apps {
            app.quiet = true;
        }
    }

    pub(crate) fn excuse(&mut self, counters: &[&'static str]) {
        self.excused.extend(counters);
    }

    /// Counters of all hosts that moved without excuse.
    pub(crate) fn surprises(&self) -> Vec<String> {
        let mut all = Vec::new();
        for host in &self.hosts {
            let faults = host.node.broker_report().faults().collect::<BTreeMap<_, _>>();
            for (name, count) in host.discards().into_iter().chain(faults) {
                // Handshakes that both sides begin at once cross: one answer of each pair comes to nobody.
                let crossed = name == "unknown_index" && count < self.hosts.len() as u64;
                if !self.excused.contains(name) && !crossed {
                    all.push(format!("{}: {name} {count}", host.plan.name));
                }
            }
        }
        all
    }

    /// Lets everything arrive, then holds the world to its ledger and its counters.
    pub(crate) fn conclude(&mut self, patience: Duration) {
        self.hush();
        self.run(patience);
        assert_eq!(self.ledger.missing(), Vec::<String>::new(), "sent on open connections and not delivered");
        assert_eq!(self.surprises(), Vec::<String>::new(), "counters that moved without excuse");
        assert_eq!(self.network.too_large, 0, "datagrams larger than the path");
    }
}

fn address(octet: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, octet], 51820))
}
