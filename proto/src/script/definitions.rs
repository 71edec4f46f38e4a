//! What a script defines, wherever it stands; the rest are the base rules.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::extensions::define_set;
use super::names::{Named, Notes, Part, defined};
use super::numbers::number;
use super::rules::{Compiler, Macro};
use super::tags::{Tags, define_tag};
use super::tokens::{self, Block, Closed, Node, Word, is_opener};
use super::{Capability, Dialect, Options, Script, ScriptMistake, Spelling};
use crate::document::{MAX_TEXT, quoted};

pub(super) fn compile(text: &str, options: &Options<'_>) -> Result<Script, Vec<ScriptMistake>> {
    let mut notes = Notes::new(options);
    if text.len() > MAX_TEXT {
        let word = Word { text: "", line: 1, column: 1, ends: false };
        notes.ours(&word, format!("the text has more than {MAX_TEXT} bytes"), "use sets and wider prefixes");
        return notes.into_result().map(|_| Script::default());
    }
    let nodes = tokens::read(text, options.dialect, &mut notes);
    find_leaks(&nodes, options.dialect, &mut notes);
    let (found, base) = collect(&nodes, options.dialect, &mut notes);

    let own = found.tags.iter().filter_map(|definition| define_tag(definition, &mut notes)).collect();
    let tags = Tags::new(own, &found.tags, options.tags, &mut notes);
    let mut sets = BTreeMap::new();
    let mut room = MOST_ITEMS;
    for definition in &found.sets {
        define_set(definition, &mut sets, &mut room, &mut notes);
    }
    let macros = define_macros(&found.macros, &mut notes);
    let mut compiler = Compiler::new(notes, &tags, &sets, &macros);
    let mut spellings = Vec::new();
    let capabilities = define_capabilities(&found.capabilities, &mut compiler, &mut spellings);
    compiler.notes.part = Part::Base;
    let rules = compiler.list(&base, None, &mut spellings);
    check_counts(&found, options.dialect, &mut compiler.notes);
    let warnings = compiler.notes.into_result()?;
    let mut by_id: Vec<usize> = (0..capabilities.len()).collect();
    by_id.sort_by_key(|at| capabilities[*at].id);
    Ok(Script { rules, capabilities, tags: tags.into_own(), warnings, spellings, by_id })
}

/// A definition: its keyword, its name and its words.
pub(super) struct Definition<'n, 't> {
    pub(super) keyword: Word<'t>,
    pub(super) name: Word<'t>,
    pub(super) body: &'n [Node<'t>],
}

/// The definitions of each kind.
#[derive(Default)]
struct Found<'n, 't> {
    tags: Vec<Definition<'n, 't>>,
    capabilities: Vec<Definition<'n, 't>>,
    macros: Vec<Definition<'n, 't>>,
    sets: Vec<Definition<'n, 't>>,
}

fn collect<'n, 't>(
    nodes: &'n [Node<'t>],
    dialect: Dialect,
    notes: &mut Notes<'_>,
) -> (Found<'n, 't>, Vec<&'n Node<'t>>) {
    let (mut found, mut base) = (Found::default(), Vec::new());
    let mut nodes = nodes.iter().peekable();
    while let Some(node) = nodes.next() {
        let kind = match node {
            Node::Word(word) => word.text.to_lowercase(),
            _ => String::new(),
        };
        let kept = match kind.as_str() {
            "tag" => &mut found.tags,
            "cap" => &mut found.capabilities,
            "macro" => &mut found.macros,
            "set" if dialect == Dialect::Lockgate => &mut found.sets,
            _ => {
                base.push(node);
                continue;
            }
        };
        let Node::Word(keyword) = node else { continue };
        let block = nodes.next_if(|node| matches!(node, Node::Block(_)));
        if let Some(Node::Block(Block { nodes: body, .. })) = block
            && let Some((Node::Word(name), body)) = body.split_first()
        {
            kept.push(Definition { keyword: *keyword, name: *name, body });
        } else {
            let problem = format!("{} of what name?", quoted(keyword.text));
            notes.refuse(keyword, problem, format!("write  {kind} NAME … ;  (the first word in lower case)"));
        }
    }
    (found, base)
}

