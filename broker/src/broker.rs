//! The broker: applications on one side, links to other nodes on the other, the rules between them.
//!
//! Stream mode: one application connection is one QUIC stream to the node that offers the service, and that
//! node's connection to the application that has it. Every input comes with the present; after a batch of
//! inputs the caller lets it [`Broker::settle`] and takes the datagrams with [`Broker::transmit`].

mod from_apps;
mod from_links;
mod staging;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::{Denial as Judgement, Rules, Staged};

use crate::apps::{AppId, Apps};
use crate::connections::flow::Outcome;
use crate::connections::{Connection, Phase, Turn, open, uses};
use crate::denials::{Denial, Denials, ForeignOffer, ForeignOffers};
use crate::desk::{Case, Desk, Neighbour};
use crate::links::{Link, LinkId, LinkReport, News, StreamKey, Wire};
use crate::services::{Offer, OfferId, Tally, Use, UseId};
use from_links::Arrival;

/// Applications' connections at a time, all services together.
pub const MAX_CONNECTIONS: usize = 4096;
/// Application connections that one other node may have here at a time.
pub const MAX_SERVED: usize = 1024;
/// Connections that have not finished their handshake, at a time.
pub const MAX_HANDSHAKES: usize = 128;

/// What a broker is made of.
pub struct Setup {
    /// This node's name.
    pub name: Arc<str>,
    /// The peers' names, in the order of their links.
    pub peers: Vec<Arc<str>>,
    /// Services of applications here.
    pub offers: Vec<Offer>,
    /// Services for applications here.
    pub uses: Vec<Use>,
    /// The policy.
    pub rules: Arc<Rules>,
    /// The largest datagram that the tunnel takes, in bytes (at least 1200).
    pub mtu: u16,
    /// The `Instant` of [`Moment::ZERO`].
    pub base: Instant,
    /// Randomness for each link, in the order of `peers`.
    pub seeds: Vec<[u8; 32]>,
}

/// Which local endpoint an application came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// The endpoint of a use.
    Use(UseId),
    /// The endpoint of an offer that listens.
    Offer(OfferId),
}

/// One service of this node, for reports.
#[derive(Clone, Debug)]
pub struct ServiceReport {
    /// The service's name.
    pub service: Arc<str>,
    /// Whether it is offered here (or used).
    pub offered: bool,
    /// What went through.
    pub tally: Tally,
}

/// See the module.
pub struct Broker {
    desk: Desk,
    connections: BTreeMap<AppId, Connection>,
    timers: BTreeSet<(Moment, AppId)>,
    arrivals: BTreeMap<(LinkId, StreamKey), Arrival>,
    /// Applications that have a service and wait for somebody to use it, by offer.
    waiting: Vec<BTreeSet<AppId>>,
    next_app: u64,
    /// Connections in their greeting.
    greeting: usize,
    stopping: bool,
    /// Whose datagrams go first in the next transmission.
    first_link: usize,
    /// Streams that ended while datagrams came in.
    lost: Vec<(LinkId, News)>,
    /// Kept for its capacity.
    news: Vec<News>,
}

impl Broker {
    /// A broker with no connections.
    pub fn new(setup: Setup) -> Self {
        let Setup { name, peers, offers, uses, rules, mtu, base, seeds } = setup;
        let offers_here = offers.len();
        let neighbours = peers.into_iter().zip(seeds).map(|(name, seed)| {
            let mut link = Link::new(base, mtu, seed);
            // What is sent before the tunnel stands would be acknowledged seconds later, and QUIC would take those
            // for the round trip: after one more loss it would wait for minutes.
            link.suspend(Moment::ZERO);
            Neighbour { name, link, reachable: false }
        });
        let mut broker = Self {
            desk: Desk {
                name,
                neighbours: neighbours.collect(),
                rules,
                staged: None,
                offer_tallies: vec![Tally::default(); offers.len()],
                use_tallies: vec![Tally::default(); uses.len()],
                buckets: BTreeMap::new(),
                faults: BTreeMap::new(),
                denials: Denials::default(),
                foreign: ForeignOffers::default(),
                streams: BTreeMap::new(),
                hopeful: BTreeSet::new(),
                offers,
                uses,
            },
            connections: BTreeMap::new(),
            timers: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            waiting: vec![BTreeSet::new(); offers_here],
            next_app: 1,
            greeting: 0,
            stopping: false,
            first_link: 0,
            lost: Vec::new(),
            news: Vec::new(),
        };
        broker.check_offers(Moment::ZERO);
        broker
    }

