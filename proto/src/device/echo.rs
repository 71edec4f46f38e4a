//! Echo: a question inside the tunnel that the other device answers itself, for `lockgate ping`.
//!
//! Like a link frame it begins with a version nibble that no IP packet has; a plain WireGuard peer drops it.
//! ```text
//! 0x11 | kind (1): 0 request, 1 answer | length (2, big endian) | id (8, big endian) | zero padding
//! ```
//! The length counts all of the frame, from its first byte on, so that it compares with that of an IP packet: 12 at least. An
//! answer has the length of its request, in a datagram that is not longer. Only a peer with a session can ask, and an answer is
//! never sent without one.

use super::payload::padded;
use super::{Core, Device, PeerId};
use crate::discard::Discard;
use crate::now::Now;
use crate::outbox::Outbox;
use crate::parcel::Parcel;
use crate::peer::Peer;

/// The first byte of an echo frame: version nibble 1.
pub const ECHO_FRAME: u8 = 0x11;

/// The shortest echo frame: no padding.
pub const MIN_ECHO: usize = 12;

const KIND: usize = 1;
const LENGTH: usize = 2;
const ID: usize = 4;

const REQUEST: u8 = 0;
const ANSWER: u8 = 1;

/// An answer to [`Device::send_echo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The request's.
    pub id: u64,
    /// Bytes of the frame: as many as the request had.
    pub len: usize,
}

/// An echo frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Request(Echo),
    Answer(Echo),
}

impl Frame {
    /// Reads a frame that stands in a payload, padded or not.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let head: &[u8; MIN_ECHO] = payload.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([head[LENGTH], head[LENGTH + 1]]));
        if head[0] != ECHO_FRAME || len < MIN_ECHO || len > payload.len() {
            return None;
        }
        let echo = Echo { id: u64::from_be_bytes(*head.last_chunk()?), len };
        match head[KIND] {
            REQUEST => Some(Self::Request(echo)),
            ANSWER => Some(Self::Answer(echo)),
            _ => None,
        }
    }
}

impl Parcel for Frame {
    fn count(&self) -> usize {
        1
    }

    fn len(&self, _: usize) -> usize {
        let (Self::Request(echo) | Self::Answer(echo)) = self;
        echo.len
    }

    fn write(&self, _: usize, slot: &mut [u8]) {
        let (kind, echo) = match self {
            Self::Request(echo) => (REQUEST, echo),
            Self::Answer(echo) => (ANSWER, echo),
        };
        let len = u16::try_from(echo.len).expect("a payload is shorter than 64 KiB");
        slot.fill(0);
        slot[0] = ECHO_FRAME;
        slot[KIND] = kind;
        slot[LENGTH..ID].copy_from_slice(&len.to_be_bytes());
        slot[ID..MIN_ECHO].copy_from_slice(&echo.id.to_be_bytes());
    }

    fn tos(&self) -> u8 {
        0
    }
}

impl Device {
    /// Asks a peer's device for an echo of `size` bytes (at least [`MIN_ECHO`]); the answer is a [`Content::Echo`] with this `id`.
    /// Without a session it waits for one, and a handshake begins. A plain WireGuard peer never answers.
    ///
    /// [`Content::Echo`]: super::Content::Echo
    ///
    /// # Errors
    /// As [`Device::send_link`].
    pub fn send_echo(
        &mut self,
        peer: PeerId,
        id: u64,
        size: usize,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let request = Frame::Request(Echo { id, len: size.max(MIN_ECHO) });
        self.send_packets(peer, &request, now, out)
    }
}

impl Core {
    /// Answers an echo request that came in a payload of `room` bytes, if there is a session. An answer is not worth a handshake.
    pub(super) fn answer_echo(
        &mut self,
        peer: &mut Peer,
        request: Echo,
        room: usize,
        now: Now,
        out: &mut impl Outbox,
    ) -> Result<(), Discard> {
        let answer = Frame::Answer(request);
        let len = padded(request.len, self.mtu)?.min(room);
        self.seal(peer, len, 0, now, out, |payload| {
            let (frame, padding) = payload.split_at_mut(request.len);
            answer.write(0, frame);
            padding.fill(0);
        })?;
        peer.timers.packet_sent(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_frame_is_read_back_and_one_that_lies_is_refused() {
        for len in [12, 13, 100, 1420, 65_475] {
            for make in [Frame::Request, Frame::Answer] {
                let frame = make(Echo { id: 0x0102_0304_0506_0708, len });
                let mut payload = vec![0xa5; len];
                frame.write(0, &mut payload);
                assert_eq!(payload[4..12], [1, 2, 3, 4, 5, 6, 7, 8]);
                assert!(payload[12..].iter().all(|byte| *byte == 0));
                assert_eq!(Frame::parse(&payload), Some(frame));
                assert_eq!(Frame::parse(&payload[..len - 1]), None);
                payload.extend([0; 15]);
                assert_eq!(Frame::parse(&payload), Some(frame), "padded");
                payload[KIND] = 2;
                assert_eq!(Frame::parse(&payload), None, "of no known kind");
            }
        }
        for claimed in [0_u16, 11] {
            let mut payload = vec![0; 16];
            payload[0] = ECHO_FRAME;
            payload[2..4].copy_from_slice(&claimed.to_be_bytes());
            assert_eq!(Frame::parse(&payload), None, "length {claimed}");
        }
    }
}
