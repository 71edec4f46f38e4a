//! Flow rules alone, between nodes that have no names: `lockgate wg --rules`.

use lockgate_proto::device::PeerId;
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::Direction;
use lockgate_proto::now::Now;
use lockgate_proto::script::Script;

use super::judging::{Between, Judging, No, One, Pairs};
use super::{Load, Way};

/// A script, and the flows that it has let begin.
pub struct Scripted {
    pairs: Pairs,
    pub(super) judging: Judging,
}

impl Scripted {
    pub(super) fn new(script: &Script, seed: u128) -> Self {
        Self { pairs: Pairs::of_script(script), judging: Judging::new(seed) }
    }

    pub(super) fn judge(
        &mut self,
        direction: Direction,
        peer: PeerId,
        load: Load<'_>,
        now: Now,
    ) -> Result<Way, Discard> {
        let one = One::read(direction, peer, load, now)?;
        // Nobody has a name here, so that nothing can be sent on to one.
        let between = Between { pairs: &self.pairs, staged: None, called: &|_| None };
        self.judging.judge(&one, load, &between).map_err(|no| match no {
            No::Rule(_, reason) | No::Reason(reason) => reason,
            No::Flow(_, _, _, reason) => reason,
        })
    }
}
