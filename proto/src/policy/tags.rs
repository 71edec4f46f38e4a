//! Tags, the nodes that carry them, and expressions over them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{meant, raw};
use crate::document::{Mistakes, Spot, Table, Value, is_name, quoted};
use crate::program::{NodeTags, TagExpr, Term};

/// The names that an expression may use.
pub(super) struct Names<'p> {
    pub(super) tags: &'p BTreeMap<String, BTreeSet<String>>,
    pub(super) nodes: &'p BTreeMap<String, NodeTags>,
}

impl Names<'_> {
    /// Reads the required expression at `key`.
    pub(super) fn expression(&self, table: &Table, key: &str, mistakes: &mut Mistakes) -> Option<TagExpr> {
        if !table.require(key, EXPRESSION_MEND, mistakes) {
            return None;
        }
        let text = table.text(key, mistakes)?;
        self.parse(text.value, text.line, &table.path_to(key), mistakes)
    }

    /// Reads an expression: terms with spaces or commas between.
    pub(super) fn parse(
        &self,
        text: &str,
        line: usize,
        key: &str,
        mistakes: &mut Mistakes,
    ) -> Option<TagExpr> {
        let words: Vec<&str> = text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            mistakes.note(line, key, "it names no nodes", EXPRESSION_MEND);
            return None;
        }
        if words.len() > MOST_TERMS {
            let problem = format!("it has {} conditions", words.len());
            mistakes.note(line, key, problem, format!("use at most {MOST_TERMS}"));
            return None;
        }
        let terms: Vec<Option<Term>> =
            words.iter().map(|word| self.term(word, line, key, mistakes)).collect();
        let terms: Vec<Term> = terms.into_iter().collect::<Option<_>>()?;
        self.refuse_contradiction(&terms, line, key, mistakes)?;
        Some(TagExpr::new(terms))
    }

    /// Notes a term whose names the policy does not have.
    pub(super) fn check(&self, term: &Term, line: usize, key: &str, mistakes: &mut Mistakes) {
        self.term(&term.to_string(), line, key, mistakes);
    }

    fn term(&self, word: &str, line: usize, key: &str, mistakes: &mut Mistakes) -> Option<Term> {
        let Some((tag, value)) = word.split_once('=') else {
            let mend = if self.nodes.contains_key(word) {
                format!("for one node, write  node={word}")
            } else {
                EXPRESSION_MEND.to_string()
            };
            mistakes.note(line, key, format!("{} is no condition on a node", quoted(word)), mend);
            return None;
        };
        if tag == NODE {
            return self.node_term(value, line, key, mistakes);
        }
        let Some(values) = self.tags.get(tag) else {
            let mend =
                meant(tag, self.tags.keys().map(String::as_str), "declare it in [tags] first", mistakes);
            mistakes.note(line, key, format!("unknown tag {}", quoted(tag)), mend);
            return None;
        };
        if value == SAME && !values.contains(value) {
            let problem = format!("comparing the {tag} of both ends is not built yet");
            mistakes.note(line, key, problem, "write a rule for each value, with that value at both ends");
            return None;
        }
        if !values.contains(value) {
            let problem = format!("unknown value {} of the tag {tag}", quoted(value));
            let mend =
                meant(value, values.iter().map(String::as_str), "give the tag values in [tags]", mistakes);
            mistakes.note(line, key, problem, mend);
            return None;
        }
        Some(Term::Tag(tag.to_string(), value.to_string()))
    }

    fn node_term(&self, name: &str, line: usize, key: &str, mistakes: &mut Mistakes) -> Option<Term> {
        self.node(&Spot { value: name, line }, key, mistakes).then(|| Term::Node(name.to_string()))
    }

    /// Whether there is such a node; it is a mistake to name one that there is not.
    pub(super) fn node(&self, name: &Spot<&str>, key: &str, mistakes: &mut Mistakes) -> bool {
        if self.nodes.contains_key(name.value) {
            return true;
        }
        let known = self.nodes.keys().map(String::as_str);
        let mend = meant(name.value, known, "add the node to [nodes]", mistakes);
        mistakes.note(name.line, key, format!("unknown node {}", quoted(name.value)), mend);
        false
    }

    /// A node has one value per tag, so that two values of one tag match nobody.
    fn refuse_contradiction(
        &self,
        terms: &[Term],
        line: usize,
        key: &str,
        mistakes: &mut Mistakes,
    ) -> Option<()> {
        let subject = |term: &Term| match term {
            Term::Tag(tag, _) => tag.clone(),
            Term::Node(_) => NODE.to_string(),
        };
        for (at, term) in terms.iter().enumerate() {
            if let Some(earlier) = terms[..at].iter().find(|earlier| subject(earlier) == subject(term)) {
                let problem = format!("no node can be both {earlier} and {term}");
                mistakes.note(line, key, problem, "keep one of them; for \"either\", write two rules");
                return None;
            }
        }
        Some(())
    }

    /// Whether any node is in the set.
    pub(super) fn any(&self, expression: &TagExpr) -> bool {
        self.nodes.iter().any(|(node, tags)| expression.matches(node, tags))
    }
}

