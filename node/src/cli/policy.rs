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
    /// Judge packets: JSON lines, or a pcap file
    #[command(after_help = "Example:\n  lockgate rules judge cases.jsonl")]
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
    /// JSON lines, or a pcap file [default: JSON lines on stdin]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The script for the packets of a pcap file
    #[arg(long, value_name = "SCRIPT")]
    pub rules: Option<PathBuf>,
}

/// Options of `observe`.
#[derive(Debug, Args)]
pub struct Observe {
    /// Stop after this many packets
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}