    /// When [`Broker::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let links = self.desk.neighbours.iter().filter_map(|neighbour| neighbour.link.poll_timeout());
        let apps = self.timers.first().map(|(due, _)| *due);
        let arrivals = self.arrivals.values().map(|arrival| arrival.until);
        links.chain(apps).chain(arrivals).min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Moment, apps: &mut impl Apps) {
        for neighbour in &mut self.desk.neighbours {
            if neighbour.link.poll_timeout().is_some_and(|due| due <= now) {
                neighbour.link.handle_timeout(now);
            }
        }
        while let Some(&(due, app)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            self.with(app, now, apps, overdue);
        }
        self.forget_late_arrivals(now);
    }

    /// Hands every datagram that is due to `wire`, while that has room; the links take turns at being first.
    pub fn transmit(&mut self, now: Moment, wire: &mut impl Wire) {
        let links = self.desk.neighbours.len();
        for turn in 0..links {
            let place = (self.first_link + turn) % links;
            self.desk.neighbours[place].link.transmit(link_id(place), now, wire);
        }
        self.first_link = self.first_link.wrapping_add(1) % links.max(1);
    }

    /// Whether the other nodes have acknowledged everything that was ended in order.
    pub fn is_flushed(&self) -> bool {
        self.desk.neighbours.iter().all(|neighbour| !neighbour.reachable || neighbour.link.is_flushed())
    }

    /// The tunnel to the other node answers (again).
    pub fn link_up(&mut self, link: LinkId, now: Moment) {
        self.desk.neighbour(link).reachable = true;
        self.desk.link(link).resume(now);
    }

    /// The tunnel to the other node has a new session: perhaps the node is a new one too.
    pub fn link_renewed(&mut self, link: LinkId) {
        self.desk.link(link).probe();
    }

    /// The tunnel to the other node is silent. Nothing is cut: what is under way waits for it.
    pub fn link_down(&mut self, link: LinkId, now: Moment) {
        self.desk.neighbour(link).reachable = false;
        self.desk.link(link).suspend(now);
    }

    /// Puts other rules in force. Every open connection is judged again, and ended where it may not go on. A staged
    /// candidate stays, and is compared with the new rules from nought.
    pub fn replace_rules(&mut self, rules: Arc<Rules>, now: Moment, apps: &mut impl Apps) {
        self.desk.staged = self.desk.staged.take().map(|staged| Staged::new(staged.rules));
        self.update_rules(rules, now, apps);
    }

    /// The rules in force as they are from now on (a capability began or ended): the same, but that what a candidate
    /// differed in so far is kept.
    pub fn update_rules(&mut self, rules: Arc<Rules>, now: Moment, apps: &mut impl Apps) {
        self.desk.rules = rules;
        self.desk.foreign.forget();
        self.check_offers(now);
        // Rates may have changed; each starts full again.
        self.desk.buckets.clear();
        let open: Vec<AppId> = self.connections.keys().copied().collect();
        for app in open {
            self.with(app, now, apps, rejudge);
        }
    }

    /// Notes which of our own offers the rules do not let us have.
    fn check_offers(&mut self, now: Moment) {
        for place in 0..self.desk.offers.len() {
            let (node, service) = (self.desk.name.clone(), self.desk.offers[place].service.clone());
            self.desk.note_foreign(node, service, now);
        }
    }

    /// Services that nodes offer although they may not host them, under the rules in force.
    pub fn foreign_offers(&self) -> impl Iterator<Item = &ForeignOffer> {
        self.desk.foreign.iter()
    }

    /// How often such an offer was noticed since the start.
    pub fn foreign_offers_noticed(&self) -> u64 {
        self.desk.foreign.noticed()
    }

    /// A foreign offer that has not been told before, for the log.
    pub fn poll_foreign_offer(&mut self) -> Option<ForeignOffer> {
        self.desk.foreign.next_untold()
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.desk.rules
    }

    /// What went through each service.
    pub fn services(&self) -> Vec<ServiceReport> {
        let desk = &self.desk;
        let offers = desk.offers.iter().map(|offer| &offer.service).zip(&desk.offer_tallies);
        let uses = desk.uses.iter().map(|wanted| &wanted.service).zip(&desk.use_tallies);
        let report = |offered| {
            move |(service, tally): (&Arc<str>, &Tally)| ServiceReport {
                service: service.clone(),
                offered,
                tally: *tally,
            }
        };
        offers.map(report(true)).chain(uses.map(report(false))).collect()
    }

    /// The latest distinct refusals, oldest first.
    pub fn denials(&self) -> impl Iterator<Item = &Denial> {
        self.desk.denials.iter()
    }

    /// A refusal that has not been told before, for the log.
    pub fn poll_denial(&mut self) -> Option<Denial> {
        self.desk.denials.next_untold()
    }

    /// How often applications broke ZMTP, by the fault's name.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.desk.faults.iter().map(|(name, count)| (*name, *count))
    }

    /// How the connections of a link are doing.
    pub fn link_reports(&self, link: LinkId) -> impl Iterator<Item = LinkReport> + '_ {
        self.desk.neighbours[link.0 as usize].link.reports()
    }

    /// Connections of applications, in whatever phase.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Gives a connection its turn, and keeps the books: what `act` returns lives on, `None` is closed.
    fn with<A: Apps>(
        &mut self,
        app: AppId,
        now: Moment,
        apps: &mut A,
        act: impl FnOnce(Connection, &mut Turn<'_, A>) -> Option<Connection>,
    ) {
        let Some(connection) = self.connections.remove(&app) else { return };
        self.greeting -= usize::from(connection.is_greeting());
        if let Some(due) = connection.next_deadline() {
            self.timers.remove(&(due, app));
        }
        let mut turn = Turn { app, desk: &mut self.desk, now, apps };
        match act(connection, &mut turn) {
            Some(connection) => self.keep(app, connection),
            None => {
                self.desk.hopeful.remove(&app);
                for waiting in &mut self.waiting {
                    waiting.remove(&app);
                }
                apps.close(app);
            }
        }
    }

    fn keep(&mut self, app: AppId, connection: Connection) {
        self.greeting += usize::from(connection.is_greeting());
        if let Some(due) = connection.next_deadline() {
            self.timers.insert((due, app));
        }
        self.connections.insert(app, connection);
    }

    fn new_app(&mut self) -> AppId {
        let app = AppId(self.next_app);
        self.next_app += 1;
        app
    }
}

