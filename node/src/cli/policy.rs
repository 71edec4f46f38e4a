//! The verbs that ask the policy and the flow rules.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The node that begins
    pub from: String,
    /// The node that is reached, and with /SERVICE[#TOPIC] what of it
    #[arg(value_name = "TO[/SERVICE[#TOPIC]]")]
    pub to: String,
    /// Packets instead of a service: tcp:PORT, udp:PORT, icmp
    #[arg(value_name = "PACKETS")]
    pub packets: Option<String>,
    /// The policy file [default: the one that the configuration names]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// Options of `reach`.
#[derive(Debug, Args)]
pub struct Reach {
    /// The policy file [default: the one that the configuration names]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// As comma-separated values
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

/// What can be done with a policy file.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Every mistake at once, and what is valid but dead, shadowed or too broad
    ///
    /// Exit code 1 where there is a mistake or a warning; notes alone (words that nobody uses) are 0.
    #[command(after_help = "Example:\n  lockgate policy check policy.toml")]
    Check(PolicyFile),
    /// Run the [[test]]s in the file
    #[command(after_help = "Example:\n  lockgate policy test --cover --mutate policy.toml")]
    Test(PolicyTest),
    /// Who gains and who loses what between two policies
    ///
    /// Exit code 0 where the same passes under both, within the same limits; 1 where not.
    #[command(after_help = "Example:\n  lockgate policy diff policy.toml candidate.toml")]
    Diff(PolicyDiff),
    /// The flow rules that the policy compiles to
    #[command(after_help = "Example:\n  lockgate policy compile policy.toml")]
    Compile(PolicyFile),
    /// Judge by a candidate beside the policy in force, and count where they differ
    #[command(after_help = "Example:\n  lockgate policy stage candidate.toml")]
    Stage(PolicyFile),
    /// Put the staged candidate in force
    #[command(after_help = "Example:\n  lockgate policy promote")]
    Promote,
    /// Forget the staged candidate
    #[command(after_help = "Example:\n  lockgate policy abort")]
    Abort,
}

/// A policy file.
#[derive(Debug, Args)]
pub struct PolicyFile {
    /// The policy file [default: the one that the configuration names]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Options of `policy test`.
#[derive(Debug, Args)]
pub struct PolicyTest {
    /// The policy file [default: the one that the configuration names]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Also list the rules that no test needs
    #[arg(long)]
    pub cover: bool,
    /// Also change the policy in every small way, and list the changes that no test notices
    #[arg(long)]
    pub mutate: bool,
    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Options of `policy diff`.
#[derive(Debug, Args)]
pub struct PolicyDiff {
    /// The policy as it was
    pub before: PathBuf,
    /// The policy as it would be
    pub after: PathBuf,
}

/// What can be done with a script of flow rules.
#[derive(Debug, Subcommand)]
pub enum RulesVerb {
    /// Compile a script
    #[command(after_help = "Example:\n  lockgate rules compile --format zerotier wg0.rules")]
    Compile(RulesCompile),
    /// Judge packets by a script, exactly as ZeroTier judges them
    ///
    /// Each line of the input is a JSON object: rules (a script's text) or script (its path); packet (hex of the IP packet);
    /// direction (out: judged where it is sent, in: where it arrives); and where the rules ask for them local_tags and
    /// remote_tags (of the judging node and of its peer: number or name to value; what is missing has the tag's default),
    /// capabilities (those that the sender holds), local and remote (names of the nodes), random, established. Other keys are
    /// ignored. Each gets a line: verdict (accept, drop, redirect) and the rule that decided, with tee and redirect where
    /// there are some; or error and line. Exit code 1 where there was an error.
    #[command(
        after_help = "Example:\n  lockgate rules judge cases.jsonl\n  lockgate rules judge --rules wg0.rules --direction in capture.pcap"
    )]
    Judge(RulesJudge),
}

/// Options of `rules compile`.
#[derive(Debug, Args)]
pub struct RulesCompile {
    /// What to print
    #[arg(long, value_enum, default_value_t = RulesFormat::Program)]
    pub format: RulesFormat,
    /// The script; - for stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What `rules compile` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RulesFormat {
    /// The flat program, as a script that compiles to itself
    Program,
    /// The JSON of ZeroTier's own compiler
    Zerotier,
}

/// Options of `rules judge`.
#[derive(Debug, Args)]
pub struct RulesJudge {
    /// JSON lines, or a pcap file; - for stdin [default: stdin]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The script for the packets of a pcap file, and for lines that name none
    #[arg(long, value_name = "SCRIPT")]
    pub rules: Option<PathBuf>,
    /// Which way the packets of a pcap file go [default: as a cooked capture says; otherwise out]
    #[arg(long, value_enum, value_name = "WAY")]
    pub direction: Option<Way>,
    /// A tag of the judging node, for a pcap file
    #[arg(long, value_name = "TAG=VALUE", value_parser = tag)]
    pub local_tag: Vec<(String, u32)>,
    /// A tag of its peer, for a pcap file
    #[arg(long, value_name = "TAG=VALUE", value_parser = tag)]
    pub remote_tag: Vec<(String, u32)>,
    /// A capability that the sender holds, for a pcap file
    #[arg(long, value_name = "ID")]
    pub capability: Vec<u32>,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Judged where they are sent
    Out,
    /// Judged where they arrive
    In,
}

fn tag(text: &str) -> Result<(String, u32), String> {
    let (tag, value) = text.split_once('=').ok_or("write TAG=VALUE, such as 1000=5")?;
    let value = value.parse().map_err(|_| format!("{value} is no number of 32 bits"))?;
    Ok((tag.to_owned(), value))
}

/// Options of `observe`.
#[derive(Debug, Args)]
pub struct Observe {
    /// Stop after this many packets
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}
