//! A range of addresses: what a route leads to, and what WireGuard calls an allowed IP.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses; the bits behind the prefix are zero. Ordered by family, address, then length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// The least there is, in the order of prefixes.
    pub const LEAST: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), bits: 0 };

    /// The range of `bits` fixed bits that `address` is in; what stands behind them is cleared. `None` for more bits than the
    /// address has.
    pub fn masked(address: IpAddr, bits: u8) -> Option<Self> {
        if bits > width(address) {
            return None;
        }
        let fixed = u32::from(bits);
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::BITS - fixed).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u128::BITS - fixed).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(Self { address, bits })
    }

    /// The range that is this one address.
    pub const fn of(address: IpAddr) -> Self {
        Self { address, bits: width(address) }
    }

    /// The first address of the range.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits are fixed: 0 to 32, or 128 for IPv6.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether `address` is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::masked(address, self.bits).is_some_and(|range| range == *self)
    }

    /// Whether it is this one address.
    pub fn is_just(&self, address: IpAddr) -> bool {
        *self == Self::of(address)
    }
}

/// An address alone where the range is no more than that, else `address/bits`.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_just(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

/// How many bits an address has.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bits_behind_the_prefix_are_cleared_and_too_many_are_refused() {
        for (address, bits, expected) in [
            ("10.77.3.12", 32, Some("10.77.3.12")),
            ("10.77.3.12", 24, Some("10.77.3.0/24")),
            ("10.77.3.12", 31, Some("10.77.3.12/31")),
            ("255.255.255.255", 1, Some("128.0.0.0/1")),
            ("10.77.3.12", 0, Some("0.0.0.0/0")),
            ("10.77.3.12", 33, None),
            ("fd00::1", 128, Some("fd00::1")),
            ("fd00::1", 8, Some("fd00::/8")),
            ("fd00:0:0:1::5", 64, Some("fd00:0:0:1::/64")),
            ("fd00::1", 0, Some("::/0")),
            ("fd00::1", 129, None),
        ] {
            let prefix = Prefix::masked(address.parse().unwrap(), bits);
            assert_eq!(
                prefix.map(|prefix| prefix.to_string()).as_deref(),
                expected,
                "{address} with {bits} bits"
            );
        }
    }

    #[test]
    fn a_prefix_contains_its_range_and_nothing_of_the_other_family() {
        for (prefix, bits, address, inside) in [
            ("10.0.0.0", 8, "10.255.255.255", true),
            ("10.0.0.0", 8, "11.0.0.0", false),
            ("10.0.0.0", 8, "9.255.255.255", false),
            ("0.0.0.0", 0, "1.2.3.4", true),
            ("0.0.0.0", 0, "::", false),
            ("::", 0, "1.2.3.4", false),
            ("::", 0, "ffff::", true),
            ("fd00::", 64, "fd00::ffff", true),
            ("fd00::", 64, "fd00:0:0:1::", false),
            ("10.0.0.1", 32, "10.0.0.1", true),
            ("10.0.0.1", 32, "10.0.0.0", false),
        ] {
            let range = Prefix::masked(prefix.parse().unwrap(), bits).unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), inside, "{address} in {range}");
        }
    }

    #[test]
    fn the_least_prefix_is_the_least() {
        for (address, bits) in [("0.0.0.0", 1), ("0.0.0.1", 32), ("::", 0)] {
            assert!(Prefix::LEAST < Prefix::masked(address.parse().unwrap(), bits).unwrap());
        }
        assert_eq!(Prefix::masked("9.9.9.9".parse().unwrap(), 0), Some(Prefix::LEAST));
    }
}
