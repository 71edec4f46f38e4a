//! What a node counts itself; the broker and the machine keep their own.

use lockgate_proto::discard::Discard;

/// Why datagrams went no further, by reason, since the start.
#[derive(Clone, Debug)]
pub struct Discards([u64; Discard::ALL.len()]);

impl Default for Discards {
    fn default() -> Self {
        Self([0; Discard::ALL.len()])
    }
}

impl Discards {
    /// Counts one.
    pub fn note(&mut self, reason: Discard) {
        self.0[reason.index()] += 1;
    }

    /// Every reason that has happened, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let all = Discard::ALL.iter().map(|reason| (reason.name(), self.0[reason.index()]));
        all.filter(|(_, count)| *count > 0)
    }
}
