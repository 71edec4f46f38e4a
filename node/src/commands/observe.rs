//! `observe`: the copies that tee and watch rules send here.

use std::io::{self, IsTerminal, Stdout, StdoutLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::up::control_path;
use super::{Failure, mistaken, out_of, print};
use crate::cli::Common;
use crate::cli::policy::Observe;
use crate::control::{AskError, Lines, Next};
use crate::machine::poller::{Interest, Poller};
use crate::{config, control};
use pcap::Pcap;

mod pcap;

/// How long a healthy node takes at most to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// The node's connection.
const NODE: u64 = 0;
/// Whoever reads our output.
const READER: u64 = 1;

/// Asks the node and writes what it sends, until there was enough of it, its reader has left, or the node ends.
pub(super) fn run(options: &Observe, common: &Common) -> Result<(), Failure> {
    let stdout = io::stdout();
    if !common.json && stdout.is_terminal() {
        let what = "what is observed is a binary stream (pcap), and stdout is a terminal";
        return Err(Failure::usage(what, "lockgate observe | tcpdump -nr -  (or --json for text)"));
    }
    let config = config::read(&common.config).map_err(|mistakes| mistaken(&mistakes))?;
    let followed = control::follow(&control_path(&config), &json!({ "command": "observe" }), PATIENCE);
    let (_, mut lines) = followed.map_err(|error| match error {
        AskError::Refused { reason } => Failure::failed(reason, ""),
        other => Failure::cannot_tell(other, ""),
    })?;
    let mut poller = watch(&lines, &stdout)?;
    let mut tally = Tally::default();
    let mut sink = Sink::new(common, &stdout)?;
    let outcome = copy(options, &mut lines, &mut poller, &mut sink, &mut tally);
    if tally.lost > 0 {
        // Not through the log: nobody has set one up, and this concerns what was just written.
        eprintln!("{} packets were lost: they came faster than they were read", tally.lost);
    }
    outcome
}

/// What has come.
#[derive(Default)]
struct Tally {
    seen: u64,
    lost: u64,
}

fn copy(
    options: &Observe,
    lines: &mut Lines,
    poller: &mut Poller,
    sink: &mut Sink<'_>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    while options.count.is_none_or(|count| tally.seen < count) {
        match lines.read_line().map_err(|error| Failure::cannot_tell(error, ""))? {
            Next::Line(line) => match line["lost"].as_u64() {
                Some(lost) => tally.lost = lost,
                None => {
                    sink.write(&line)?;
                    tally.seen += 1;
                }
            },
            Next::NotYet => {
                let ready = poller.wait(None).map_err(out_of)?;
                if ready.iter().any(|ready| ready.token == READER && ready.hangup) {
                    return Err(Failure::ReaderLeft);
                }
            }
            Next::End => {
                let Some(count) = options.count else { return Ok(()) };
                let what = format!("the node has ended ({} of {count} packets came)", tally.seen);
                return Err(Failure::failed(what, "look at its log"));
            }
        }
    }
    Ok(())
}

/// Wakes when the node says something, and when nobody reads any more.
fn watch(lines: &Lines, stdout: &Stdout) -> Result<Poller, Failure> {
    let poller = Poller::new().map_err(out_of)?;
    poller.register(lines, NODE, Interest::Read).map_err(out_of)?;
    // A file cannot be watched, and nobody can leave it.
    let _ = poller.register(stdout, READER, Interest::Read);
    Ok(poller)
}

/// Where packets are written.
enum Sink<'s> {
    Json,
    Pcap(Pcap<StdoutLock<'s>>),
}

impl<'s> Sink<'s> {
    fn new(common: &Common, stdout: &'s Stdout) -> Result<Self, Failure> {
        if common.json {
            return Ok(Self::Json);
        }
        Pcap::begin(stdout.lock()).map(Self::Pcap).map_err(|error| unwritten(&error))
    }

    fn write(&mut self, line: &Value) -> Result<(), Failure> {
        match self {
            Self::Json => print(line),
            Self::Pcap(pcap) => {
                let (when, length, bytes) = packet(line).ok_or_else(|| {
                    Failure::cannot_tell(
                        "the node has sent what is no packet",
                        "is it another version of lockgate? restart it",
                    )
                })?;
                pcap.packet(when, length, &bytes).map_err(|error| unwritten(&error))
            }
        }
    }
}

fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderLeft,
        _ => Failure::failed(format!("stdout: {error}"), "make room, or send the output elsewhere"),
    }
}

/// When it came, how long the packet is, and its first bytes.
fn packet(line: &Value) -> Option<(Duration, u16, Vec<u8>)> {
    let when = Duration::from_micros(line["when_us"].as_u64()?);
    let length = u16::try_from(line["length"].as_u64()?).ok()?;
    let digits = line["bytes"].as_str()?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    Some((when, length, bytes?))
}

fn digit(of: u8) -> Option<u8> {
    char::from(of).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_as_the_node_writes_it() {
        let line = json!({ "when_us": 1_000_002, "from": "alpha", "length": 65_535, "bytes": "45ff00" });
        let wanted = (Duration::from_micros(1_000_002), 65_535, vec![0x45, 0xff, 0]);
        assert_eq!(packet(&line), Some(wanted));
        for (key, value) in [
            ("when_us", json!(-1)),
            ("length", json!(65_536)),
            ("bytes", json!("450")),
            ("bytes", json!("4g")),
            ("bytes", json!(7)),
            ("bytes", Value::Null),
        ] {
            let mut line = line.clone();
            line[key] = value;
            assert_eq!(packet(&line), None, "{line}");
        }
    }
}
