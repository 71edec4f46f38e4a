//! What judges IP packets on their way into the tunnel and out of it. When in doubt, nothing passes.

mod denials;
mod judging;
mod logged;
mod pace;
mod policed;
mod random;
mod reading;
mod scripted;
mod territory;
#[cfg(test)]
mod tests;
mod words;

pub use denials::PacketDenial;
use policed::Policed;
use scripted::Scripted;
pub use territory::Territory;

use std::net::IpAddr;
use std::sync::Arc;

use lockgate_proto::device::{CopyOrder, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::{self, Direction};
use lockgate_proto::now::Now;
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::rules::{Difference, Differences, Rules};
use lockgate_proto::script::Script;

/// How a packet that may pass goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Who gets a copy, and which.
    pub(super) copy: Option<(PeerId, CopyOrder)>,
    /// Who gets it instead of whom it was for.
    pub(super) detour: Option<PeerId>,
}

/// A packet, or several of one flow under one header.
#[derive(Clone, Copy)]
pub(super) struct Load<'p> {
    /// The packet, or what the several are cut from.
    packet: &'p [u8],
    /// The lengths of the first one and of the last.
    lengths: (u16, u16),
}

impl<'p> Load<'p> {
    /// One packet.
    pub(super) fn one(packet: &'p [u8]) -> Self {
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        Self { packet, lengths: (length, length) }
    }

    /// Packets of one flow, as the kernel hands them over.
    pub(super) fn several(packets: &Segments<'p>) -> Self {
        let length = |index| u16::try_from(packets.len(index)).unwrap_or(u16::MAX);
        Self { packet: packets.packet(), lengths: (length(0), length(packets.count() - 1)) }
    }

    const fn is_several(&self) -> bool {
        self.packet.len() > self.lengths.0 as usize
    }
}

/// What judges IP packets.
pub enum Gate {
    /// There is no TUN device: no packet is ours.
    NoTun,
    /// Nothing passes: there are no rules.
    Shut,
    /// Everything passes: whoever runs this has said so.
    Open,
    /// The policy decides.
    Policy(Box<Policed>),
    /// Flow rules decide about each packet by itself.
    Script(Box<Scripted>),
}

impl Gate {
    /// The policy's gate of the node called `own`, which speaks for `territory`; `seed` must be secret from peers.
    pub fn policy(own: Arc<str>, territory: Territory, rules: Arc<Rules>, seed: u128) -> Self {
        Self::Policy(Box::new(Policed::new(own, territory, rules, seed)))
    }

    /// The gate of a script, where nodes have no names; `seed` must be secret from peers.
    pub fn script(script: &Script, seed: u128) -> Self {
        Self::Script(Box::new(Scripted::new(script, seed)))
    }

    /// What a peer is called in the policy, and which addresses it speaks for.
    pub(super) fn name(&mut self, peer: PeerId, name: Arc<str>, addresses: &[Prefix]) {
        if let Self::Policy(policed) = self {
            policed.name(peer, name);
            policed.territory().cede(addresses);
        }
    }

    /// A peer is gone, and its number may be given to another.
    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        match self {
            Self::Policy(policed) => policed.judging.forget_peer(peer),
            Self::Script(scripted) => scripted.judging.forget_peer(peer),
            Self::NoTun | Self::Shut | Self::Open => {}
        }
    }

    /// Other rules: every flow is judged again with its next packet.
    pub(super) fn replace_rules(&mut self, rules: Arc<Rules>) {
        if let Self::Policy(policed) = self {
            policed.replace_rules(rules);
        }
    }

    /// Puts a candidate beside the rules, or takes it away.
    pub(super) fn stage(&mut self, candidate: Option<Arc<Rules>>) {
        if let Self::Policy(policed) = self {
            policed.stage(candidate);
        }
    }

    /// The candidate as it is from now on.
    pub(super) fn update_candidate(&mut self, rules: Arc<Rules>) {
        if let Self::Policy(policed) = self {
            policed.update_candidate(rules);
        }
    }

    /// Where the candidate judged packets otherwise, if one is staged.
    pub(super) fn differences(&self) -> Option<&Differences> {
        let Self::Policy(policed) = self else { return None };
        policed.staged.as_ref().map(|staged| &staged.differences)
    }

    /// A difference that nobody was told of.
    pub(super) fn poll_difference(&mut self) -> Option<Difference> {
        let Self::Policy(policed) = self else { return None };
        policed.staged.as_mut()?.differences.poll_untold()
    }

    /// Judges a packet to or from `peer`.
    pub(super) fn judge(
        &mut self,
        direction: Direction,
        peer: PeerId,
        load: Load<'_>,
        now: Now,
    ) -> Result<Way, Discard> {
        match self {
            Self::Open => Ok(Way::default()),
            Self::NoTun => Err(Discard::NoTun),
            Self::Shut => Err(Discard::Denied),
            Self::Policy(policed) => policed.judge(direction, peer, load, now),
            Self::Script(scripted) => scripted.judge(direction, peer, load, now),
        }
    }

    /// Whether a packet that is for another host may come by here: its addresses have been checked, and `route` says which peer
    /// each leads to.
    pub(super) fn admits_detour(
        &self,
        packet: &[u8],
        route: impl Fn(IpAddr) -> Option<PeerId>,
    ) -> Result<(), Discard> {
        match self {
            Self::Policy(policed) => policed.admits_detour(packet, route),
            Self::NoTun => Err(Discard::NoTun),
            // No rule that would send it here is known to these.
            Self::Open | Self::Shut | Self::Script(_) => Err(Discard::Denied),
        }
    }

    /// The next denial that nobody was told of.
    pub(super) fn poll_denial(&mut self) -> Option<PacketDenial> {
        match self {
            Self::Policy(policed) => policed.denials.poll(),
            _ => None,
        }
    }

    /// What was denied lately, oldest first.
    pub fn denials(&self) -> impl Iterator<Item = &PacketDenial> {
        let policed = if let Self::Policy(policed) = self { Some(policed) } else { None };
        policed.into_iter().flat_map(|policed| policed.denials.iter())
    }

    /// How many flows are remembered, and what happened to them.
    pub fn flows(&self) -> Option<(usize, flows::Counters)> {
        let judging = match self {
            Self::Policy(policed) => &policed.judging,
            Self::Script(scripted) => &scripted.judging,
            Self::NoTun | Self::Shut | Self::Open => return None,
        };
        Some((judging.flows.len(), judging.flows.counters()))
    }

    /// What it does, in a word for reports.
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::NoTun => "no_tun",
            Self::Shut => "shut",
            Self::Open => "open",
            Self::Policy(_) => "policy",
            Self::Script(_) => "rules",
        }
    }
}
