//! What came of the demo, as data, and whether everything held.

use serde_json::{Map, Value, json};

use super::apps::SERVICES;
use super::ledger::Figures;
use super::stage::POLICY_FILE;
use super::wiretap::Findings;

/// How things are, or were at the end.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// In the order of [`SERVICES`].
    pub(super) services: [Figures; 3],
    /// What the nodes have on record.
    pub(super) denied: Vec<Refusal>,
    /// Datagrams that the nodes themselves have counted.
    pub(super) sent: u64,
    /// What the search for plaintext found.
    pub(super) findings: Findings,
    /// Nodes or applications that failed.
    pub(super) troubles: Vec<String>,
}

/// A refusal, as a node's status has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The node whose application asked.
    pub(super) who: String,
    /// The service.
    pub(super) service: String,
    /// The application's socket type.
    pub(super) socket: String,
    /// What it asked for.
    pub(super) what: String,
    /// The rule that decided, or came nearest: its name, file and line.
    pub(super) rule: Option<String>,
    /// The whole judgement.
    pub(super) reason: String,
    /// How often.
    pub(super) count: u64,
    /// The node that refused.
    pub(super) by: String,
}

/// The attempts that must be on record, made at the node in the south: service, socket type, what.
const ATTEMPTS: [[&str; 3]; 2] = [["telemetry", "sub", "subscribe"], ["command", "dealer", "open"]];
/// Between the name of a nearest rule and what goes before.
const NEAREST: &str = "nearest rule ";

impl Refusal {
    /// Those in the status of `node`.
    pub(super) fn all_in(node: &str, status: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let refusal = |denial: &Value| Self {
            who: text(&denial["from"]),
            service: text(&denial["service"]),
            socket: text(&denial["socket"]).to_lowercase(),
            what: text(&denial["what"]),
            rule: rule_in(&text(&denial["reason"])),
            reason: text(&denial["reason"]),
            count: denial["count"].as_u64().unwrap_or(0),
            by: node.to_owned(),
        };
        status["denials"].as_array().into_iter().flatten().map(refusal).collect()
    }

    /// Whether the rule only came nearest, and did not itself admit the connection.
    pub(super) fn is_nearest(&self) -> bool {
        self.reason.contains(NEAREST)
    }

    fn is(&self, [service, socket, what]: [&str; 3]) -> bool {
        self.who == "south"
            && self.service == service
            && self.socket == socket
            && self.what == what
            && self.rule.is_some()
            && self.count > 0
    }

    fn json(&self) -> Value {
        let rule = if self.is_nearest() { "nearest_rule" } else { "rule" };
        let mut object = json!({
            "who": self.who,
            "service": self.service,
            "socket": self.socket,
            "what": self.what,
            "reason": self.reason,
            "count": self.count,
            "by": self.by,
        });
        object[rule] = json!(self.rule);
        object
    }
}

/// The `name (file:line)` in a judgement.
fn rule_in(reason: &str) -> Option<String> {
    let place = reason.find(&format!(" ({POLICY_FILE}:"))?;
    let start = reason[..place].rfind(' ').map_or(0, |space| space + 1);
    let end = place + reason[place..].find(')')?;
    Some(reason[start..=end].to_owned())
}

