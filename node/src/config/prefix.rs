//! Overlay addresses of a peer: what WireGuard calls allowed IPs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses; the bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// Reads `10.77.0.12` or `10.77.0.0/24`. The flaw, where there is one, as a problem and its mend.
    ///
    /// # Errors
    /// The problem and the mend.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let wanted = || {
            (
                "is not an address or a prefix".to_owned(),
                "write  \"10.77.0.12\"  or  \"10.77.0.0/24\"".to_owned(),
            )
        };
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| wanted())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => widest,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= widest).ok_or_else(wanted)?,
        };
        let prefix = Self { address: network(address, bits), bits };
        if prefix.address != address {
            return Err(("has bits set behind its prefix".to_owned(), format!("write  \"{prefix}\"")));
        }
        Ok(prefix)
    }

    /// The first address of the range.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits are fixed: 0 to 32, or 128 for IPv6.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether it is this one address.
    pub fn is_just(&self, address: IpAddr) -> bool {
        self.address == address && self.bits == if address.is_ipv4() { 32 } else { 128 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_just(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

fn network(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_reads_back_as_written_or_names_its_network() {
        for (text, read) in [
            ("10.77.0.12", Ok("10.77.0.12")),
            ("10.77.0.12/32", Ok("10.77.0.12")),
            ("10.77.0.0/24", Ok("10.77.0.0/24")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("fd00::1", Ok("fd00::1")),
            ("fd00::/8", Ok("fd00::/8")),
            ("::/0", Ok("::/0")),
            ("10.77.0.12/24", Err("write  \"10.77.0.0/24\"")),
            ("fd00::1/8", Err("write  \"fd00::/8\"")),
            ("10.77.0.0/33", Err("write  \"10.77.0.12\"")),
            ("10.77.0", Err("write  \"10.77.0.12\"")),
            ("", Err("write  \"10.77.0.12\"")),
        ] {
            match (Prefix::parse(text), read) {
                (Ok(prefix), Ok(wanted)) => assert_eq!(prefix.to_string(), wanted),
                (Err((_, mend)), Err(wanted)) => {
                    assert!(mend.starts_with(wanted), "{text}: {mend}");
                }
                (found, wanted) => panic!("{text}: {found:?} instead of {wanted:?}"),
            }
        }
    }
}
