//! Sets of addresses and ports, and the form of a list.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Entry, List};
use crate::prefix::Prefix;

/// An address and how many of its bits count, as written: the bits behind are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// The address.
    pub address: IpAddr,
    /// At most 32, or 128 for IPv6.
    pub bits: u8,
}

impl Net {
    /// Whether an address of the same family is in it; `None` for the other family. ZeroTier compares an IPv6 address
    /// under the mask with the rule's own bits, so that one with bits behind the mask holds nothing.
    pub(super) fn holds(&self, address: IpAddr) -> Option<bool> {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differs = ours.to_bits() ^ theirs.to_bits();
                Some(differs.checked_shr(32 - u32::from(self.bits.min(32))).unwrap_or(0) == 0)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits.min(128))).unwrap_or(0);
                Some(theirs.to_bits() & mask == ours.to_bits())
            }
            _ => None,
        }
    }
}

/// A set of addresses: prefixes, kept as ranges that do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSet {
    prefixes: Box<[Prefix]>,
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl NetSet {
    /// The addresses of all these prefixes.
    pub fn new(prefixes: Vec<Prefix>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in &prefixes {
            let free = |width: u32| width - u32::from(prefix.bits());
            match prefix.address() {
                IpAddr::V4(first) => {
                    let rest = u32::MAX.checked_shr(32 - free(32)).unwrap_or(0);
                    v4.push((first.to_bits(), first.to_bits() | rest));
                }
                IpAddr::V6(first) => {
                    let rest = u128::MAX.checked_shr(128 - free(128)).unwrap_or(0);
                    v6.push((first.to_bits(), first.to_bits() | rest));
                }
            }
        }
        Self { prefixes: prefixes.into(), v4: merged(v4), v6: merged(v6) }
    }

    /// The prefixes, in the order in which they were given.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Whether the address is in the set; `None` where the set has no address of its family.
    pub fn holds(&self, address: IpAddr) -> Option<bool> {
        match address {
            IpAddr::V4(v4) => (!self.v4.is_empty()).then(|| within(&self.v4, Ipv4Addr::to_bits(v4))),
            IpAddr::V6(v6) => (!self.v6.is_empty()).then(|| within(&self.v6, Ipv6Addr::to_bits(v6))),
        }
    }
}

/// A set of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet {
    ranges: Box<[(u16, u16)]>,
    merged: Box<[(u16, u16)]>,
}

impl PortSet {
    /// The ports of all these ranges, both ends included.
    pub fn new(ranges: Vec<(u16, u16)>) -> Self {
        Self { ranges: ranges.clone().into(), merged: merged(ranges) }
    }

    /// The ranges, in the order in which they were given.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Whether the port is in the set.
    pub fn holds(&self, port: u16) -> bool {
        within(&self.merged, port)
    }
}

/// Sorted, and those that overlap made one.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= value);
    behind > 0 && value <= ranges[behind - 1].1
}

/// Whether entries are a list.
pub(super) fn check(entries: &[Entry]) -> Result<(), String> {
    if entries.len() > List::MOST {
        return Err(format!("there are more than {} matches and actions", List::MOST));
    }
    let mut open: Vec<usize> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Open { skip, .. } => open.push(at + usize::from(*skip)),
            Entry::Close if open.pop() != Some(at) => {
                return Err("a group does not end where it says".to_owned());
            }
            Entry::Act(_) if !open.is_empty() => return Err("a group is not closed".to_owned()),
            _ => {}
        }
        if open.len() > List::DEEPEST {
            return Err(format!("groups stand more than {} deep", List::DEEPEST));
        }
    }
    match entries.last() {
        None | Some(Entry::Act(_)) => Ok(()),
        Some(_) => Err("matches without an action".to_owned()),
    }
}
