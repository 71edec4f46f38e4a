//! Why a packet was refused, in words.

use std::fmt;
use std::net::IpAddr;

use lockgate_proto::flows::{Question, Refusal};
use lockgate_proto::packet::Headers;
use lockgate_proto::program::Packet;
use lockgate_proto::rules::{PacketKind, PacketQuestion, RuleRef, Rules};

use super::reading::kind;

/// A packet that opens a flow, or would have.
pub(super) struct Opening {
    pub(super) kind: PacketKind,
    source: IpAddr,
    destination: IpAddr,
    source_port: Option<u16>,
    icmp: Option<(u8, u8)>,
}

impl Opening {
    pub(super) const fn of(question: &Question) -> Self {
        let Question { kind, source, destination, source_port, icmp, .. } = *question;
        Self { kind, source, destination, source_port, icmp }
    }

    pub(super) const fn by(headers: &Headers) -> Self {
        let (source, destination) = (headers.source, headers.destination);
        Self { kind: kind(headers.transport), source, destination, source_port: None, icmp: None }
    }

    /// The packet that opens the flow, as far as it is known.
    pub(super) fn packets(&self) -> impl Iterator<Item = Packet> + use<> {
        let (source_port, icmp) = (self.source_port, self.icmp);
        self.question("", "").packets().map(move |packet| Packet {
            ports: packet.ports.map(|(_, port)| (source_port.unwrap_or(0), port)),
            icmp,
            ..packet
        })
    }

    /// What the rules are asked.
    pub(super) const fn question<'a>(&self, from: &'a str, to: &'a str) -> PacketQuestion<'a> {
        PacketQuestion { from, to, kind: self.kind, addresses: Some((self.source, self.destination)) }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.kind, self.source, self.destination)
    }
}

/// It is for nobody here.
pub(super) fn passing_through(headers: &Headers, near: IpAddr, own: &str) -> String {
    let opening = Opening::by(headers);
    format!(
        "{opening}: {near} is no address of {own}: it forwards for the networks under [tun] networks only"
    )
}

/// No flow and no rule lets it pass.
pub(super) fn reason(opening: &Opening, refusal: Refusal, rules: &Rules, from: &str, to: &str) -> String {
    let judgement = || match rules.packet(&opening.question(from, to)) {
        Err(denial) => denial.to_string(),
        Ok(rule) => format!("{rule} lets such a flow begin, but not with this packet"),
    };
    let why = match refusal {
        Refusal::Rules => judgement(),
        Refusal::Withdrawn => format!("the rule that let it through is gone: {}", judgement()),
        Refusal::NoConnection => "a TCP segment of no connection".to_owned(),
        Refusal::Unrelated => "an ICMP error about no packet that passed here".to_owned(),
        Refusal::Fragment => "a fragment of no packet that passed".to_owned(),
        Refusal::Unparsed => "it cannot be read down to its ports".to_owned(),
        Refusal::Full => "the table of flows is full".to_owned(),
    };
    format!("{opening}: {why}")
}

/// A rule says no.
pub(super) fn refused(headers: &Headers, rule: &RuleRef) -> String {
    format!("{}: {rule} forbids it", Opening::by(headers))
}
