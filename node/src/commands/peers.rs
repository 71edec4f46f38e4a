//! `peers`: how each tunnel is doing.

use serde_json::{Value, json};

use super::status::{age, ask, bytes, list, text};
use super::{Failure, print};
use crate::cli::Common;

/// Asks the node and prints its peers.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let status = ask(common, &json!({ "command": "status" }))?;
    if common.json {
        return print(&status["peers"]);
    }
    print(screen(&list(&status["peers"])))
}

/// The peers as a person reads them.
fn screen(peers: &[Value]) -> String {
    let mut lines = vec![format!(
        "{:<20} {:<12} {:<24} {:>12} {:>10} {:>10} {:>8} {:>8} {:>9}  {}",
        "PEER", "STATE", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT", "PATHMTU", "LOSS", "RTT", "ADDRESSES"
    )];
    lines.extend(peers.iter().map(peer));
    lines.join("\n")
}

fn peer(peer: &Value) -> String {
    let handshake = peer["handshake_age_seconds"].as_f64();
    let addresses: Vec<String> = list(&peer["addresses"]).iter().map(text).collect();
    format!(
        "{:<20} {:<12} {:<24} {:>12} {:>10} {:>10} {:>8} {:>8} {:>9}  {}",
        text(&peer["name"]),
        text(&peer["state"]),
        peer["endpoint"].as_str().unwrap_or("unknown yet"),
        handshake.map_or("never".into(), |seconds| format!("{} ago", age(Some(seconds)))),
        bytes(&peer["rx_bytes"]),
        bytes(&peer["tx_bytes"]),
        peer["path_mtu"].as_u64().map_or("-".into(), |mtu| mtu.to_string()),
        loss(peer),
        peer["handshake_round_trip_us"].as_f64().map_or("-".into(), |us| format!("{:.1} ms", us / 1000.0)),
        addresses.join(" "),
    )
}

/// How much of what the peer has sent never arrived, by the gaps in its counters.
fn loss(peer: &Value) -> String {
    let (lost, got) = (peer["rx_lost"].as_u64().unwrap_or(0), peer["rx_packets"].as_u64().unwrap_or(0));
    if lost + got == 0 {
        return "-".into();
    }
    format!("{:.2}%", 100.0 * lost as f64 / (lost + got) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_one_line_and_what_is_unknown_is_said_to_be() {
        let peers = [
            json!({
                "name": "edge-south", "state": "up", "endpoint": "198.51.100.7:51820", "rx_bytes": 1200, "tx_bytes": 20_480,
                "handshake_age_seconds": 61.2, "path_mtu": 1500, "rx_packets": 399, "rx_lost": 1,
                "handshake_round_trip_us": 1834, "addresses": ["10.77.0.12", "10.78.0.0/16"],
            }),
            json!({ "name": "edge-west", "state": "down", "rx_bytes": 0, "tx_bytes": 148 }),
        ];
        let screen = screen(&peers);
        let lines: Vec<Vec<&str>> = screen.lines().map(|line| line.split_whitespace().collect()).collect();
        let south = "edge-south up 198.51.100.7:51820 61s ago 1200 B 20 KiB 1500 0.25% 1.8 ms 10.77.0.12 10.78.0.0/16";
        assert_eq!(lines[1].join(" "), south);
        assert_eq!(lines[2].join(" "), "edge-west down unknown yet never 0 B 148 B - - -");
    }
}
