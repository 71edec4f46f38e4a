use super::*;
use alloc::collections::BTreeMap;
use core::net::{Ipv4Addr, Ipv6Addr};

fn prefix(text: &str) -> Prefix {
    let (address, bits) = text.split_once('/').unwrap();
    Prefix::masked(address.parse().unwrap(), bits.parse().unwrap()).unwrap()
}

/// A small generator: good enough to be seeded with.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An address of few: so that prefixes nest, meet and part.
    fn address(&mut self) -> IpAddr {
        let (bits, kind) = (self.next(), self.next() % 4);
        match kind {
            0 => Ipv4Addr::from_bits(bits as u32 & 0x8040_2015).into(),
            1 => Ipv4Addr::from_bits(bits as u32).into(),
            2 => Ipv6Addr::from_bits(u128::from(bits & 0x8001_0003) << 96 | u128::from(bits >> 62)).into(),
            _ => Ipv6Addr::from_bits(u128::from(bits) << 64 | u128::from(self.next())).into(),
        }
    }

    fn prefix(&mut self) -> Prefix {
        let address = self.address();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = if self.next().is_multiple_of(3) { self.next() % 12 } else { self.next() % (width + 1) };
        Prefix::masked(address, bits as u8).unwrap()
    }
}

/// The same without a thought.
fn slow(model: &BTreeMap<Prefix, u32>, address: IpAddr) -> Option<u32> {
    let containing = model.iter().filter(|(prefix, _)| prefix.contains(address));
    containing.max_by_key(|(prefix, _)| prefix.bits()).map(|(_, owner)| *owner)
}

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let table = [("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.1.0.0/16", 3), ("10.1.2.3/32", 4), ("::/0", 5)];
    for turn in 0..table.len() {
        let mut routes = Routes::new();
        for at in 0..table.len() {
            let (text, owner) = table[(at + turn) % table.len()];
            assert_eq!(routes.insert(prefix(text), owner), None);
        }
        for (address, owner) in [
            ("192.0.2.1", 1),
            ("10.2.0.0", 2),
            ("10.1.255.255", 3),
            ("10.1.2.2", 3),
            ("10.1.2.3", 4),
            ("fd00::1", 5),
        ] {
            assert_eq!(routes.lookup(address.parse().unwrap()), Some(owner), "{address}, turn {turn}");
        }
        assert_eq!(routes.remove(prefix("10.1.0.0/16")), Some(3));
        assert_eq!(routes.remove(prefix("10.1.0.0/16")), None);
        assert_eq!(routes.lookup("10.1.2.2".parse().unwrap()), Some(2));
        assert_eq!(routes.lookup("10.1.2.3".parse().unwrap()), Some(4));
    }
    assert_eq!(Routes::<u32>::new().lookup("10.0.0.1".parse().unwrap()), None);
}

#[test]
fn a_prefix_moves_from_its_old_owner_to_the_new_one() {
    let mut routes = Routes::new();
    let (wide, narrow) = (prefix("10.0.0.0/8"), prefix("10.1.0.0/16"));
    assert_eq!((routes.insert(wide, 1), routes.insert(narrow, 1)), (None, None));
    assert_eq!(routes.insert(narrow, 2), Some(1));
    assert_eq!(routes.insert(narrow, 2), Some(2));
    assert_eq!(
        (routes.of(1).collect::<Vec<_>>(), routes.of(2).collect::<Vec<_>>()),
        ([wide].into(), [narrow].into())
    );
    assert!(routes.is_owned(narrow, 2) && !routes.is_owned(narrow, 1));
    assert_eq!((routes.remove_all(1), routes.remove_all(1), routes.len()), (1, 0, 1));
    assert_eq!(routes.lookup("10.2.0.0".parse().unwrap()), None);
    assert_eq!(routes.lookup("10.1.0.0".parse().unwrap()), Some(2));
}

#[test]
fn the_trie_agrees_with_a_linear_search_through_inserts_moves_and_removals() {
    for seed in 0..40 {
        let mut chance = Chance(seed);
        let mut routes = Routes::new();
        let mut model = BTreeMap::new();
        for step in 0..400 {
            let (prefix, owner) = (chance.prefix(), (chance.next() % 5) as u32);
            match chance.next() % 8 {
                0..5 => assert_eq!(routes.insert(prefix, owner), model.insert(prefix, owner)),
                5..7 => {
                    let known = model.keys().nth(chance.next() as usize % model.len().max(1)).copied();
                    let prefix =
                        if chance.next().is_multiple_of(4) { prefix } else { known.unwrap_or(prefix) };
                    assert_eq!(
                        routes.remove(prefix),
                        model.remove(&prefix),
                        "seed {seed} step {step}: {prefix}"
                    );
                }
                _ if step % 16 == 0 => {
                    let count = model.len();
                    model.retain(|_, theirs| *theirs != owner);
                    assert_eq!(routes.remove_all(owner), count - model.len());
                }
                _ => {}
            }
            for _ in 0..8 {
                let address = chance.address();
                assert_eq!(
                    routes.lookup(address),
                    slow(&model, address),
                    "seed {seed} step {step}: {address}"
                );
            }
        }
        assert_eq!(routes.iter().collect::<BTreeMap<_, _>>(), model, "seed {seed}");
        assert!(
            routes.v4.size() + routes.v6.size() <= 2 * model.len(),
            "seed {seed}: nodes that decide nothing"
        );
        for owner in 0..5 {
            routes.remove_all(owner);
        }
        assert!(routes.is_empty());
        assert_eq!((routes.v4.size(), routes.v6.size()), (0, 0), "seed {seed}: all nodes are given back");
    }
}

#[test]
fn a_hundred_and_thirty_thousand_prefixes_come_and_go() {
    let mut chance = Chance(9);
    let mut routes = Routes::new();
    while routes.len() < 130_000 {
        let bits = chance.next();
        let address: IpAddr = if bits & 1 == 0 {
            Ipv4Addr::from_bits((bits >> 32) as u32).into()
        } else {
            Ipv6Addr::from_bits(u128::from(bits) << 64 | u128::from(chance.next())).into()
        };
        routes.insert(Prefix::of(address), (bits >> 1) as u32 % 4);
    }
    assert_eq!((0..4).map(|owner| routes.of(owner).count()).sum::<usize>(), 130_000);
    assert!(routes.iter().all(|(prefix, owner)| routes.lookup(prefix.address()) == Some(owner)));
    for owner in 0..4 {
        let owned = routes.of(owner).count();
        assert_eq!(routes.remove_all(owner), owned);
    }
    assert!(routes.is_empty());
}
