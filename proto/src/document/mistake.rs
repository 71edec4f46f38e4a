//! A mistake in a file: where, what, and the mend.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::nearest;

/// Something in a file that its author has to change (or, as a [`Warning`], may want to).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file, as the operator named it.
    pub file: String,
    /// The line, counted from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// The key, with its section (`service.telemetry.socket`); empty where no key is at fault.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

impl Mistake {
    /// The same, worded as a warning: the file is valid, but probably not meant so.
    pub fn as_warning(&self) -> Warning<'_> {
        Warning(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        write!(f, "{kind}: {}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)?;
        if self.mend.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.mend) }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "error")
    }
}

impl core::error::Error for Mistake {}

/// A [`Mistake`] that does not stop anything; displayed with `warning:` in front.
pub struct Warning<'a>(&'a Mistake);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, "warning")
    }
}

/// The mistakes of one file, collected while it is read. At most [`Mistakes::MOST`] are kept; the rest are counted.
#[derive(Clone, Debug)]
pub struct Mistakes {
    file: String,
    list: Vec<Mistake>,
    left_out: usize,
}

impl Mistakes {
    /// How many are kept: nobody reads more, and a hostile file must not buy memory.
    pub const MOST: usize = 100;

    /// None yet, for `file` as the operator named it.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new(), left_out: 0 }
    }

    /// Adds one. `line` counts from 1; 0 means the file as a whole.
    pub fn note(&mut self, line: usize, key: &str, problem: impl Into<String>, mend: impl Into<String>) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let (key, file) = (shown(key), self.file.clone());
        self.list.push(Mistake { file, line, key, problem: problem.into(), mend: mend.into() });
    }

    /// Whether no more are kept, so that finding words for another is a waste.
    pub fn is_full(&self) -> bool {
        self.list.len() == Self::MOST
    }

    /// The [`nearest()`] of `known`; none any more once there are so many mistakes that a file seems to be made of them: each
    /// search costs time.
    pub fn nearest<'k>(&self, word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
        if self.list.len() < MOST_SEARCHED { nearest(word, known) } else { None }
    }

    /// Whether nothing was wrong so far.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The mistakes in the order of the file, and a last one that says how many more there were.
    pub fn into_list(mut self) -> Vec<Mistake> {
        self.list.sort_by_key(|mistake| mistake.line);
        if self.left_out > 0 {
            let problem = format!("{} more mistakes are not shown", self.left_out);
            let mend = "mend these first".to_owned();
            self.list.push(Mistake { file: self.file, line: 0, key: String::new(), problem, mend });
        }
        self.list
    }
}

/// Text from a file in quotes for a message: control characters escaped (a terminal must not obey them), and cut
/// off where it grows long.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

const LONGEST_SHOWN: usize = 80;

/// So many mistakes of a file are worth a search for what was meant.
const MOST_SEARCHED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_mistake_reads_as_file_line_key_problem_and_hint() {
        let mut mistakes = Mistakes::new("p.toml");
        mistakes.note(3, "allow.to", "no such service", "write one");
        mistakes.note(0, "", "the file is empty", "");
        let list = mistakes.into_list();
        assert_eq!(list[0].to_string(), "error: p.toml: the file is empty");
        assert_eq!(list[1].to_string(), "error: p.toml:3: allow.to: no such service\n  hint: write one");
        assert_eq!(
            list[1].as_warning().to_string(),
            "warning: p.toml:3: allow.to: no such service\n  hint: write one"
        );
    }

    #[test]
    fn a_flood_of_mistakes_is_counted_not_kept() {
        let mut mistakes = Mistakes::new("p.toml");
        for line in 1..=1000 {
            mistakes.note(line, "", "x", "");
        }
        let list = mistakes.into_list();
        assert_eq!(list.len(), Mistakes::MOST + 1);
        assert!(list[Mistakes::MOST].problem.starts_with("900 more"));
    }

    #[test]
    fn what_was_meant_is_searched_for_the_first_mistakes_alone() {
        let mut mistakes = Mistakes::new("p.toml");
        for line in 1..=Mistakes::MOST {
            let found = mistakes.nearest("scoket", ["socket"]);
            assert_eq!(found.is_some(), line <= MOST_SEARCHED, "{line}");
            mistakes.note(line, "", "x", "");
        }
    }

    #[test]
    fn what_a_file_says_cannot_command_a_terminal() {
        assert_eq!(quoted("a\u{1b}[2Jb"), "\"a\\u{1b}[2Jb\"");
        assert!(quoted(&"x".repeat(5000)).chars().count() < 100);
    }
}
