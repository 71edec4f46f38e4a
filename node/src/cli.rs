//! The command line: one subcommand for each verb, each with an example in its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub mod policy;

use policy::{Explain, Observe, PolicyVerb, Reach, RulesVerb};

/// An encrypted overlay-tunnel node with a ZeroMQ broker built in.
#[derive(Debug, Parser)]
#[command(
    name = "lockgate",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 fine, 1 a finding or a failure, 2 wrong usage, 3 cannot tell.\n\nExample:\n  lockgate init --name edge-north"
)]
pub struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The node's configuration
    #[arg(short, long, global = true, value_name = "FILE", default_value = "lockgate.toml")]
    pub config: PathBuf,
    /// Report as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log on stderr: error, warn, info, debug, trace, or a filter such as lockgate=debug
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a private key
    ///
    /// With FILE the private key goes into the file (mode 0600) and the public key to stdout.
    /// Without FILE the private key goes to stdout.
    #[command(after_help = "Example:\n  lockgate keygen node.key")]
    Keygen(Keygen),
    /// The public key of the private key on stdin
    #[command(after_help = "Example:\n  lockgate pubkey < node.key")]
    Pubkey,
    /// Write a commented lockgate.toml, policy.toml and a node key to start from
    #[command(after_help = "Example:\n  lockgate init --name edge-north --dir /etc/lockgate")]
    Init(Init),
    /// Two nodes and their applications in this process: see the main job work, without privileges or files
    ///
    /// Exit code 0 only if every message arrived, what the policy denies was denied, and no datagram held plaintext.
    #[cfg(feature = "demo")]
    #[command(after_help = "Example:\n  lockgate demo --seconds 10")]
    Demo(Demo),
    /// Check the configuration and the policy together: every mistake at once
    #[command(after_help = "Example:\n  lockgate check -c /etc/lockgate/lockgate.toml")]
    Check,
    /// Run the node in the foreground
    ///
    /// SIGTERM or SIGINT stops it once what was under way is delivered; SIGHUP reads the policy again.
    #[command(after_help = "Example:\n  lockgate up -c /etc/lockgate/lockgate.toml")]
    Up,
    /// What this node is doing, and what to do next
    #[command(after_help = "Example:\n  lockgate status -c /etc/lockgate/lockgate.toml --json")]
    Status,
    /// How the tunnel to each peer is doing: handshake, endpoint, traffic, path MTU, loss
    #[command(after_help = "Example:\n  lockgate peers -c /etc/lockgate/lockgate.toml")]
    Peers,
    /// The round trip through the tunnel to a peer, and with /SERVICE what the policy says
    ///
    /// Works with and without a TUN device. Exit code 1 where nothing came back.
    #[command(
        after_help = "Example:\n  lockgate ping edge-south --count 10\n  lockgate ping edge-south/telemetry"
    )]
    Ping(Ping),
    /// What the policy says about one thing: allowed or denied, and by which rule
    ///
    /// Without /SERVICE and PACKETS: everything that passes from the one to the other. Exit code 0 allowed, 1 denied, 2 for a name
    /// that the policy does not have.
    #[command(
        after_help = "Example:\n  lockgate explain edge-south edge-north/telemetry#temp.1\n  lockgate explain edge-south edge-north tcp:22"
    )]
    Explain(Explain),
    /// Who reaches what: the whole matrix, by tag set
    ///
    /// Nodes that no rule tells apart are one tag set; the table is exact, and what is not in it is denied.
    #[command(after_help = "Example:\n  lockgate reach --policy policy.toml")]
    Reach(Reach),
    /// The policy file on its own, and a candidate beside the one in force
    #[command(subcommand, after_help = "Example:\n  lockgate policy check policy.toml")]
    Policy(PolicyVerb),
    /// Flow rules in ZeroTier's language
    #[command(subcommand, after_help = "Example:\n  lockgate rules compile wg0.rules")]
    Rules(RulesVerb),
    /// The copies of packets that tee and watch rules send to this node, as a pcap stream
    #[command(after_help = "Example:\n  lockgate observe | tcpdump -nr -")]
    Observe(Observe),
    /// A drop-in WireGuard implementation in user space: one interface, for wg, wg-quick and any WireGuard peer
    ///
    /// Without --allow-all or --rules no packet passes. Goes to the background once the interface and its socket exist; ends when
    /// either is deleted.
    #[command(after_help = "Example:\n  lockgate wg --allow-all wg0 && wg setconf wg0 wg0.conf")]
    Wg(Wg),
    /// A small ZeroMQ client for trying things out
    #[command(after_help = "Example:\n  lockgate zmq sub tcp://127.0.0.1:5557 --topic temp. --count 3")]
    Zmq(Zmq),
}

