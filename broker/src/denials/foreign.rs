//! Services of nodes that may not host them.

use std::sync::Arc;

use lockgate_proto::now::Moment;
use lockgate_proto::rules::Denial as Judgement;

/// A node offers a service, or answers for it, that the policy does not let it host. Nothing of it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignOffer {
    /// The node.
    pub node: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// Why it may not; the nearest rule is the service's own declaration, where the policy has one.
    pub denial: Judgement,
    /// How often it was noticed under the rules in force.
    pub count: u64,
    /// The last time.
    pub last: Moment,
}

/// Foreign offers that are remembered.
const KEPT: usize = 64;

/// The foreign offers under the rules in force.
#[derive(Debug, Default)]
pub(crate) struct ForeignOffers {
    kept: Vec<ForeignOffer>,
    untold: Vec<ForeignOffer>,
    noticed: u64,
}

impl ForeignOffers {
    /// Notes one; a repetition only counts.
    pub(crate) fn note(&mut self, node: Arc<str>, service: Arc<str>, denial: Judgement, now: Moment) {
        self.noticed += 1;
        let known = self.kept.iter_mut().find(|known| known.node == node && known.service == service);
        if let Some(known) = known {
            known.count += 1;
            known.last = now;
            return;
        }
        let offer = ForeignOffer { node, service, denial, count: 1, last: now };
        if self.untold.len() < KEPT {
            self.untold.push(offer.clone());
        }
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push(offer);
    }

    /// Other rules: what was foreign may not be any more.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ForeignOffer> {
        self.kept.iter()
    }

    /// How often one was noticed since the start.
    pub(crate) const fn noticed(&self) -> u64 {
        self.noticed
    }

    pub(crate) fn next_untold(&mut self) -> Option<ForeignOffer> {
        (!self.untold.is_empty()).then(|| self.untold.remove(0))
    }
}
