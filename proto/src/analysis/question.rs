//! One question as an operator types it: `edge-south edge-north/telemetry#temp.1`, `edge-south edge-north tcp:22`.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use crate::document::{nearest, quoted};
use crate::policy::Policy;
use crate::rules::{PacketKind, What};

/// A question about two nodes of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who begins.
    pub from: String,
    /// Who is reached.
    pub to: String,
    /// What is to be reached.
    pub what: Asked,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Whatever passes.
    Everything,
    /// Packets.
    Packets(PacketKind),
    /// A service of the policy.
    Service {
        /// Its name.
        name: String,
        /// How a message begins; `None` for any.
        topic: Option<String>,
    },
}

/// A question that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misunderstood {
    /// What is wrong with it.
    pub problem: String,
    /// What was probably meant, or what can be written.
    pub mend: String,
}

impl Question {
    /// Reads it. `to` is a node, or `NODE/SERVICE`, `NODE/SERVICE#TOPIC`, `NODE/tcp:22`; `packets` stands for what comes behind the slash.
    ///
    /// # Errors
    /// A name that the policy does not have, with the nearest; what is no kind of packet.
    pub fn parse(
        policy: &Policy,
        from: &str,
        to: &str,
        packets: Option<&str>,
    ) -> Result<Self, Misunderstood> {
        let (to, inside) = to.split_once('/').map_or((to, None), |(to, what)| (to, Some(what)));
        let node = |name: &str| {
            let known = policy.nodes.keys().map(String::as_str);
            known_or_nearest("node", name, known, "the policy has no nodes: add them to [nodes]")
        };
        let what = match (inside, packets) {
            (Some(_), Some(packets)) => {
                let problem = format!("{} stands behind a question that is whole", quoted(packets));
                return Err(Misunderstood { problem, mend: FORMS.to_string() });
            }
            (None, None) => Asked::Everything,
            (Some(text), None) | (None, Some(text)) => asked(policy, text)?,
        };
        Ok(Self { from: node(from)?, to: node(to)?, what })
    }
}

fn asked(policy: &Policy, text: &str) -> Result<Asked, Misunderstood> {
    let (name, topic) = text.split_once('#').map_or((text, None), |(name, topic)| (name, Some(topic)));
    let port = |digits: &str| {
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| plain)
    };
    let kind = match name.split_once(':') {
        None if name == "icmp" => Some(PacketKind::Icmp),
        None => None,
        Some(("tcp", digits)) => port(digits).map(PacketKind::Tcp),
        Some(("udp", digits)) => port(digits).map(PacketKind::Udp),
        Some(("ip", digits)) => port(digits).and_then(|number| match number {
            1 | 58 => Some(PacketKind::Icmp),
            6 | 17 => None,
            other => u8::try_from(other).ok().map(PacketKind::Other),
        }),
        Some(_) => None,
    };
    if let (Some(kind), None) = (kind, topic) {
        return Ok(Asked::Packets(kind));
    }
    if name.contains(':') || name.is_empty() || kind.is_some() {
        let problem = format!("{} is no service and no kind of packet", quoted(text));
        return Err(Misunderstood { problem, mend: FORMS.to_string() });
    }
    let known = policy.services.keys().map(String::as_str);
    let name = known_or_nearest("service", name, known, FORMS)?;
    Ok(Asked::Service { name, topic: topic.map(ToString::to_string) })
}

fn known_or_nearest<'k>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    none: &str,
) -> Result<String, Misunderstood> {
    if known.clone().any(|known| known == name) {
        return Ok(name.to_string());
    }
    let problem = format!("the policy has no {what} {}", quoted(name));
    if let Some(near) = nearest(name, known.clone()) {
        return Err(Misunderstood { problem, mend: format!("did you mean {}?", quoted(near)) });
    }
    let mut listed: alloc::vec::Vec<&str> = known.take(MOST_LISTED + 1).collect();
    if listed.is_empty() {
        return Err(Misunderstood { problem, mend: none.to_string() });
    }
    if listed.len() > MOST_LISTED {
        listed[MOST_LISTED] = "…";
    }
    Err(Misunderstood { problem, mend: format!("known are: {}", listed.join(", ")) })
}

