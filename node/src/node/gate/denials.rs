//! What the policy refused of IP packets, lately: for `status`, the log and the operator's question "why?".

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lockgate_proto::flows::{News, Refusal};
use lockgate_proto::now::Moment;
use lockgate_proto::rules::PacketKind;

use super::pace::Pace;

/// Distinct refusals that are remembered, and how many of them may wait to be told.
const KEPT: usize = 64;

/// Flows of packets that were refused for one reason, and how many packets that were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketDenial {
    /// The node that they came from.
    pub from: Arc<str>,
    /// The node that they were for.
    pub to: Arc<str>,
    /// What they were.
    pub what: PacketKind,
    /// Why, in a word.
    pub(super) why: Why,
    /// The first of them and the judgement in words, with the nearest rule.
    pub reason: String,
    /// How many packets.
    pub count: u64,
    /// The last time.
    pub last: Moment,
}

/// Why packets were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// By the flows or the rules.
    Refused(Refusal),
    /// By a rule that forbids them.
    Forbidden,
    /// They would only pass through this host.
    Transit,
}

/// The latest distinct refusals, oldest first.
#[derive(Debug)]
pub(super) struct PacketDenials {
    kept: VecDeque<PacketDenial>,
    untold: VecDeque<PacketDenial>,
    /// Finding the words looks at every rule: a scan must not have that done for each of its packets.
    pace: Pace,
}

impl Default for PacketDenials {
    fn default() -> Self {
        let pace = Pace::new(Duration::from_millis(10), 2 * KEPT as u32);
        Self { kept: VecDeque::new(), untold: VecDeque::new(), pace }
    }
}

impl PacketDenials {
    /// Notes a refusal: a known one is counted, another is put into words if it is news.
    pub(super) fn note(
        &mut self,
        (from, to): (&Arc<str>, &Arc<str>),
        (what, why): (PacketKind, Why),
        (news, now): (News, Moment),
        reason: impl FnOnce() -> String,
    ) {
        let same = |other: &&mut PacketDenial| {
            other.why == why
                && (other.what == what || why == Why::Transit)
                && other.from == *from
                && other.to == *to
        };
        if let Some(known) = self.kept.iter_mut().find(same) {
            known.count += 1;
            known.last = now;
        } else if news == News::First && self.pace.may(now) {
            let (from, to) = (from.clone(), to.clone());
            self.keep(PacketDenial { from, to, what, why, reason: reason(), count: 1, last: now });
        }
    }

    fn keep(&mut self, denial: PacketDenial) {
        if self.untold.len() < KEPT {
            self.untold.push_back(denial.clone());
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(denial);
    }

    /// The next one that nobody was told of.
    pub(super) fn poll(&mut self) -> Option<PacketDenial> {
        self.untold.pop_front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PacketDenial> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_counted_and_told_once_and_the_list_is_bounded() {
        let (from, to): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut denials = PacketDenials::default();
        let mut note = |port, news| {
            let why = Why::Refused(Refusal::Rules);
            denials.note((&from, &to), (PacketKind::Tcp(port), why), (news, Moment::ZERO), || "no".into());
        };
        note(0, News::Repeated);
        for port in 1..=100 {
            note(port, News::First);
            note(port, News::Repeated);
        }
        let kept: Vec<_> = denials.iter().map(|denial| (denial.what, denial.count)).collect();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0], kept[63]), ((PacketKind::Tcp(37), 2), (PacketKind::Tcp(100), 2)));
        let told: Vec<_> = std::iter::from_fn(|| denials.poll()).map(|denial| denial.what).collect();
        assert_eq!((told.len(), told[0]), (KEPT, PacketKind::Tcp(1)), "a repetition alone is not told");
    }

    #[test]
    fn packets_in_transit_are_one_refusal_whatever_they_are() {
        let (from, to): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut denials = PacketDenials::default();
        for port in 0..1000 {
            let what = PacketKind::Udp(port);
            denials.note((&from, &to), (what, Why::Transit), (News::First, Moment::ZERO), || "no".into());
        }
        assert_eq!(denials.iter().map(|denial| denial.count).collect::<Vec<_>>(), [1000]);
    }
}