impl Verb {
    /// What is logged where the operator says nothing. The demo's own lines are its report.
    pub const fn usual_log(&self) -> &'static str {
        match self {
            #[cfg(feature = "demo")]
            Self::Demo(_) => "warn",
            _ => "info",
        }
    }
}

/// Options of `demo`.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct Demo {
    /// Stop after this long; the exit code says whether everything held [default: until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=LONGEST_DEMO))]
    pub seconds: Option<u64>,
}

/// A year, in seconds.
#[cfg(feature = "demo")]
const LONGEST_DEMO: u64 = 365 * 24 * 60 * 60;

/// Options of `keygen`.
#[derive(Debug, Args)]
pub struct Keygen {
    /// Where the private key goes
    pub file: Option<PathBuf>,
    /// Replace a file that is there: the key in it is lost
    #[arg(long, requires = "file")]
    pub force: bool,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The node's name, as the policy knows it [default: this host's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Where the files go
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
}

/// Options of `ping`.
#[derive(Debug, Args)]
pub struct Ping {
    /// The peer's name, as the configuration calls it; with /SERVICE the policy is asked too
    #[arg(value_name = "PEER[/SERVICE]")]
    pub target: String,
    /// How many to send
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// The bytes of each, as the tunnel's payload
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(16..=1400))]
    pub size: u16,
    /// The pause between two
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "500ms")]
    pub interval: Duration,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    pub timeout: Duration,
}

/// Options of `zmq`.
#[derive(Debug, Args)]
pub struct Zmq {
    /// The socket's type.
    #[command(subcommand)]
    pub kind: ZmqKind,
}

/// Options of `wg`.
///
/// WireGuard's own tools call a program in user space with an interface's name and nothing else, so that the name is the only
/// thing that is required.
#[derive(Clone, Debug, Args)]
pub struct Wg {
    /// Stay in the foreground; so does WG_PROCESS_FOREGROUND=1 in the environment
    #[arg(short, long)]
    pub foreground: bool,
    /// Pass every packet, as other WireGuard implementations do
    #[arg(long, conflicts_with = "rules")]
    pub allow_all: bool,
    /// Pass what these rules allow; without them, and without --allow-all, no packet passes
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// The interface to make
    #[arg(value_name = "IFNAME", value_parser = interface_name)]
    pub interface: String,
}

/// The socket types of the small client.
#[derive(Debug, Subcommand)]
pub enum ZmqKind {
    /// Publish messages from the arguments, or one for each line of stdin
    #[command(
        after_help = "Example:\n  lockgate zmq pub tcp://127.0.0.1:5556 --bind --topic temp.1 21.5 --count 10 --interval 1s"
    )]
    Pub(Publish),
    /// Subscribe and print what comes, one message a line
    #[command(
        after_help = "Example:\n  lockgate zmq sub tcp://127.0.0.1:5557 --topic temp. --count 3 --timeout 10s"
    )]
    Sub(Subscribe),
    /// Ask: send each message, print its reply
    #[command(after_help = "Example:\n  lockgate zmq req tcp://127.0.0.1:5557 hello --timeout 5s")]
    Req(Ask),
    /// Answer: print each request, send a reply
    #[command(after_help = "Example:\n  lockgate zmq rep ipc:///run/app/command --bind --echo")]
    Rep(Answer),
    /// Push messages from the arguments, or one for each line of stdin
    #[command(after_help = "Example:\n  seq 1000 | lockgate zmq push tcp://127.0.0.1:5557")]
    Push(Send),
    /// Pull and print what comes, one message a line
    #[command(after_help = "Example:\n  lockgate zmq pull tcp://127.0.0.1:5558 --bind --count 1000")]
    Pull(Receive),
}

/// Where the socket is, and for how long to wait.
#[derive(Clone, Debug, Args)]
pub struct Line {
    /// tcp://HOST:PORT or ipc:///PATH
    pub endpoint: String,
    /// Bind there instead of connecting; anyone who reaches the endpoint may talk to it
    #[arg(long)]
    pub bind: bool,
    /// Give up (exit code 1) when this passes without a peer, a message or room to send [default: wait]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// What to send.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// The messages; without any, and without --size, each line of stdin is one
    pub messages: Vec<String>,
    /// The arguments are the parts of one message, not a message each
    #[arg(long)]
    pub parts: bool,
    /// How many messages to send in all, starting over when they run out; 0 for no end
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// The pause between two messages
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub interval: Option<Duration>,
    /// Send messages of this many bytes instead
    #[arg(long, value_name = "BYTES", conflicts_with = "messages")]
    pub size: Option<usize>,
}

/// Options of `zmq push`.
#[derive(Clone, Debug, Args)]
pub struct Send {
    /// Where.
    #[command(flatten)]
    pub line: Line,
    /// What.
    #[command(flatten)]
    pub source: Source,
}

