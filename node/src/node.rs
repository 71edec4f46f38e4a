//! A node: the tunnels, the rules and the broker. They meet here and nowhere else; no IO.

mod around;
mod detours;
mod gate;
mod in_force;
mod observed;
mod packets;
mod settings;
mod staging;

pub use gate::{Gate, PacketDenial, Territory};
pub use observed::{Observation, Observed, ObservedCounters};
pub use staging::Comparison;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use lockgate_broker::apps::Apps;
use lockgate_broker::broker::{Broker, Setup};
use lockgate_broker::denials::{Denial, ForeignOffer};
use lockgate_broker::links::{LinkId, Wire};
use lockgate_broker::services::{Offer, Use};
use lockgate_proto::device::{
    AddPeerError, Content, Device, Echo, Event as TunnelEvent, PeerConfig, PeerId, PeerStatus,
};
use lockgate_proto::discard::Discard;
use lockgate_proto::entropy::Randomness;
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::outbox::{Outbox, Path};
use lockgate_proto::prefix::Prefix;
use lockgate_proto::rules::{Difference, Rules};

use crate::counters::Discards;
use in_force::InForce;
use packets::Complaints;

/// Another node.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// Its name.
    pub name: Arc<str>,
    /// How to reach it.
    pub tunnel: PeerConfig,
    /// Whose packets it may send, and who is reached through it: its allowed IPs.
    pub addresses: Vec<Prefix>,
}

/// What a node is made of.
pub struct Ingredients {
    /// Its name.
    pub name: Arc<str>,
    /// Its private key; a `wg` device is given it later.
    pub identity: Option<PrivateKey>,
    /// Its own overlay addresses: in their name it complains to local applications.
    pub addresses: Vec<IpAddr>,
    /// What judges IP packets.
    pub gate: Gate,
    /// Where randomness comes from.
    pub randomness: Randomness,
    /// The nodes it keeps tunnels to.
    pub peers: Vec<Neighbour>,
    /// The services that applications here have.
    pub offers: Vec<Offer>,
    /// The services that applications here use.
    pub uses: Vec<Use>,
    /// The policy.
    pub rules: Arc<Rules>,
    /// The largest datagram of a link, in bytes.
    pub link_mtu: u16,
    /// The `Instant` of [`Moment::ZERO`].
    pub base: Instant,
}

/// What happened, for the log.
#[derive(Clone, Debug)]
pub enum Event {
    /// The tunnel to a peer stands.
    PeerUp(Arc<str>, Option<SocketAddr>),
    /// A peer does not answer; its streams wait.
    PeerSilent(Arc<str>),
    /// A peer's address changed.
    PeerMoved(Arc<str>, Option<SocketAddr>, SocketAddr),
    /// The policy refused something for the first time.
    Denied(Denial),
    /// The policy refused a flow of packets.
    PacketsDenied(PacketDenial),
    /// A node came to hold a capability of the policy, or ceased to.
    CapabilitiesChanged,
    /// A node offers a service that it may not host.
    ForeignOffer(ForeignOffer),
    /// The staged candidate judges something otherwise, for the first time.
    Differs(Difference),
    /// A peer has answered an echo.
    Echo(PeerId, Echo),
}

/// A peer, for reports.
#[derive(Clone, Debug)]
pub struct PeerReport {
    /// Its name.
    pub name: Arc<str>,
    /// How its tunnel is doing.
    pub tunnel: PeerStatus,
    /// Its allowed IPs.
    pub addresses: Vec<Prefix>,
}

/// The broker's way into the tunnel.
struct Tunnel<'a, O> {
    device: &'a mut Device,
    peers: &'a [Known],
    discards: &'a mut Discards,
    now: Now,
    out: &'a mut O,
}

impl<O: Outbox> Wire for Tunnel<'_, O> {
    fn has_room(&self) -> bool {
        self.out.has_room()
    }

    fn send(&mut self, link: LinkId, datagram: &[u8]) {
        let peer = self.peers[link.0 as usize].id;
        if let Err(reason) = self.device.send_link(peer, datagram, self.now, self.out) {
            self.discards.note(reason);
        }
    }
}

