//! Slips in an `[[allow]]`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::{Maker, Scope};
use crate::policy::{Allow, PacketTarget, Packets, Policy, Target};

pub(super) fn mutate(maker: &mut Maker<'_>) {
    let policy = maker.policy;
    for allow in &policy.allows {
        maker.at(allow.line, &*allow.id, Scope::of(&allow.to));
        let at = maker.part.allows.iter().position(|one| one.id == allow.id).unwrap_or(0);
        maker.make("the rule is gone", |policy| drop(policy.allows.remove(at)));
        maker.slips_of_nodes("from", &allow.from, |policy, from| policy.allows[at].from = from);
        maker.slips_of_topics(&allow.topics, |policy, topics| policy.allows[at].topics = topics);
        slips_of_sockets(maker, at, allow);
        if let Target::Packets(target) = &allow.to {
            slips_of_packets(maker, at, allow, target);
        }
    }
}

fn slips_of_sockets(maker: &mut Maker<'_>, at: usize, allow: &Allow) {
    if !allow.sockets.is_empty() {
        maker.make("the types of sockets are gone: every type", |policy| policy.allows[at].sockets.clear());
    }
}

fn slips_of_packets(maker: &mut Maker<'_>, at: usize, allow: &Allow, target: &PacketTarget) {
    maker.slips_of_nodes("to", &target.to, |policy, to| {
        set_target(policy, at, |target| target.to = to);
    });
    maker.make(format!("`from` and `to` are exchanged: from {} to {}", target.to, allow.from), |policy| {
        policy.allows[at].from = target.to.clone();
        set_target(policy, at, |target| target.to = allow.from.clone());
    });
    for (change, packets) in other_packets(&target.packets) {
        maker.make(change, |policy| set_target(policy, at, |target| target.packets = packets));
    }
}

fn set_target(policy: &mut Policy, at: usize, edit: impl FnOnce(&mut PacketTarget)) {
    if let Target::Packets(target) = &mut policy.allows[at].to {
        edit(target);
    }
}

/// The other protocol, and each range of ports that is one wider or a single port.
pub(super) fn other_packets(packets: &Packets) -> Vec<(String, Packets)> {
    let (ports, same, other): (_, fn(_) -> _, fn(_) -> _) = match packets {
        Packets::Tcp(ports) => (ports, Packets::Tcp, Packets::Udp),
        Packets::Udp(ports) => (ports, Packets::Udp, Packets::Tcp),
        Packets::Icmp => return Vec::new(),
    };
    let others = other_ranges(ports).into_iter().map(same);
    let others = core::iter::once(other(ports.clone())).chain(others);
    others.map(|other| (format!("{packets} becomes {other}"), other)).collect()
}

fn other_ranges(ports: &RangeInclusive<u16>) -> Vec<RangeInclusive<u16>> {
    let (first, last) = (*ports.start(), *ports.end());
    let mut ranges = Vec::new();
    if first > 1 {
        ranges.push(first - 1..=last);
    }
    if let Some(above) = last.checked_add(1) {
        ranges.push(first..=above);
    }
    if first < last {
        ranges.extend([first..=first, last..=last]);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_slips_at_each_end_and_to_each_single_end() {
        for (ports, others) in [
            (22..=22, &[21..=22, 22..=23][..]),
            (5000..=5010, &[4999..=5010, 5000..=5011, 5000..=5000, 5010..=5010]),
            (1..=65535, &[1..=1, 65535..=65535]),
            (1..=1, &[1..=2]),
        ] {
            assert_eq!(other_ranges(&ports), others, "{ports:?}");
        }
    }
}
