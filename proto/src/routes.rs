//! Who owns an address: the owner of the longest prefix that it is in.
//!
//! Each family has a binary trie without nodes that decide nothing (`routes/trie.rs`), so that a lookup visits at most one node per
//! prefix that nests there; beside it stands who owns what, so that all prefixes of one owner are found without a look at those of
//! others.

mod trie;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use self::trie::Trie;
use crate::prefix::Prefix;

/// Prefixes and their owners; each prefix has one.
#[derive(Debug)]
pub struct Routes<T> {
    v4: Trie<u32, T>,
    v6: Trie<u128, T>,
    owned: BTreeSet<(T, Prefix)>,
}

impl<T: Copy + Ord> Routes<T> {
    /// No prefixes.
    pub const fn new() -> Self {
        Self { v4: Trie::new(), v6: Trie::new(), owned: BTreeSet::new() }
    }

    /// Gives `prefix` to `owner`; returns whom it was taken from.
    pub fn insert(&mut self, prefix: Prefix, owner: T) -> Option<T> {
        let before = match prefix.address() {
            IpAddr::V4(v4) => self.v4.insert(v4.to_bits(), prefix.bits(), owner),
            IpAddr::V6(v6) => self.v6.insert(v6.to_bits(), prefix.bits(), owner),
        };
        if let Some(before) = before {
            self.owned.remove(&(before, prefix));
        }
        self.owned.insert((owner, prefix));
        before
    }

    /// Takes exactly this `prefix` away, not those inside it; returns whose it was.
    pub fn remove(&mut self, prefix: Prefix) -> Option<T> {
        let owner = self.forget(prefix)?;
        self.owned.remove(&(owner, prefix));
        Some(owner)
    }

    /// Takes everything away from `owner`; returns how many prefixes that was.
    pub fn remove_all(&mut self, owner: T) -> usize {
        let prefixes: Vec<_> = self.of(owner).collect();
        for prefix in &prefixes {
            self.forget(*prefix);
            self.owned.remove(&(owner, *prefix));
        }
        prefixes.len()
    }

    fn forget(&mut self, prefix: Prefix) -> Option<T> {
        match prefix.address() {
            IpAddr::V4(v4) => self.v4.remove(v4.to_bits(), prefix.bits()),
            IpAddr::V6(v6) => self.v6.remove(v6.to_bits(), prefix.bits()),
        }
    }

    /// Whose `address` is.
    pub fn lookup(&self, address: IpAddr) -> Option<T> {
        match address {
            IpAddr::V4(v4) => self.v4.lookup(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.lookup(v6.to_bits()),
        }
    }

    /// Whether exactly this prefix is `owner`'s.
    pub fn is_owned(&self, prefix: Prefix, owner: T) -> bool {
        self.owned.contains(&(owner, prefix))
    }

    /// What `owner` has, in order.
    pub fn of(&self, owner: T) -> impl Iterator<Item = Prefix> + '_ {
        self.owned
            .range((owner, Prefix::LEAST)..)
            .take_while(move |(other, _)| *other == owner)
            .map(|(_, prefix)| *prefix)
    }

    /// All prefixes and their owners, owner by owner.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, T)> + '_ {
        self.owned.iter().map(|(owner, prefix)| (*prefix, *owner))
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.owned.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }
}

impl<T: Copy + Ord> Default for Routes<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
