//! A packet's headers as the flow table sees them.

use lockgate_proto::flows::{self, Quoted, QuotedTransport, Subject, TcpFlags};
use lockgate_proto::packet::{self, Headers, Transport};
use lockgate_proto::program::{Packet, packet_facts};
use lockgate_proto::rules::PacketKind;

/// The packet as the flow table sees it.
pub(super) fn subject(headers: &Headers, packet: &[u8]) -> Subject {
    let transport = match headers.transport {
        Transport::Tcp { source, destination, flags } => {
            flows::Transport::Tcp { source, destination, flags: TcpFlags(flags) }
        }
        Transport::Udp { source, destination } => flows::Transport::Udp { source, destination },
        Transport::Icmp { kind, code, id } => {
            let quoted = packet::quoted(packet).and_then(quoted);
            flows::Transport::Icmp { kind, code, id: id.unwrap_or(0), quoted }
        }
        Transport::Other(protocol) => flows::Transport::Other(protocol),
        // Of a later fragment nothing but its place is looked at.
        Transport::LaterFragment | Transport::Unparsed => flows::Transport::Unparsed,
    };
    Subject {
        source: headers.source,
        destination: headers.destination,
        transport,
        fragment: headers.fragment,
    }
}

/// What an ICMP error quotes.
fn quoted(headers: Headers) -> Option<Quoted> {
    let transport = match headers.transport {
        Transport::Tcp { source, destination, .. } => QuotedTransport::Tcp(source, destination),
        Transport::Udp { source, destination } => QuotedTransport::Udp(source, destination),
        Transport::Icmp { kind, id, .. } => QuotedTransport::Icmp(kind, id?),
        Transport::Other(protocol) => QuotedTransport::Other(protocol),
        Transport::LaterFragment | Transport::Unparsed => return None,
    };
    Some(Quoted { source: headers.source, destination: headers.destination, transport })
}

/// What the rules are asked about.
pub(super) const fn kind(transport: Transport) -> PacketKind {
    match transport {
        Transport::Tcp { destination, .. } => PacketKind::Tcp(destination),
        Transport::Udp { destination, .. } => PacketKind::Udp(destination),
        Transport::Icmp { .. } => PacketKind::Icmp,
        Transport::Other(protocol) => PacketKind::Other(protocol),
        Transport::LaterFragment | Transport::Unparsed => PacketKind::Unparsed,
    }
}

/// What the flow rules ask about a packet. What ZeroTier's reading does not reach, because it stops at a fragment or authentication
/// header, is filled in from ours; what ours cannot reach counts as unreadable.
pub(super) fn facts(headers: &Headers, packet: &[u8], size: u16) -> Packet {
    let mut facts = Packet { size, ..packet_facts(packet) };
    facts.protocol = Some(headers.protocol);
    match headers.transport {
        Transport::Tcp { source, destination, flags } => {
            facts.ports = Some((source, destination));
            // Its own reading has the reserved bits too, where it got as far.
            if facts.tcp_flags & 0xff != u16::from(flags) {
                facts.tcp_flags = u16::from(flags);
            }
        }
        Transport::Udp { source, destination } => facts.ports = Some((source, destination)),
        Transport::Icmp { kind, code, .. } => facts.icmp = Some((kind, code)),
        Transport::Other(SCTP | UDP_LITE) => {
            let behind = packet.get(headers.transport_at..headers.end);
            let ports = behind.and_then(|behind| behind.first_chunk::<4>());
            facts.ports =
                ports.map(|[a, b, c, d]| (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])));
            facts.readable = facts.ports.is_some();
        }
        Transport::Other(_) => {}
        Transport::LaterFragment | Transport::Unparsed => facts.readable = false,
    }
    facts
}

/// They have ports for the flow rules, where ZeroTier reads them too.
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
