//! What the policy refused, lately: for `status`, the log and the operator's question "why?".

mod foreign;

pub use foreign::ForeignOffer;
pub(crate) use foreign::ForeignOffers;

use std::collections::VecDeque;
use std::sync::Arc;

use lockgate_proto::now::Moment;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An application's connection to a service.
    Open,
    /// A subscription.
    Subscribe,
    /// A publication.
    Publish,
    /// Another message: too large, or from the wrong side.
    Message,
}

impl What {
    /// A word for logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Message => "message",
        }
    }
}

/// One refusal and how often it has been repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The node whose application asked.
    pub from: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// The asking application's socket type.
    pub socket: &'static str,
    /// What it asked for.
    pub what: What,
    /// The judgement in words, with the nearest rule.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The last time.
    pub last: Moment,
}

/// Distinct refusals that are remembered.
const KEPT: usize = 64;

/// The latest distinct refusals, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    kept: VecDeque<Denial>,
    /// Places of refusals that nobody has been told of.
    untold: VecDeque<Denial>,
}

impl Denials {
    /// Notes a refusal; a repetition only counts.
    pub(crate) fn note(&mut self, denial: Denial) {
        let same = |other: &&mut Denial| {
            other.what == denial.what
                && other.from == denial.from
                && other.service == denial.service
                && other.socket == denial.socket
                && other.reason == denial.reason
        };
        if let Some(known) = self.kept.iter_mut().find(same) {
            known.count += denial.count;
            known.last = denial.last;
            return;
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(denial.clone());
        if self.untold.len() < KEPT {
            self.untold.push_back(denial);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Denial> {
        self.kept.iter()
    }

    pub(crate) fn next_untold(&mut self) -> Option<Denial> {
        self.untold.pop_front()
    }
}
