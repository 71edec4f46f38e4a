//! The items that may still grow, found by their flows.

use alloc::vec::Vec;

use super::shape::{Flow, Hosts};

/// The most flows that are joined at the same time; a new one displaces the one that rested longest.
pub(super) const MAX_LANES: usize = 64;

/// Keys that are compared side by side: as many as a few vector registers hold.
const ABREAST: usize = 16;

/// An item that may still grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    flow: Flow,
    /// Which.
    pub(super) item: usize,
    /// What the next segment's sequence number has to be.
    pub(super) seq: u32,
    /// The slab is its own up to here; of the newest this is not settled.
    pub(super) limit: usize,
    /// When it was used last.
    used: u32,
}

/// All of them.
pub(super) struct Lanes {
    /// The flows' keys, side by side with the lanes; 0 where there is none. Equal keys are no proof of equal flows.
    keys: [u32; MAX_LANES],
    lanes: Vec<Lane>,
    /// The lane whose item is the last in the slab, if that may still grow.
    pub(super) newest: Option<usize>,
    /// The one that was used last, if it is still there: most packets are of the flow of the packet before.
    last: usize,
    uses: u32,
}

impl Lanes {
    pub(super) fn new() -> Self {
        let lanes = Vec::with_capacity(MAX_LANES);
        Self { keys: [0; MAX_LANES], lanes, newest: None, last: MAX_LANES, uses: 0 }
    }

    /// The lane of a flow.
    pub(super) fn find(&self, flow: &Flow) -> Option<usize> {
        if self.lanes.get(self.last).is_some_and(|lane| lane.flow == *flow) {
            return Some(self.last);
        }
        let key = flow.key();
        let (chunks, _) = self.keys.as_chunks::<ABREAST>();
        for (nth, chunk) in chunks.iter().enumerate().take(self.lanes.len().div_ceil(ABREAST)) {
            // Without an early end: this way the compiler compares them at once.
            if chunk.iter().fold(false, |any, one| any | (*one == key)) {
                let found = (nth * ABREAST..self.lanes.len())
                    .find(|at| self.keys[*at] == key && self.lanes[*at].flow == *flow);
                // Nothing, or of a later chunk, only where different flows have the same key.
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// Some lane between these hosts.
    pub(super) fn find_between(&self, hosts: &Hosts) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.flow.hosts == *hosts)
    }

    /// The lane that rested longest, if there is no place for another.
    pub(super) fn displaced(&self) -> Option<usize> {
        if self.lanes.len() < MAX_LANES {
            return None;
        }
        (0..self.lanes.len()).min_by_key(|at| self.lanes[*at].used)
    }

    /// Adds the newest lane, whose item is the last in the slab. There must be a place for it.
    pub(super) fn push(&mut self, flow: Flow, item: usize, seq: u32) {
        let at = self.lanes.len();
        self.keys[at] = flow.key();
        self.lanes.push(Lane { flow, item, seq, limit: 0, used: 0 });
        self.newest = Some(at);
        self.touch(at);
    }

    /// Takes note that a lane is in use.
    pub(super) fn touch(&mut self, at: usize) {
        if self.last == at {
            return;
        }
        self.uses += 1;
        self.lanes[at].used = self.uses;
        self.last = at;
    }

    /// Takes a lane out; the last one takes its place.
    pub(super) fn remove(&mut self, at: usize) -> Lane {
        let lane = self.lanes.swap_remove(at);
        let end = self.lanes.len();
        self.keys[at] = self.keys[end];
        self.keys[end] = 0;
        self.last = MAX_LANES;
        if self.newest == Some(at) {
            self.newest = None;
        } else if self.newest == Some(end) {
            self.newest = Some(at);
        }
        lane
    }

    pub(super) fn clear(&mut self) {
        self.keys[..self.lanes.len()].fill(0);
        self.lanes.clear();
        self.newest = None;
        self.last = MAX_LANES;
        self.uses = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn get(&self, at: usize) -> &Lane {
        &self.lanes[at]
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut Lane {
        &mut self.lanes[at]
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> *const Lane {
        self.lanes.as_ptr()
    }
}
