//! What every connection of the broker shares: links, rules, services, counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::{Change, Denial as Judgement, Disputed, Grant, Opening, Rate, Rules, Staged};
use lockgate_proto::zmtp::{Fault, Hello, SocketType};

use crate::apps::AppId;
use crate::denials::{Denial, Denials, ForeignOffers, What};
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

/// An application's wish to use a service.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    /// Which end is ours.
    pub(crate) role: Role,
    /// The node at the other end.
    pub(crate) other: LinkId,
    /// Who the using application says it is.
    pub(crate) user: &'a Hello,
}

/// The shared things; see the module.
pub(crate) struct Desk {
    pub(crate) name: Name,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) rules: Arc<Rules>,
    /// A candidate beside them.
    pub(crate) staged: Option<Staged>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) uses: Vec<Use>,
    pub(crate) offer_tallies: Vec<Tally>,
    pub(crate) use_tallies: Vec<Tally>,
    /// Where the policy names a rate: what is left of it between this node and another.
    pub(crate) buckets: BTreeMap<(Role, LinkId, Rate), Buckets>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) denials: Denials,
    pub(crate) foreign: ForeignOffers,
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
    pub(crate) fn judge(&self, case: &Case<'_>) -> Result<Grant, Judgement> {
        self.judge_by(&self.rules, case)
    }

    fn judge_by(&self, rules: &Rules, case: &Case<'_>) -> Result<Grant, Judgement> {
        let service = self.service_of(case.role);
        let (user, host) = self.ends(case);
        rules.open(&Opening {
            user: &user,
            host: &host,
            service: &service,
            socket: case.user.socket_type,
            identity: &case.user.identity,
        })
    }

    /// The node whose application uses the service, and the one that has it.
    fn ends(&self, case: &Case<'_>) -> (Name, Name) {
        let (here, there) = (self.name.clone(), self.name_of(case.other));
        match case.role {
            Role::Uses(_) => (here, there),
            Role::Serves(_) => (there, here),
        }
    }

    /// Judges a connection that is let in under the candidate too, if there is one, and notes where that differs; `host`
    /// is the type of the offering application. What the candidate grants, where messages have to be compared as well.
    pub(crate) fn compare_open(
        &mut self,
        case: &Case<'_>,
        grant: &Grant,
        host: SocketType,
        now: Moment,
    ) -> Option<Grant> {
        let candidate = self.judge_by(&self.staged.as_ref()?.rules, case);
        let denial = match candidate {
            Ok(candidate) if candidate.host_sockets().contains(&host) => {
                return (!is_alike(grant, &candidate)).then_some(candidate);
            }
            Ok(candidate) => Judgement {
                reason: format!("the service is not offered by a {}", host.name()),
                nearest: candidate.rules().first().cloned(),
                why_not: "it is for other socket types".into(),
            },
            Err(denial) => denial,
        };
        self.differ(case, Change::Denied, grant, denial, now);
        None
    }

    /// Judges a connection that is refused for `denial` under the candidate too, if there is one, and notes it where that
    /// would let it in.
    pub(crate) fn compare_refused(&mut self, case: &Case<'_>, denial: &Judgement, now: Moment) {
        let Some(staged) = &self.staged else { return };
        if let Ok(candidate) = self.judge_by(&staged.rules, case) {
            self.differ(case, Change::Allowed, &candidate, denial.clone(), now);
        }
    }

    fn differ(&mut self, case: &Case<'_>, change: Change, allowing: &Grant, denial: Judgement, now: Moment) {
        let (user, host) = self.ends(case);
        let service = self.service_of(case.role);
        let (Some(staged), Some(allowed_by)) = (&mut self.staged, allowing.rules().first()) else { return };
        let (from, to, act) = (&user, &host, What::Open.name());
        let disputed = Disputed { from, to, act, object: &service, change, allowed_by };
        staged.differences.note(&disputed, now, || denial);
    }

    /// Notes a refused opening, also as what the candidate may think of it, and as a foreign offer where it is one.
    pub(crate) fn refuse(&mut self, case: &Case<'_>, denial: &Judgement, now: Moment) {
        self.compare_refused(case, denial, now);
        let (user, host) = self.ends(case);
        self.note_foreign(host, self.service_of(case.role), now);
        self.deny(user, case.role, case.user.socket_type, denial.to_string(), now);
    }

    /// Notes a foreign offer where `node` may not host `service`.
    pub(crate) fn note_foreign(&mut self, node: Name, service: Name, now: Moment) {
        if !self.rules.is_nothing()
            && let Err(denial) = self.rules.may_host(&node, &service)
        {
            self.foreign.note(node, service, denial, now);
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

/// Whether the two judge every message and subscription alike, as far as that shows without asking.
fn is_alike(one: &Grant, other: &Grant) -> bool {
    let plain = |grant: &Grant| !grant.restricts_topics();
    plain(one) && plain(other) && one.max_message() == other.max_message()
}
