//! What every connection of the broker shares: links, rules, services, counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::{Denial as Judgement, Grant, Opening, Rate, Rules};
use lockgate_proto::zmtp::{Fault, Hello, SocketType};

use crate::apps::AppId;
use crate::denials::{Denial, Denials, What};
use crate::links::{Link, LinkId, StreamKey};
use crate::rates::Buckets;
use crate::services::{Name, Offer, Role, Tally, Use};

/// Another node, as the broker sees it.
pub(crate) struct Neighbour {
    pub(crate) name: Name,
    pub(crate) link: Link,
    /// Whether the tunnel answers.
    pub(crate) reachable: bool,
}

/// The shared things; see the module.
pub(crate) struct Desk {
    pub(crate) name: Name,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) uses: Vec<Use>,
    pub(crate) offer_tallies: Vec<Tally>,
    pub(crate) use_tallies: Vec<Tally>,
    /// Where the policy names a rate: what is left of it between this node and another.
    pub(crate) buckets: BTreeMap<(Role, LinkId, Rate), Buckets>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) denials: Denials,
    /// Whose application each stream serves.
    pub(crate) streams: BTreeMap<(LinkId, StreamKey), AppId>,
    /// Connections that want a stream as soon as their link has one.
    pub(crate) hopeful: BTreeSet<AppId>,
}

impl Desk {
    pub(crate) fn neighbour(&mut self, link: LinkId) -> &mut Neighbour {
        self.neighbours.get_mut(link.0 as usize).expect("a LinkId names a neighbour")
    }

    pub(crate) fn link(&mut self, link: LinkId) -> &mut Link {
        &mut self.neighbour(link).link
    }

    pub(crate) fn name_of(&self, link: LinkId) -> Name {
        self.neighbours[link.0 as usize].name.clone()
    }

    pub(crate) fn service_of(&self, role: Role) -> Name {
        match role {
            Role::Uses(place) => self.uses[place.0].service.clone(),
            Role::Serves(place) => self.offers[place.0].service.clone(),
        }
    }

    pub(crate) fn tally(&mut self, role: Role) -> &mut Tally {
        match role {
            Role::Uses(place) => &mut self.use_tallies[place.0],
            Role::Serves(place) => &mut self.offer_tallies[place.0],
        }
    }

    /// Both ends judge an opening; this is this end's judgement.
    pub(crate) fn judge(&self, role: Role, other: LinkId, socket: SocketType) -> Result<Grant, Judgement> {
        let service = self.service_of(role);
        let other = self.name_of(other);
        let (user, host) = match role {
            Role::Uses(_) => (&*self.name, &*other),
            Role::Serves(_) => (&*other, &*self.name),
        };
        self.rules.open(&Opening { user, host, service: &service, socket })
    }

    /// The node whose application uses the service.
    pub(crate) fn user_name(&self, role: Role, other: LinkId) -> Name {
        match role {
            Role::Uses(_) => self.name.clone(),
            Role::Serves(_) => self.name_of(other),
        }
    }

    /// Notes a refused opening.
    pub(crate) fn deny(&mut self, from: Name, role: Role, socket: SocketType, reason: String, now: Moment) {
        self.tally(role).refused += 1;
        self.note(from, role, socket, What::Open, reason, now);
    }

    pub(crate) fn note(
        &mut self,
        from: Name,
        role: Role,
        socket: SocketType,
        what: What,
        reason: String,
        now: Moment,
    ) {
        let service = self.service_of(role);
        let socket = socket.name();
        self.denials.note(Denial { from, service, socket, what, reason, count: 1, last: now });
    }

    /// Counts a broken protocol.
    pub(crate) fn fault(&mut self, role: Role, fault: Fault) {
        self.tally(role).faults += 1;
        *self.faults.entry(fault.name()).or_default() += 1;
    }

    /// Gives a stream up and forgets whose it was.
    pub(crate) fn drop_stream(&mut self, link: LinkId, stream: StreamKey) {
        self.streams.remove(&(link, stream));
        self.link(link).reset(stream);
    }
}

/// Whether two applications can talk, and the policy lets the offering one be what it is.
pub(crate) fn fits(grant: &Grant, host: &Hello, user: &Hello) -> bool {
    grant.host_sockets().contains(&host.socket_type) && host.socket_type.matches(user.socket_type)
}
