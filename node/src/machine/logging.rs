//! Logs: one line each on standard error, for people or as JSON, and never the same warning ten times a second.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use lockgate_proto::now::Moment;
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// The environment variable that sets the level where the command line does not.
pub const VARIABLE: &str = "LOCKGATE_LOG";
/// Keys that [`Quiet`] remembers at most.
const KEYS: usize = 1024;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level or filter makes no sense.
    #[error(
        "\"{filter}\" (from {origin}) is not a log level: {reason}\n  hint: write error, warn, info, debug or trace, or a list as in info,lockgate::machine=debug"
    )]
    Filter {
        /// What was written.
        filter: String,
        /// Where it was written.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process logs already.
    #[error("logging is set up already")]
    Already,
}

/// Sets up logging for the whole process. `filter` comes from `--log`; without it [`VARIABLE`] counts, then
/// `usual`.
///
/// # Errors
/// When the filter makes no sense, or logging is set up already.
pub fn start(filter: Option<&str>, usual: &str, format: Format) -> Result<(), LogError> {
    let variable = std::env::var(VARIABLE).ok();
    let filter = choose(filter, variable.as_deref(), usual)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let outcome = match format {
        Format::Human => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    };
    outcome.map_err(|_| LogError::Already)
}

fn choose(argument: Option<&str>, variable: Option<&str>, usual: &str) -> Result<EnvFilter, LogError> {
    let (filter, origin) = match (argument, variable) {
        (Some(argument), _) => (argument, "--log"),
        (None, Some(variable)) if !variable.is_empty() => (variable, VARIABLE),
        _ => (usual, "default"),
    };
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter {
        filter: filter.into(),
        origin,
        reason: error.to_string(),
    })
}

/// Lets the same thing be said at most once per interval, and counts what it held back.
///
/// A denied libzmq client comes back ten times a second for ever: the first refusal is news, the rest is a number.
/// It remembers a bounded number of keys; the one that was said longest ago gives way.
#[derive(Debug)]
pub struct Quiet<K> {
    interval: Duration,
    said: BTreeMap<K, Said>,
}

#[derive(Debug)]
struct Said {
    when: Moment,
    suppressed: u64,
}

impl<K: Ord + Clone> Quiet<K> {
    /// At most one per key in `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, said: BTreeMap::new() }
    }

    /// `Some(n)`: say it now, `n` like it were held back since it was last said. `None`: hold it back.
    pub fn admit(&mut self, key: &K, now: Moment) -> Option<u64> {
        if let Some(said) = self.said.get_mut(key) {
            if now.since(said.when) < self.interval {
                said.suppressed += 1;
                return None;
            }
            said.when = now;
            return Some(std::mem::take(&mut said.suppressed));
        }
        if self.said.len() >= KEYS {
            self.forget_one();
        }
        self.said.insert(key.clone(), Said { when: now, suppressed: 0 });
        Some(0)
    }

    fn forget_one(&mut self) {
        let oldest = self.said.iter().min_by_key(|(_, said)| said.when).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.said.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_goes_before_the_variable_and_both_before_the_default() {
        for (argument, variable, expected) in [
            (None, None, "info"),
            (None, Some(""), "info"),
            (None, Some("warn"), "warn"),
            (Some("lockgate=trace"), Some("warn"), "lockgate=trace"),
        ] {
            assert_eq!(choose(argument, variable, "info").unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_level_that_makes_no_sense_is_named_with_where_it_came_from() {
        let error = choose(None, Some("lockgate=loud"), "info").unwrap_err().to_string();
        assert!(
            error.contains("lockgate=loud") && error.contains(VARIABLE) && error.contains("hint"),
            "{error}"
        );
    }

    #[test]
    fn the_same_warning_is_said_once_per_interval_and_the_rest_is_counted() {
        let mut quiet = Quiet::new(Duration::from_secs(10));
        let at = |tenths: u64| Moment::new(Duration::from_millis(100 * tenths));
        assert_eq!(quiet.admit(&"sensor", at(0)), Some(0));
        for tenths in 1..100 {
            assert_eq!(quiet.admit(&"sensor", at(tenths)), None);
        }
        assert_eq!(quiet.admit(&"other", at(50)), Some(0));
        assert_eq!(quiet.admit(&"sensor", at(100)), Some(99));
        assert_eq!(quiet.admit(&"sensor", at(101)), None);
    }

    #[test]
    fn endless_keys_do_not_grow_it() {
        let mut quiet = Quiet::new(Duration::from_secs(10));
        for key in 0..10 * KEYS as u64 {
            assert_eq!(quiet.admit(&key, Moment::new(Duration::from_nanos(key))), Some(0));
        }
        assert_eq!(quiet.said.len(), KEYS);
    }
}
