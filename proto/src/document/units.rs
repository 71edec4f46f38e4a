//! Quantities as people write them: `64KiB`, `2000/s`, `50us`.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Bytes: a number with `B`, `KiB`, `MiB` or `GiB` behind it (`64KiB`). `None` for anything else, and beyond 64 bit.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A number per second (`2000/s`), at least 1.
pub fn parse_rate(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    (unit == "/s" && number > 0).then_some(number)
}

/// A time: a number with `us`, `ms`, `s`, `min` (or `m`), `h` or `d` behind it (`50us`, `25s`, `4h`).
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "min" | "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}

/// A time as people write it, in the largest unit that divides it: `4h`, `90min`, `1.5s`.
pub fn duration_text(time: Duration) -> String {
    if time.subsec_nanos() != 0 {
        return format!("{time:?}");
    }
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(factor, _)| seconds > 0 && seconds.is_multiple_of(*factor));
    let (factor, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / factor)
}

/// Digits first, then the unit, with at most a space between.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_times_read_as_written() {
        for (text, bytes) in [
            ("64KiB", Some(65_536)),
            ("16 MiB", Some(16 << 20)),
            ("1000B", Some(1000)),
            ("1GiB", Some(1 << 30)),
            ("64kb", None),
            ("64", None),
            ("KiB", None),
            ("-1B", None),
            ("99999999999999999999B", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for (text, rate) in [("2000/s", Some(2000)), ("0/s", None), ("5/min", None), ("5", None)] {
            assert_eq!(parse_rate(text), rate, "{text}");
        }
        for (text, micros) in [
            ("50us", Some(50)),
            ("0us", Some(0)),
            ("25s", Some(25_000_000)),
            ("2min", Some(120_000_000)),
            ("1h", Some(3_600_000_000)),
            ("30m", Some(1_800_000_000)),
            ("7d", Some(604_800_000_000)),
            ("18446744073709551615d", None),
            ("3ms", Some(3000)),
            ("25", None),
            ("fast", None),
        ] {
            assert_eq!(parse_duration(text).map(|time| time.as_micros()), micros, "{text}");
        }
    }
    #[test]
    fn times_are_told_in_the_largest_unit_that_divides_them() {
        for (time, text) in [
            (Duration::from_secs(4 * 3600), "4h"),
            (Duration::from_secs(5400), "90min"),
            (Duration::from_secs(7 * 86_400), "7d"),
            (Duration::from_secs(61), "61s"),
            (Duration::ZERO, "0s"),
            (Duration::from_millis(1500), "1.5s"),
        ] {
            assert_eq!(duration_text(time), text);
        }
    }
}
