//! A connection's messages under the candidate, beside the rules that decide.

use lockgate_proto::now::Moment;
use lockgate_proto::rules::{Change, Denial, Differences, Disputed, Grant};

use crate::denials::What;
use crate::services::Name;

/// Whom a flow is between, and where differences are noted; there while a candidate judges its messages otherwise.
pub(crate) struct Comparing<'a> {
    pub(crate) differences: &'a mut Differences,
    /// This node.
    pub(crate) here: &'a Name,
    /// The other.
    pub(crate) there: &'a Name,
    pub(crate) service: &'a Name,
}

/// The candidate's side of what one application sends.
pub(crate) struct Trial<'a> {
    /// What the candidate grants.
    pub(crate) grant: &'a Grant,
    pub(crate) differences: &'a mut Differences,
    /// The sender's node.
    pub(crate) from: &'a Name,
    /// The receiver's.
    pub(crate) to: &'a Name,
    pub(crate) service: &'a Name,
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the other node.
    Out,
    /// To an application here.
    In,
}

impl<'a> Trial<'a> {
    /// The trial of what goes one way, where there is a candidate whose grant is another.
    pub(crate) fn of(
        grant: Option<&'a Grant>,
        comparing: &'a mut Option<Comparing<'_>>,
        way: Way,
    ) -> Option<Self> {
        let (grant, comparing) = (grant?, comparing.as_mut()?);
        let (from, to) = match way {
            Way::Out => (comparing.here, comparing.there),
            Way::In => (comparing.there, comparing.here),
        };
        Some(Self { grant, differences: &mut *comparing.differences, from, to, service: comparing.service })
    }

    /// Notes it where just one of the two lets it pass: `enforced` and `candidate` are the rules that do, as places in
    /// their grants; `detail` says why the other does not.
    pub(crate) fn compare(
        &mut self,
        what: What,
        enforced: (&Grant, Option<usize>),
        candidate: Option<usize>,
        now: Moment,
        detail: impl FnOnce() -> String,
    ) {
        let (change, allowing, rule, denying) = match (enforced.1, candidate) {
            (Some(rule), None) => (Change::Denied, enforced.0, rule, self.grant),
            (None, Some(rule)) => (Change::Allowed, self.grant, rule, enforced.0),
            _ => return,
        };
        let Some(allowed_by) = allowing.rules().get(rule) else { return };
        let (from, to, act, object) = (self.from, self.to, what.name(), &**self.service);
        let disputed = Disputed { from, to, act, object, change, allowed_by };
        self.differences.note(&disputed, now, || Denial {
            reason: detail(),
            nearest: denying.rules().first().cloned(),
            why_not: "it allows the connection, but not this".into(),
        });
    }
}
