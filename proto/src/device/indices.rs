//! Whose session or handshake an index names. Indices are random: a stranger who guesses finds nothing.

use alloc::collections::BTreeMap;

use super::PeerId;
use crate::entropy::Entropy;
use crate::peer::keyring::Retired;

/// The indices in use.
#[derive(Default)]
pub(super) struct Indices(BTreeMap<u32, PeerId>);

impl Indices {
    /// A new index for `peer`.
    pub(super) fn allocate(&mut self, peer: PeerId, public: &mut dyn Entropy) -> u32 {
        loop {
            let mut bytes = [0; 4];
            public.fill(&mut bytes);
            let index = u32::from_le_bytes(bytes);
            // At most four per peer are in use, so this soon finds one that is not.
            if let alloc::collections::btree_map::Entry::Vacant(vacant) = self.0.entry(index) {
                vacant.insert(peer);
                return index;
            }
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<PeerId> {
        self.0.get(&index).copied()
    }

    pub(super) fn free(&mut self, index: u32) {
        self.0.remove(&index);
    }

    pub(super) fn retire(&mut self, retired: Retired) {
        for index in retired.into_iter().flatten() {
            self.free(index);
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, PeerId)> + '_ {
        self.0.iter().map(|(index, peer)| (*index, *peer))
    }
}
