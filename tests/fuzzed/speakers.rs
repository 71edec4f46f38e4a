//! What a TCP flow speaks: whatever segments two ends send, the one that is honest hears what was recognised.
//!
//! `[salt]`, then segments: `[what, place (2 bytes), flags, length][payload]`. Of `what`: 1 the other end sends it, 2 it
//! is a SYN or the answer to one, 4 its receiver throws it away, 8 its receiver acknowledges what it has, 16 only the
//! first copy of a byte counts.

use bytes::{Bytes, BytesMut};
use lockgate_proto::zmtp::{End, EndSocket, Fit, Handshake, Hello, Recognised, Recogniser, Segment};

const SYN: u8 = 2;
const ACK: u8 = 16;

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_speakers(input: &[u8]) {
    let Some((&salt, mut rest)) = input.split_first() else { return };
    let starts = [u32::from(salt).wrapping_neg(), u32::from(salt) << 24];
    let mut recogniser = Recogniser::new();
    let mut receivers = [Receiver::default(), Receiver::default()];
    while let Some((&[what, high, low, flags, length], more)) = rest.split_first_chunk() {
        let (payload, more) = more.split_at(usize::from(length).min(more.len()));
        rest = more;
        let from = if what & 1 == 0 { End::Opener } else { End::Other };
        let (side, other) = (from as usize, from.opposite() as usize);
        if what & 2 != 0 {
            let flags = if from == End::Opener { SYN } else { SYN | ACK };
            let sequence = starts[side].wrapping_sub(1);
            let segment = Segment { sequence, acknowledges: starts[other], flags, payload: b"" };
            _ = recogniser.hear(from, &segment);
        }
        // Segments of other connections are the unit tests'; here all are of this one.
        let place = u16::from_be_bytes([high, low]) % 2_048;
        let sequence = starts[side].wrapping_add(place.into());
        let acknowledges = match what & 8 {
            0 => starts[other],
            _ => starts[other].wrapping_add(receivers[side].in_order() as u32),
        };
        let segment = Segment { sequence, acknowledges, flags: flags & !SYN | ACK, payload };
        if recogniser.hear(from, &segment) == Fit::Fits && what & 4 == 0 && recogniser.is_open() {
            receivers[other].take(place.into(), payload, what & 16 != 0);
        }
        assert!(size_of_val(&recogniser) <= 900, "bounded");
        check(&recogniser, &receivers);
    }
}

/// What was recognised against what each end has heard of the other.
fn check(recogniser: &Recogniser, [opener, other]: &[Receiver; 2]) {
    // The opener hears the other, and the other way round.
    let streams = [other.heard(), opener.heard()];
    match recogniser.recognised() {
        Recognised::Zmtp { sockets, .. } => {
            let is_three = streams.iter().all(|stream| stream.get(10).is_none_or(|revision| *revision >= 3));
            for (stream, socket) in streams.iter().zip(sockets) {
                let EndSocket::Is(socket) = socket else { continue };
                if let Some(hello) = greeted(stream).filter(|_| is_three) {
                    assert_eq!(hello.socket_type, socket, "{stream:?}");
                }
            }
        }
        Recognised::Other => {
            let signed = |stream: &&Vec<u8>| stream.len() >= 10 && stream[0] == 0xff && stream[9] & 1 == 1;
            assert!(streams.iter().filter(signed).count() < 2, "two ends that greet each other: {streams:?}");
        }
        Recognised::Undecided | Recognised::Untold => {}
    }
}

/// What our own side of a handshake understands.
fn greeted(stream: &[u8]) -> Option<Hello> {
    let mut input = BytesMut::from(Bytes::copy_from_slice(stream));
    Handshake::accepting().handle(&mut input, &mut BytesMut::new()).ok().flatten()
}

/// An honest end: what it has of the other's bytes.
#[derive(Default)]
struct Receiver {
    stream: Vec<Option<u8>>,
}

impl Receiver {
    fn take(&mut self, place: usize, bytes: &[u8], keeps_first: bool) {
        let done = self.in_order();
        self.stream.resize(self.stream.len().max(place + bytes.len()), None);
        let news = self.stream[place..].iter_mut().zip(bytes).skip(done.saturating_sub(place));
        for (kept, byte) in news.filter(|(kept, _)| kept.is_none() || !keeps_first) {
            *kept = Some(*byte);
        }
    }

    fn in_order(&self) -> usize {
        self.stream.iter().position(Option::is_none).unwrap_or(self.stream.len())
    }

    fn heard(&self) -> Vec<u8> {
        self.stream.iter().map_while(|byte| *byte).collect()
    }
}
