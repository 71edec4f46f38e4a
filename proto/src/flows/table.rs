//! Where flows are kept: a slab, an index by key, and a share for each peer.
//!
//! The memory is bounded by the limit and reserved at construction. When the table is full, a peer that holds its
//! fair share (the limit divided by the peers that hold flows) or more makes room among its own flows; one that holds
//! less is given room by a peer that holds more than its share. In both cases the oldest cheap flow goes first
//! (half-open, closing), then one of those that rested longest. So nobody loses an established flow to another
//! while within their share, and a flood costs those that flood.

use alloc::vec;
use alloc::vec::Vec;

use super::flow::Flow;
use super::hash::Seed;
use super::key::Key;
use super::shares::Shares;

/// The flows.
pub(super) struct Table {
    seed: Seed,
    /// Open addressing with linear probing; at most half full.
    index: Vec<Slot>,
    slab: Vec<Entry>,
    /// The first free entry of the slab; they are linked by `next`.
    free: u32,
    shares: Shares,
    limit: usize,
    len: usize,
    /// The entry that the next sweep looks at.
    hand: usize,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The low half of the hash.
    tag: u32,
    /// The entry, or `NONE`.
    at: u32,
}

/// A flow and its neighbours in the list of its peer.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) flow: Flow,
    pub(super) share: u32,
    pub(super) next: u32,
    pub(super) prev: u32,
    pub(super) is_used: bool,
    /// Which list of the share it is in: 0 cheap, 1 dear.
    pub(super) list: u8,
}

