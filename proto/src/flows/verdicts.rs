//! What was said about packets like this one: a cache for rules that are asked about every packet.
//!
//! An entry is for one direction, peer, source, destination, protocol and pair of ports. Only what does not depend on
//! more than these may be kept here. What is displaced is asked again; nothing follows from an entry that is missing.

use alloc::boxed::Box;
use alloc::vec;

use super::hash::Seed;
use super::key::Key;
use super::{Direction, Fragment, Subject, Transport};

/// Verdicts on whole TCP and UDP packets, in memory that is fixed at construction.
pub struct Verdicts<T> {
    seed: Seed,
    /// A power of two of them.
    sets: Box<[Set<T>]>,
}

/// Where packets of the same hash are; the first is the newer one. On cache lines of its own: an entry with a small `T` is one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set<T>([Kept<T>; WAYS]);

#[derive(Clone, Copy)]
struct Kept<T> {
    key: Key,
    generation: u64,
    /// `None` where the place is free.
    verdict: Option<T>,
}

impl<T: Copy> Verdicts<T> {
    /// An empty cache of at least `slots` verdicts (1 to 1048576), rounded up to a power of two: 64 bytes and a `T`
    /// each. `seed` must not be known to peers: it keeps them from choosing addresses that displace each other.
    pub fn new(slots: usize, seed: u128) -> Self {
        let sets = slots.clamp(1, MOST).div_ceil(WAYS).next_power_of_two();
        let free = Kept { key: Key::NONE, generation: 0, verdict: None };
        Self { seed: Seed::new(seed), sets: vec![Set([free; WAYS]); sets].into() }
    }

    /// What was said about such a packet by the rules of `generation`; `None` for what is not known, and for what is
    /// never kept: fragments, ICMP, other protocols and what cannot be read.
    #[inline]
    pub fn get(&self, direction: Direction, peer: u32, subject: &Subject, generation: u64) -> Option<T> {
        let key = key(direction, peer, subject)?;
        let set = &self.sets[self.place(&key)];
        let kept = set.0.iter().find(|kept| kept.generation == generation && kept.key.is(&key))?;
        kept.verdict
    }

    /// Keeps what the rules of `generation` say about packets like this one, where they can be told apart.
    pub fn put(&mut self, direction: Direction, peer: u32, subject: &Subject, generation: u64, verdict: T) {
        let Some(key) = key(direction, peer, subject) else { return };
        let place = self.place(&key);
        let [newer, older] = &mut self.sets[place].0;
        let news = Kept { key, generation, verdict: Some(verdict) };
        // Never two entries of one key, and none of rules of before as long as there is room elsewhere.
        if older.key.is(&key) {
            *older = news;
            return;
        }
        let is_void = newer.key.is(&key) || newer.generation != generation || newer.verdict.is_none();
        if !is_void {
            *older = *newer;
        }
        *newer = news;
    }

    /// Bytes that it takes, whatever is in it.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.sets)
    }

    #[inline]
    fn place(&self, key: &Key) -> usize {
        key.hash(self.seed) as usize & (self.sets.len() - 1)
    }
}

#[inline]
fn key(direction: Direction, peer: u32, subject: &Subject) -> Option<Key> {
    let is_kept = matches!(subject.transport, Transport::Tcp { .. } | Transport::Udp { .. })
        && subject.fragment == Fragment::Whole;
    if !is_kept { None } else { Key::one_way(direction, peer, subject) }
}