/// Rules that leak out of a capability or macro for everybody: a `;` at the end of its last word closes it, and so does
/// an unconditional action or an `include` inside.
fn find_leaks(nodes: &[Node<'_>], dialect: Dialect, notes: &mut Notes<'_>) {
    // The block that may have ended too early, and whether a rule has stood behind the last one that was closed.
    let mut early: Option<Word<'_>> = None;
    let (mut has_blocks, mut has_rules) = (false, false);
    let mut before: Option<&Word<'_>> = None;
    for node in nodes {
        match node {
            Node::Stray(word) if early.take().is_none() && has_blocks && has_rules => {
                notes.ours(
                    word,
                    "this ; ends nothing, and a capability or macro was closed before it",
                    "remove it, or the ; that closed the block too early: what stood behind that is for everybody",
                );
            }
            Node::Stray(_) => {}
            Node::Word(word) => {
                let is_rule = begins_rule(word, dialect);
                has_rules |= is_rule;
                if is_rule && let Some(block) = early.take() {
                    let problem = format!(
                        "{} in line {} ended before this rule, which is for everybody then",
                        quoted(block.text),
                        notes.line(&block),
                    );
                    notes.ours(
                        word,
                        problem,
                        "put what is unconditional or included last in it, with no  ;  behind an include, and close it with  ;  on its own",
                    );
                }
                before = Some(word);
            }
            Node::Block(block) => {
                let opener = before.filter(|word| matches!(word.text, "cap" | "macro"));
                if let Some(opener) = opener {
                    (has_blocks, has_rules) = (true, false);
                    early = (block.closed == Closed::Glued).then_some(*opener);
                }
            }
        }
    }
}

fn begins_rule(word: &Word<'_>, dialect: Dialect) -> bool {
    let lower = word.text.to_lowercase();
    let defines = matches!(lower.as_str(), "cap" | "macro" | "tag" | "set");
    lower == "include" || (is_opener(&lower, dialect) && !defines)
}

fn define_macros<'n, 't>(
    found: &[Definition<'n, 't>],
    notes: &mut Notes<'_>,
) -> BTreeMap<String, Macro<'n, 't>> {
    let mut macros = BTreeMap::new();
    for definition in found {
        let word = &definition.name;
        let (name, parameters) = match word.text.split_once('(') {
            None => (word.text, Some("")),
            Some((name, rest)) => (name, rest.strip_suffix(')')),
        };
        let Some(name) = defined(word, name, Named::Definition, notes) else { continue };
        let parameters: Option<Vec<&str>> = parameters.and_then(|list| {
            let each = list.split(',').filter(|_| !list.is_empty());
            each.map(|parameter| (parameter.len() > 1 && parameter.starts_with('$')).then_some(parameter))
                .collect()
        });
        let distinct: BTreeSet<_> = parameters.iter().flatten().collect();
        match &parameters {
            Some(parameters) if distinct.len() == parameters.len() => {
                let body = definition.body.iter().collect();
                let is_new = macros.insert(name, Macro { parameters: parameters.clone(), body }).is_none();
                if !is_new {
                    twice(word, notes);
                }
            }
            _ => {
                let problem = format!("{} has no such parameters", quoted(word.text));
                notes.ours(word, problem, "write  NAME($one,$two)  without spaces");
            }
        }
    }
    macros
}

pub(super) fn twice(word: &Word<'_>, notes: &mut Notes<'_>) {
    notes.refuse(word, format!("{} is defined twice", quoted(word.text)), "keep one of the two");
}

fn define_capabilities<'n, 't>(
    found: &[Definition<'n, 't>],
    compiler: &mut Compiler<'_, 'n, 't>,
    spellings: &mut Vec<Spelling>,
) -> Vec<Capability> {
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut capabilities = Vec::new();
    for definition in found {
        let notes = &mut compiler.notes;
        let word = &definition.name;
        let Some(name) = defined(word, word.text, Named::Definition, notes) else { continue };
        if !names.insert(name.clone()) {
            twice(word, notes);
        }
        let head = read_head(definition, notes);
        if head.id.is_some_and(|id| !ids.insert(id)) {
            notes.refuse(word, "another capability has the same id", "give each its own");
        }
        compiler.notes.part = Part::Capabilities;
        let rules = compiler.list(&head.rules, Some(capabilities.len()), spellings);
        compiler.notes.part = Part::Definitions;
        let (name, id) = (Arc::from(name), head.id.unwrap_or_default());
        capabilities.push(Capability { name, id, is_default: head.is_default, rules });
    }
    capabilities
}

/// What a capability says besides its rules.
struct Head<'n, 't> {
    id: Option<u32>,
    is_default: bool,
    rules: Vec<&'n Node<'t>>,
}

fn read_head<'n, 't>(definition: &Definition<'n, 't>, notes: &mut Notes<'_>) -> Head<'n, 't> {
    let mut head = Head { id: None, is_default: false, rules: Vec::new() };
    let mut has_id = false;
    let mut nodes = definition.body.iter().peekable();
    while let Some(node) = nodes.next() {
        match node {
            Node::Word(word) if word.text.eq_ignore_ascii_case("id") => {
                let value = nodes.next_if(|node| matches!(node, Node::Word(_)));
                head.id = read_id(word, value, has_id, notes);
                has_id = true;
            }
            Node::Word(word) if word.text.eq_ignore_ascii_case("default") => head.is_default = true,
            Node::Word(word) if word.text.eq_ignore_ascii_case("include") => {
                head.rules.push(node);
                head.rules.extend(nodes.next_if(|node| matches!(node, Node::Word(_))));
            }
            _ => head.rules.push(node),
        }
    }
    if !has_id {
        let problem = format!("{} has no id", quoted(definition.name.text));
        notes.refuse(&definition.name, problem, "write  id  and a number");
    }
    head
}

/// `id NUMBER`, once.
pub(super) fn read_id(
    word: &Word<'_>,
    value: Option<&Node<'_>>,
    has_id: bool,
    notes: &mut Notes<'_>,
) -> Option<u32> {
    if has_id {
        notes.refuse(word, "the id is given twice", "keep one of the two");
    }
    let Some(Node::Word(value)) = value else {
        notes.refuse(word, "\"id\" of what?", "write a number behind it");
        return None;
    };
    numbered(value, u32::MAX, "an id", notes)
}

/// A number up to `most`, or a mistake.
pub(super) fn numbered(word: &Word<'_>, most: u32, what: &str, notes: &mut Notes<'_>) -> Option<u32> {
    let read = number(word.text).and_then(|number| u32::try_from(number).ok()).filter(|read| *read <= most);
    if read.is_none() {
        let problem = format!("{} is not {what}", quoted(word.text));
        garbled(word, problem, format!("write a number from 0 to {most}"), notes);
    }
    read
}

/// What upstream reads as far as its digits go, where it begins with some and says no number that is too large.
pub(super) fn garbled(word: &Word<'_>, problem: String, mend: impl Into<String>, notes: &mut Notes<'_>) {
    let is_garbage =
        word.text.starts_with(|first: char| first.is_ascii_digit()) && number(word.text).is_none();
    let mend = if word.text.contains(";#") {
        "put a space between ; and # ".trim_end().to_owned()
    } else {
        mend.into()
    };
    if is_garbage { notes.ours(word, problem, mend) } else { notes.refuse(word, problem, mend) }
}

/// What ZeroTier's controller would cut off in silence.
fn check_counts(found: &Found<'_, '_>, dialect: Dialect, notes: &mut Notes<'_>) {
    for (definitions, what) in [(&found.capabilities, "capabilities"), (&found.tags, "tags")] {
        if dialect == Dialect::ZeroTier
            && let Some(first) = definitions.get(MOST_OF_EACH)
        {
            let problem = format!("there are more than {MOST_OF_EACH} {what}");
            notes.ours(&first.keyword, problem, "remove some: ZeroTier's controller drops those behind");
        }
    }
}

/// Of all sets together, those of sets in sets counted again.
const MOST_ITEMS: usize = 262_144;
/// Of a member, in ZeroTier.
const MOST_OF_EACH: usize = 128;
