//! What a section of a policy can have a say in: everything else it leaves as it is.

use alloc::string::String;
use core::ops::RangeInclusive;

use crate::policy::{Packets, Policy, Target};
use crate::rules::{PacketKind, What};

/// A set of questions, by what they are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    Service(String),
    /// TCP and UDP to these ports.
    Ports(RangeInclusive<u16>),
    Icmp,
}

impl Scope {
    /// Of a rule for `target` and of whatever is one slip away from it.
    pub(super) fn of(target: &Target) -> Self {
        match target {
            Target::Service(name) => Self::Service(name.clone()),
            Target::Packets(target) => match &target.packets {
                Packets::Tcp(ports) | Packets::Udp(ports) => {
                    Self::Ports(ports.start().saturating_sub(1)..=ports.end().saturating_add(1))
                }
                Packets::Icmp => Self::Icmp,
            },
        }
    }

    /// A key by which questions are kept apart: those of one key are all in a scope or none of them is.
    pub(super) fn key<'w>(what: &What<'w>) -> Key<'w> {
        match what {
            What::Service { name, .. } => Key::Service(name),
            What::Packets(PacketKind::Tcp(port) | PacketKind::Udp(port)) => Key::Port(*port),
            What::Packets(_) => Key::Other,
        }
    }

    pub(super) fn has_key(&self, key: &Key<'_>) -> bool {
        match (self, key) {
            (Self::Everything, _) | (Self::Icmp, Key::Other) => true,
            (Self::Service(service), Key::Service(name)) => service == name,
            (Self::Ports(ports), Key::Port(port)) => ports.contains(port),
            _ => false,
        }
    }

    /// The policy without what has no say in it: it answers all questions in the scope alike.
    pub(super) fn part(&self, policy: &Policy) -> Policy {
        policy.part(
            |service| match self {
                Self::Everything => true,
                Self::Service(name) => service.name == *name,
                Self::Ports(_) | Self::Icmp => false,
            },
            |target| match (self, target) {
                (Self::Everything, _) => true,
                (Self::Service(name), Target::Service(service)) => name == service,
                (Self::Ports(_) | Self::Icmp, Target::Packets(target)) => self.meets(&target.packets),
                _ => false,
            },
        )
    }

    fn meets(&self, packets: &Packets) -> bool {
        match (self, packets) {
            (Self::Ports(here), Packets::Tcp(there) | Packets::Udp(there)) => {
                here.start() <= there.end() && there.start() <= here.end()
            }
            (Self::Icmp, Packets::Icmp) => true,
            _ => false,
        }
    }

    pub(super) fn has(&self, what: &What<'_>) -> bool {
        self.has_key(&Self::key(what))
    }
}

/// See [`Scope::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'w> {
    Service(&'w str),
    /// TCP and UDP.
    Port(u16),
    /// ICMP.
    Other,
}
