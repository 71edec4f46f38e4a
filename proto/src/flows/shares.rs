//! Who holds how many flows, and which of them goes first.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::table::{Entry, NONE};

/// The shares of all peers that were ever seen here; forgotten with the peer.
#[derive(Default)]
pub(super) struct Shares {
    by_peer: BTreeMap<u32, u32>,
    shares: Vec<Share>,
    /// Shares that nobody has.
    free: Vec<u32>,
    /// Shares with flows.
    active: usize,
    /// Where the search for a peer above its share goes on.
    hand: usize,
}

#[derive(Clone, Copy)]
struct Share {
    count: usize,
    /// Cheap flows, and the others, each the oldest first.
    lists: [List; 2],
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

impl Shares {
    /// The share of a peer.
    pub(super) fn of(&mut self, peer: u32) -> u32 {
        if let Some(share) = self.by_peer.get(&peer) {
            return *share;
        }
        let share = self.free.pop().unwrap_or_else(|| {
            self.shares.push(Share { count: 0, lists: [NOTHING; 2] });
            (self.shares.len() - 1) as u32
        });
        self.by_peer.insert(peer, share);
        share
    }

    pub(super) fn held_by(&self, peer: u32) -> usize {
        self.by_peer.get(&peer).map_or(0, |share| self.count(*share))
    }

    pub(super) fn count(&self, share: u32) -> usize {
        self.shares[share as usize].count
    }

    /// How many shares have flows, `share` among them.
    pub(super) fn active_with(&self, share: u32) -> usize {
        self.active + usize::from(self.count(share) == 0)
    }

    pub(super) fn grew(&mut self, share: u32) {
        let share = &mut self.shares[share as usize];
        self.active += usize::from(share.count == 0);
        share.count += 1;
    }

    pub(super) fn shrank(&mut self, share: u32) {
        let share = &mut self.shares[share as usize];
        share.count -= 1;
        self.active -= usize::from(share.count == 0);
    }

    /// A flow of the peer, if it has any.
    pub(super) fn any_of(&self, peer: u32) -> Option<u32> {
        let share = &self.shares[*self.by_peer.get(&peer)? as usize];
        share.lists.iter().map(|list| list.head).find(|head| *head != NONE)
    }

    /// Forgets a peer that holds nothing.
    pub(super) fn forget(&mut self, peer: u32) {
        if let Some(share) = self.by_peer.remove(&peer) {
            self.free.push(share);
        }
    }

    /// A share with more than `fair` flows, in turn.
    pub(super) fn one_above(&mut self, fair: usize) -> Option<u32> {
        for _ in 0..self.shares.len() {
            // The same as last time, as long as it is above.
            if self.shares[self.hand].count > fair {
                return Some(self.hand as u32);
            }
            self.hand = (self.hand + 1) % self.shares.len();
        }
        None
    }

    /// Which flow of a share goes first: the oldest cheap one, else of its first few the one that rested longest;
    /// those that it looked at and kept go to the end.
    pub(super) fn victim(&mut self, slab: &mut [Entry], share: u32) -> Option<u32> {
        let [cheap, dear] = self.shares[share as usize].lists;
        if cheap.head != NONE {
            return Some(cheap.head);
        }
        let mut looked_at = [NONE; LOOKED_AT];
        let mut at = dear.head;
        for place in &mut looked_at {
            if at == NONE {
                break;
            }
            *place = at;
            at = slab[at as usize].next;
        }
        let looked_at = looked_at.iter().copied().filter(|at| *at != NONE);
        let victim = looked_at.clone().min_by_key(|at| slab[*at as usize].flow.last())?;
        for kept in looked_at.filter(|at| *at != victim) {
            self.unlink(slab, kept);
            self.link(slab, kept);
        }
        Some(victim)
    }

    /// Puts an entry at the end of its list.
    pub(super) fn link(&mut self, slab: &mut [Entry], at: u32) {
        let (share, list) = (slab[at as usize].share, slab[at as usize].list);
        let list = &mut self.shares[share as usize].lists[usize::from(list)];
        slab[at as usize].prev = list.tail;
        slab[at as usize].next = NONE;
        match list.tail {
            NONE => list.head = at,
            tail => slab[tail as usize].next = at,
        }
        list.tail = at;
    }

    /// Takes an entry out of its list.
    pub(super) fn unlink(&mut self, slab: &mut [Entry], at: u32) {
        let Entry { share, list, next, prev, .. } = slab[at as usize];
        let list = &mut self.shares[share as usize].lists[usize::from(list)];
        match prev {
            NONE => list.head = next,
            prev => slab[prev as usize].next = next,
        }
        match next {
            NONE => list.tail = prev,
            next => slab[next as usize].prev = prev,
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self, slab: &[Entry]) {
        let mut active = 0;
        for (number, share) in self.shares.iter().enumerate() {
            active += usize::from(share.count > 0);
            let mut counted = 0;
            for (kind, list) in share.lists.iter().enumerate() {
                let (mut at, mut prev) = (list.head, NONE);
                while at != NONE {
                    let entry = &slab[at as usize];
                    assert!(entry.is_used && entry.prev == prev && usize::from(entry.list) == kind);
                    assert_eq!(entry.share as usize, number);
                    assert_eq!(self.by_peer.get(&entry.flow.key.peer()), Some(&entry.share));
                    counted += 1;
                    (prev, at) = (at, entry.next);
                }
                assert_eq!(list.tail, prev);
            }
            assert_eq!(counted, share.count);
        }
        assert_eq!(active, self.active);
    }
}

const NOTHING: List = List { head: NONE, tail: NONE };
/// Enough that the choice is rarely a busy flow, few enough that it costs little.
const LOOKED_AT: usize = 8;
