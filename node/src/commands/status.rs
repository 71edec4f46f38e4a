//! `status`: what the running node is doing, and what to do next.

mod policy;

use std::time::Duration;

use serde_json::{Value, json};

use super::up::control_path;
use super::{Failure, mistaken, print};
use crate::cli::Common;
use crate::control::AskError;
use crate::{config, control};

/// How long a healthy node takes at most; it answers between two turns.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the node and prints its answer.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let status = ask(common, &json!({ "command": "status" }))?;
    if common.json {
        return print(&status);
    }
    print(screen(&status))
}

/// Asks the running node of this configuration.
pub(super) fn ask(common: &Common, question: &Value) -> Result<Value, Failure> {
    let config = config::read(&common.config).map_err(|mistakes| mistaken(&mistakes))?;
    let answer = control::ask(&control_path(&config), question, PATIENCE);
    answer.map_err(|error| match error {
        AskError::Refused { reason } => Failure::failed(reason, ""),
        other => Failure::cannot_tell(other, ""),
    })
}

/// The status as a person reads it.
fn screen(status: &Value) -> String {
    let mut lines = vec![format!(
        "{}  up {}  listening on {}  public key {}",
        text(&status["node"]),
        age(status["uptime_seconds"].as_f64()),
        text(&status["listen"]),
        text(&status["public_key"]),
    )];
    lines.extend(policy::lines(status));
    lines.extend(packets(status));
    lines.push(String::new());
    lines.push(format!(
        "{:<20} {:<12} {:<24} {:>12} {:>12} {:>12}",
        "PEER", "STATE", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT"
    ));
    lines.extend(list(&status["peers"]).iter().map(peer));
    lines.push(String::new());
    lines.push(format!(
        "{:<20} {:<6} {:>6} {:>12} {:>12} {:>10} {:>10}  {}",
        "SERVICE", "ROLE", "OPEN", "MSGS OUT", "MSGS IN", "DROPPED", "REFUSED", "ENDPOINT"
    ));
    lines.extend(list(&status["services"]).iter().map(service));
    let denials = list(&status["denials"]);
    if !denials.is_empty() {
        lines.push(String::new());
        lines.push("DENIED".into());
        lines.extend(latest(denials).iter().map(denial));
    }
    let advice = advice(status);
    if !advice.is_empty() {
        lines.push(String::new());
        lines.push("NEXT".into());
        lines.extend(advice);
    }
    lines.join("\n")
}

/// The interface, where there is one.
fn packets(status: &Value) -> Option<String> {
    let (tun, flows) = (status["tun"].as_object()?, &status["packets"]["flows"]);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let refused = number(&status["discards"]["denied"]) + number(&status["discards"]["transit"]);
    Some(format!(
        "packets  {}: {} to the peers, {} from them, {} flows now, {refused} packets denied",
        text(&tun["name"]),
        bytes(&tun["read_bytes"]),
        bytes(&tun["written_bytes"]),
        number(&flows["now"]),
    ))
}

fn peer(peer: &Value) -> String {
    format!(
        "{:<20} {:<12} {:<24} {:>12} {:>12} {:>12}",
        text(&peer["name"]),
        text(&peer["state"]),
        peer["endpoint"].as_str().unwrap_or("unknown yet"),
        peer["handshake_age_seconds"]
            .as_f64()
            .map_or("never".into(), |seconds| format!("{} ago", age(Some(seconds)))),
        bytes(&peer["rx_bytes"]),
        bytes(&peer["tx_bytes"]),
    )
}

fn service(service: &Value) -> String {
    let counters = &service["counters"];
    format!(
        "{:<20} {:<6} {:>6} {:>12} {:>12} {:>10} {:>10}  {}",
        text(&service["service"]),
        text(&service["role"]),
        counters["open"],
        counters["messages_out"],
        counters["messages_in"],
        counters["dropped"].as_u64().unwrap_or(0) + counters["subscriptions_refused"].as_u64().unwrap_or(0),
        counters["refused"],
        service["listen"].as_str().unwrap_or("dialled"),
    )
}

fn denial(denial: &Value) -> String {
    if let Some(to) = denial["to"].as_str() {
        let (what, from) = (text(&denial["what"]), text(&denial["from"]));
        let (age, reason) = (age(denial["seconds_ago"].as_f64()), text(&denial["reason"]));
        return format!("  {} x {what} from {from} to {to}, last {age} ago: {reason}", denial["count"]);
    }
    format!(
        "  {} x {} {} by {} ({}), last {} ago: {}",
        denial["count"],
        text(&denial["service"]),
        text(&denial["what"]),
        text(&denial["from"]),
        text(&denial["socket"]),
        age(denial["seconds_ago"].as_f64()),
        text(&denial["reason"]),
    )
}

/// The ten latest, the last one first.
fn latest(mut denials: Vec<Value>) -> Vec<Value> {
    let age = |denial: &Value| denial["seconds_ago"].as_f64().unwrap_or(f64::MAX);
    denials.sort_by(|one, other| age(one).total_cmp(&age(other)));
    denials.truncate(10);
    denials
}

/// What an operator would do about it.
fn advice(status: &Value) -> Vec<String> {
    let mut advice = Vec::new();
    for peer in list(&status["peers"]) {
        let name = text(&peer["name"]);
        match (text(&peer["state"]).as_str(), peer["endpoint"].as_str()) {
            ("up", _) => {}
            (_, None) => advice.push(format!("  {name} has not called yet; if it cannot, give it an  endpoint  here")),
            (_, Some(endpoint)) => advice.push(format!(
                "  {name} does not answer at {endpoint}: is it running, does a firewall pass UDP, does it have this node's public key?"
            )),
        }
    }
    for service in list(&status["services"]) {
        let name = text(&service["service"]);
        if service["counters"]["unserved"].as_u64().unwrap_or(0) > 0 {
            advice.push(format!(
                "  {name}: applications waited in vain; does an application serve it on the other node?"
            ));
        }
    }
    advice
}

pub(super) fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn age(seconds: Option<f64>) -> String {
    let seconds = seconds.unwrap_or(0.0) as u64;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn bytes(value: &Value) -> String {
    let bytes = value.as_u64().unwrap_or(0);
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} KiB", bytes / 1024),
        10_000_000..=9_999_999_999 => format!("{} MiB", bytes / 1_048_576),
        _ => format!("{} GiB", bytes / 1_073_741_824),
    }
}
