//! A section of the file, with getters that note what is wrong and go on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Mistakes, quoted};

/// A value and the line it stands on (counted from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<T> {
    /// The value.
    pub value: T,
    /// Its line.
    pub line: usize,
}

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31, as the month has them.
    pub day: u8,
}

impl Date {
    /// Days since 1970-01-01, negative before it (the calendar of today, carried backwards).
    pub fn days(self) -> i64 {
        // A year that begins in March has its leap day at its end.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let in_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        year * 365 + leaps + in_year - DAYS_TO_1970
    }
}

/// What a key can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// `true` or `false`.
    Truth(bool),
    /// A date without a time.
    Date(Date),
    /// A date with a time and an offset: since the Unix epoch.
    Moment(Duration),
    /// A list, or sections that repeat (`[[peer]]`).
    List(Vec<Spot<Value>>),
    /// A section, or an inline table.
    Table(Table),
    /// Something that no key of ours takes, and what it is.
    Other(&'static str),
}

impl Value {
    /// What it is, in words, for "… is wanted, this is a list".
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Truth(_) => "true or false",
            Self::Date(_) => "a date",
            Self::Moment(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a section",
            Self::Other(kind) => kind,
        }
    }
}

/// A key, its line and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, without its section.
    pub key: String,
    /// Its line.
    pub line: usize,
    /// Of a text whose lines are lines of the file: where its first character stands. `None` where escapes or joined lines
    /// shift them, and for what is no text.
    pub text_line: Option<usize>,
    /// Its value.
    pub value: Value,
}

/// A section: its entries in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The line where it begins.
    pub line: usize,
    /// Its name with all the sections around it (`service.telemetry`); empty for the file itself.
    pub path: String,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// Positions in `entries`, sorted by key: a file of a million keys must not cost their square.
    by_key: Vec<usize>,
}

