//! What a link has to send, and where it goes.

use std::time::Instant;

use lockgate_proto::now::Moment;

use super::plain::TAG;
use super::{Half, Link, LinkId, SEGMENTS, Side};

/// Where a link's datagrams go.
pub trait Wire {
    /// Whether more is welcome.
    fn has_room(&self) -> bool;

    /// Takes a datagram for the node of `link`.
    fn send(&mut self, link: LinkId, datagram: &[u8]);
}

/// A shorter datagram could not be answered with a stateless reset (RFC 9000, 10.3.3).
const MIN_DATAGRAM: usize = 29;

impl Link {
    /// Hands every datagram that is due to `wire`, while that has room. `id` is this link's name.
    pub fn transmit(&mut self, id: LinkId, now: Moment, wire: &mut impl Wire) {
        if self.clock.is_stopped() {
            return;
        }
        while let Some(reply) = self.replies.pop_front() {
            wire.send(id, &reply);
        }
        let at = self.clock.at(now);
        let mut halves = [&mut self.uses, &mut self.serves];
        if self.first == Side::Serves {
            halves.reverse();
        }
        for half in halves.into_iter().flatten().chain(&mut self.leaving) {
            transmit_half(half, id, at, &mut self.scratch, wire);
        }
        self.first = if self.first == Side::Uses { Side::Serves } else { Side::Uses };
        self.note_deadline();
    }
}

/// Sends what one connection has, while there is room: what QUIC counts as sent must not be lost here.
fn transmit_half(half: &mut Half, id: LinkId, at: Instant, scratch: &mut Vec<u8>, wire: &mut impl Wire) {
    while wire.has_room() {
        scratch.clear();
        let Some(due) = half.connection.poll_transmit(at, SEGMENTS, scratch) else { return };
        for datagram in scratch[..due.size].chunks(due.segment_size.unwrap_or(due.size)) {
            // A short header's payload may end in PADDING frames, which are zeros (RFC 9000, 19.1).
            if datagram.len() < MIN_DATAGRAM && datagram[0] & 0x80 == 0 {
                let (payload, tag) = datagram.split_at(datagram.len() - TAG);
                let mut padded = [0; MIN_DATAGRAM];
                padded[..payload.len()].copy_from_slice(payload);
                padded[MIN_DATAGRAM - TAG..].copy_from_slice(tag);
                wire.send(id, &padded);
            } else {
                wire.send(id, datagram);
            }
        }
    }
}
