//! Rules: an action, its arguments and its matches; and the macros that stand for some.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::definitions::garbled;
use super::extensions::Set;
use super::matches::Matches;
use super::names::{Notes, did_you_mean};
use super::numbers::number;
use super::tags::Tags;
use super::text::unescape_text;
use super::tokens::{Node, Word};
use super::{Dialect, Spelling};
use crate::document::{nearest, quoted};
use crate::program::{Act, Action, Copy, Entry, List, RuleRef};

/// What rules are compiled with.
pub(super) struct Compiler<'o, 'n, 't> {
    pub(super) notes: Notes<'o>,
    pub(super) tags: &'n Tags,
    pub(super) sets: &'n BTreeMap<String, Set>,
    macros: &'n BTreeMap<String, Macro<'n, 't>>,
    nodes: Option<BTreeSet<&'o str>>,
    file: Arc<str>,
    rules: Arc<str>,
    /// How many more bytes of words are read over all lists, those of macros as often as they are included; what a word
    /// costs beside is [`COST_OF_WORD`].
    budget: usize,
}

/// Rules by name.
pub(super) struct Macro<'n, 't> {
    /// `$port`.
    pub(super) parameters: Vec<&'t str>,
    pub(super) body: Vec<&'n Node<'t>>,
}

/// What `$port` and the like stand for.
pub(super) type Values<'t> = BTreeMap<&'t str, &'t str>;

/// A list while it grows.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) entries: Vec<Entry>,
    /// Entries and how their addresses were written.
    pub(super) spelled: Vec<(usize, Arc<str>)>,
}

impl<'o, 'n, 't> Compiler<'o, 'n, 't> {
    pub(super) fn new(
        notes: Notes<'o>,
        tags: &'n Tags,
        sets: &'n BTreeMap<String, Set>,
        macros: &'n BTreeMap<String, Macro<'n, 't>>,
    ) -> Self {
        let nodes = notes.options.nodes.map(|nodes| nodes.iter().copied().collect());
        let file = Arc::from(notes.options.file);
        Self { notes, tags, sets, macros, nodes, file, rules: "rules".into(), budget: MOST_READ }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.notes.options.dialect
    }

    /// The list of these rules: of a capability, or the base.
    pub(super) fn list(
        &mut self,
        nodes: &[&'n Node<'t>],
        capability: Option<usize>,
        spellings: &mut Vec<Spelling>,
    ) -> List {
        let mut draft = Draft::default();
        let end = self.read(nodes, &Values::new(), 0, &mut draft);
        let most = match (self.dialect(), capability) {
            (Dialect::Lockgate, _) => List::MOST,
            (Dialect::ZeroTier, None) => MOST_OF_BASE,
            (Dialect::ZeroTier, Some(_)) => MOST_OF_CAPABILITY,
        };
        let first =
            nodes.iter().find_map(|node| if let Node::Word(word) = node { Some(*word) } else { None });
        let first = first.unwrap_or(Word { text: "", line: 1, column: 1, ends: false });
        if draft.entries.len() > most {
            let problem = format!("there are more than {most} matches and actions in this list");
            let mend = if self.dialect() == Dialect::ZeroTier {
                "use ranges and wider prefixes: ZeroTier's controller cuts off what is behind"
            } else {
                "use sets"
            };
            self.notes.ours(&first, problem, mend);
        }
        let spelled = draft.spelled.into_iter();
        spellings.extend(spelled.map(|(entry, text)| Spelling { capability, entry, text }));
        if end.is_break() || draft.entries.len() > most {
            return List::default();
        }
        List::new(draft.entries).unwrap_or_else(|problem| {
            self.notes.ours(&first, problem, "write several shorter rules");
            List::default()
        })
    }

