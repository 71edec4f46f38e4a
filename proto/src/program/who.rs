//! Which nodes a rule is for: terms over the policy's tags.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The tags of one node: tag to value.
pub type NodeTags = BTreeMap<String, String>;

/// One condition on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// It carries this tag with this value (`role=historian`).
    Tag(String, String),
    /// It is this node (`node=edge-south`).
    Node(String),
}

impl Term {
    /// Whether `node` with its `tags` fulfils it.
    pub fn matches(&self, node: &str, tags: &NodeTags) -> bool {
        match self {
            Self::Tag(tag, value) => tags.get(tag) == Some(value),
            Self::Node(name) => name == node,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag, value) => write!(f, "{tag}={value}"),
            Self::Node(name) => write!(f, "node={name}"),
        }
    }
}

/// A set of nodes: those that fulfil every term. Without terms it is empty: no expression means "everybody".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagExpr(Vec<Term>);

impl TagExpr {
    /// The nodes that fulfil each of `terms`.
    pub fn new(terms: Vec<Term>) -> Self {
        Self(terms)
    }

    /// The terms, in the order of the file.
    pub fn terms(&self) -> &[Term] {
        &self.0
    }

    /// Whether `node` with its `tags` is in the set.
    pub fn matches(&self, node: &str, tags: &NodeTags) -> bool {
        !self.0.is_empty() && self.0.iter().all(|term| term.matches(node, tags))
    }

    /// The terms that keep `node` out of the set; none where it is in.
    pub fn misses<'t>(&'t self, node: &'t str, tags: &'t NodeTags) -> impl Iterator<Item = &'t Term> {
        self.0.iter().filter(move |term| !term.matches(node, tags))
    }
}

impl fmt::Display for TagExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}
