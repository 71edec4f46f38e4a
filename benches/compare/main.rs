//! libzmq directly over loopback, beside libzmq through two `lockgate up` processes, in one run.
//!
//! ```text
//!  direct     sender ───────────────────── tcp ───────────────────── receiver
//!  lockgate   sender ── tcp ── beta ══ UDP, loopback ══ alpha ── tcp ── receiver
//! ```
//! The two ways take turns in every round, so that a busy machine is busy for both; medians of the rounds are printed. The
//! applications are processes of their own (this program again), counted and timed at the receiving end.

use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};

mod app;
mod run;

use run::{Latency, Throughput, Way};

/// Message sizes of the throughput table, bytes.
const SIZES: [usize; 3] = [64, 1024, 64 * 1024];

/// libzmq directly, beside libzmq through two nodes: messages per second, round trips, processor time of the nodes.
#[derive(Parser)]
#[command(after_help = "Example:\n  cargo run --release -p lockgate-benches --bin compare -- --rounds 3")]
struct Options {
    /// How often each cell is measured; the two ways take turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long one throughput cell sends, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Round trips of one latency cell
    #[arg(long, default_value_t = 20_000)]
    trips: u64,
    /// Print one JSON object instead of the tables
    #[arg(long)]
    json: bool,
    /// Be one of the applications (this program starts itself so)
    #[arg(long, hide = true, num_args = 1..)]
    app: Vec<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let [role, arguments @ ..] = options.app.as_slice() {
        app::be(role, arguments);
        return ExitCode::SUCCESS;
    }
    let mut throughput: Vec<(usize, Way, Throughput)> = Vec::new();
    let mut latency: Vec<(Way, Latency)> = Vec::new();
    for round in 1..=options.rounds {
        for size in SIZES {
            for way in [Way::Direct, Way::Lockgate] {
                eprintln!("round {round} of {}: {size} B {}", options.rounds, way.name());
                throughput.push((size, way, run::throughput(way, size, options.seconds)));
            }
        }
        for way in [Way::Direct, Way::Lockgate] {
            eprintln!("round {round} of {}: round trips {}", options.rounds, way.name());
            latency.push((way, run::latency(way, options.trips)));
        }
    }
    let report = report(&throughput, &latency);
    if options.json {
        println!("{report}");
    } else {
        print_tables(&report, options.rounds);
    }
    ExitCode::SUCCESS
}

fn report(throughput: &[(usize, Way, Throughput)], latency: &[(Way, Latency)]) -> Value {
    let rates: Vec<Value> = SIZES
        .iter()
        .map(|&size| {
            let of = |way: Way, value: fn(&Throughput) -> f64| {
                median(
                    throughput
                        .iter()
                        .filter(|(s, w, _)| *s == size && *w == way)
                        .map(|(_, _, cell)| value(cell)),
                )
            };
            let rate: fn(&Throughput) -> f64 = |cell| cell.per_second;
            json!({
                "bytes": size,
                "direct": of(Way::Direct, rate),
                "lockgate": of(Way::Lockgate, rate),
                "ratio": of(Way::Lockgate, rate) / of(Way::Direct, rate),
                "nodes_cpu_us_per_message": of(Way::Lockgate, |cell| cell.nodes_cpu_us),
            })
        })
        .collect();
    let trip = |way: Way, value: fn(&Latency) -> f64| {
        median(latency.iter().filter(|(w, _)| *w == way).map(|(_, cell)| value(cell)))
    };
    let row = |name: &str, value: fn(&Latency) -> f64| {
        let (direct, lockgate) = (trip(Way::Direct, value), trip(Way::Lockgate, value));
        json!({ "quantile": name, "direct": direct, "lockgate": lockgate, "ratio": lockgate / direct })
    };
    json!({
        "push_pull_messages_per_second": rates,
        "req_rep_64_bytes_us": [row("p50", |cell| cell.p50), row("p99", |cell| cell.p99)],
        "req_rep_nodes_cpu_us_per_trip": trip(Way::Lockgate, |cell| cell.nodes_cpu_us),
    })
}

fn print_tables(report: &Value, rounds: usize) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    println!("PUSH/PULL, messages per second at the receiver (medians of {rounds} interleaved rounds)");
    println!(
        "{:>8}  {:>12}  {:>12}  {:>6}  {:>18}",
        "bytes", "direct", "lockgate", "ratio", "nodes' CPU us/msg"
    );
    for row in report["push_pull_messages_per_second"].as_array().into_iter().flatten() {
        println!(
            "{:>8}  {:>12.0}  {:>12.0}  {:>6.2}  {:>18.2}",
            row["bytes"],
            number(&row["direct"]),
            number(&row["lockgate"]),
            number(&row["ratio"]),
            number(&row["nodes_cpu_us_per_message"])
        );
    }
    println!("\nREQ/REP, 64 bytes, microseconds for a round trip");
    println!("{:>8}  {:>12}  {:>12}  {:>6}", "", "direct", "lockgate", "ratio");
    for row in report["req_rep_64_bytes_us"].as_array().into_iter().flatten() {
        println!(
            "{:>8}  {:>12.1}  {:>12.1}  {:>6.2}",
            row["quantile"].as_str().unwrap_or_default(),
            number(&row["direct"]),
            number(&row["lockgate"]),
            number(&row["ratio"])
        );
    }
    println!("nodes' CPU per round trip: {:.1} us", number(&report["req_rep_nodes_cpu_us_per_trip"]));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_middles() {
        for (values, middle) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0], 2.5), (&[7.0], 7.0)] {
            assert_eq!(median(values.iter().copied()).to_bits(), f64::to_bits(middle));
        }
    }
}
