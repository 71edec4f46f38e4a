//! A TOML file as its author sees it: a tree that knows its lines, and every mistake in it at once.
//!
//! Reading never stops at the first mistake. Getters note what is wrong in a [`Mistakes`] list and answer
//! `None`; only when everything was looked at does the caller ask whether the list is empty.
//! This is the only file that names the `toml` crate.

mod mistake;
mod nearest;
mod table;
mod units;

pub use mistake::{Mistake, Mistakes, Warning, quoted};
pub use nearest::nearest;
pub use table::{Date, Entry, Spot, Table, Value, is_name};
pub use units::{duration_text, parse_duration, parse_rate, parse_size};

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// The longest text that is parsed at all, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// Parses `text` into a tree, noting every syntax mistake.
///
/// `None` where the text is no TOML or is longer than [`MAX_TEXT`]: what such a file means is anyone's guess, so
/// nothing more is said about it. A key that is given twice is a mistake too, but the rest is still read.
pub fn parse(text: &str, mistakes: &mut Mistakes) -> Option<Table> {
    if text.len() > MAX_TEXT {
        mistakes.note(
            0,
            "",
            format!("the file has {} bytes; at most {MAX_TEXT} are read", text.len()),
            "split it up, or remove what does not belong here",
        );
        return None;
    }
    let lines = Lines::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut readable = true;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = lines.at(span.start);
        if error.message() == DUPLICATE_KEY {
            note_duplicate(text.get(span).unwrap_or_default(), line, mistakes);
        } else {
            readable = false;
            mistakes.note(
                line,
                "",
                format!("this is not TOML: {}", error.message()),
                "write  key = value  (text in \"quotes\"), or a section in [brackets]",
            );
        }
    }
    readable.then(|| table(root.get_ref(), 1, String::new(), &lines))
}

fn note_duplicate(key: &str, line: usize, mistakes: &mut Mistakes) {
    mistakes.note(line, key, "the key is given twice", "keep one of the two");
}

fn table(from: &DeTable<'_>, line: usize, path: String, lines: &Lines<'_>) -> Table {
    let entries: Vec<Entry> = from
        .iter()
        .map(|(key, value)| {
            let name = key.get_ref().to_string();
            let line = lines.at(key.span().start);
            let path = join(&path, &name);
            let text_line = text_line(value, lines);
            let value = convert(value.get_ref(), line, &path, lines);
            Entry { key: name, line, text_line, value }
        })
        .collect();
    Table::new(line, path, entries)
}

fn convert(from: &DeValue<'_>, line: usize, path: &str, lines: &Lines<'_>) -> Value {
    match from {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            integer(number).map_or(Value::Other("too large a number"), Value::Integer)
        }
        DeValue::Float(_) => Value::Other("a number with a point"),
        DeValue::Boolean(truth) => Value::Truth(*truth),
        DeValue::Datetime(moment) => date_or_moment(
            moment.date.map(|date| Date { year: date.year, month: date.month, day: date.day }),
            moment.time.map(|time| {
                let (minutes, seconds) = (time.minute.into(), time.second.unwrap_or(0).into());
                [time.hour.into(), minutes, seconds, time.nanosecond.unwrap_or(0)]
            }),
            moment.offset.map(|offset| offset.to_string()),
        ),
        DeValue::Array(items) => Value::List(items.iter().map(|item| list_item(item, path, lines)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, line, path.to_string(), lines)),
    }
}

/// `clock` is hours, minutes, seconds and nanoseconds; `offset` as it is written: `Z`, `+01:00`.
fn date_or_moment(date: Option<Date>, clock: Option<[u32; 4]>, offset: Option<String>) -> Value {
    let Some(date) = date else {
        return Value::Other("a time");
    };
    let Some([hours, minutes, seconds, nanos]) = clock else {
        return Value::Date(date);
    };
    let Some(east) = offset.as_deref().and_then(seconds_east) else {
        return Value::Other("a time without an offset");
    };
    let local = date.days() * 86_400 + i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    u64::try_from(local - east)
        .map_or(Value::Other("a time before 1970"), |seconds| Value::Moment(Duration::new(seconds, nanos)))
}

/// How far a clock with this offset is ahead of UTC.
fn seconds_east(offset: &str) -> Option<i64> {
    if offset == "Z" {
        return Some(0);
    }
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.strip_prefix(['+', '-'])?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}