    /// Reads rules one after another; breaks off where nothing behind can be of use.
    fn read(&mut self, nodes: &[&'n Node<'t>], values: &Values<'t>, depth: usize, draft: &mut Draft) -> Flow {
        let mut nodes = nodes.iter().copied().peekable();
        while let Some(node) = nodes.next() {
            let Node::Word(word) = node else { continue };
            if self.notes.is_full() || draft.entries.len() > List::MOST {
                return Flow::Break(());
            }
            let lower = word.text.to_lowercase();
            if lower == "include" {
                let call = nodes.next_if(|node| matches!(node, Node::Word(_)));
                self.include(word, call, depth, draft)?;
                continue;
            }
            let block = nodes.next_if(|node| matches!(node, Node::Block(_)));
            let words: Vec<Word<'t>> = match block {
                Some(Node::Block(block)) => words(&block.nodes),
                _ => Vec::new(),
            };
            self.charge(word, words.iter().chain([word]).map(|word| word.text.len() + COST_OF_WORD).sum())?;
            if self.is_action(&lower) {
                self.rule(word, &lower, &words, values, draft);
                continue;
            }
            self.unknown(word);
            // What belongs to it says nothing.
            let mut is_over = word.ends || block.is_some();
            while !is_over && let Some(node) = nodes.next_if(|node| !self.begins_rule(node)) {
                is_over = !matches!(node, Node::Word(word) if !word.ends);
            }
        }
        Flow::Continue(())
    }

    fn begins_rule(&self, node: &Node<'_>) -> bool {
        matches!(node, Node::Word(word) if self.is_action(word.text) || word.text == "include")
    }

    fn is_action(&self, lower: &str) -> bool {
        ACTIONS.contains(&lower) || (self.dialect() == Dialect::Lockgate && lower == "log")
    }

    fn unknown(&mut self, word: &Word<'t>) {
        let mend = match (word.text, self.dialect(), nearest(word.text, ACTIONS)) {
            ("log" | "set", Dialect::ZeroTier, _) => FOREIGN.to_owned(),
            (_, _, Some(near)) => format!("did you mean {}?", quoted(near)),
            _ => format!("a rule begins with one of  {}", ACTIONS.join(", ")),
        };
        self.notes.refuse(word, format!("{} is no action", quoted(word.text)), mend);
    }

    /// Takes so many bytes from what may be read.
    pub(super) fn charge(&mut self, word: &Word<'_>, bytes: usize) -> Flow {
        match self.budget.checked_sub(bytes) {
            Some(rest) => {
                self.budget = rest;
                Flow::Continue(())
            }
            None => {
                let problem = format!("macros and sets make more of the script than {MOST_READ} bytes");
                self.notes.ours(word, problem, "include less");
                Flow::Break(())
            }
        }
    }

    fn include(&mut self, word: &Word<'t>, call: Option<&Node<'t>>, depth: usize, draft: &mut Draft) -> Flow {
        self.charge(word, call_length(call))?;
        let Some(Node::Word(call)) = call else {
            self.notes.refuse(word, "\"include\" of what?", "write the name of a macro behind it");
            return Flow::Continue(());
        };
        if depth == DEEPEST_MACRO {
            let problem = format!("macros include each other more than {DEEPEST_MACRO} deep");
            self.notes.refuse(call, problem, "a macro cannot include itself");
            return Flow::Break(());
        }
        let Some((body, values)) = self.call(call) else { return Flow::Continue(()) };
        self.read(body, &values, depth + 1, draft)
    }

    /// What `NAME(one,two)` stands for.
    fn call(&mut self, call: &Word<'t>) -> Option<(&'n [&'n Node<'t>], Values<'t>)> {
        let (name, given) = match call.text.split_once('(') {
            None => (call.text, Some("")),
            Some((name, rest)) => (name, rest.strip_suffix(')')),
        };
        let macros = self.macros;
        let Some(found) = macros.get(name) else {
            let mend = did_you_mean(name, macros.keys().map(String::as_str));
            self.notes.refuse(call, format!("{} is no macro", quoted(name)), mend);
            return None;
        };
        let given: Option<Vec<&str>> =
            given.map(|given| given.split(',').filter(|_| !given.is_empty()).collect());
        let Some(given) = given.filter(|given| given.iter().all(|value| !value.is_empty())) else {
            let problem = format!("{} is not how a macro is called", quoted(call.text));
            self.notes.ours(call, problem, "write  include NAME(one,two)  without spaces");
            return None;
        };
        let wanted = found.parameters.len();
        let problem = || format!("{} takes {wanted} values, not {}", quoted(name), given.len());
        let mend = "give as many as the macro has parameters";
        match given.len().cmp(&wanted) {
            Ordering::Less => self.notes.refuse(call, problem(), mend),
            Ordering::Greater => self.notes.ours(call, problem(), mend),
            Ordering::Equal => {
                let values = found.parameters.iter().copied().zip(given).collect();
                return Some((&found.body, values));
            }
        }
        None
    }

    /// Reads a rule behind its action.
    fn rule(
        &mut self,
        word: &Word<'t>,
        action: &str,
        words: &[Word<'t>],
        values: &Values<'t>,
        draft: &mut Draft,
    ) {
        let (name, words) = self.name(words);
        let id = name.unwrap_or_else(|| Arc::clone(&self.rules));
        let count = match action {
            "tee" | "watch" => 2,
            "redirect" => 1,
            _ => 0,
        };
        if words.len() < count {
            let problem = format!("{} of what?", quoted(word.text));
            let mend = if count == 2 { "write a length and a node" } else { "write a node" };
            self.notes.refuse(word, problem, mend);
            return;
        }
        let (arguments, matches) = words.split_at(count);
        let action = match (action, arguments) {
            ("accept", _) => Some(Action::Accept),
            ("drop", _) => Some(Action::Drop),
            ("break", _) => Some(Action::Break),
            ("log", _) => Some(Action::Log),
            ("tee", [length, to]) => self.copy(length, to).map(Action::Tee),
            ("watch", [length, to]) => self.copy(length, to).map(Action::Watch),
            (_, [to, ..]) => self.target(to).map(Action::Redirect),
            _ => None,
        };
        let is_whole = action.is_some();
        let action = action.unwrap_or(Action::Drop);
        let (entries, spelled) = (draft.entries.len(), draft.spelled.len());
        let read = Matches::new(self, values, matches).read(&action, draft);
        if !(is_whole && read) {
            draft.entries.truncate(entries);
            draft.spelled.truncate(spelled);
        }
        let rule = RuleRef { id, file: Arc::clone(&self.file), line: self.notes.line(word) };
        draft.entries.push(Entry::Act(Act { action, rule }));
    }

    /// `as NAME` at the end of a rule, and what stands before it.
    fn name<'w>(&mut self, words: &'w [Word<'t>]) -> (Option<Arc<str>>, &'w [Word<'t>]) {
        let [before @ .., keyword, name] = words else { return (None, words) };
        if keyword.text != "as" || self.dialect() == Dialect::ZeroTier {
            return (None, words);
        }
        let text = unescape_text(name.text);
        if text.is_none() {
            self.notes.refuse(name, format!("{} is no name", quoted(name.text)), ESCAPES);
        }
        (text.map(Arc::from), before)
    }

    fn copy(&mut self, length: &Word<'t>, to: &Word<'t>) -> Option<Copy> {
        let bytes = if length.text == "-1" {
            Some(-1)
        } else {
            number(length.text)
                .filter(|bytes| *bytes <= u64::from(u16::MAX))
                .and_then(|bytes| i32::try_from(bytes).ok())
        };
        if bytes.is_none() {
            let problem = format!("{} is no number of bytes", quoted(length.text));
            let mend = "write 0 to 65535, or -1 for all";
            if number(length.text).is_some() {
                self.notes.refuse(length, problem, mend);
            } else {
                self.notes.ours(length, problem, mend);
            }
        }
        let to = self.target(to)?;
        bytes.map(|length| Copy { length, to })
    }

    /// The node that `tee`, `watch` and `redirect` send to.
    fn target(&mut self, word: &Word<'t>) -> Option<Arc<str>> {
        if self.dialect() == Dialect::Lockgate {
            return self.node(word, word.text);
        }
        if word.text.encode_utf16().count() != ADDRESS_DIGITS {
            let problem = format!("{} is no address of ZeroTier", quoted(word.text));
            self.notes.refuse(word, problem, "write its ten digits");
            return None;
        }
        if !word.text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.notes.warn(word, "this is no address of ten hexadecimal digits", "nothing is sent there");
        }
        Some(word.text.into())
    }

    /// A node by its name, in our dialect.
    pub(super) fn node(&mut self, word: &Word<'t>, text: &str) -> Option<Arc<str>> {
        let Some(name) = unescape_text(text) else {
            self.notes.refuse(word, format!("{} is no name", quoted(text)), ESCAPES);
            return None;
        };
        if let Some(nodes) = &self.nodes
            && !nodes.contains(name.as_str())
        {
            let mend = match nearest(&name, nodes.iter().copied()) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "name a node of the policy".to_owned(),
            };
            self.notes.refuse(word, format!("{} is no node", quoted(&name)), mend);
            return None;
        }
        Some(name.into())
    }

    /// A word that cannot be what `keyword` asks for.
    pub(super) fn garbage(&mut self, word: &Word<'_>, text: &str, keyword: &str, mend: &str) {
        let problem = format!("{} cannot follow {keyword}", quoted(text));
        garbled(&Word { text, ..*word }, problem, mend, &mut self.notes);
    }
}