struct Known {
    name: Arc<str>,
    id: PeerId,
    /// Whether we know where it is without being told by it: then we keep calling.
    callable: bool,
}

/// See the module.
pub struct Node {
    name: Arc<str>,
    device: Device,
    broker: Broker,
    /// By link.
    peers: Vec<Known>,
    links: BTreeMap<PeerId, LinkId>,
    gate: Gate,
    in_force: InForce,
    candidate: Option<InForce>,
    addresses: Vec<IpAddr>,
    listen_port: Option<u16>,
    complaints: Complaints,
    next_echo: u64,
    observed: Observed,
    discards: Discards,
    events: VecDeque<Event>,
}

/// Events that wait for [`Node::poll_event`]; more are lost, the counters are not.
const MAX_EVENTS: usize = 256;

impl Node {
    /// A node that has not sent anything yet.
    ///
    /// # Errors
    /// A peer's name, and why it cannot be one.
    pub fn new(ingredients: Ingredients, now: Now) -> Result<Self, (Arc<str>, AddPeerError)> {
        let Ingredients {
            name, identity, mut randomness, peers, offers, uses, rules, link_mtu, base, ..
        } = ingredients;
        let (mut gate, addresses) = (ingredients.gate, ingredients.addresses);
        let in_force = InForce::new(rules, now);
        let rules = in_force.current();
        gate.replace_rules(rules.clone());

        let mut first_echo = [0; 8];
        randomness.public.fill(&mut first_echo);
        let seeds = peers.iter().map(|_| {
            let mut seed = [0; 32];
            randomness.public.fill(&mut seed);
            seed
        });
        let next_echo = u64::from_le_bytes(first_echo);
        let broker = Broker::new(Setup {
            name: name.clone(),
            peers: peers.iter().map(|peer| peer.name.clone()).collect(),
            seeds: seeds.collect(),
            offers,
            uses,
            rules,
            mtu: link_mtu,
            base,
        });
        let mut device = Device::new(identity, randomness, now);
        let mut known = Vec::with_capacity(peers.len());
        let mut links = BTreeMap::new();
        for (place, Neighbour { name, tunnel, addresses }) in (0..).zip(peers) {
            let callable = tunnel.endpoint.is_some();
            let id = device.add_peer(tunnel, now).map_err(|error| (name.clone(), error))?;
            gate.name(id, name.clone(), &addresses);
            for prefix in addresses {
                device.add_allowed_ip(id, prefix);
            }
            links.insert(id, LinkId(place));
            known.push(Known { name, id, callable });
        }
        let (discards, events) = (Discards::default(), VecDeque::new());
        let complaints = Complaints::default();
        Ok(Self {
            name,
            device,
            broker,
            peers: known,
            links,
            gate,
            in_force,
            candidate: None,
            addresses,
            listen_port: None,
            complaints,
            next_echo,
            observed: Observed::default(),
            discards,
            events,
        })
    }

    /// Calls every peer whose address is known.
    pub fn start(&mut self, now: Now, out: &mut impl Outbox) {
        for peer in &self.peers {
            if peer.callable
                && let Err(reason) = self.device.begin_handshake(peer.id, now, out)
            {
                self.discards.note(reason);
            }
        }
    }

    /// A datagram came from the network, its ECN mark beside it. It is decrypted in place; an IP packet that may pass goes `inside`.
    pub fn handle_udp(
        &mut self,
        from: &Path,
        ecn: u8,
        datagram: &mut [u8],
        now: Now,
        out: &mut impl Outbox,
        inside: &mut impl FnMut(&[u8]),
    ) {
        let outcome = self.receive(from, ecn, datagram, now, out, inside);
        if let Err(reason) = outcome {
            tracing::trace!(from = %from.remote, reason = reason.name(), "datagram discarded");
            self.discards.note(reason);
        }
    }