/// The line of a text's first character, where the lines of the text are those of the file.
fn text_line(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Option<usize> {
    let DeValue::String(text) = value.get_ref() else {
        return None;
    };
    let raw = lines.text.get(value.span())?;
    let line = lines.at(value.span().start);
    let marks = |raw: &str| raw.bytes().filter(|byte| *byte == b'\n').count();
    let Some(inside) = raw.strip_prefix("'''").or_else(|| raw.strip_prefix("\"\"\"")) else {
        return (marks(text) == 0).then_some(line);
    };
    // A line break right behind the quotes is not part of the text.
    let dropped = usize::from(inside.starts_with('\n') || inside.starts_with("\r\n"));
    (marks(inside) - dropped == marks(text)).then_some(line + dropped)
}

fn list_item(item: &Spanned<DeValue<'_>>, path: &str, lines: &Lines<'_>) -> Spot<Value> {
    let line = lines.at(item.span().start);
    Spot { value: convert(item.get_ref(), line, path, lines), line }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

/// Where each line begins, to turn a byte offset into a line number.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: core::iter::once(0).chain(starts).collect() }
    }

    /// The line of a byte, counted from 1.
    fn at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}

const DUPLICATE_KEY: &str = "duplicate key";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Table>, Vec<Mistake>) {
        let mut mistakes = Mistakes::new("f.toml");
        let table = parse(text, &mut mistakes);
        (table, mistakes.into_list())
    }

    #[test]
    fn entries_know_their_lines_and_keep_the_order_of_the_file() {
        let (root, mistakes) =
            read("b = 1\na = 2\n\n[z.y]\nk = [\n 'one',\n 'two',\n]\n[[l]]\nx = 1\n[[l]]\nx = 2\n");
        assert_eq!(mistakes, []);
        let root = root.expect("it is TOML");
        let seen: Vec<_> = root.entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(seen, [("b", 1), ("a", 2), ("z", 4), ("l", 9)]);
        let Some(Value::Table(z)) = root.value("z") else { panic!("z is a table") };
        let Some(Value::Table(y)) = z.value("y") else { panic!("y is a table") };
        assert_eq!((y.line, y.path.as_str()), (4, "z.y"));
        let Some(Value::List(k)) = y.value("k") else { panic!("k is a list") };
        assert_eq!(k.iter().map(|item| item.line).collect::<Vec<_>>(), [6, 7]);
        let Some(Value::List(l)) = root.value("l") else { panic!("l is a list") };
        assert_eq!(l.iter().map(|item| item.line).collect::<Vec<_>>(), [9, 11]);
    }

    #[test]
    fn a_syntax_mistake_names_its_line_and_a_key_given_twice_its_name() {
        for (text, line, key, words) in [
            ("a = 1\nb = \n", 2, "", "not TOML"),
            ("a = 1\nb = 'x\n", 2, "", "not TOML"),
            ("a = 1\n\n[b\n", 3, "", "not TOML"),
            ("a = 1\na = 2\n", 2, "a", "given twice"),
            ("[s]\nx = 1\n[s]\n", 3, "s", "given twice"),
            ("s = { x = 1, x = 2 }\n", 1, "x", "given twice"),
        ] {
            let (_, mistakes) = read(text);
            let first = mistakes.first().unwrap_or_else(|| panic!("{text:?} is a mistake"));
            assert_eq!((first.line, first.key.as_str()), (line, key), "{text:?}");
            assert!(first.problem.contains(words), "{text:?}: {first}");
        }
    }

    #[test]
    fn several_syntax_mistakes_are_told_at_once() {
        let (root, mistakes) = read("a = \nb = 1\nc = ]\n");
        assert!(root.is_none());
        let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert!(lines.contains(&1) && lines.contains(&3), "{lines:?}");
    }

    #[test]
    fn a_file_that_is_too_long_or_nested_too_deep_is_refused() {
        let long = alloc::vec![b'\n'; MAX_TEXT + 1];
        let (root, mistakes) = read(core::str::from_utf8(&long).unwrap());
        assert!(root.is_none() && mistakes.len() == 1);
        let deep = format!("a = {}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(read(&deep).0.is_none());
    }
}
