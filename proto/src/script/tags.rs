//! Tags: their definitions, and what a match writes for them.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Tag;
use super::definitions::{Definition, garbled, numbered, read_id, twice};
use super::names::{Named, Notes, defined, did_you_mean};
use super::numbers::number;
use super::tokens::{Node, Word};
use crate::document::quoted;

/// The tags that matches may name.
pub(super) struct Tags {
    own: Vec<Tag>,
    index: BTreeMap<String, Known>,
}

struct Known {
    id: u32,
    flags: BTreeMap<String, u32>,
    enums: BTreeMap<String, u32>,
}

impl Tags {
    /// Of the script's own and those that need no definition.
    pub(super) fn new(
        own: Vec<Tag>,
        definitions: &[Definition<'_, '_>],
        predeclared: &[Tag],
        notes: &mut Notes<'_>,
    ) -> Self {
        let mut index = BTreeMap::new();
        let mut ids: BTreeMap<u32, &str> = BTreeMap::new();
        let names: BTreeSet<&str> = own.iter().map(|tag| &*tag.name).collect();
        for tag in predeclared.iter().filter(|tag| !names.contains(&*tag.name)) {
            ids.insert(tag.id, &tag.name);
            index.insert((*tag.name).to_owned(), Known::of(tag));
        }
        // Of several by one name the last.
        let words: BTreeMap<String, &Word<'_>> =
            definitions.iter().map(|each| (each.name.text.to_lowercase(), &each.name)).collect();
        for tag in &own {
            let Some(word) = words.get(&*tag.name) else { continue };
            if index.insert((*tag.name).to_owned(), Known::of(tag)).is_some() {
                twice(word, notes);
            } else if let Some(other) = ids.insert(tag.id, &tag.name) {
                let problem = format!("{} has the id of {}", quoted(word.text), quoted(other));
                notes.ours(word, problem, "give each its own: ZeroTier's controller keeps one of them");
            }
        }
        Self { own, index }
    }

    pub(super) fn into_own(self) -> Vec<Tag> {
        self.own
    }

