//! A host of the simulated world: a real node, its local connections, its clocks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate::node::{Event, Gate, Ingredients, Neighbour, Node, Territory};
use lockgate_broker::apps::AppId;
use lockgate_broker::broker::Door;
use lockgate_broker::services::{Offer, Reach, Use};
use lockgate_proto::device::{PeerConfig, max_link_datagram};
use lockgate_proto::entropy::Randomness;
use lockgate_proto::keys::{PresharedKey, PrivateKey};
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::vnet::Header;
use lockgate_proto::policy::Policy;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::rules::Rules;

use super::network::{Batch, Datagram};
use super::pipes::{Pipes, Shared, Told};
use super::random::Random;

/// What a host is to be.
#[derive(Clone, Debug)]
pub(crate) struct HostPlan {
    pub(crate) name: &'static str,
    pub(crate) offers: Vec<(&'static str, Reach)>,
    pub(crate) uses: Vec<&'static str>,
    pub(crate) policy: String,
    /// Its overlay address, where it has a TUN device; without one no packet is its own.
    pub(crate) tun: Option<IpAddr>,
    /// What the path carries, in bytes of UDP payload; the world decides it.
    pub(crate) udp_payload: usize,
}

/// How a host knows another.
#[derive(Clone)]
pub(crate) struct Acquaintance {
    pub(crate) name: &'static str,
    pub(crate) tunnel: PeerConfig,
    /// Its overlay address, if it has one.
    pub(crate) tun: Option<IpAddr>,
}

/// See the module.
pub(crate) struct Host {
    pub(crate) plan: HostPlan,
    pub(crate) address: SocketAddr,
    pub(crate) node: Node,
    pub(crate) pipes: Pipes,
    pub(crate) inbox: Vec<Datagram>,
    /// Packets of local applications that the node has not read yet.
    pub(crate) leaving: Vec<Vec<u8>>,
    /// Packets that came out of the tunnel, and complaints of the node, in order; whoever reads them takes them.
    pub(crate) entered: Vec<Vec<u8>>,
    /// Applications that connect.
    pub(crate) entering: Vec<(Door, Shared)>,
    /// Dialled connections that stand, or do not.
    pub(crate) dialed: Vec<(AppId, Option<Shared>)>,
    /// How far its clocks are ahead of the world's.
    pub(crate) skew: Duration,
    pub(crate) wall: Duration,
    pub(crate) asleep: bool,
    more_to_send: bool,
    /// Reasons for discards, of nodes that were here before too.
    pub(crate) old_discards: BTreeMap<&'static str, u64>,
    pub(crate) events: Vec<Event>,
    identity: PrivateKey,
    peers: Vec<Acquaintance>,
    base: Instant,
}

/// The wall clock when a world begins.
pub(crate) const BEGINNING: Duration = Duration::from_secs(1_800_000_000);
/// The UDP payloads that paths carry: the least that QUIC in a tunnel needs, and an Ethernet's.
pub(crate) const UDP_PAYLOADS: std::ops::RangeInclusive<usize> = 1252..=1472;

/// Rules as a policy's text has them.
pub(crate) fn rules(policy: &str) -> Arc<Rules> {
    Arc::new(Rules::compile(&Policy::parse("policy.toml", policy).expect("a valid policy"), 1))
}

impl Host {
    pub(crate) fn new(
        plan: HostPlan,
        address: SocketAddr,
        identity: PrivateKey,
        peers: Vec<Acquaintance>,
        base: Instant,
        random: &mut Random,
    ) -> Self {
        let now = Now { instant: Moment::ZERO, wall: BEGINNING };
        let node = build(&plan, &identity, &peers, base, now, random);
        Self {
            plan,
            address,
            node,
            pipes: Pipes::default(),
            inbox: Vec::new(),
            leaving: Vec::new(),
            entered: Vec::new(),
            entering: Vec::new(),
            dialed: Vec::new(),
            skew: Duration::ZERO,
            wall: BEGINNING,
            asleep: false,
            more_to_send: false,
            old_discards: BTreeMap::new(),
            events: Vec::new(),
            identity,
            peers,
            base,
        }
    }

    /// The process dies and a new one begins: all state is lost but the key.
    pub(crate) fn restart(&mut self, at: Duration, random: &mut Random) -> Batch {
        self.old_discards = self.discards();
        for pipe in self.pipes.pipes.values() {
            pipe.borrow_mut().closed = true;
        }
        self.pipes = Pipes::default();
        self.inbox.clear();
        self.leaving.clear();
        for (_, pipe) in self.entering.drain(..) {
            pipe.borrow_mut().closed = true;
        }
        self.dialed.clear();
        let now = self.now(at);
        self.node = build(&self.plan, &self.identity, &self.peers, self.base, now, random);
        self.start(at)
    }

    pub(crate) fn start(&mut self, at: Duration) -> Batch {
        let mut batch = Batch::new();
        let now = self.now(at);
        self.node.start(now, &mut batch);
        batch
    }

    pub(crate) fn now(&self, at: Duration) -> Now {
        Now { instant: Moment::new(at + self.skew), wall: self.wall + at }
    }

    /// Why datagrams went no further, since the world began.
    pub(crate) fn discards(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.old_discards.clone();
        for (name, count) in self.node.discards().iter() {
            *all.entry(name).or_default() += count;
        }
        all
    }

    /// When the node wants its turn, in the world's time.
    pub(crate) fn next_turn(&self) -> Option<Duration> {
        let due = self.node.poll_timeout().filter(|_| !self.asleep)?;
        Some(due.since_epoch().saturating_sub(self.skew))
    }