const WAYS: usize = 2;
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::super::TcpFlags;
    use super::*;
    use Direction::{In, Out};

    fn packet(from: (IpAddr, u16), to: (IpAddr, u16)) -> Subject {
        let transport = Transport::Udp { source: from.1, destination: to.1 };
        Subject { source: from.0, destination: to.0, transport, fragment: Fragment::Whole }
    }

    fn ends() -> [(IpAddr, u16); 4] {
        let v6 = |last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]);
        [([10, 0, 0, 1].into(), 5000), ([10, 0, 0, 2].into(), 22), (v6(1), 5000), (v6(2), 22)]
    }

    #[test]
    fn every_part_of_the_key_tells_packets_apart() {
        let [a, b, c, d] = ends();
        let mut verdicts = Verdicts::new(4096, 7);
        let tcp = |flags| {
            let transport = Transport::Tcp { source: 5000, destination: 22, flags: TcpFlags(flags) };
            Subject { transport, ..packet(a, b) }
        };
        let different = [
            (Out, 1, packet(a, b)),
            (In, 1, packet(a, b)),
            (Out, 2, packet(a, b)),
            (Out, 1, packet(b, a)),
            (In, 1, packet(b, a)),
            (Out, 1, packet((a.0, 5001), b)),
            (Out, 1, packet(a, (b.0, 23))),
            (Out, 1, packet((b.0, 5000), b)),
            (Out, 1, packet(c, d)),
            (In, 1, packet(d, c)),
            (Out, 1, tcp(0)),
        ];
        for (number, (direction, peer, subject)) in different.iter().enumerate() {
            assert_eq!(verdicts.get(*direction, *peer, subject, 3), None, "{number}");
            verdicts.put(*direction, *peer, subject, 3, number);
        }
        for (number, (direction, peer, subject)) in different.iter().enumerate() {
            assert_eq!(verdicts.get(*direction, *peer, subject, 3), Some(number));
        }
        assert_eq!(verdicts.get(Out, 1, &tcp(0xff), 3), Some(10), "flags are no part of it");
    }

    #[test]
    fn a_new_generation_voids_what_the_old_one_said() {
        let [a, b, ..] = ends();
        let mut verdicts = Verdicts::new(2, 7);
        verdicts.put(Out, 1, &packet(a, b), 1, "old");
        assert_eq!(verdicts.get(Out, 1, &packet(a, b), 2), None);
        verdicts.put(Out, 1, &packet(a, b), 2, "new");
        assert_eq!(verdicts.get(Out, 1, &packet(a, b), 2), Some("new"));
        assert_eq!(verdicts.get(Out, 1, &packet(a, b), 1), None, "nothing comes back");
    }

    #[test]
    fn what_has_no_ports_of_its_own_is_never_kept() {
        let [a, b, ..] = ends();
        let whole = packet(a, b);
        let mut verdicts = Verdicts::new(64, 7);
        for subject in [
            Subject { fragment: Fragment::First { id: 1, header: 8 }, ..whole },
            Subject { fragment: Fragment::Later { id: 1, offset: 8 }, ..whole },
            Subject { transport: Transport::Icmp { kind: 8, code: 0, id: 1, quoted: None }, ..whole },
            Subject { transport: Transport::Other(132), ..whole },
            Subject { transport: Transport::Unparsed, ..whole },
            packet(a, ends()[2]),
        ] {
            verdicts.put(Out, 1, &subject, 1, ());
            assert_eq!(verdicts.get(Out, 1, &subject, 1), None, "{subject:?}");
        }
    }

    #[test]
    fn a_small_cache_forgets_but_is_never_wrong() {
        let [a, b, ..] = ends();
        for slots in [0, 1, 2, 3, 16] {
            let mut verdicts = Verdicts::new(slots, 7);
            let memory = verdicts.memory();
            let mut said = BTreeMap::new();
            let mut hits = 0;
            for turn in 0..20_000_u32 {
                let mixed = u64::from(turn).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let port = ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as u16 % 40;
                let generation = u64::from(turn / 1000);
                let subject = packet((a.0, port), b);
                match verdicts.get(Out, 1, &subject, generation) {
                    Some(verdict) => {
                        assert_eq!(said.get(&(port, generation)), Some(&verdict));
                        hits += 1;
                    }
                    None => {
                        verdicts.put(Out, 1, &subject, generation, turn);
                        said.insert((port, generation), turn);
                        assert_eq!(verdicts.get(Out, 1, &subject, generation), Some(turn));
                    }
                }
            }
            assert!(hits > 0, "{slots} slots");
            assert_eq!(verdicts.memory(), memory);
        }
        let two: Vec<_> = [1_u16, 2].iter().map(|port| packet((a.0, *port), b)).collect();
        let mut verdicts = Verdicts::new(1, 7);
        two.iter().for_each(|subject| verdicts.put(Out, 1, subject, 1, ()));
        assert!(two.iter().all(|subject| verdicts.get(Out, 1, subject, 1).is_some()), "two ways");
    }
}