impl Table {
    /// A section of `entries`, which it puts into the order of the file.
    pub(super) fn new(line: usize, path: String, mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.line);
        let mut by_key: Vec<usize> = (0..entries.len()).collect();
        by_key.sort_by_key(|at| entries[*at].key.as_str());
        Self { line, path, entries, by_key }
    }

    /// The entry of `key`, if there is one.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let found = self.by_key.binary_search_by(|at| self.entries[*at].key.as_str().cmp(key));
        found.ok().map(|at| &self.entries[self.by_key[at]])
    }

    /// The value of `key`, if there is one.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The line of `key`; the section's own where the key is missing.
    pub fn line_of(&self, key: &str) -> usize {
        self.entry(key).map_or(self.line, |entry| entry.line)
    }

    /// `key` with the section in front, as messages name it.
    pub fn path_to(&self, key: &str) -> String {
        super::join(&self.path, key)
    }

    /// Notes a mistake at `key` (at the section, where the key is missing).
    pub fn note(
        &self,
        key: &str,
        problem: impl Into<String>,
        mend: impl Into<String>,
        mistakes: &mut Mistakes,
    ) {
        mistakes.note(self.line_of(key), &self.path_to(key), problem, mend);
    }

    /// Notes every key that is not `known`, with the known one that was probably meant.
    pub fn only(&self, known: &[&str], mistakes: &mut Mistakes) {
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let mend = match mistakes.nearest(&entry.key, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known keys are: {}", known.join(", ")),
            };
            mistakes.note(entry.line, &self.path_to(&entry.key), "unknown key", mend);
        }
    }

    /// Notes that `key` is missing, unless it is there.
    pub fn require(&self, key: &str, mend: &str, mistakes: &mut Mistakes) -> bool {
        let there = self.entry(key).is_some();
        if !there {
            mistakes.note(self.line, &self.path_to(key), "it is missing", mend);
        }
        there
    }

    /// The text at `key`; another type is a mistake.
    pub fn text(&self, key: &str, mistakes: &mut Mistakes) -> Option<Spot<&str>> {
        let entry = self.entry(key)?;
        match &entry.value {
            Value::Text(text) => Some(Spot { value: text, line: entry.line }),
            other => self.wrong_type(key, "text in quotes", other, mistakes),
        }
    }

    /// The number at `key`; another type is a mistake.
    pub fn integer(&self, key: &str, mistakes: &mut Mistakes) -> Option<Spot<i64>> {
        let entry = self.entry(key)?;
        match &entry.value {
            Value::Integer(number) => Some(Spot { value: *number, line: entry.line }),
            other => self.wrong_type(key, "a number", other, mistakes),
        }
    }

    /// The date at `key`; another type is a mistake.
    pub fn date(&self, key: &str, mistakes: &mut Mistakes) -> Option<Spot<Date>> {
        let entry = self.entry(key)?;
        match &entry.value {
            Value::Date(date) => Some(Spot { value: *date, line: entry.line }),
            other => self.wrong_type(key, "a date without quotes, as in 2027-03-31,", other, mistakes),
        }
    }

    /// The moment at `key`, since the Unix epoch; another type is a mistake, as is a time without an offset.
    pub fn moment(&self, key: &str, mistakes: &mut Mistakes) -> Option<Spot<Duration>> {
        let entry = self.entry(key)?;
        match &entry.value {
            Value::Moment(moment) => Some(Spot { value: *moment, line: entry.line }),
            other => self.wrong_type(key, MOMENT, other, mistakes),
        }
    }

    /// The list of texts at `key`; another type is a mistake, as is each item of another type.
    pub fn texts(&self, key: &str, mistakes: &mut Mistakes) -> Option<Vec<Spot<&str>>> {
        let entry = self.entry(key)?;
        let Value::List(items) = &entry.value else {
            return self.wrong_type(
                key,
                "a list of texts, as in [\"one\", \"two\"],",
                &entry.value,
                mistakes,
            );
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Text(text) => texts.push(Spot { value: text.as_str(), line: item.line }),
                other => {
                    let problem = format!("only text in quotes may stand in this list, not {}", other.kind());
                    mistakes.note(item.line, &self.path_to(key), problem, "put it in \"quotes\"");
                }
            }
        }
        Some(texts)
    }

    /// The section at `key`; another type is a mistake.
    pub fn table(&self, key: &str, mistakes: &mut Mistakes) -> Option<&Table> {
        match self.value(key)? {
            Value::Table(table) => Some(table),
            other => self.wrong_type(key, &format!("a section [{}]", self.path_to(key)), other, mistakes),
        }
    }

    /// The sections that repeat under `key` (`[[peer]]`); none where it is missing, and another type is a mistake.
    pub fn tables(&self, key: &str, mistakes: &mut Mistakes) -> Vec<&Table> {
        let wanted = format!("a repeated section [[{}]]", self.path_to(key));
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Value::List(items) = value else {
            self.wrong_type::<()>(key, &wanted, value, mistakes);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match &item.value {
                Value::Table(table) => tables.push(table),
                other => {
                    self.wrong_type::<()>(key, &wanted, other, mistakes);
                }
            }
        }
        tables
    }

    /// Text at `key` that `read` understands; `wanted` says what it should look like where it does not.
    pub fn parsed<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
        mistakes: &mut Mistakes,
    ) -> Option<Spot<T>> {
        let text = self.text(key, mistakes)?;
        let Some(value) = read(text.value) else {
            let problem = format!("{} is not {wanted}", quoted(text.value));
            mistakes.note(text.line, &self.path_to(key), problem, format!("write {wanted}"));
            return None;
        };
        Some(Spot { value, line: text.line })
    }

    fn wrong_type<T>(&self, key: &str, wanted: &str, found: &Value, mistakes: &mut Mistakes) -> Option<T> {
        let wanted = wanted.trim_end_matches(',');
        let problem = format!("{wanted} is wanted here, and this is {}", found.kind());
        self.note(key, problem, format!("write {wanted}"), mistakes);
        None
    }
}

/// Whether `text` may name a node, a service, a tag, a value or a rule: 1 to 63 letters, digits, `-`, `_` and `.`,
/// beginning with a letter or a digit. So a name never needs quoting in an expression, a log or a terminal.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LONGEST_NAME
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(plain)
}

