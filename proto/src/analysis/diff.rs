//! What a change of the policy changes: who gains and who loses what.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Class, Passes, Piece, Pieces, classes};
use crate::policy::{Limits, Policy, size_text};
use crate::rules::{RuleRef, Rules};

/// Two classes of nodes between which something changes.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Who begins.
    pub from: Class,
    /// Who is reached.
    pub to: Class,
    /// What passes after and did not before, by the rules after.
    pub gained: Passes,
    /// What passed before and does not after, by the rules before.
    pub lost: Passes,
}

/// Compares two policies, each with the rules that it compiled to: for every two nodes of either, everything that can be asked. The
/// classes are those that neither policy tells apart. Empty where the two let the same pass.
pub fn diff(before: (&Policy, &Rules), after: (&Policy, &Rules)) -> Vec<Difference> {
    let classes = classes(&[before.0, after.0]);
    let pieces = Pieces::of([before.0, after.0]);
    let mut differences = Vec::new();
    for from in &classes {
        for to in &classes {
            let Some((one, other)) = from.example_pair(to) else { continue };
            let was = pieces.passing(before.1, one, other);
            let is = pieces.passing(after.1, one, other);
            let only = |here: &[(&Piece, RuleRef)], there: &[(&Piece, RuleRef)]| {
                let there: BTreeSet<&Piece> = there.iter().map(|(piece, _)| *piece).collect();
                let missing = here.iter().filter(|(piece, _)| !there.contains(piece));
                Passes::of(&pieces, &missing.cloned().collect::<Vec<_>>())
            };
            let (gained, lost) = (only(&is, &was), only(&was, &is));
            if !gained.is_nothing() || !lost.is_nothing() {
                differences.push(Difference { from: from.clone(), to: to.clone(), gained, lost });
            }
        }
    }
    differences
}

/// A rule or a service that both policies have and that limits otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitChange {
    /// The rule's id; `service.NAME` for a service.
    pub id: String,
    /// What it said before, in words: `max-message 64KiB, rate 2000/s`.
    pub before: String,
    /// What it says after.
    pub after: String,
}

/// The limits that differ, of rules by their ids and of services by their names.
pub fn limits_changed(before: &Policy, after: &Policy) -> Vec<LimitChange> {
    let (was, is) = (limits(before), limits(after));
    let both = was.into_iter().filter_map(|(id, was)| Some((is.get(&id).copied()?, id, was)));
    let changed = both.filter(|(is, _, was)| is != was);
    changed
        .map(|(is, id, was)| LimitChange { id, before: limits_text(&was), after: limits_text(&is) })
        .collect()
}

fn limits(policy: &Policy) -> BTreeMap<String, Limits> {
    let services =
        policy.services.values().map(|service| (format!("service.{}", service.name), service.limits));
    let allows = policy.allows.iter().map(|allow| (allow.id.clone(), allow.limits));
    let held = policy.capabilities.iter().map(|capability| (capability.name.clone(), capability.limits));
    services.chain(allows).chain(held).collect()
}

fn limits_text(limits: &Limits) -> String {
    let size = limits.max_message.map(|size| format!("max-message {}", size_text(size)));
    let rate = limits.rate.map(|rate| format!("rate {}/s", rate.per_second));
    let told: Vec<String> = size.into_iter().chain(rate).collect();
    if told.is_empty() { "no limits".to_string() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_limit_is_told_by_rule_and_by_service() {
        let text = |size: &str, rate: &str| {
            format!(
                "default = \"deny\"\n[tags]\nr = [\"a\", \"b\"]\n[nodes]\nn1 = {{ r = \"a\" }}\nn2 = {{ r = \"b\" }}\n\
                 [service.s]\nhosted-by = \"r=b\"\nsocket = \"pub\"\n{size}\n[[allow]]\nid = \"x\"\nfrom = \"r=a\"\nto = \"s\"\n{rate}\n"
            )
        };
        let read = |text: &str| Policy::parse("p.toml", text).expect("it is valid");
        let (one, other) = (read(&text("max-message = \"64KiB\"", "")), read(&text("", "rate = \"5/s\"")));
        let told: Vec<[String; 3]> =
            limits_changed(&one, &other).into_iter().map(|one| [one.id, one.before, one.after]).collect();
        assert_eq!(told, [["service.s", "max-message 64KiB", "no limits"], ["x", "no limits", "rate 5/s"]]);
        assert_eq!(limits_changed(&one, &one), []);
    }
}
