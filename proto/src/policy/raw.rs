//! Raw flow rules in a policy: their text, and where it stands. [`crate::script`] compiles it.

use alloc::string::{String, ToString};

use crate::document::{Entry, Mistakes, Table, Value};

/// The text of `rules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRules {
    /// The script as it is written.
    pub text: String,
    /// The line of the file in which its first line stands, counted from 1.
    pub line: usize,
}

impl RawRules {
    /// What could be a name in it.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        self.text.split(move |letter| !plain(letter)).filter(|word| !word.is_empty())
    }
}

/// Reads `rules`; `None` where it is missing or blank.
pub(super) fn read(root: &Table, mistakes: &mut Mistakes) -> Option<RawRules> {
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
    Some(RawRules { text: text.value.to_string(), line })
}

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