const MOMENT: &str = "a date and a time with an offset, without quotes, as in 2026-12-01T08:00:00Z,";

/// From the 1st of March of the year 0 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// As in DNS (RFC 1035, 2.3.4), so that a node's name can become a host name.
const LONGEST_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    #[test]
    fn a_wrong_type_names_what_is_wanted_and_what_is_there() {
        let text = "a = 1\nb = 'x'\nc = ['x', 2]\nd = true\n[e]\n[[f]]\n";
        let mut mistakes = Mistakes::new("f.toml");
        let root = parse(text, &mut mistakes).expect("it is TOML");
        assert_eq!(root.text("a", &mut mistakes), None);
        assert_eq!(root.integer("b", &mut mistakes), None);
        assert_eq!(root.texts("c", &mut mistakes).map(|texts| texts.len()), Some(1));
        assert_eq!(root.texts("d", &mut mistakes), None);
        assert!(root.tables("e", &mut mistakes).is_empty());
        assert_eq!(root.table("f", &mut mistakes), None);
        assert_eq!(root.date("b", &mut mistakes), None);
        assert_eq!(root.text("missing", &mut mistakes), None);
        let list = mistakes.into_list();
        let lines: Vec<_> = list.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 2, 2, 3, 4, 5, 6]);
        assert_eq!(list[0].problem, "text in quotes is wanted here, and this is a number");
        assert_eq!(list[2].mend, "write a date without quotes, as in 2027-03-31");
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let mut mistakes = Mistakes::new("f.toml");
        let root = parse("listne = 1\nzzz = 2\nlisten = 3\n", &mut mistakes).expect("it is TOML");
        root.only(&["listen", "name"], &mut mistakes);
        let list = mistakes.into_list();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].line, list[0].mend.as_str()), (1, "did you mean `listen`?"));
        assert_eq!((list[1].line, list[1].mend.as_str()), (2, "known keys are: listen, name"));
    }

    #[test]
    fn days_are_counted_from_1970_through_leap_years() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (1969, 12, 31, -1),
            (1970, 3, 1, 59),
            (2000, 2, 29, 11_016),
            (2000, 3, 1, 11_017),
            (2026, 12, 1, 20_788),
            (2100, 2, 28, 47_540),
            (2100, 3, 1, 47_541),
            (0, 1, 1, -719_528),
            (9999, 12, 31, 2_932_896),
        ] {
            assert_eq!(Date { year, month, day }.days(), days, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn a_moment_has_an_offset_and_lies_after_1970() {
        for (text, moment) in [
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("1970-01-01T01:00:00+01:00", Some((0, 0))),
            ("1969-12-31T23:00:00-01:30", Some((1800, 0))),
            ("2026-12-01 08:00:00.25Z", Some((1_796_112_000, 250_000_000))),
            ("2026-12-01T08:00:00-00:30", Some((1_796_113_800, 0))),
            ("9999-12-31T23:59:59Z", Some((253_402_300_799, 0))),
            ("1970-01-01T00:30:00+01:00", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-12-01T08:00:00", None),
            ("2026-12-01", None),
            ("08:00:00", None),
            ("1", None),
        ] {
            let mut mistakes = Mistakes::new("f.toml");
            let root = parse(&format!("at = {text}\n"), &mut mistakes).expect("it is TOML");
            let found =
                root.moment("at", &mut mistakes).map(|at| (at.value.as_secs(), at.value.subsec_nanos()));
            assert_eq!(found, moment, "{text}");
            assert_eq!(mistakes.is_empty(), moment.is_some(), "{text}");
        }
        for no_moment in ["2026-13-01T08:00:00Z", "2026-02-30T08:00:00Z", "2026-12-01T24:00:00Z"] {
            assert!(parse(&format!("at = {no_moment}\n"), &mut Mistakes::new("f")).is_none(), "{no_moment}");
        }
    }

    #[test]
    fn names_need_no_quoting() {
        for (text, fine) in [
            ("edge-north", true),
            ("a.b_c", true),
            ("7", true),
            ("", false),
            ("-a", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(text), fine, "{text}");
        }
        assert!(!is_name(&"x".repeat(64)));
    }
}
