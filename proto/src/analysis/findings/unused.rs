//! Words of the vocabulary that nobody uses.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{FindingKind, List};
use crate::analysis::Reach;
use crate::analysis::named::{nodes_of, words};
use crate::policy::{ForbidTarget, Policy, TagExpr, Term};

/// Notes tags, values and nodes that no rule has anything to do with, and values that no node carries.
pub(super) fn find(policy: &Policy, reach: &Reach, list: &mut List<'_>) {
    let asked = Asked::of(policy);
    for (tag, values) in &policy.tags {
        if !asked.tags.contains(tag.as_str()) {
            let problem = format!("no rule asks for the tag {tag}");
            list.note(
                FindingKind::Unused,
                0,
                &format!("tags.{tag}"),
                problem,
                "remove it, if it is not for later",
            );
            continue;
        }
        let carried = |value: &String| policy.nodes.values().any(|tags| tags.get(tag) == Some(value));
        let named = |value: &String| asked.values.contains(&(tag.as_str(), value.as_str()));
        for value in values.iter().filter(|value| !carried(value) && !named(value)) {
            let problem = format!("no node carries {tag}={value}, and no rule asks for it");
            list.note(
                FindingKind::Unused,
                0,
                &format!("tags.{tag}"),
                problem,
                "remove it, if it is not for later",
            );
        }
    }
    for (at, class) in reach.classes.iter().enumerate() {
        let mut pairs = reach.pairs.iter().filter(|pair| pair.from == at || pair.to == at);
        if pairs.all(|pair| pair.passes.is_nothing()) {
            let nodes = class.nodes.join(", ");
            let problem = format!("nothing passes from or to {nodes}");
            list.note(FindingKind::Unused, 0, "nodes", problem, "give them tags that a rule asks for");
        }
    }
}

/// What the rules ask for.
#[derive(Default)]
struct Asked<'p> {
    tags: BTreeSet<&'p str>,
    values: BTreeSet<(&'p str, &'p str)>,
}

impl<'p> Asked<'p> {
    fn of(policy: &'p Policy) -> Self {
        let mut sets: Vec<&TagExpr> = policy.services.values().map(|service| &service.hosted_by).collect();
        for allow in &policy.allows {
            sets.push(&allow.from);
            sets.extend(nodes_of(&allow.to));
        }
        for capability in &policy.capabilities {
            sets.extend(&capability.from);
            sets.extend(nodes_of(&capability.to));
        }
        for forbid in &policy.forbids {
            sets.push(&forbid.from);
            match &forbid.to {
                ForbidTarget::Everything(to) => sets.push(to),
                ForbidTarget::Packets(target) => sets.push(&target.to),
                ForbidTarget::Service(_) => {}
            }
        }
        let mut asked = Self::default();
        for term in sets.into_iter().flat_map(TagExpr::terms) {
            if let Term::Tag(tag, value) = term {
                asked.tags.insert(tag);
                asked.values.insert((tag, value));
            }
        }
        if let Some(raw) = &policy.rules {
            let words = words(&raw.text);
            for (tag, values) in policy.tags.iter().filter(|(tag, _)| words.contains(tag.as_str())) {
                asked.tags.insert(tag);
                asked.values.extend(values.iter().map(|value| (tag.as_str(), value.as_str())));
            }
        }
        asked
    }
}
