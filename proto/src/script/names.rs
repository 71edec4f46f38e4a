//! What is wrong with a script, as it is found; and what may be a name.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::tokens::{OPENERS, Word};
use super::{Dialect, Options, Script, ScriptMistake};
use crate::document::quoted;

/// The mistakes and warnings so far.
pub(super) struct Notes<'o> {
    pub(super) options: &'o Options<'o>,
    /// What is being compiled.
    pub(super) part: Part,
    mistakes: Vec<(Whose, Part, ScriptMistake)>,
    warnings: Vec<ScriptMistake>,
    /// How often something was noted, what was known already too.
    noted: usize,
}

/// Who refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// ZeroTier's compiler too.
    Upstreams,
    /// We alone.
    Ours,
}

/// The parts of a script, in the order in which ZeroTier's compiler comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Tags, and the heads of capabilities and macros.
    Definitions,
    /// The rules of capabilities.
    Capabilities,
    /// The rules for everybody.
    Base,
}

impl<'o> Notes<'o> {
    pub(super) const fn new(options: &'o Options<'o>) -> Self {
        Self { options, part: Part::Definitions, mistakes: Vec::new(), warnings: Vec::new(), noted: 0 }
    }

    /// A mistake that ZeroTier's compiler finds too.
    pub(super) fn refuse(&mut self, word: &Word<'_>, problem: impl Into<String>, mend: impl Into<String>) {
        self.note(Whose::Upstreams, word, problem.into(), mend.into());
    }

    /// A mistake that it compiles.
    pub(super) fn ours(&mut self, word: &Word<'_>, problem: impl Into<String>, mend: impl Into<String>) {
        self.note(Whose::Ours, word, problem.into(), mend.into());
    }

    pub(super) fn warn(&mut self, word: &Word<'_>, problem: impl Into<String>, mend: impl Into<String>) {
        if self.warnings.len() < Script::MOST_MISTAKES {
            let warning = self.at(word, problem.into(), mend.into());
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    fn note(&mut self, whose: Whose, word: &Word<'_>, problem: String, mend: String) {
        let mistake = self.at(word, problem, mend);
        let is_known = self.mistakes.iter().any(|(.., known)| *known == mistake);
        if !self.is_full() && !is_known {
            self.mistakes.push((whose, self.part, mistake));
        }
        self.noted += 1;
    }

    fn at(&self, word: &Word<'_>, problem: String, mend: String) -> ScriptMistake {
        ScriptMistake { line: self.line(word), column: word.column, problem, mend }
    }

    /// The line of a word in its file.
    pub(super) fn line(&self, word: &Word<'_>) -> u32 {
        self.options.first_line.max(1).saturating_add(word.line - 1)
    }

    /// Whether nothing more need be looked at.
    pub(super) fn is_full(&self) -> bool {
        self.noted >= MOST_LOOKED_AT
    }

    /// The warnings, or the mistakes where there are some.
    pub(super) fn into_result(mut self) -> Result<Vec<ScriptMistake>, Vec<ScriptMistake>> {
        if self.mistakes.is_empty() {
            self.warnings.sort_by_key(|warning| (warning.line, warning.column));
            return Ok(self.warnings);
        }
        let as_upstream = self.options.dialect == Dialect::ZeroTier;
        // What upstream finds in rules it finds where they are included: those stay in the order in which they were found.
        self.mistakes.sort_by_key(|(whose, part, mistake)| match (whose, part) {
            _ if !as_upstream => (None, mistake.line, mistake.column),
            (Whose::Upstreams, Part::Capabilities | Part::Base) => (Some((*whose, *part)), 0, 0),
            (Whose::Upstreams, Part::Definitions) => (Some((*whose, *part)), mistake.line, mistake.column),
            (Whose::Ours, _) => (Some((*whose, Part::Base)), mistake.line, mistake.column),
        });
        self.mistakes.truncate(Script::MOST_MISTAKES);
        Err(self.mistakes.into_iter().map(|(.., mistake)| mistake).collect())
    }
}

/// The name that a definition gives, in lower case; `None` where it is none, which is noted.
pub(super) fn defined(word: &Word<'_>, text: &str, of: Named, notes: &mut Notes<'_>) -> Option<String> {
    let name = text.to_lowercase();
    let fits = |character: char| {
        character == '_'
            || character.is_ascii_alphanumeric()
            || (!character.is_ascii() && character.is_alphabetic() && character <= '\u{ffff}')
    };
    let begins = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
    if !begins || !name.chars().all(fits) {
        let problem = format!("{} is no name", quoted(text));
        notes.refuse(word, problem, "write letters, digits and _ , not beginning with a digit");
        return None;
    }
    if of == Named::Definition && is_reserved(&name) {
        notes.refuse(word, format!("{} is a word of the language", quoted(text)), "take another name");
        return None;
    }
    Some(name)
}

/// What gets a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// A macro, tag, capability or set.
    Definition,
    /// A flag or an enum.
    Value,
}

/// What to write instead of a name that is not known.
pub(super) fn did_you_mean<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    match crate::document::nearest(text, known.into_iter().take(MOST_COMPARED)) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "define it".to_owned(),
    }
}

/// Whether a word may not be an argument or a name.
pub(super) fn is_reserved(text: &str) -> bool {
    OPENERS.contains(&text) || KEYWORDS.contains(&text) || RESERVED.contains(&text)
}

/// So that a script of nothing but names and slips costs no more than its length.
const MOST_COMPARED: usize = 1_000;
/// More than are told of, so that those that upstream finds can come first.
const MOST_LOOKED_AT: usize = 4 * Script::MOST_MISTAKES;

/// Words that begin a match, in upstream's order.
pub(super) const KEYWORDS: [&str; 25] = [
    "ztsrc",
    "ztdest",
    "vlan",
    "vlanpcp",
    "vlandei",
    "ethertype",
    "macsrc",
    "macdest",
    "ipsrc",
    "ipdest",
    "iptos",
    "ipprotocol",
    "icmp",
    "sport",
    "dport",
    "chr",
    "framesize",
    "random",
    "tand",
    "tor",
    "txor",
    "tdiff",
    "teq",
    "tseq",
    "treq",
];

/// The rest of upstream's list, without the words that open blocks.
const RESERVED: [&str; 15] = [
    "default", "type", "enum", "class", "define", "import", "include", "log", "not", "xor", "or", "and",
    "set", "var", "let",
];
