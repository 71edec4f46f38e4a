//! The services of this node: which it offers, which it uses, and what went through each.

use std::sync::Arc;

use lockgate_proto::rules::Rules;

use crate::links::LinkId;

/// A place in the list of offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OfferId(pub usize);

/// A place in the list of uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UseId(pub usize);

/// Whom a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// An application that uses a service elsewhere.
    Uses(UseId),
    /// An application that has a service.
    Serves(OfferId),
}

/// The name of a node or service, shared.
pub(crate) type Name = Arc<str>;

/// How a node reaches an application that has a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The application binds; the node dials it, once for each application that uses the service.
    Dial,
    /// The node listens; each connection of the application serves one application elsewhere.
    Listen,
}

/// An application here has this service.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The service's name.
    pub service: Arc<str>,
    /// Who dials.
    pub reach: Reach,
}

/// A service elsewhere that applications here use.
#[derive(Clone, Debug)]
pub struct Use {
    /// The service's name.
    pub service: Arc<str>,
    /// Only these nodes, where it is given.
    pub from: Option<Vec<Arc<str>>>,
}

/// What went through one offer or use, since the start. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Application connections that opened.
    pub opened: u64,
    /// Application connections that are open now.
    pub open: u64,
    /// Application connections that the policy refused.
    pub refused: u64,
    /// Application connections that broke ZMTP or its limits.
    pub faults: u64,
    /// Application connections for which no node had the service in time.
    pub unserved: u64,
    /// Whole messages from applications here into the tunnel.
    pub messages_out: u64,
    /// Bytes of frames from applications here into the tunnel.
    pub bytes_out: u64,
    /// Whole messages out of the tunnel to applications here.
    pub messages_in: u64,
    /// Bytes of frames out of the tunnel to applications here.
    pub bytes_in: u64,
    /// Messages that the policy dropped, whole.
    pub dropped: u64,
    /// Subscriptions that the policy dropped.
    pub subscriptions_refused: u64,
    /// Commands that nobody here understands, dropped.
    pub unknown_commands: u64,
}

/// The nodes that a use may try, in the order of `names` (this node's links).
pub(crate) fn hosts(wanted: &Use, rules: &Rules, names: &[Arc<str>]) -> Vec<LinkId> {
    let allowed: Vec<&str> = rules.hosts(&wanted.service).collect();
    let named = |name: &Arc<str>| wanted.from.as_ref().is_none_or(|from| from.contains(name));
    let places = names.iter().enumerate();
    places
        .filter(|(_, name)| allowed.contains(&&***name) && named(name))
        .map(|(place, _)| LinkId(u32::try_from(place).unwrap_or(u32::MAX)))
        .collect()
}
