//! IP packets: between the TUN device and the tunnels, each judged on its way, at both ends.

use std::net::IpAddr;
use std::time::Duration;

use lockgate_proto::device::{Judged, PeerId};
use lockgate_proto::discard::Discard;
use lockgate_proto::flows::Direction;
use lockgate_proto::now::{Moment, Now};
use lockgate_proto::outbox::Outbox;
use lockgate_proto::packet::icmp::{self, Reason};
use lockgate_proto::packet::segment::Segments;
use lockgate_proto::packet::{self, Transport, ecn, reset};
use lockgate_proto::parcel::Single;

use super::Node;
use super::gate::Load;

/// Complaints to local applications in a second; as many at once after a quiet one.
const COMPLAINTS: u32 = 100;
/// The longest packet that a tunnel's datagram holds, beside the tunnel's own 32 bytes.
const LARGEST: u32 = 65_475;
/// The longest complaint: what ICMPv6 may quote.
const COMPLAINT: usize = 1280;

/// Our own complaints (ICMP) to those who send into the tunnel what cannot cross it.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// The moment up to which complaints are spoken for.
    spoken_for: Option<Moment>,
}

impl Complaints {
    fn may(&mut self, now: Moment) -> bool {
        let next = self.spoken_for.map_or(now, |spoken_for| spoken_for.max(now))
            + Duration::from_secs(1) / COMPLAINTS;
        let may = next.since(now) <= Duration::from_secs(1);
        if may {
            self.spoken_for = Some(next);
        }
        may
    }
}

/// Which reset goes to the end here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// The answer: what is here has sent the packet.
    Answer,
    /// The one in the packet's place: it was for what is here.
    Instead,
}

impl Node {
    /// Local applications have sent packets of one flow (a super-packet, or one). What is to be said to them about it goes
    /// `back` into the TUN device.
    pub fn handle_tun(
        &mut self,
        packets: &Segments<'_>,
        now: Now,
        out: &mut impl Outbox,
        back: &mut impl FnMut(&[u8]),
    ) {
        let Err(reason) = self.leave(packets, now, out, back) else { return };
        tracing::trace!(reason = reason.name(), "packet from the TUN device discarded");
        self.discards.note(reason);
        if let Some(complaint) = complaint(reason)
            && self.complaints.may(now.instant)
        {
            let mut text = [0; COMPLAINT];
            let packet = packets.packet();
            let source = packet::destination(packet).and_then(|destination| self.own_address(destination));
            if let Some(len) =
                source.and_then(|source| icmp::unreachable(packet, source, complaint, &mut text))
            {
                back(&text[..len]);
            }
        }
    }

    fn leave(
        &mut self,
        packets: &Segments<'_>,
        now: Now,
        out: &mut impl Outbox,
        back: &mut impl FnMut(&[u8]),
    ) -> Result<(), Discard> {
        let packet = packets.packet();
        let destination = packet::destination(packet).ok_or(Discard::Malformed)?;
        let peer = self.device.route(destination).ok_or(Discard::NoRoute)?;
        let way = self.gate.judge(Direction::Out, peer, Load::several(packets), now);
        if way == Err(Discard::WrongSpeech) {
            self.reset(peer, packet, Reset::Answer, now, out, back);
        }
        let way = way?;
        if self.would_loop(peer, packet) {
            return Err(Discard::RoutingLoop);
        }
        if let Some((observer, order)) = way.copy {
            // A copy that is lost takes nothing from what it was made of.
            let sent = self.send_copies(observer, order, packet, packets, now, out);
            sent.unwrap_or_else(|reason| self.discards.note(reason));
        }
        match way.detour {
            Some(detour) => self.send_detours(detour, Judged::Outbound, packet, packets, now, out),
            None => self.device.send_packets(peer, packets, now, out),
        }
    }

    /// A peer's packet, opened and its source checked: what the network has marked it with is taken over, then it is judged.
    pub(super) fn enter(
        &mut self,
        peer: PeerId,
        outer_ecn: u8,
        packet: &mut [u8],
        now: Now,
        out: &mut impl Outbox,
        inside: &mut impl FnMut(&[u8]),
    ) -> Result<(), Discard> {
        let way = self.gate.judge(Direction::In, peer, Load::one(packet), now);
        if way == Err(Discard::WrongSpeech) {
            self.reset(peer, packet, Reset::Instead, now, out, inside);
        }
        let way = way?;
        if let Some((observer, order)) = way.copy {
            let sent = self.send_copies(observer, order, packet, &Single(packet), now, out);
            sent.unwrap_or_else(|reason| self.discards.note(reason));
        }
        if let Some(detour) = way.detour {
            return self.send_detours(detour, Judged::Inbound, packet, &Single(packet), now, out);
        }
        ecn::decapsulate(packet, outer_ecn)?;
        inside(packet);
        Ok(())
    }

    /// Ends the TCP connection of a packet at both of its ends: one is `here`, the other at the peer.
    fn reset(
        &mut self,
        peer: PeerId,
        packet: &[u8],
        here: Reset,
        now: Now,
        out: &mut impl Outbox,
        inside: &mut impl FnMut(&[u8]),
    ) {
        if !self.complaints.may(now.instant) {
            return;
        }
        let (mut answer, mut instead) = ([0; reset::LONGEST], [0; reset::LONGEST]);
        let answer = reset::answer(packet, &mut answer).map(|len| &answer[..len]);
        let instead = reset::instead(packet, &mut instead).map(|len| &instead[..len]);
        let (near, far) = if here == Reset::Answer { (answer, instead) } else { (instead, answer) };
        if let Some(near) = near {
            inside(near);
        }
        if let Some(far) = far
            && let Err(reason) = self.device.send_packets(peer, &Single(far), now, out)
        {
            self.discards.note(reason);
        }
    }

    /// Whether this is our own tunnel datagram: the way to the peer leads into the tunnel itself, and sending it would make
    /// the next one.
    pub(super) fn would_loop(&self, peer: PeerId, packet: &[u8]) -> bool {
        let Some(endpoint) = self.device.endpoint(peer) else { return false };
        if packet::destination(packet) != Some(endpoint.ip()) {
            return false;
        }
        match packet::parse(packet).map(|headers| headers.transport) {
            Ok(Transport::Udp { source, destination }) => {
                destination == endpoint.port() && Some(source) == self.listen_port
            }
            // The rest of a fragmented one goes on: as a datagram of its own it is whole, and known when it comes out again.
            _ => false,
        }
    }

    /// Who complains: our own address where we know one of the right kind, else the one that was not reached.
    fn own_address(&self, destination: IpAddr) -> Option<IpAddr> {
        let own = self.addresses.iter().copied().find(|own| own.is_ipv4() == destination.is_ipv4());
        own.or(Some(destination))
    }
}

/// What a local application should know.
fn complaint(reason: Discard) -> Option<Reason> {
    match reason {
        // As the kernel's WireGuard says it.
        Discard::NoRoute | Discard::NoEndpoint => Some(Reason::HostUnreachable),
        Discard::Oversized => Some(Reason::TooBig { mtu: LARGEST }),
        _ => None,
    }
}