fn link_id(place: usize) -> LinkId {
    LinkId(u32::try_from(place).unwrap_or(u32::MAX))
}

/// A connection's deadline passed.
fn overdue<A: Apps>(connection: Connection, turn: &mut Turn<'_, A>) -> Option<Connection> {
    let due = connection.deadline.is_some_and(|due| due <= turn.now);
    let (connection, phase) = connection.take_phase();
    match phase {
        Phase::Open(flow) if !due => {
            open::with_flow(connection, flow, turn, |flow, around| flow.turn(around))
        }
        Phase::Open(flow) => {
            open::close(&connection, &flow, Outcome::Gone, turn);
            None
        }
        Phase::Seeking(seeking) => uses::overdue(connection, seeking, turn),
        Phase::Meeting(meeting) => {
            meeting.failed(turn);
            None
        }
        Phase::Greeting(_) => {
            turn.desk.tally(connection.role).faults += 1;
            *turn.desk.faults.entry("handshake_timeout").or_default() += 1;
            None
        }
        Phase::Waiting(_) | Phase::Closed => None,
    }
}

/// The rules changed under an open connection.
fn rejudge<A: Apps>(connection: Connection, turn: &mut Turn<'_, A>) -> Option<Connection> {
    let (Phase::Open(flow), Some(link)) = (&connection.phase, connection.link) else {
        return Some(connection);
    };
    let role = connection.role;
    let host = flow.host_socket(role);
    let case = Case { role, other: link, user: &flow.user };
    let denial = match turn.desk.judge(&case) {
        Ok(grant) if grant.host_sockets().contains(&host) => {
            let candidate = turn.desk.compare_open(&case, &grant, host, turn.now);
            let (mut connection, phase) = connection.take_phase();
            let Phase::Open(mut flow) = phase else { return None };
            flow.regrant(grant, candidate);
            connection.phase = Phase::Open(flow);
            return Some(connection);
        }
        Ok(grant) => Judgement {
            reason: format!("the service is not offered by a {} any more", host.name()),
            nearest: grant.rules().first().cloned(),
            why_not: "it is for other socket types".into(),
        },
        Err(denial) => denial,
    };
    turn.desk.refuse(&case, &denial, turn.now);
    open::close(&connection, flow, Outcome::Gone, turn);
    None
}