/// Reads `[tags]`: each tag with the values it may have.
pub(super) fn read_vocabulary(root: &Table, mistakes: &mut Mistakes) -> BTreeMap<String, BTreeSet<String>> {
    let mut vocabulary = BTreeMap::new();
    let Some(table) = root.table("tags", mistakes) else {
        return vocabulary;
    };
    for entry in &table.entries {
        if raw::is_misplaced(table, entry, mistakes) {
            continue;
        }
        if entry.key == NODE {
            table.note(
                NODE,
                "`node` is not a tag: it stands for the node's name",
                "call the tag something else",
                mistakes,
            );
        } else {
            check_name("tag", &entry.key, entry.line, &table.path_to(&entry.key), mistakes);
        }
        if matches!(&entry.value, Value::List(values) if values.is_empty()) {
            let mend = "list the values that it may have";
            table.note(&entry.key, "a tag without values", mend, mistakes);
        }
        let values = table.texts(&entry.key, mistakes).unwrap_or_default();
        vocabulary.insert(entry.key.clone(), read_values(table, &entry.key, &values, mistakes));
    }
    vocabulary
}

fn read_values(table: &Table, tag: &str, values: &[Spot<&str>], mistakes: &mut Mistakes) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    for value in values {
        check_name("value", value.value, value.line, &table.path_to(tag), mistakes);
        if !read.insert(value.value.to_string()) {
            let problem = format!("{} is listed twice", quoted(value.value));
            mistakes.note(value.line, &table.path_to(tag), problem, "keep one of the two");
        }
    }
    read
}

/// Reads `[nodes]`: each node with its tags.
pub(super) fn read_nodes(
    root: &Table,
    vocabulary: &BTreeMap<String, BTreeSet<String>>,
    mistakes: &mut Mistakes,
) -> BTreeMap<String, NodeTags> {
    let mut nodes = BTreeMap::new();
    let Some(table) = root.table("nodes", mistakes) else {
        return nodes;
    };
    for entry in &table.entries {
        if raw::is_misplaced(table, entry, mistakes) {
            continue;
        }
        check_name("node", &entry.key, entry.line, &table.path_to(&entry.key), mistakes);
        let tags = match &entry.value {
            Value::Table(tags) => read_node(tags, vocabulary, mistakes),
            _ => {
                let problem = "a node has its tags in braces";
                let mend = format!("write  {} = {{ role = \"…\" }}", entry.key);
                table.note(&entry.key, problem, mend, mistakes);
                NodeTags::new()
            }
        };
        nodes.insert(entry.key.clone(), tags);
    }
    nodes
}

fn read_node(
    table: &Table,
    vocabulary: &BTreeMap<String, BTreeSet<String>>,
    mistakes: &mut Mistakes,
) -> NodeTags {
    let mut tags = NodeTags::new();
    for entry in &table.entries {
        let Some(values) = vocabulary.get(&entry.key) else {
            let mend = meant(
                &entry.key,
                vocabulary.keys().map(String::as_str),
                "declare it in [tags] first",
                mistakes,
            );
            table.note(&entry.key, "unknown tag", mend, mistakes);
            continue;
        };
        let Some(value) = table.text(&entry.key, mistakes) else {
            continue;
        };
        if values.contains(value.value) {
            tags.insert(entry.key.clone(), value.value.to_string());
        } else {
            let problem = format!("unknown value {}", quoted(value.value));
            let mend = meant(
                value.value,
                values.iter().map(String::as_str),
                "give the tag values in [tags]",
                mistakes,
            );
            table.note(&entry.key, problem, mend, mistakes);
        }
    }
    tags
}

/// Notes a name that would need quoting somewhere.
pub(super) fn check_name(what: &str, name: &str, line: usize, key: &str, mistakes: &mut Mistakes) {
    if !is_name(name) {
        let problem = format!("{} cannot name a {what}", quoted(name));
        mistakes.note(
            line,
            key,
            problem,
            "use up to 63 letters, digits, `-`, `_` or `.`, a letter or digit first",
        );
    }
}

/// The texts at `key` in each section under `section`, repeated or named, without noting anything.
pub(super) fn names_in<'t>(root: &'t Table, section: &str, key: &str) -> BTreeSet<&'t str> {
    let values: Vec<&Value> = match root.value(section) {
        Some(Value::List(items)) => items.iter().map(|item| &item.value).collect(),
        Some(Value::Table(table)) => table.entries.iter().map(|entry| &entry.value).collect(),
        _ => Vec::new(),
    };
    let texts = values.into_iter().filter_map(|value| match value {
        Value::Table(table) => table.value(key),
        _ => None,
    });
    texts
        .filter_map(|value| match value {
            Value::Text(text) => Some(text.trim()),
            _ => None,
        })
        .collect()
}

const NODE: &str = "node";

/// Known as a word for "the value that the other end has".
const SAME: &str = "same";

/// A node has few tags; more conditions would be a slip, and would be asked at each opening.
const MOST_TERMS: usize = 32;

const EXPRESSION_MEND: &str = "name the nodes by their tags, as in  \"role=historian\"  or  \"role=historian site=south\" , \
                               or one node, as in  \"node=edge-south\"";