    pub(crate) fn has_work(&self, at: Duration) -> bool {
        let packets = !self.inbox.is_empty() || !self.leaving.is_empty();
        let arrived = packets || !self.entering.is_empty() || !self.dialed.is_empty();
        let due = self.next_turn().is_some_and(|due| due <= at);
        !self.asleep && (arrived || due || self.more_to_send || !self.pipes.with_news().is_empty())
    }

    /// One turn, in the order of the event loop.
    pub(crate) fn turn(&mut self, at: Duration, random: &mut Random) -> Batch {
        let now = self.now(at);
        let mut batch = Batch::new();
        for mut datagram in std::mem::take(&mut self.inbox) {
            let Self { node, entered, .. } = self;
            let (from, mut inside) = (datagram.from.into(), |packet: &[u8]| entered.push(packet.to_vec()));
            node.handle_udp(&from, datagram.ecn, &mut datagram.bytes, now, &mut batch, &mut inside);
        }
        self.read_tun(now, &mut batch);
        if self.node.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.node.handle_timeout(now, &mut batch, &mut self.pipes);
        }
        self.node.settle(now, &mut batch, &mut self.pipes);
        self.let_in(now);
        self.hear(now, random);
        self.more_to_send = !self.node.settle(now, &mut batch, &mut self.pipes);
        while let Some(event) = self.node.poll_event() {
            self.events.push(event);
        }
        batch
    }

    fn read_tun(&mut self, now: Now, batch: &mut Batch) {
        let Self { node, leaving, entered, .. } = self;
        for packet in leaving.drain(..) {
            match Segments::new(&Header::NONE, &packet) {
                Ok(packets) => {
                    node.handle_tun(&packets, now, batch, &mut |answer| entered.push(answer.to_vec()));
                }
                Err(reason) => node.discard(reason),
            }
        }
    }

    fn let_in(&mut self, now: Now) {
        for (door, pipe) in std::mem::take(&mut self.entering) {
            let Some(app) = self.node.broker().admit() else {
                pipe.borrow_mut().closed = true;
                continue;
            };
            self.pipes.pipes.insert(app, pipe);
            self.node.broker().handle_accepted(app, door, now.instant, &mut self.pipes);
        }
        for (app, pipe) in std::mem::take(&mut self.dialed) {
            match pipe {
                Some(pipe) => {
                    self.pipes.pipes.insert(app, pipe);
                    self.node.broker().handle_dialed(app, now.instant, &mut self.pipes);
                }
                None => self.node.broker().handle_gone(app, now.instant, &mut self.pipes),
            }
        }
    }

    fn hear(&mut self, now: Now, random: &mut Random) {
        let apps = self.pipes.with_news();
        for place in random.shuffled(apps.len()) {
            let app = apps[place];
            let most = 1 + random.below(32 * 1024);
            for _ in 0..4 {
                let Some(told) = self.pipes.told(app, most) else { break };
                let (broker, pipes) = (self.node.broker(), &mut self.pipes);
                match told {
                    Told::Data(bytes) => broker.handle_data(app, bytes, now.instant, pipes),
                    Told::Writable => broker.handle_writable(app, now.instant, pipes),
                    Told::Ended => broker.handle_ended(app, now.instant, pipes),
                    Told::Gone => broker.handle_gone(app, now.instant, pipes),
                }
            }
        }
    }
}

fn build(
    plan: &HostPlan,
    identity: &PrivateKey,
    peers: &[Acquaintance],
    base: Instant,
    now: Now,
    random: &mut Random,
) -> Node {
    let offers =
        plan.offers.iter().map(|(service, reach)| Offer { service: (*service).into(), reach: *reach });
    let uses = plan.uses.iter().map(|service| Use { service: (*service).into(), from: None });
    let peers = peers.iter().map(|peer| Neighbour {
        name: peer.name.into(),
        tunnel: peer.tunnel.clone(),
        addresses: peer.tun.into_iter().map(Prefix::of).collect(),
    });
    let rules = rules(&plan.policy);
    let gate = match plan.tun {
        Some(address) => {
            let territory = Territory::new(vec![address], Vec::new());
            Gate::policy(plan.name.into(), territory, rules.clone(), random.next().into())
        }
        None => Gate::NoTun,
    };
    let ingredients = Ingredients {
        name: plan.name.into(),
        identity: Some(PrivateKey::from_bytes(*identity.to_bytes())),
        addresses: plan.tun.into_iter().collect(),
        gate,
        randomness: Randomness { secret: Box::new(random.fork()), public: Box::new(random.fork()) },
        peers: peers.collect(),
        offers: offers.collect(),
        uses: uses.collect(),
        rules,
        link_mtu: u16::try_from(max_link_datagram(plan.udp_payload)).expect("a QUIC datagram size"),
        base,
    };
    Node::new(ingredients, now).unwrap_or_else(|(name, error)| panic!("{name}: {error}"))
}

/// How the hosts know each other: everybody has everybody's key and address, and each pair a preshared key or none.
pub(crate) fn acquaint(
    names: &[(&'static str, Option<IpAddr>)],
    identities: &[PrivateKey],
    addresses: &[SocketAddr],
    keepalives: bool,
    random: &mut Random,
) -> Vec<Vec<Acquaintance>> {
    let count = names.len();
    let mut all = vec![Vec::new(); count];
    for one in 0..count {
        for other in 0..one {
            let preshared = random.chance(500).then(|| PresharedKey::generate(random));
            let keepalive = (keepalives || random.chance(500)).then_some(Duration::from_secs(25));
            for (us, them) in [(one, other), (other, one)] {
                let tunnel = PeerConfig {
                    public_key: identities[them].public(),
                    preshared_key: preshared.clone(),
                    endpoint: Some(addresses[them]),
                    keepalive,
                };
                let (name, tun) = names[them];
                all[us].push(Acquaintance { name, tunnel, tun });
            }
        }
    }
    all
}
