//! What a section of a policy can have a say in: everything else it leaves as it is.

use alloc::string::String;
use core::ops::RangeInclusive;

use crate::policy::{Packets, Target};
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

    pub(super) fn has(&self, what: &What<'_>) -> bool {
        match (self, what) {
            (Self::Everything, _) | (Self::Icmp, What::Packets(PacketKind::Icmp)) => true,
            (Self::Service(service), What::Service { name, .. }) => service == name,
            (Self::Ports(ports), What::Packets(PacketKind::Tcp(port) | PacketKind::Udp(port))) => {
                ports.contains(port)
            }
            _ => false,
        }
    }
}