impl Table {
    /// An empty table for at most `limit` flows.
    pub(super) fn new(limit: usize, seed: Seed) -> Self {
        let limit = limit.clamp(1, MOST);
        let slots = (limit * 2).next_power_of_two();
        Self {
            seed,
            index: vec![EMPTY; slots],
            slab: Vec::with_capacity(limit),
            free: NONE,
            shares: Shares::default(),
            limit,
            len: 0,
            hand: 0,
            expired: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn held_by(&self, peer: u32) -> usize {
        self.shares.held_by(peer)
    }

    /// The flow of that key that is not older than it may be.
    #[inline(always)]
    pub(super) fn find(&mut self, key: &Key, now: u64) -> Option<u32> {
        let at = self.seek(key)?;
        if self.slab[at as usize].flow.expires > now {
            return Some(at);
        }
        self.remove(at);
        self.expired += 1;
        None
    }

    /// The same, with everything left as it is.
    pub(super) fn peek(&self, key: &Key, now: u64) -> Option<&Flow> {
        let flow = self.flow(self.seek(key)?);
        (flow.expires > now).then_some(flow)
    }

    /// The flow of that key, however old.
    #[inline(always)]
    fn seek(&self, key: &Key) -> Option<u32> {
        let mask = self.index.len() - 1;
        let tag = key.hash(self.seed) as u32;
        let mut place = tag as usize & mask;
        loop {
            let slot = self.index[place];
            if slot.at == NONE {
                return None;
            }
            if slot.tag == tag && self.slab[slot.at as usize].flow.key.is(key) {
                return Some(slot.at);
            }
            place = (place + 1) & mask;
        }
    }

    #[inline]
    pub(super) fn flow(&self, at: u32) -> &Flow {
        &self.slab[at as usize].flow
    }

    /// Changes a flow, and moves it to the other list of its peer where it became cheap or dear.
    #[inline(always)]
    pub(super) fn update(&mut self, at: u32, change: impl FnOnce(&mut Flow)) {
        let entry = &mut self.slab[at as usize];
        change(&mut entry.flow);
        let list = list_of(&entry.flow);
        if list != entry.list {
            self.change_list(at, list);
        }
    }

    #[cold]
    fn change_list(&mut self, at: u32, list: u8) {
        self.shares.unlink(&mut self.slab, at);
        self.slab[at as usize].list = list;
        self.shares.link(&mut self.slab, at);
    }

    /// Puts a flow in whose key is not there; `false` where there is no room.
    pub(super) fn insert(&mut self, flow: Flow, now: u64) -> bool {
        self.sweep(SWEPT_PER_INSERT, now);
        let share = self.shares.of(flow.key.peer());
        if self.len == self.limit && !self.make_room(share) {
            return false;
        }
        let entry = Entry { list: list_of(&flow), flow, share, next: NONE, prev: NONE, is_used: true };
        let at = self.place(entry);
        self.shares.link(&mut self.slab, at);
        self.shares.grew(share);
        self.len += 1;
        let mask = self.index.len() - 1;
        let tag = flow.key.hash(self.seed) as u32;
        let mut place = tag as usize & mask;
        while self.index[place].at != NONE {
            place = (place + 1) & mask;
        }
        self.index[place] = Slot { tag, at };
        true
    }

    fn place(&mut self, entry: Entry) -> u32 {
        if self.free == NONE {
            self.slab.push(entry);
            return (self.slab.len() - 1) as u32;
        }
        let at = self.free;
        self.free = self.slab[at as usize].next;
        self.slab[at as usize] = entry;
        at
    }

    /// Takes one flow out, so that one of `share` can come in.
    fn make_room(&mut self, share: u32) -> bool {
        let fair = (self.limit / self.shares.active_with(share)).max(1);
        let victim = if self.shares.count(share) >= fair {
            self.shares.victim(&mut self.slab, share)
        } else {
            let giver = self.shares.one_above(fair);
            giver.and_then(|giver| self.shares.victim(&mut self.slab, giver))
        };
        let Some(victim) = victim else {
            return false;
        };
        self.remove(victim);
        self.evicted += 1;
        true
    }

    /// Looks at `many` entries in turn and forgets those whose time is over.
    pub(super) fn sweep(&mut self, many: usize, now: u64) {
        for _ in 0..many.min(self.slab.len()) {
            self.hand = if self.hand + 1 < self.slab.len() { self.hand + 1 } else { 0 };
            let entry = &self.slab[self.hand];
            if entry.is_used && entry.flow.expires <= now {
                self.remove(self.hand as u32);
                self.expired += 1;
            }
        }
    }

    /// Forgets every flow of a peer; how many they were.
    pub(super) fn forget(&mut self, peer: u32) -> usize {
        let mut many = 0;
        while let Some(at) = self.shares.any_of(peer) {
            self.remove(at);
            many += 1;
        }
        self.shares.forget(peer);
        many
    }

    pub(super) fn remove(&mut self, at: u32) {
        self.unindex(at);
        self.shares.unlink(&mut self.slab, at);
        let entry = &mut self.slab[at as usize];
        self.shares.shrank(entry.share);
        entry.is_used = false;
        entry.next = self.free;
        self.free = at;
        self.len -= 1;
    }

    /// Takes an entry out of the index, and moves back those behind it that would no longer be found.
    fn unindex(&mut self, at: u32) {
        let mask = self.index.len() - 1;
        let mut hole = self.slab[at as usize].flow.key.hash(self.seed) as u32 as usize & mask;
        while self.index[hole].at != at {
            assert!(self.index[hole].at != NONE, "every flow is in the index");
            hole = (hole + 1) & mask;
        }
        let mut place = (hole + 1) & mask;
        while self.index[place].at != NONE {
            let home = self.index[place].tag as usize & mask;
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.index[hole] = self.index[place];
                hole = place;
            }
            place = (place + 1) & mask;
        }
        self.index[hole] = EMPTY;
    }

    /// Holds every structure against the others.
    #[cfg(test)]
    pub(super) fn check(&mut self) {
        let used: Vec<u32> =
            (0..self.slab.len() as u32).filter(|at| self.slab[*at as usize].is_used).collect();
        assert_eq!(used.len(), self.len);
        assert!(self.len <= self.limit && self.slab.len() <= self.limit);
        assert_eq!(self.index.iter().filter(|slot| slot.at != NONE).count(), self.len);
        for at in &used {
            let flow = self.slab[*at as usize].flow;
            assert_eq!(self.find(&flow.key, 0), Some(*at), "{flow:?}");
            assert_eq!(self.slab[*at as usize].list, list_of(&flow));
        }
        self.shares.check(&self.slab);
    }
}

fn list_of(flow: &Flow) -> u8 {
    u8::from(!flow.phase.is_cheap())
}

/// No entry.
pub(super) const NONE: u32 = u32::MAX;
const EMPTY: Slot = Slot { tag: 0, at: NONE };
/// As many as 32 bits can tell apart in an index that is half full.
const MOST: usize = 1 << 30;
/// More than one, so that the hand is faster than what comes in.
const SWEPT_PER_INSERT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_takes_what_the_limits_say() {
        // Up to four places of the index for each flow, where the limit is just above a power of two.
        assert!(size_of::<Entry>() + 2 * size_of::<Slot>() <= 104, "{} bytes", size_of::<Entry>());
        assert!(size_of::<Entry>() + 4 * size_of::<Slot>() <= 120);
    }
}
