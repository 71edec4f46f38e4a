//! How much may pass: the size of a message and messages per second.

use alloc::format;
use alloc::string::String;

use crate::document::{Mistakes, Table, Value, parse_rate, parse_size, quoted};

/// Messages per second, and how many may come at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Messages per second, at least 1.
    pub per_second: u64,
    /// How many may pass at once: one second's worth.
    pub burst: u64,
}

impl Rate {
    /// `per_second` messages each second.
    pub const fn per_second(per_second: u64) -> Self {
        Self { per_second, burst: per_second }
    }
}

/// What a service or a rule limits; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, all its parts together, in bytes.
    pub max_message: Option<u64>,
    /// The highest rate per connection.
    pub rate: Option<Rate>,
}

impl Limits {
    /// Reads `max-message` and `rate`.
    pub(super) fn read(table: &Table, mistakes: &mut Mistakes) -> Self {
        Self {
            max_message: read_size(table, mistakes),
            rate: table
                .parsed("rate", "a rate, as in \"2000/s\"", parse_rate, mistakes)
                .map(|rate| Rate::per_second(rate.value)),
        }
    }
}

fn read_size(table: &Table, mistakes: &mut Mistakes) -> Option<u64> {
    let size = match table.value(KEY)? {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::Text(text) => parse_size(text),
        _ => None,
    };
    match size {
        Some(size) if (1..=LARGEST).contains(&size) => Some(size),
        Some(size) => {
            let problem = format!("{} is out of range", size_text(size));
            table.note(KEY, problem, "write a size from 1B to 1GiB", mistakes);
            None
        }
        None => {
            let shown = table.value(KEY).and_then(|value| match value {
                Value::Text(text) => Some(quoted(text)),
                _ => None,
            });
            let problem = format!("{} is not a size", shown.as_deref().unwrap_or("this"));
            table.note(
                KEY,
                problem,
                "write a size, as in \"64KiB\", \"16MiB\" or a number of bytes",
                mistakes,
            );
            None
        }
    }
}

/// A size as people write it: `64KiB`, `1000B`.
pub fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

const KEY: &str = "max-message";

/// Messages of a GiB are files; a node has to be able to hold what it promises.
const LARGEST: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_they_were_written_in() {
        for (bytes, text) in
            [(65_536, "64KiB"), (1000, "1000B"), (0, "0B"), (16 << 20, "16MiB"), (1 << 30, "1GiB")]
        {
            assert_eq!(size_text(bytes), text);
        }
    }
}
