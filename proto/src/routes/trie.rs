//! Longest-prefix match over addresses of one family: a path-compressed binary trie whose nodes lie in one vector.
//!
//! A node stands for a prefix. It is there because the prefix has an owner, or because two subtrees part at its end; so there
//! are fewer than two nodes per prefix.

use alloc::vec::Vec;
use core::ops::BitXor;

/// An address as a number, its first bit the highest.
pub(super) trait Bits: Copy + Eq + BitXor<Output = Self> {
    /// How many bits an address has.
    const WIDTH: u8;

    /// How many bits are zero before the first that is one.
    fn zeros(self) -> u8;

    /// The bit behind the first `at`.
    fn side(self, at: u8) -> usize;

    /// The first `bits` bits, and zeroes.
    fn masked(self, bits: u8) -> Self;
}

macro_rules! bits {
    ($($number:ty)+) => {
        $(impl Bits for $number {
            const WIDTH: u8 = <$number>::BITS as u8;

            fn zeros(self) -> u8 {
                self.leading_zeros() as u8
            }

            fn side(self, at: u8) -> usize {
                (self >> (Self::WIDTH - 1 - at)) as usize & 1
            }

            fn masked(self, bits: u8) -> Self {
                self & <$number>::MAX.checked_shl(u32::from(Self::WIDTH - bits)).unwrap_or(0)
            }
        })+
    };
}

bits!(u32 u128);

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node<K, T> {
    key: K,
    bits: u8,
    owner: Option<T>,
    /// Where the prefixes inside this one are that go on with a zero and with a one.
    sides: [u32; 2],
}

impl<K: Bits, T> Node<K, T> {
    fn covers(&self, key: K) -> bool {
        (self.key ^ key).zeros() >= self.bits
    }
}

/// What points to a node: the root, or one side of a node.
#[derive(Clone, Copy)]
enum Link {
    Root,
    Side(u32, usize),
}

/// Prefixes of one family, and their owners.
#[derive(Debug)]
pub(super) struct Trie<K, T> {
    nodes: Vec<Node<K, T>>,
    /// Places in `nodes` that are not in use.
    free: Vec<u32>,
    root: u32,
}

impl<K: Bits, T: Copy> Trie<K, T> {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NONE }
    }

    /// The owner of the longest prefix that `key` is in.
    pub(super) fn lookup(&self, key: K) -> Option<T> {
        let mut found = None;
        let mut at = self.root;
        while let Some(node) = self.nodes.get(at as usize).filter(|node| node.covers(key)) {
            found = node.owner.or(found);
            if node.bits == K::WIDTH {
                break;
            }
            at = node.sides[key.side(node.bits)];
        }
        found
    }

    /// Returns the owner before.
    pub(super) fn insert(&mut self, key: K, bits: u8, owner: T) -> Option<T> {
        let mut link = Link::Root;
        loop {
            let at = self.target(link);
            let Some(node) = self.nodes.get_mut(at as usize) else {
                self.grow(link, Node { key, bits, owner: Some(owner), sides: [NONE; 2] });
                return None;
            };
            let shared = (node.key ^ key).zeros().min(node.bits).min(bits);
            if shared == node.bits && shared == bits {
                return node.owner.replace(owner);
            }
            if shared == node.bits {
                link = Link::Side(at, key.side(shared));
                continue;
            }
            // The node begins inside the new prefix, or parts from it: something new stands before it.
            let mut sides = [NONE; 2];
            sides[node.key.side(shared)] = at;
            let is_new = shared == bits;
            let owner_here = is_new.then_some(owner);
            let before =
                self.grow(link, Node { key: key.masked(shared), bits: shared, owner: owner_here, sides });
            if is_new {
                return None;
            }
            link = Link::Side(before, key.side(shared));
        }
    }

    /// Returns the owner there was.
    pub(super) fn remove(&mut self, key: K, bits: u8) -> Option<T> {
        let (mut parent, mut link) = (None, Link::Root);
        loop {
            let at = self.target(link);
            let node = self.nodes.get_mut(at as usize)?;
            if node.bits > bits || !node.covers(key) {
                return None;
            }
            if node.bits == bits {
                let owner = node.owner.take()?;
                self.prune(link);
                // What stood there only because two subtrees parted may now have one.
                if let Some(parent) = parent {
                    self.prune(parent);
                }
                return Some(owner);
            }
            parent = Some(link);
            link = Link::Side(at, key.side(node.bits));
        }
    }

    /// Takes the node at `link` out if it decides nothing; what is below it, if anything, takes its place.
    fn prune(&mut self, link: Link) {
        let at = self.target(link);
        let node = self.nodes[at as usize];
        let below = match (node.owner, node.sides) {
            (None, [NONE, below] | [below, NONE]) => below,
            _ => return,
        };
        self.point(link, below);
        self.free.push(at);
    }

    fn grow(&mut self, link: Link, node: Node<K, T>) -> u32 {
        let at = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("2^32 nodes do not fit into memory")
        };
        self.point(link, at);
        at
    }

    fn target(&self, link: Link) -> u32 {
        match link {
            Link::Root => self.root,
            Link::Side(node, side) => self.nodes[node as usize].sides[side],
        }
    }

    fn point(&mut self, link: Link, at: u32) {
        match link {
            Link::Root => self.root = at,
            Link::Side(node, side) => self.nodes[node as usize].sides[side] = at,
        }
    }

    /// How many nodes are in use.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}
