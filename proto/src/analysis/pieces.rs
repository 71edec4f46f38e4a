//! What can be asked about two nodes, cut into pieces of which every question has the same answer.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::named::{Named, NamedService};
use super::passes::OWN;
use crate::policy::Policy;
use crate::rules::{PacketKind, RuleRef, Rules, What};
use crate::zmtp::SocketType;

/// A piece of what can be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// TCP to these ports, both ends included.
    Tcp(u16, u16),
    /// UDP to these ports.
    Udp(u16, u16),
    /// ICMP and ICMPv6.
    Icmp,
    /// Other IP protocols: these numbers, both ends included.
    Protocols(u8, u8),
    /// Messages of a service.
    Messages {
        /// The service.
        service: Arc<str>,
        /// The type of the using application's socket.
        socket: SocketType,
        /// Messages that begin so, and with none of the longer starts that other pieces name.
        topic: Arc<[u8]>,
    },
}

impl Piece {
    /// A question that stands for all of the piece.
    pub fn question(&self) -> What<'_> {
        match self {
            Self::Tcp(first, _) => What::Packets(PacketKind::Tcp(*first)),
            Self::Udp(first, _) => What::Packets(PacketKind::Udp(*first)),
            Self::Icmp => What::Packets(PacketKind::Icmp),
            Self::Protocols(first, _) => What::Packets(PacketKind::Other(*first)),
            // The start alone is a message that begins so, and with nothing longer.
            Self::Messages { service, socket, topic } => {
                What::Service { name: service, topic: Some(topic), socket: Some(*socket) }
            }
        }
    }
}

/// Everything that can be asked about two nodes under some policies.
#[derive(Clone, Debug)]
pub struct Pieces(Vec<Piece>);

impl Pieces {
    /// The pieces for `policies`, which may differ.
    pub fn of<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let mut named = Named::default();
        for policy in policies {
            named.add(policy);
        }
        let mut pieces = Vec::new();
        for (service, named) in &named.services {
            messages(service, named, &mut pieces);
        }
        pieces.extend(ranges(&named.tcp).map(|(first, last)| Piece::Tcp(first, last)));
        pieces.extend(ranges(&named.udp).map(|(first, last)| Piece::Udp(first, last)));
        pieces.push(Piece::Icmp);
        let cuts = OWN
            .iter()
            .flat_map(|number| [u16::from(*number), u16::from(*number) + 1])
            .chain(named.protocols)
            .collect();
        let protocols = ranges(&cuts).filter_map(|(first, last)| {
            Some(Piece::Protocols(u8::try_from(first).ok()?, u8::try_from(last).unwrap_or(u8::MAX)))
        });
        pieces
            .extend(protocols.filter(|piece| !OWN.iter().any(|own| *piece == Piece::Protocols(*own, *own))));
        Self(pieces)
    }

    /// The pieces: services by name, then TCP, UDP, ICMP and other protocols.
    pub fn list(&self) -> &[Piece] {
        &self.0
    }

    /// The pieces that pass from one node to the other, and by which rule.
    pub fn passing(&self, rules: &Rules, from: &str, to: &str) -> Vec<(&Piece, RuleRef)> {
        let hosted: BTreeSet<&str> =
            rules.services().filter(|service| rules.may_host(to, service).is_ok()).collect();
        let may = |piece: &&Piece| match piece {
            Piece::Messages { service, .. } => hosted.contains(&**service),
            _ => true,
        };
        let between = rules.between(from, to);
        self.0
            .iter()
            .filter(may)
            .filter_map(|piece| Some((piece, between.permits(piece.question())?)))
            .collect()
    }
}

/// Every topic is in the piece of the longest start that it has; the empty one is for those with none.
fn messages(service: &str, named: &NamedService, pieces: &mut Vec<Piece>) {
    let service: Arc<str> = service.into();
    let mut topics: BTreeSet<&[u8]> = named.topics.iter().map(Vec::as_slice).collect();
    topics.insert(b"");
    for socket in &named.sockets {
        for topic in &topics {
            let topic = Arc::from(*topic);
            pieces.push(Piece::Messages { service: service.clone(), socket: *socket, topic });
        }
    }
}

/// All ports, cut before each of `cuts`.
fn ranges(cuts: &BTreeSet<u16>) -> impl Iterator<Item = (u16, u16)> {
    let starts: Vec<u16> = core::iter::once(0).chain(cuts.iter().copied().filter(|cut| *cut > 0)).collect();
    let ends: Vec<u16> = starts.iter().skip(1).map(|start| start - 1).chain([u16::MAX]).collect();
    starts.into_iter().zip(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_where_a_range_begins_and_behind_its_end() {
        for (cuts, pieces) in [
            (&[][..], &[(0, 65_535)][..]),
            (&[0, 1], &[(0, 0), (1, 65_535)]),
            (&[22, 23, 80], &[(0, 21), (22, 22), (23, 79), (80, 65_535)]),
            (&[65_535], &[(0, 65_534), (65_535, 65_535)]),
        ] {
            let cuts = cuts.iter().copied().collect();
            assert_eq!(ranges(&cuts).collect::<Vec<_>>(), pieces, "{cuts:?}");
        }
    }
}
