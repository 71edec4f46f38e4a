//! How much a policy compiles to, before it is compiled: the lists that judge are bounded.

use alloc::format;

use super::{
    Allow, Capability, Forbid, ForbidTarget, PacketTarget, Packets, Policy, Service, TagExpr, Target,
};
use crate::document::Mistakes;
use crate::program::List;

/// Refuses what would not fit. A capability counts for each of its grants, as all of them may hold at once.
pub(super) fn refuse(policy: &Policy, mistakes: &mut Mistakes) {
    let capability = |name: &str| policy.capabilities.iter().find(|capability| capability.name == name);
    let granted = policy.grants.iter().filter_map(|grant| capability(&grant.capability));
    let begins = policy.allows.iter().map(|allow| of_allow(policy, allow)).sum::<usize>();
    let held = granted.map(|capability| of_capability(policy, capability)).sum::<usize>();
    let forbids = policy.forbids.iter().map(of_forbid).chain(policy.services.values().map(of_service));
    for (what, many) in [
        ("allows compile", begins),
        ("grants compile", held),
        ("forbids and services compile", forbids.sum()),
    ] {
        if many > List::MOST {
            let problem =
                format!("the {what} to {many} matches and actions at most, more than {}", List::MOST);
            mistakes.note(1, "", problem, "write fewer, with wider conditions, or split the network");
        }
    }
}

fn of_allow(policy: &Policy, allow: &Allow) -> usize {
    of_target(policy, &allow.to, allow.from.terms().len() + allow.sockets.len() + allow.topics.len())
}

fn of_capability(policy: &Policy, capability: &Capability) -> usize {
    of_target(policy, &capability.to, 1 + capability.sockets.len() + capability.topics.len())
}

/// Topics are those of the rule and those of the service, at most all of both.
fn of_target(policy: &Policy, target: &Target, own: usize) -> usize {
    own + FIXED
        + match target {
            Target::Packets(target) => of_packets(target),
            Target::Service(name) => policy.services.get(name).map_or(0, |service| service.topics.len()),
        }
}

fn of_packets(target: &PacketTarget) -> usize {
    let kind = if target.packets == Packets::Icmp { ICMP } else { 2 };
    target.to.terms().len() + kind
}

fn of_forbid(forbid: &Forbid) -> usize {
    let terms = |expression: &TagExpr| expression.terms().len();
    let to = match &forbid.to {
        ForbidTarget::Everything(to) => terms(to),
        ForbidTarget::Packets(target) => of_packets(target),
        ForbidTarget::Service(_) => 1,
    };
    terms(&forbid.from) + to + FIXED
}

fn of_service(service: &Service) -> usize {
    service.hosted_by.terms().len() + service.topics.len() + ALL_SOCKETS + 4 * FIXED
}

/// Beside what is listed: the service, the size, the ends of two groups, the action.
const FIXED: usize = 8;
/// What ICMP is: one protocol for each version of IP, and the ends of groups.
const ICMP: usize = 12;
/// The socket types that there are.
const ALL_SOCKETS: usize = 16;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::rules::Rules;

    fn policy(allows: usize) -> String {
        let mut text = String::from("default = \"deny\"\n[tags]\nr = [\"a\"]\n[nodes]\nn = { r = \"a\" }\n");
        for at in 0..allows {
            text += &format!("[[allow]]\nid=\"{at}\"\nfrom=\"r=a\"\nto=\"r=a tcp:1\"\n");
        }
        text
    }

    #[test]
    fn a_policy_that_is_too_large_is_refused_and_the_largest_compiles() {
        let most = List::MOST / (FIXED + 4);
        let largest = Policy::parse("p.toml", &policy(most)).expect("it fits");
        let compiled = Rules::compile(&largest, 1);
        assert!(compiled.program().any(|(_, list)| list.acts().count() == most));
        let refused = Policy::parse("p.toml", &policy(most + 1)).expect_err("too large");
        assert!(refused.len() == 1 && refused[0].problem.contains("more than 65535"), "{refused:#?}");
    }

    #[test]
    fn topics_that_begin_with_each_other_are_one() {
        let topics: String = (1..=200).map(|length| format!("\"{}\",", "a".repeat(length))).collect();
        let text = format!(
            "default = \"deny\"\n[tags]\nr = [\"a\"]\n[nodes]\nn = {{ r = \"a\" }}\n\
             [service.s]\nhosted-by = \"r=a\"\nsocket = \"pub\"\ntopics = [{topics}]\n\
             [[allow]]\nid = \"one\"\nfrom = \"r=a\"\nto = \"s\"\ntopics = [{topics}]\n"
        );
        let rules = Rules::compile(&Policy::parse("p.toml", &text).expect("valid"), 1);
        let allows = rules.program().find(|(purpose, _)| purpose.contains("what may pass"));
        assert!(allows.is_some_and(|(_, list)| list.entries().len() < 8));
    }
}
