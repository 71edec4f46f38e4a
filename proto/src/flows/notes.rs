//! What is remembered for a moment: denials, and packets whose later fragments may pass.
//!
//! Both are caches of a fixed size: what is forgotten too early is asked again, or denied.

use alloc::vec;
use alloc::vec::Vec;

use super::News;
use super::hash::Seed;
use super::key::Key;

/// Denials of the last minute.
pub(super) struct Denials {
    seed: Seed,
    sets: Vec<[Option<Denial>; WAYS]>,
}

#[derive(Clone, Copy)]
struct Denial {
    key: Key,
    generation: u64,
    asked: u64,
    seen: u64,
}

impl Denials {
    pub(super) fn new(many: usize, seed: Seed) -> Self {
        Self { seed, sets: vec![[None; WAYS]; sets_for(many)] }
    }

    /// Whether the rules said no to the same question within the last second.
    pub(super) fn holds(&mut self, key: &Key, generation: u64, now: u64) -> bool {
        let known = self.set(key).iter_mut().flatten().find(|denial| denial.is(key, generation));
        match known {
            Some(denial) if now.saturating_sub(denial.asked) < ASKED_AGAIN => {
                denial.seen = now;
                true
            }
            _ => false,
        }
    }

    /// Remembers a denial; whether it is news.
    pub(super) fn note(&mut self, key: &Key, generation: u64, now: u64) -> News {
        let denial = Denial { key: *key, generation, asked: now, seen: now };
        let set = self.set(key);
        if let Some(known) = set.iter_mut().flatten().find(|denial| denial.is(key, generation)) {
            let news = if now.saturating_sub(known.seen) < QUIET { News::Repeated } else { News::First };
            *known = denial;
            return news;
        }
        // An empty place, else the one that was not seen for the longest.
        if let Some(place) = set.iter_mut().min_by_key(|way| way.map(|denial| denial.seen)) {
            *place = Some(denial);
        }
        News::First
    }

    fn set(&mut self, key: &Key) -> &mut [Option<Denial>; WAYS] {
        let mask = self.sets.len() - 1;
        &mut self.sets[key.hash(self.seed) as usize & mask]
    }
}

impl Denial {
    fn is(&self, key: &Key, generation: u64) -> bool {
        self.key == *key && self.generation == generation
    }
}

/// Packets whose first fragment passed a moment ago: sets of a few, so that a peer that sends many displaces its own.
pub(super) struct Fragments {
    seed: Seed,
    sets: Vec<[Option<Passing>; WAYS]>,
}

#[derive(Clone, Copy)]
struct Passing {
    key: Key,
    generation: u64,
    expires: u64,
    /// How many bytes belong to the first fragment alone.
    header: u16,
    /// What the caller has noted beside.
    mark: u16,
}

impl Fragments {
    pub(super) fn new(many: usize, seed: Seed) -> Self {
        Self { seed, sets: vec![[None; WAYS]; sets_for(many)] }
    }

    /// The first fragment passed, and this is noted beside. Bytes before `header` may not come again.
    pub(super) fn pass(&mut self, key: &Key, (header, mark): (u16, u16), generation: u64, now: u64) {
        self.stop(key);
        let set = self.set(key);
        let way = set
            .iter()
            .enumerate()
            .min_by_key(|(_, way)| {
                way.filter(|way| way.expires > now).map(|way| (way.key.peer() != key.peer(), way.expires))
            })
            .map_or(0, |(at, _)| at);
        let expires = now.saturating_add(REASSEMBLY);
        set[way] = Some(Passing { key: *key, generation, expires, header, mark });
    }

    /// The first fragment did not pass: nothing follows it.
    pub(super) fn stop(&mut self, key: &Key) {
        for way in self.set(key) {
            if way.is_some_and(|way| way.key == *key) {
                *way = None;
            }
        }
    }

    /// Nothing follows what came before from or to this peer.
    pub(super) fn forget(&mut self, peer: u32) {
        for way in self.sets.iter_mut().flatten() {
            if way.is_some_and(|way| way.key.peer() == peer) {
                *way = None;
            }
        }
    }

    /// Whether a later fragment may pass: what was noted beside the first.
    pub(super) fn follows(&self, key: &Key, offset: u16, generation: u64, now: u64) -> Option<u16> {
        let mask = self.sets.len() - 1;
        let mut ways = self.sets[key.hash(self.seed) as usize & mask].iter().flatten();
        let passing =
            ways.find(|way| way.key == *key && way.generation == generation && way.expires > now)?;
        (offset >= passing.header).then_some(passing.mark)
    }

    fn set(&mut self, key: &Key) -> &mut [Option<Passing>; WAYS] {
        let mask = self.sets.len() - 1;
        &mut self.sets[key.hash(self.seed) as usize & mask]
    }
}

fn sets_for(many: usize) -> usize {
    many.clamp(1, MOST).div_ceil(WAYS).next_power_of_two()
}

const WAYS: usize = 4;
const MOST: usize = 1 << 20;
/// Milliseconds after which the rules are asked again.
const ASKED_AGAIN: u64 = 1_000;
/// Milliseconds without the same denial after which it is news again.
const QUIET: u64 = 60_000;
/// Milliseconds in which later fragments follow the first: the path inside the tunnel is one hop.
const REASSEMBLY: u64 = 10_000;
