//! What WireGuard's own network tests assert, written anew: one file for each kind of duty.
//!
//! ```text
//!  left: subject  10.100.0.1 fd00:100::1          right: subject  10.100.0.2 fd00:100::2
//!    └── wire 10.99.0.1 fd00:99::1 ═════ veth ═════ wire 10.99.0.2 fd00:99::2 ──┘
//! ```
//!
//! A file that needs another topology draws its own.

mod counters;
mod ecn;
mod endpoints;
mod families;
mod flows;
mod hosts;
mod keys;
mod many;
mod routing;
mod sources;

use std::net::IpAddr;

use lockgate_tests::network::{Implementation, Lab, Namespace, Pair, Plan};

/// The pair of the drawing, and the folder of its files.
fn subjects(plan: &Plan) -> Option<(Lab, Pair)> {
    let lab = Lab::open(&[])?;
    let pair = Pair::start(&lab, plan);
    Some((lab, pair))
}

/// Whether the subject is one that is known not to do this, so that the test would say nothing about Lockgate.
pub(super) fn subject_lacks(duty: &str, lacking: &[Implementation]) -> bool {
    let subject = Implementation::subject();
    let lacks = lacking.contains(&subject);
    if lacks {
        eprintln!("skipped: {subject} does not {duty}");
    }
    lacks
}

/// Three pings, one after the other, each of which must be answered: no more and no fewer, and all have come when it ends.
fn ping(from: &Namespace, to: IpAddr) {
    ping_with(from, to, "");
}

/// [`ping`] with further words for the program.
fn ping_with(from: &Namespace, to: IpAddr, more: &str) {
    for _ in 0..3 {
        // The program waits for no more than two round trips once anything was answered; so it is asked for one answer.
        from.run(&format!("ping -n -q -c 1 -W 5 {more} {to}"));
    }
}

/// Counts packets in a namespace: each of `counted` is a name and what `nft` matches, before routing.
fn count_arriving(host: &Namespace, counted: &[(&str, &str)]) {
    count(host, "prerouting", counted);
}

/// The same for what leaves.
fn count_leaving(host: &Namespace, counted: &[(&str, &str)]) {
    count(host, "postrouting", counted);
}

fn count(host: &Namespace, hook: &str, counted: &[(&str, &str)]) {
    let counters: String = counted.iter().map(|(name, _)| format!("counter {name} {{ }}\n")).collect();
    let rules: String = counted.iter().map(|(name, what)| format!("{what} counter name {name}\n")).collect();
    host.nft(&format!(
        "table inet counting {{\n{counters}chain {hook} {{ type filter hook {hook} priority 0;\n{rules}}}\n}}"
    ));
}

/// How many packets such a counter has seen.
fn counted(host: &Namespace, name: &str) -> u64 {
    let said = host.run(&format!("nft list counter inet counting {name}"));
    let mut words = said.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).and_then(|number| number.parse().ok()).expect("a counter tells its packets")
}