    fn receive(
        &mut self,
        from: &Path,
        ecn: u8,
        datagram: &mut [u8],
        now: Now,
        out: &mut impl Outbox,
        inside: &mut impl FnMut(&[u8]),
    ) -> Result<(), Discard> {
        let received = self.device.handle_datagram(*from, datagram, now, out)?;
        match (received.content, received.peer) {
            (Content::Nothing, _) => Ok(()),
            (Content::Ip(packet), Some(peer)) => self.enter(peer, ecn, packet, now, out, inside),
            (Content::Link(frame), peer) => {
                let link = peer.and_then(|peer| self.links.get(&peer));
                self.broker.handle_datagram(*link.ok_or(Discard::LinkRefused)?, &frame, now.instant);
                Ok(())
            }
            (Content::Echo(echo), Some(peer)) => {
                self.note(Event::Echo(peer, echo));
                Ok(())
            }
            (Content::Copy(copy), Some(peer)) => self.copied(peer, &copy, now),
            (Content::Detour(detour), Some(peer)) => self.detoured(peer, ecn, detour, inside),
            (_, None) => Err(Discard::UnknownPeer),
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Now, out: &mut impl Outbox, apps: &mut impl Apps) {
        if self.device.poll_timeout().is_some_and(|(due, _)| due <= now.instant) {
            self.device.handle_timeout(now, out);
        }
        self.broker.handle_timeout(now.instant, apps);
        self.watch_capabilities(now, apps);
    }

    /// Draws the consequences of everything that has come in, and writes what is to be sent; says whether all
    /// of it found room.
    pub fn settle(&mut self, now: Now, out: &mut impl Outbox, apps: &mut impl Apps) -> bool {
        while let Some(event) = self.device.poll_event() {
            self.handle_event(event, now, out);
        }
        self.broker.settle(now.instant, apps);
        let Self { device, broker, peers, discards, .. } = self;
        broker.transmit(now.instant, &mut Tunnel { device, peers, discards, now, out });
        self.note_judgements();
        out.has_room()
    }

    fn handle_event(&mut self, event: TunnelEvent, now: Now, out: &mut impl Outbox) {
        match event {
            TunnelEvent::Up { peer } => {
                let Some((link, name)) = self.known(peer) else { return };
                self.broker.link_up(link, now.instant);
                self.broker.link_renewed(link);
                let endpoint = self.device.peer(peer).and_then(|status| status.endpoint);
                self.note(Event::PeerUp(name, endpoint));
            }
            TunnelEvent::Silent { peer } => {
                let Some((link, name)) = self.known(peer) else { return };
                self.broker.link_down(link, now.instant);
                self.note(Event::PeerSilent(name));
            }
            TunnelEvent::Unreachable { peer, .. } => {
                let Some((link, _)) = self.known(peer) else { return };
                self.broker.link_down(link, now.instant);
                // WireGuard rests until there is something to send; an edge host wants its tunnel back.
                if self.peers[link.0 as usize].callable
                    && let Err(reason) = self.device.begin_handshake(peer, now, out)
                {
                    self.discards.note(reason);
                }
            }
            TunnelEvent::Moved { peer, from, to } => {
                let Some((_, name)) = self.known(peer) else { return };
                self.note(Event::PeerMoved(name, from, to));
            }
            TunnelEvent::Rekeyed { peer } => {
                if let Some((link, _)) = self.known(peer) {
                    self.broker.link_renewed(link);
                }
            }
            TunnelEvent::Idle { .. } => {}
        }
    }

    fn known(&self, peer: PeerId) -> Option<(LinkId, Arc<str>)> {
        let link = *self.links.get(&peer)?;
        Some((link, self.peers[link.0 as usize].name.clone()))
    }

    fn note(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    /// When [`Node::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let tunnel = self.device.poll_timeout().map(|(due, _)| due);
        let candidate = self.candidate.as_ref().and_then(InForce::poll_timeout);
        let due = [tunnel, self.broker.poll_timeout(), self.in_force.poll_timeout(), candidate];
        due.into_iter().flatten().min()
    }

    /// What happened since.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