impl Outcome {
    /// Everything that did not hold, in words; empty where all did.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.troubles.clone();
        for (service, figures) in SERVICES.iter().zip(&self.services) {
            faults.extend(fault_of(service, figures));
        }
        for attempt in ATTEMPTS {
            if !self.denied.iter().any(|refusal| refusal.is(attempt)) {
                let [service, socket, what] = attempt;
                faults.push(format!("no node has the denied attempt on record ({socket}, {what} {service})"));
            }
        }
        let Findings { datagrams, plaintext, messages, recognised, unproven } = self.findings;
        if plaintext > 0 {
            faults.push(format!("plaintext on the wire, in {plaintext} of {datagrams} datagrams"));
        }
        if datagrams == 0 || datagrams < self.sent {
            faults.push(format!("only {datagrams} of {} datagrams were searched", self.sent));
        }
        if recognised < messages || unproven > 0 {
            faults.push(format!(
                "the search for plaintext proves nothing: it knew {recognised} of {messages} messages, and {unproven} words never turned up"
            ));
        }
        faults
    }

    /// As one JSON object.
    pub(super) fn json(&self) -> Value {
        let services = SERVICES.iter().zip(&self.services).map(|(name, figures)| {
            let value = json!({
                "sent": figures.sent,
                "delivered": figures.delivered,
                "outside": figures.outside,
                "latency_us": { "p50": figures.p50, "p99": figures.p99, "p99.9": figures.p999 },
            });
            ((*name).to_owned(), value)
        });
        let faults = self.faults();
        json!({
            "services": services.collect::<Map<_, _>>(),
            "denied": self.denied.iter().map(Refusal::json).collect::<Vec<_>>(),
            "datagrams": self.findings.datagrams,
            "plaintext_on_wire": self.findings.plaintext,
            "control": { "messages": self.findings.messages, "recognised": self.findings.recognised },
            "held": faults.is_empty(),
            "faults": faults,
        })
    }
}

fn fault_of(service: &str, figures: &Figures) -> Option<String> {
    let Figures { stands, sent, delivered, leaked, .. } = *figures;
    if !stands {
        return Some(format!("{service}: no message crossed"));
    }
    if leaked > 0 {
        return Some(format!("{service}: {leaked} messages reached an application that may not have them"));
    }
    (sent == 0 || delivered != sent).then(|| format!("{service}: {delivered} of {sent} messages arrived"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(service: &str, socket: &str, what: &str, reason: &str) -> Value {
        json!({ "from": "south", "service": service, "socket": socket, "what": what, "reason": reason, "count": 3 })
    }

    fn good() -> Outcome {
        let status = json!({ "denials": [
            refusal("telemetry", "SUB", "subscribe", "readers (demo-policy.toml:33): topic \"raw.\" is in none"),
            refusal("command", "DEALER", "open", "no rule lets it; nearest rule asks (demo-policy.toml:40): it is for REQ"),
        ] });
        let figures = Figures {
            stands: true,
            sent: 9,
            delivered: 9,
            outside: 1,
            leaked: 0,
            p50: 1.0,
            p99: 2.0,
            p999: 3.0,
        };
        Outcome {
            services: [figures; 3],
            denied: Refusal::all_in("south", &status),
            sent: 5,
            findings: Findings { datagrams: 5, plaintext: 0, messages: 9, recognised: 9, unproven: 0 },
            troubles: Vec::new(),
        }
    }

    #[test]
    fn what_held_is_said_to_have_held() {
        let outcome = good();
        assert_eq!(outcome.faults(), [""; 0]);
        let json = outcome.json();
        assert_eq!(json["held"], json!(true));
        assert_eq!(json["services"]["jobs"]["latency_us"]["p99.9"], json!(3.0));
        assert_eq!(json["denied"][0]["rule"], json!("readers (demo-policy.toml:33)"));
        assert_eq!(json["denied"][1]["nearest_rule"], json!("asks (demo-policy.toml:40)"));
    }

    #[test]
    fn whatever_did_not_hold_is_named() {
        type Break = fn(&mut Outcome);
        let table: [(Break, &str); 9] = [
            (|outcome| outcome.services[2].delivered = 8, "jobs: 8 of 9"),
            (|outcome| outcome.services[0].stands = false, "telemetry: no message"),
            (|outcome| outcome.services[1].leaked = 1, "command: 1 messages reached"),
            (|outcome| drop(outcome.denied.remove(0)), "subscribe telemetry"),
            (|outcome| outcome.denied[1].rule = None, "open command"),
            (|outcome| outcome.findings.plaintext = 1, "in 1 of 5 datagrams"),
            (|outcome| outcome.findings.recognised = 8, "proves nothing"),
            (|outcome| outcome.findings.datagrams = 4, "only 4 of 5 datagrams"),
            (|outcome| outcome.troubles.push("node north broke down".into()), "north broke down"),
        ];
        for (damage, says) in table {
            let mut outcome = good();
            damage(&mut outcome);
            let faults = outcome.faults();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(says), "{faults:?}");
            assert_eq!(outcome.json()["held"], json!(false));
        }
    }
}
