//! Raw flow rules in a policy: their text, and where it stands. [`crate::script`] compiles it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::tags::Names;
use crate::document::{Entry, Mistakes, Table, Value};
use crate::program::{self, List, NodeTags, Test};
use crate::script::{Dialect, Options, Script, ScriptMistake, Tag};

/// The text of `rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRules {
    /// The script as it is written.
    pub text: String,
    /// The line of the file in which its first line stands, counted from 1.
    pub line: usize,
    /// The script compiled.
    pub script: Script,
    /// The tags that it may use: its own, and those of the policy that it has not defined anew.
    pub tags: Vec<Tag>,
}

impl RawRules {
    /// The numbers that the script's tags have for a node: number and value, by rising number. A tag of the policy has the value
    /// that the node carries, where the script has a name for that; else the script's default.
    pub fn values(&self, node: &NodeTags) -> Vec<(u32, u32)> {
        let value = |tag: &Tag| {
            let carried = node.get(&*tag.name);
            let named = |name: &String| tag.enums.iter().find(|(known, _)| known == name);
            Some((tag.id, carried.and_then(named).map(|(_, value)| *value).or(tag.default)?))
        };
        let mut values: Vec<(u32, u32)> = self.tags.iter().filter_map(value).collect();
        values.sort_unstable();
        values.dedup_by_key(|(id, _)| *id);
        values
    }

    /// What could be a name in it.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        self.text.split(move |letter| !plain(letter)).filter(|word| !word.is_empty())
    }
}

/// Reads `rules`; `None` where it is missing or blank.
pub(super) fn read(
    file: &str,
    root: &Table,
    names: &Names<'_>,
    mistakes: &mut Mistakes,
    warnings: &mut Mistakes,
) -> Option<RawRules> {
    let text = root.text(KEY, mistakes)?;
    if text.value.trim().is_empty() {
        return None;
    }
    let Some(line) = root.entry(KEY).and_then(|entry| entry.text_line) else {
        let problem =
            "its lines are not the lines of the file, so that no mistake in it could be found again";
        root.note(KEY, problem, MEND, mistakes);
        return None;
    };
    let declared = declared(names.tags);
    let nodes: Vec<&str> = names.nodes.keys().map(String::as_str).collect();
    let options = Options {
        file,
        first_line: u32::try_from(line).unwrap_or(u32::MAX),
        dialect: Dialect::Lockgate,
        tags: &declared,
        nodes: Some(&nodes),
    };
    let note = |noted: &[ScriptMistake], to: &mut Mistakes| {
        for mistake in noted {
            let problem = format!("{} (column {})", mistake.problem, mistake.column);
            to.note(mistake.line as usize, KEY, problem, mistake.mend.clone());
        }
    };
    let script = match Script::compile(text.value, &options) {
        Ok(script) => script,
        Err(found) => {
            note(&found, mistakes);
            Script::default()
        }
    };
    note(&script.warnings, warnings);
    let lists = script.capabilities.iter().map(|capability| &capability.rules);
    for list in core::iter::once(&script.rules).chain(lists) {
        check_terms(list, names, mistakes);
    }
    for idle in script.capabilities.iter().filter(|capability| !capability.is_default) {
        let problem = format!("nobody can hold the capability {} of the flow rules", idle.name);
        let mend =
            format!("write a section  [capability.{}] , or  default  in it to give it to all", idle.name);
        warnings.note(line, KEY, problem, mend);
    }
    let own = |tag: &Tag| script.tags.iter().any(|own| own.name == tag.name);
    let tags = script.tags.iter().cloned().chain(declared.into_iter().filter(|tag| !own(tag))).collect();
    Some(RawRules { text: text.value.to_string(), line, script, tags })
}

/// A condition of a rule that no node can fulfil because it is misspelt would let pass what stands behind its `not`.
fn check_terms(list: &List, names: &Names<'_>, mistakes: &mut Mistakes) {
    for rule in list.entries().split_inclusive(|entry| matches!(entry, program::Entry::Act(_))) {
        let Some(program::Entry::Act(act)) = rule.last() else { continue };
        for entry in rule {
            if let program::Entry::Match { test: Test::From(term) | Test::To(term), .. } = entry {
                names.check(term, act.rule.line as usize, KEY, mistakes);
            }
        }
    }
}

/// The policy's tags as tags of the script, with numbers that scripts do not give by hand.
fn declared(vocabulary: &BTreeMap<String, BTreeSet<String>>) -> Vec<Tag> {
    let tag = |(id, (name, values)): (u32, (&String, &BTreeSet<String>))| Tag {
        name: name.as_str().into(),
        id,
        default: None,
        flags: Vec::new(),
        enums: values.iter().cloned().zip(1..).collect(),
    };
    (FIRST..).zip(vocabulary).map(tag).collect()
}

/// Of the policy's own tags.
const FIRST: u32 = 0x4c47_0000;

/// Whether this is `rules` in a section that has no such key, as TOML makes easy; then the mistake is noted.
pub(super) fn is_misplaced(section: &Table, entry: &Entry, mistakes: &mut Mistakes) -> bool {
    let misplaced = entry.key == KEY && matches!(entry.value, Value::Text(_));
    if misplaced {
        let problem = "the flow rules stand inside a section: a key belongs to the section above it";
        section.note(KEY, problem, "move `rules` up, above the first [section]", mistakes);
    }
    misplaced
}

const KEY: &str = "rules";

const MEND: &str = "write it between three single quotes:  rules = '''  , the rules,  '''";