    /// The number of a tag and of a value, as a match writes them.
    pub(super) fn read(
        &self,
        tag: (&Word<'_>, &str),
        value: (&Word<'_>, &str),
        notes: &mut Notes<'_>,
    ) -> Option<(u32, u32)> {
        let known = self.index.get(tag.1);
        let id = match known {
            Some(known) => Some(known.id),
            None => number(tag.1).and_then(|id| u32::try_from(id).ok()),
        };
        if id.is_none() {
            let problem = format!("{} is no tag", quoted(tag.1));
            garbled(tag.0, problem, did_you_mean(tag.1, self.index.keys().map(String::as_str)), notes);
        }
        let named = known.and_then(|known| known.flags.get(value.1).or_else(|| known.enums.get(value.1)));
        let number = named.copied().or_else(|| number(value.1).and_then(|value| u32::try_from(value).ok()));
        if number.is_none() && id.is_some() {
            let problem = format!("{} is no value of {}", quoted(value.1), quoted(tag.1));
            let names = known.into_iter().flat_map(|known| known.flags.keys().chain(known.enums.keys()));
            garbled(value.0, problem, did_you_mean(value.1, names.map(String::as_str)), notes);
        }
        Some((id?, number?))
    }
}

impl Known {
    fn of(tag: &Tag) -> Self {
        let index = |names: &[(String, u32)]| names.iter().cloned().collect();
        Self { id: tag.id, flags: index(&tag.flags), enums: index(&tag.enums) }
    }
}

/// A definition while it is read.
#[derive(Default)]
struct Draft<'t> {
    id: Option<u32>,
    has_id: bool,
    default: Option<Word<'t>>,
    flags: Vec<(String, u32)>,
    enums: Vec<(String, u32)>,
    /// The same, to find.
    flag_names: BTreeMap<String, u32>,
    enum_names: BTreeMap<String, u32>,
}

/// Reads `tag NAME …`; `None` where it has no name, or mistakes.
pub(super) fn define_tag(definition: &Definition<'_, '_>, notes: &mut Notes<'_>) -> Option<Tag> {
    let word = &definition.name;
    let name = defined(word, word.text, Named::Definition, notes)?;
    let mut draft = Draft::default();
    let mut nodes = definition.body.iter().filter_map(|node| match node {
        Node::Word(word) => Some(word),
        _ => None,
    });
    let mut is_whole = true;
    while let Some(word) = nodes.next() {
        match word.text.to_lowercase().as_str() {
            "id" => {
                let value = nodes.next().map(|word| Node::Word(*word));
                draft.id = read_id(word, value.as_ref(), draft.has_id, notes);
                draft.has_id = true;
            }
            "default" if draft.default.is_some() => {
                notes.refuse(word, "the default is given twice", "keep one of the two");
                nodes.next();
            }
            "default" => match nodes.next() {
                Some(value) => draft.default = Some(*value),
                None => notes.refuse(word, "\"default\" of what?", "write a number or the name of a value"),
            },
            "flag" => draft.flag(word, nodes.next(), nodes.next(), notes),
            "enum" => draft.number(word, nodes.next(), nodes.next(), notes),
            _ => {
                let problem = format!("{} is nothing that a tag has", quoted(word.text));
                notes.refuse(word, problem, "a tag has  id ,  default ,  flag  and  enum");
                is_whole = false;
                break;
            }
        }
    }
    if is_whole {
        refuse_blocks(definition.body, notes);
    }
    if !draft.has_id {
        let problem = format!("{} has no id", quoted(word.text));
        notes.refuse(word, problem, "write  id  and a number");
    }
    let default = draft.default.and_then(|word| draft.default_value(&word, notes));
    Some(Tag { name: name.into(), id: draft.id?, default, flags: draft.flags, enums: draft.enums })
}

/// A name that begins a block has swallowed what stands behind it.
fn refuse_blocks(body: &[Node<'_>], notes: &mut Notes<'_>) {
    for pair in body.windows(2) {
        if let [Node::Word(opener), Node::Block(_)] = pair {
            let problem = format!("{} begins a rule inside of a tag", quoted(opener.text));
            notes.refuse(opener, problem, "choose another name, or end the tag with  ;  before it");
        }
    }
}

impl Draft<'_> {
    /// `flag BITS NAME`.
    fn flag(
        &mut self,
        word: &Word<'_>,
        bits: Option<&Word<'_>>,
        name: Option<&Word<'_>>,
        notes: &mut Notes<'_>,
    ) {
        let (Some(bits), Some(name)) = (bits, name) else {
            notes.refuse(word, "\"flag\" of what?", "write  flag BIT NAME");
            return;
        };
        let mut value = 0;
        for item in bits.text.split(',').filter(|item| !item.is_empty()) {
            let bit = number(item).filter(|bit| *bit < 32).map(|bit| 1 << bit);
            match self.flag_names.get(item).copied().or(bit) {
                Some(bit) => value |= bit,
                None => {
                    let problem = format!("{} is no bit", quoted(item));
                    garbled(
                        &Word { text: item, ..*bits },
                        problem,
                        "write 0 to 31, or a flag defined before it",
                        notes,
                    );
                }
            }
        }
        if value == 0 {
            notes.ours(bits, "a flag of no bits", "write its bits, as in  flag 0,3 NAME");
        }
        let Some(text) = defined(name, name.text, Named::Value, notes) else { return };
        if self.flag_names.insert(text.clone(), value).is_some() {
            twice(name, notes);
        }
        self.flags.push((text, value));
    }

    /// `enum NUMBER NAME`.
    fn number(
        &mut self,
        word: &Word<'_>,
        value: Option<&Word<'_>>,
        name: Option<&Word<'_>>,
        notes: &mut Notes<'_>,
    ) {
        let (Some(value), Some(name)) = (value, name) else {
            notes.refuse(word, "\"enum\" of what?", "write  enum NUMBER NAME");
            return;
        };
        let value = numbered(value, u32::MAX, "a value", notes);
        let Some(text) = defined(name, name.text, Named::Value, notes) else { return };
        let value = value.unwrap_or_default();
        if self.enum_names.insert(text.clone(), value).is_some() {
            twice(name, notes);
        }
        self.enums.push((text, value));
    }

    /// The default's value. Upstream takes what it does not know for 0, and a name by its own spelling only.
    fn default_value(&self, word: &Word<'_>, notes: &mut Notes<'_>) -> Option<u32> {
        let named = |text: &str| self.enum_names.get(text).or_else(|| self.flag_names.get(text)).copied();
        let read = named(word.text).or_else(|| number(word.text).and_then(|read| u32::try_from(read).ok()));
        // "No" where "no" is 0 comes out right.
        let read = read.or_else(|| named(&word.text.to_lowercase()).filter(|value| *value == 0));
        if read.is_none() {
            let known = self.enum_names.keys().chain(self.flag_names.keys()).map(String::as_str);
            let mend = match crate::document::nearest(word.text, known) {
                Some(near) => format!("did you mean {}? (names are kept in lower case)", quoted(near)),
                None => "write a number from 0, or the name of a value of this tag".to_owned(),
            };
            notes.ours(
                word,
                format!("{} is no default: ZeroTier makes something else of it", quoted(word.text)),
                mend,
            );
        }
        read
    }
}
