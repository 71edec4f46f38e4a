//! Nodes that no rule tells apart.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::named::expressions;
use crate::policy::{Policy, Term};

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
    let mut alike: BTreeMap<Vec<Option<Vec<bool>>>, Vec<String>> = BTreeMap::new();
    for node in nodes {
        let answers = policies.iter().map(|policy| answers(policy, node)).collect();
        alike.entry(answers).or_default().push(node.clone());
    }
    let asked = Asked::of(policies);
    let mut classes: Vec<Class> =
        alike.into_values().map(|nodes| Class { name: asked.name(policies, &nodes), nodes }).collect();
    classes.sort_by(|one, other| (&one.name, &one.nodes).cmp(&(&other.name, &other.nodes)));
    tell_apart(&mut classes);
    classes
}

/// Whether the node is in each of the sets that the policy names; `None` where the policy does not know it.
fn answers(policy: &Policy, node: &str) -> Option<Vec<bool>> {
    let tags = policy.node(node)?;
    Some(expressions(policy).into_iter().map(|set| set.matches(node, tags)).collect())
}

/// The tags and the nodes that the policies ask for.
struct Asked<'p> {
    tags: BTreeSet<&'p str>,
    nodes: BTreeSet<&'p str>,
}

impl<'p> Asked<'p> {
    fn of(policies: &[&'p Policy]) -> Self {
        let mut asked = Self { tags: BTreeSet::new(), nodes: BTreeSet::new() };
        for term in policies.iter().flat_map(|policy| expressions(policy)).flat_map(|set| set.terms()) {
            match term {
                Term::Tag(tag, _) => asked.tags.insert(tag),
                Term::Node(node) => asked.nodes.insert(node),
            };
        }
        asked
    }

    fn name(&self, policies: &[&Policy], nodes: &[String]) -> String {
        if let [node] = nodes
            && self.nodes.contains(node.as_str())
        {
            return format!("node={node}");
        }
        let mut words: Vec<String> = Vec::new();
        for tag in &self.tags {
            let values = nodes.iter().map(|node| value(policies, node, tag)).collect::<BTreeSet<_>>();
            if values.iter().any(Option::is_some) {
                let values: Vec<&str> = values.into_iter().map(|value| value.unwrap_or("-")).collect();
                words.push(format!("{tag}={}", values.join("|")));
            }
        }
        if words.is_empty() { NO_TAGS.to_string() } else { words.join(" ") }
    }
}

/// What the node carries under the last policy that knows it.
fn value<'p>(policies: &[&'p Policy], node: &str, tag: &str) -> Option<&'p str> {
    let tags = policies.iter().rev().find_map(|policy| policy.node(node))?;
    tags.get(tag).map(String::as_str)
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

const NO_TAGS: &str = "no tags";
