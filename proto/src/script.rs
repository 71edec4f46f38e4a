//! Flow rules as text: ZeroTier's language, complete, and what Lockgate adds to it.
//!
//! ```text
//! # names as upstream has them
//! tag role id 1 enum 1 historian enum 2 gateway default 0;
//! accept ipprotocol tcp and dport 22 and tseq role historian;
//! break chr tcp_syn and not chr tcp_ack;
//! cap firmware id 7 accept dport 69; ;
//! accept;
//! ```
//!
//! A text is cut into words and blocks exactly as ZeroTier's compiler does it, since what belongs to which rule
//! hangs on that. Where upstream silently reads something wider than its author can have meant, or something else, this
//! compiler refuses ([`DIVERGENCES`]).
//!
//! Of its own the dialect [`Dialect::Lockgate`] has parentheses, lists and named sets, `zmq …`, `zmtp …`, `established`,
//! `from`, `to`, `log` and the names of rules (`as NAME`). Free text (names, topics) has no quotes: a byte that is no
//! graphic ASCII and each of `\ , ; ( ) # @` is written `\xNN`, and `""` is the empty text.

mod arguments;
mod definitions;
mod divergences;
mod extensions;
mod judge;
mod matches;
mod names;
mod numbers;
mod print;
mod rules;
mod tags;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::program::List;

pub use divergences::DIVERGENCES;

/// A compiled script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The base rules, that are asked about everybody.
    pub rules: List,
    /// The capabilities, in the order of their definition.
    pub capabilities: Vec<Capability>,
    /// The script's own tags, in the order of their definition.
    pub tags: Vec<Tag>,
    /// What compiles and is probably not meant: what never matches, what a controller would cut.
    pub warnings: Vec<ScriptMistake>,
    /// Addresses that were written otherwise than [`crate::program::Net`] prints them: ZeroTier's compiler hands them
    /// on as they stand.
    pub spellings: Vec<Spelling>,
    /// The places of `capabilities`, by rising id.
    by_id: Vec<usize>,
}

/// Rules for what the nodes that hold the capability send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: Arc<str>,
    /// Its number, by which members hold it.
    pub id: u32,
    /// Whether ZeroTier gives it to new members.
    pub is_default: bool,
    /// Its rules.
    pub rules: List,
}

/// A tag: a number that each node carries, by a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: Arc<str>,
    /// Its number.
    pub id: u32,
    /// The value of a node to which none was given. ZeroTier's JSON writes it as a signed number of 32 bits.
    pub default: Option<u32>,
    /// Names of single bits or of several; in JSON signed as well.
    pub flags: Vec<(String, u32)>,
    /// Names of values; in JSON without sign.
    pub enums: Vec<(String, u32)>,
}

/// How an address was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spelling {
    /// Which of the capabilities it stands in; `None` for the base rules.
    pub capability: Option<usize>,
    /// Which entry of their list.
    pub entry: usize,
    /// The word.
    pub text: Arc<str>,
}

/// Which language a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// ZeroTier's, with its limits; our extensions are mistakes.
    ZeroTier,
    /// With our extensions.
    Lockgate,
}

/// What compiling needs to know besides the text.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The file, for the names of rules.
    pub file: &'a str,
    /// The line of the file that the text begins in, counted from 1.
    pub first_line: u32,
    /// The language.
    pub dialect: Dialect,
    /// Tags that need no definition; one that the script defines by the same name counts instead.
    pub tags: &'a [Tag],
    /// The nodes that `ztsrc`, `tee` and the like may name in our dialect; `None` for any.
    pub nodes: Option<&'a [&'a str]>,
}

impl<'a> Options<'a> {
    /// For a file of its own, without tags but its own and with any nodes.
    pub const fn new(file: &'a str, dialect: Dialect) -> Self {
        Self { file, first_line: 1, dialect, tags: &[], nodes: None }
    }
}

/// A mistake in a script, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptMistake {
    /// The line of the file, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1. (ZeroTier's compiler counts from 0 in the first line, from 1 in others.)
    pub column: u32,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for ScriptMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.line, self.column, self.problem, self.mend)
    }
}

impl Script {
    /// Compiles a text.
    ///
    /// # Errors
    /// Its mistakes, at least one and at most [`Script::MOST_MISTAKES`]: in the order of the text; in ZeroTier's dialect
    /// those that its compiler finds as well come first, as it finds them.
    pub fn compile(text: &str, options: &Options<'_>) -> Result<Self, Vec<ScriptMistake>> {
        definitions::compile(text, options)
    }

    /// No more mistakes are told of, nor more warnings.
    pub const MOST_MISTAKES: usize = 20;
}
