//! Nodes that no rule tells apart.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::named::sets;
use crate::policy::{Policy, TagExpr, Term};

/// Nodes that no rule tells apart: what holds of one of them holds of all, as the one that begins and as the one that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// What they carry of the tags that a rule asks for, or their name (`role=gw site=north|south`); no two classes have the same.
    pub name: String,
    /// The nodes, sorted; at least one.
    pub nodes: Vec<String>,
}

impl Class {
    /// One of its nodes, which stands for all.
    pub fn example(&self) -> &str {
        self.nodes.first().map_or("", String::as_str)
    }

    /// Two of its nodes: one that begins and one of `to` that is reached. `None` where there is only one node and both are it: what a
    /// node says to itself crosses no tunnel.
    pub fn example_pair<'c>(&'c self, to: &'c Self) -> Option<(&'c str, &'c str)> {
        let from = self.nodes.first()?;
        to.nodes.iter().find(|node| *node != from).map(|to| (from.as_str(), to.as_str()))
    }
}

/// The classes of all nodes of `policies`, which may differ: nodes are in one class where none of the policies tells them apart.
/// Sorted by their names.
pub fn classes(policies: &[&Policy]) -> Vec<Class> {
    let nodes: BTreeSet<&String> = policies.iter().flat_map(|policy| policy.nodes.keys()).collect();
    let sets: Vec<(&Policy, Vec<TagExpr>)> = policies.iter().map(|policy| (*policy, sets(policy))).collect();
    let mut alike: BTreeMap<Vec<Option<Vec<bool>>>, Vec<String>> = BTreeMap::new();
    for node in nodes {
        let answers = sets.iter().map(|(policy, sets)| answers(policy, sets, node)).collect();
        alike.entry(answers).or_default().push(node.clone());
    }
    let asked = Asked::of(policies, sets.iter().flat_map(|(_, sets)| sets));
    let mut classes: Vec<Class> =
        alike.into_values().map(|nodes| Class { name: asked.name(&nodes), nodes }).collect();
    classes.sort_by(|one, other| (&one.name, &one.nodes).cmp(&(&other.name, &other.nodes)));
    tell_apart(&mut classes);
    classes
}

/// Whether the node is in each of the sets; `None` where the policy does not know it.
fn answers(policy: &Policy, sets: &[TagExpr], node: &str) -> Option<Vec<bool>> {
    let tags = policy.node(node)?;
    Some(sets.iter().map(|set| set.matches(node, tags)).collect())
}

/// What the policies ask for.
struct Asked<'p> {
    policies: &'p [&'p Policy],
    tags: BTreeSet<&'p str>,
    nodes: BTreeSet<&'p str>,
}

/// Of a tag, the values that some nodes carry; `None` for nodes without it.
type Values<'p> = BTreeSet<Option<&'p str>>;

impl<'p> Asked<'p> {
    fn of(policies: &'p [&'p Policy], sets: impl Iterator<Item = &'p TagExpr>) -> Self {
        let mut asked = Self { policies, tags: BTreeSet::new(), nodes: BTreeSet::new() };
        for term in sets.flat_map(TagExpr::terms) {
            match term {
                Term::Tag(tag, _) => asked.tags.insert(tag),
                Term::Node(node) => asked.nodes.insert(node),
            };
        }
        asked
    }

    /// The fewest tags that say who is in the class: those without which others would be meant too. Nodes that have a class of
    /// their own, by name, are never meant.
    fn name(&self, nodes: &[String]) -> String {
        if let [node] = nodes
            && self.nodes.contains(node.as_str())
        {
            return format!("node={node}");
        }
        let mut words: Vec<(&str, Values<'_>)> =
            self.tags.iter().map(|tag| (*tag, self.values(nodes, tag))).collect();
        let meant = self.meant(&words);
        for at in (0..words.len()).rev() {
            let mut fewer = words.clone();
            fewer.remove(at);
            if self.meant(&fewer) == meant {
                words = fewer;
            }
        }
        let text = |(tag, values): &(&str, Values<'_>)| {
            let values: Vec<&str> = values.iter().map(|value| value.unwrap_or("-")).collect();
            format!("{tag}={}", values.join("|"))
        };
        let words: Vec<String> = words.iter().map(text).collect();
        let words = if words.is_empty() { NO_TAGS.to_string() } else { words.join(" ") };
        format!("{words}{}", self.age(nodes))
    }

    /// Whether only the first of several policies knows these nodes, or only the last.
    fn age(&self, nodes: &[String]) -> &'static str {
        let knows = |policy: Option<&&Policy>| {
            policy.is_none_or(|policy| nodes.iter().all(|node| policy.node(node).is_some()))
        };
        match (knows(self.policies.first()), knows(self.policies.last())) {
            (true, false) => ", gone",
            (false, true) => ", new",
            _ => "",
        }
    }

    fn values(&self, nodes: &[String], tag: &str) -> Values<'p> {
        nodes.iter().map(|node| self.value(node, tag)).collect()
    }

    /// What the node carries under the last policy that knows it.
    fn value(&self, node: &str, tag: &str) -> Option<&'p str> {
        let tags = self.policies.iter().rev().find_map(|policy| policy.node(node))?;
        tags.get(tag).map(String::as_str)
    }

    /// The nodes that carry such values.
    fn meant(&self, words: &[(&str, Values<'_>)]) -> Vec<&'p str> {
        let all: BTreeSet<&str> =
            self.policies.iter().flat_map(|policy| policy.nodes.keys()).map(String::as_str).collect();
        let others = all.into_iter().filter(|node| !self.nodes.contains(node));
        others
            .filter(|node| words.iter().all(|(tag, values)| values.contains(&self.value(node, tag))))
            .collect()
    }
}

/// Classes of one name get a number behind it.
fn tell_apart(classes: &mut [Class]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for class in classes {
        let count = seen.entry(class.name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            class.name = format!("{} ({count})", class.name);
        }
    }
}

const NO_TAGS: &str = "any";
