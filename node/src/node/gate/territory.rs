//! Which addresses this node speaks for. The policy names nodes, so a packet is judged as this node's only where its near
//! end is this node's: what would merely pass through the host (from peer to peer, or from a network that nobody gave to
//! this node) is nobody's, and denied.

use std::net::IpAddr;

use lockgate_proto::prefix::Prefix;

/// The addresses of this node and of the networks behind it.
#[derive(Clone, Debug, Default)]
pub struct Territory {
    addresses: Vec<IpAddr>,
    networks: Vec<Prefix>,
    foreign: Vec<Prefix>,
}

impl Territory {
    /// This node's own overlay addresses, and the networks behind it.
    pub fn new(addresses: Vec<IpAddr>, networks: Vec<Prefix>) -> Self {
        Self { addresses, networks, foreign: Vec::new() }
    }

    /// A peer has these addresses.
    pub(super) fn cede(&mut self, prefixes: &[Prefix]) {
        self.foreign.extend(prefixes);
    }

    /// Whether `address` is this node's: its own, or in a network behind it and in no prefix of a peer that is as long.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        if self.addresses.contains(&address) {
            return true;
        }
        let longest = |prefixes: &[Prefix]| {
            prefixes.iter().filter(|prefix| prefix.contains(address)).map(Prefix::bits).max()
        };
        longest(&self.networks).is_some_and(|own| longest(&self.foreign).is_none_or(|foreign| own > foreign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, bits) = text.split_once('/').unwrap();
        Prefix::masked(address.parse().unwrap(), bits.parse().unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_given_to_this_node_is_not_its_own() {
        let own = ["10.77.0.1".parse().unwrap(), "fd77::1".parse().unwrap()];
        let mut territory = Territory::new(own.into(), vec![prefix("192.168.0.0/16"), prefix("10.0.0.0/8")]);
        territory.cede(&[prefix("0.0.0.0/0"), prefix("10.77.0.2/32"), prefix("192.168.5.0/24")]);
        for (address, holds) in [
            ("10.77.0.1", true),
            ("fd77::1", true),
            ("192.168.1.1", true),
            ("192.168.5.1", false),
            ("10.77.0.2", false),
            ("10.77.0.3", true),
            ("8.8.8.8", false),
            ("fd77::2", false),
            ("224.0.0.1", false),
        ] {
            assert_eq!(territory.holds(address.parse().unwrap()), holds, "{address}");
        }
        assert!(!Territory::default().holds("0.0.0.0".parse().unwrap()));
    }
}
