//! From text to words and blocks, as ZeroTier's compiler cuts them.
//!
//! A word is what stands between spaces. `#` begins a comment only where it begins a word, and `;` counts only where it
//! ends one. A word that names a kind of block opens one; a word that ends in `;` closes the innermost block that holds
//! anything. At the top there is nothing to close, so that `accept;` *opens* a block there, which then takes what follows.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Dialect;
use super::names::Notes;
use crate::document::quoted;

/// A word of the script, without the `;` at its end, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    /// From 1, in the text.
    pub(super) line: u32,
    pub(super) column: u32,
    /// Whether a `;` stood at its end.
    pub(super) ends: bool,
}

/// A word, or the block that the word before it opened.
#[derive(Clone, Debug)]
pub(super) enum Node<'t> {
    Word(Word<'t>),
    Block(Block<'t>),
    /// A `;` on its own at the top, where it closes nothing.
    Stray(Word<'t>),
}

#[derive(Clone, Debug)]
pub(super) struct Block<'t> {
    pub(super) nodes: Vec<Node<'t>>,
    pub(super) closed: Closed,
}

/// What closed a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// A `;` on its own.
    Alone,
    /// One at the end of the block's last word.
    Glued,
    /// The end of the text.
    End,
}

/// The words and blocks of a text.
pub(super) fn read<'t>(text: &'t str, dialect: Dialect, notes: &mut Notes<'_>) -> Vec<Node<'t>> {
    let mut reader = Reader { dialect, open: vec![Vec::new()] };
    for (word, follows) in words(text) {
        if follows == Follows::Nothing {
            reader.pend(word);
        } else if let Err(word) = reader.take(word) {
            let problem = format!("{} in a block in a block in a block", quoted(word.text));
            notes.refuse(&word, problem, "write a ; at the end of each rule");
            return Vec::new();
        }
    }
    reader.finish(notes)
}

/// What ends a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Space,
    /// The end of the text.
    Nothing,
}

/// The words, each with what ends it.
fn words(text: &str) -> impl Iterator<Item = (Word<'_>, Follows)> {
    let mut rest = text.char_indices().peekable();
    let (mut line, mut column) = (1_u32, 1_u32);
    core::iter::from_fn(move || {
        loop {
            let (start, character) = rest.next()?;
            let at = (line, column);
            step(character, &mut line, &mut column);
            if SPACES.contains(&character) {
                continue;
            }
            let is_comment = character == '#';
            let until: &[char] = if is_comment { &['\r', '\n'] } else { &SPACES };
            let mut end = start + character.len_utf8();
            while let Some((place, character)) = rest.next_if(|(_, character)| !until.contains(character)) {
                end = place + character.len_utf8();
                step(character, &mut line, &mut column);
            }
            if is_comment {
                continue;
            }
            let whole = &text[start..end];
            let bare = whole.strip_suffix(';');
            let ends = bare.is_some();
            let word = Word { text: bare.unwrap_or(whole), line: at.0, column: at.1, ends };
            return Some((word, if end == text.len() { Follows::Nothing } else { Follows::Space }));
        }
    })
}

fn step(character: char, line: &mut u32, column: &mut u32) {
    if character == '\n' {
        (*line, *column) = (line.saturating_add(1), 1);
    } else {
        *column = column.saturating_add(1);
    }
}

/// The blocks that are open; the first is the top.
struct Reader<'t> {
    dialect: Dialect,
    open: Vec<Vec<Node<'t>>>,
}

impl<'t> Reader<'t> {
    /// A word with a space behind it.
    fn take(&mut self, word: Word<'t>) -> Result<(), Word<'t>> {
        let is_top = self.open.len() == 1;
        let opens = is_opener(word.text, self.dialect);
        let innermost = self.innermost();
        if !word.text.is_empty() {
            innermost.push(Node::Word(word));
        }
        if word.ends && !is_top && !innermost.is_empty() {
            self.close(if word.text.is_empty() { Closed::Alone } else { Closed::Glued });
        } else if opens {
            if self.open.len() > DEEPEST {
                return Err(word);
            }
            self.open.push(Vec::new());
        } else if word.text.is_empty() && is_top {
            innermost.push(Node::Stray(word));
        }
        Ok(())
    }

    /// The last word, without anything behind it: it opens and closes nothing.
    fn pend(&mut self, word: Word<'t>) {
        if !word.text.is_empty() {
            self.innermost().push(Node::Word(word));
        } else if self.open.len() == 1 {
            self.innermost().push(Node::Stray(word));
        }
    }

    fn innermost(&mut self) -> &mut Vec<Node<'t>> {
        self.open.last_mut().expect("the top is always open")
    }

    fn close(&mut self, closed: Closed) {
        let nodes = self.open.pop().expect("it is open");
        self.innermost().push(Node::Block(Block { nodes, closed }));
    }

    fn finish(mut self, notes: &mut Notes<'_>) -> Vec<Node<'t>> {
        while self.open.len() > 1 && self.open.last().is_some_and(|block| !block.is_empty()) {
            self.close(Closed::End);
        }
        if self.open.len() > 2
            && let Some(Node::Word(opener)) = self.open[self.open.len() - 2].last()
        {
            let problem = format!("{} has nothing behind it", quoted(opener.text));
            notes.ours(
                opener,
                problem,
                "finish it, or remove it: ZeroTier throws away all that is open, and keeps the action without its matches",
            );
        }
        self.open.swap_remove(0)
    }
}

/// Whether a word opens a block: exactly so, in lower case.
pub(super) fn is_opener(text: &str, dialect: Dialect) -> bool {
    OPENERS.contains(&text) || (dialect == Dialect::Lockgate && OUR_OPENERS.contains(&text))
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];
/// Deeper than anything that can be right: a rule in a capability.
const DEEPEST: usize = 8;
pub(super) const OPENERS: [&str; 10] =
    ["macro", "tag", "cap", "drop", "accept", "tee", "watch", "redirect", "break", "priority"];
pub(super) const OUR_OPENERS: [&str; 2] = ["log", "set"];