impl Asked {
    /// As the rules are asked; `None` for everything.
    pub fn what(&self) -> Option<What<'_>> {
        match self {
            Self::Everything => None,
            Self::Packets(kind) => Some(What::Packets(*kind)),
            Self::Service { name, topic } => {
                Some(What::Service { name, topic: topic.as_ref().map(String::as_bytes), socket: None })
            }
        }
    }
}

/// As it is typed: `edge-north/telemetry#temp.1`, `edge-north tcp:22`.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.from, self.to)?;
        match &self.what {
            Asked::Everything => Ok(()),
            Asked::Packets(kind) => write!(f, " {kind}"),
            Asked::Service { name, topic: None } => write!(f, "/{name}"),
            Asked::Service { name, topic: Some(topic) } => {
                write!(f, "/{name}#{}", super::topics::topic_text(topic.as_bytes()))
            }
        }
    }
}

/// As in the mistakes of a policy.
const MOST_LISTED: usize = 12;

const FORMS: &str = "write a service with or without a topic, or a kind of packet: edge-north/telemetry#temp.1 , edge-north tcp:22 , \
                     edge-north udp:53 , edge-north icmp , edge-north ip:47";

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "default = \"deny\"\n[tags]\nr = [\"a\", \"b\"]\n[nodes]\nn1 = { r = \"a\" }\nedge-2 = { r = \"b\" }\n\
         [service.tele]\nhosted-by = \"r=b\"\nsocket = \"pub\"\n[[allow]]\nid = \"x\"\nfrom = \"r=a\"\nto = \"tele\"\n";

    #[test]
    fn a_question_reads_as_it_is_typed() {
        let policy = Policy::parse("p.toml", POLICY).expect("it is valid");
        let read = |to: &str, packets| match Question::parse(&policy, "n1", to, packets) {
            Ok(question) => question.to_string(),
            Err(misunderstood) => format!("{}; {}", misunderstood.problem, misunderstood.mend),
        };
        for (to, packets, told) in [
            ("edge-2", None, "n1 → edge-2"),
            ("edge-2/tele", None, "n1 → edge-2/tele"),
            ("edge-2/tele#a/b#c", None, "n1 → edge-2/tele#a/b#c"),
            ("edge-2/tcp:22", None, "n1 → edge-2 tcp:22"),
            ("edge-2", Some("tele#"), "n1 → edge-2/tele#"),
            ("edge-2", Some("udp:53"), "n1 → edge-2 udp:53"),
            ("edge-2", Some("icmp"), "n1 → edge-2 icmp"),
            ("edge-2", Some("ip:47"), "n1 → edge-2 IP protocol 47"),
            ("edge-2", Some("tele"), "n1 → edge-2/tele"),
            ("edge2", None, "the policy has no node \"edge2\"; did you mean \"edge-2\"?"),
            ("zzzzzz", None, "the policy has no node \"zzzzzz\"; known are: edge-2, n1"),
            ("edge-2/tel", None, "the policy has no service \"tel\"; did you mean \"tele\"?"),
        ] {
            assert_eq!(read(to, packets), told, "{to} {packets:?}");
        }
        for (to, packets) in [
            ("edge-2/", None),
            ("edge-2/tele", Some("tcp:22")),
            ("edge-2", Some("tcp:70000")),
            ("edge-2", Some("tcp:")),
            ("edge-2", Some("tcp:+1")),
            ("edge-2", Some("ip:6")),
            ("edge-2", Some("ip:256")),
            ("edge-2", Some("icmp#a")),
            ("edge-2", Some("tcp:22#a")),
        ] {
            let told = Question::parse(&policy, "n1", to, packets).expect_err("it is none");
            assert_eq!(told.mend, FORMS, "{to} {packets:?}");
        }
    }
}