fn call_length(call: Option<&Node<'_>>) -> usize {
    COST_OF_WORD + if let Some(Node::Word(call)) = call { call.text.len() } else { 0 }
}

/// Whether to go on.
pub(super) type Flow = core::ops::ControlFlow<()>;

/// The words of a block. A block in it stands behind the word that opened it, which no rule has.
fn words<'t>(nodes: &[Node<'t>]) -> Vec<Word<'t>> {
    let words = nodes.iter().filter_map(|node| if let Node::Word(word) = node { Some(*word) } else { None });
    words.collect()
}

const ACTIONS: [&str; 6] = ["accept", "drop", "break", "tee", "watch", "redirect"];
pub(super) const FOREIGN: &str = "it is no word of ZeroTier's";
pub(super) const ESCAPES: &str =
    r"write graphic ASCII, and anything else and each of  \ , ; ( ) # @  as \xNN; words of the language too";
pub(super) const ADDRESS_DIGITS: usize = 10;

/// Of ZeroTier's controller: matches and actions.
const MOST_OF_BASE: usize = 1024;
const MOST_OF_CAPABILITY: usize = 64;
const DEEPEST_MACRO: usize = 32;
const MOST_READ: usize = 1 << 24;
/// Each word may become an entry, so that there are fewer than 2^19 of them in all lists together.
const COST_OF_WORD: usize = 32;