/// Options of `zmq pub`.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// Where.
    #[command(flatten)]
    pub line: Line,
    /// What.
    #[command(flatten)]
    pub source: Source,
    /// A first part that goes before each message
    #[arg(long)]
    pub topic: Option<String>,
    /// How long a new subscriber gets to say what it wants: PUB has no other sign that it did
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "300ms")]
    pub settle: Duration,
}

/// Options of `zmq pull`.
#[derive(Clone, Debug, Args)]
pub struct Receive {
    /// Where.
    #[command(flatten)]
    pub line: Line,
    /// Stop after this many messages
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// Options of `zmq sub`.
#[derive(Clone, Debug, Args)]
pub struct Subscribe {
    /// Where and how many.
    #[command(flatten)]
    pub receive: Receive,
    /// A prefix to subscribe to; may be repeated [default: everything]
    #[arg(long, value_name = "PREFIX")]
    pub topic: Vec<String>,
}

/// Options of `zmq req`.
#[derive(Clone, Debug, Args)]
pub struct Ask {
    /// Where.
    #[command(flatten)]
    pub line: Line,
    /// What.
    #[command(flatten)]
    pub source: Source,
}

/// Options of `zmq rep`.
#[derive(Clone, Debug, Args)]
pub struct Answer {
    /// Where.
    #[command(flatten)]
    pub line: Line,
    /// The reply, whatever the request
    #[arg(default_value = "ok", conflicts_with = "echo")]
    pub reply: String,
    /// Reply with the request itself
    #[arg(long)]
    pub echo: bool,
    /// Stop after this many requests
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// Reads `250ms`, `25s`, `2m`, `4h`; a bare number is seconds.
///
/// # Errors
/// A sentence that says what a time looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| bad_duration(text))?;
    let scale = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad_duration(text)),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| bad_duration(text))
}

/// The longest name of an interface, in bytes: Linux's IFNAMSIZ without the zero at its end.
const LONGEST_INTERFACE: usize = 15;

/// Takes what Linux takes as an interface's name; that it names a file beside others is then harmless too.
///
/// # Errors
/// A sentence that says what a name looks like.
pub fn interface_name(text: &str) -> Result<String, String> {
    let strange = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    let bad = text.is_empty() || text.len() > LONGEST_INTERFACE || [".", ".."].contains(&text);
    if bad || text.contains(strange) {
        return Err(format!("{text:?} is no interface name: write 1 to 15 letters and digits, such as wg0"));
    }
    Ok(text.to_owned())
}

fn bad_duration(text: &str) -> String {
    format!("{text:?} is not a time: write 250ms, 25s, 2m or 4h")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example_in_its_help() {
        fn look(command: &clap::Command, path: &str) {
            for verb in command.get_subcommands().filter(|v| v.get_name() != "help") {
                let path = format!("{path} {}", verb.get_name());
                let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example:\n"), "{path} has no example");
                assert!(help.contains("lockgate "), "{path}: the example runs lockgate");
                look(verb, &path);
            }
        }
        look(&Cli::command(), "lockgate");
    }

    /// `wg` as a command of its own.
    #[derive(Parser)]
    struct WgAlone {
        #[command(flatten)]
        wg: Wg,
    }

    #[test]
    fn wg_is_called_as_wireguards_tools_call_it() {
        let parse = |args: &[&str]| WgAlone::try_parse_from([&["wg"], args].concat()).map(|alone| alone.wg);
        let plain = parse(&["wg0"]).unwrap();
        assert_eq!((plain.interface.as_str(), plain.foreground, plain.allow_all), ("wg0", false, false));
        assert!(parse(&["-f", "wg0"]).unwrap().foreground);
        assert!(parse(&["--foreground", "--allow-all", "wg0"]).unwrap().allow_all);
        assert!(parse(&["--rules", "wg0.rules", "wg0"]).unwrap().rules.is_some());
        for wrong in [&[][..], &["wg0", "wg1"], &["--allow-all", "--rules", "x", "wg0"], &["../../etc/x"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_interface_name_is_what_linux_takes() {
        for name in ["wg0", "a", "abcdefghijklmno", "wg-0.1_x", "wg%d", "..."] {
            assert_eq!(interface_name(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "..", "abcdefghijklmnop", "a/b", "a b", "a:b", "a\n", "\u{7f}", "a\u{a0}b"] {
            assert!(interface_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_time_has_a_unit_or_is_seconds() {
        for (text, millis) in
            [("250ms", 250), ("25s", 25_000), ("2m", 120_000), ("1h", 3_600_000), ("3", 3000), ("0.5", 500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5d", "-1s", "1e400s", "five"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
