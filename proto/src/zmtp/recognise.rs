//! What a TCP flow speaks, found from its segments while they pass: ZMTP or not, the mechanism, both socket types.
//!
//! Each end is to believe that it hears what was read here, also where the other end is hostile. So the first bytes of
//! each end are kept ([`Recogniser::KEPT`] of them at most) until the flow is decided, and
//! - they are taken in order only: a segment that leaves a gap is not to pass, TCP sends it again;
//! - what is sent again must be what was sent before, until the receiver has acknowledged it: a receiver may have
//!   thrown the first copy away (a wrong checksum, an old timestamp) and would take the second;
//! - a connection begins with a SYN and the SYN-ACK that answers it, both seen, and both without data (which TCP sends
//!   again without the SYN): whether the other end took it is hard to tell from outside;
//! - urgent bytes, which a receiver may take out of the stream, make the flow one that nobody can tell.
//!
//! ZMTP 1.0 has no signature and cannot be told from other protocols: a flow of two such ends counts as
//! [`Recognised::Other`]. With one newer end, which sends a signature to anybody, it is [`Recognised::Untold`].

mod read;

use super::SocketType;
use read::{Signature, read_greetings, signature};

/// What a TCP flow speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recognised {
    /// Not known yet: a test about it may come out either way.
    #[default]
    Undecided,
    /// Nobody will ever know: it was not seen from its start, or its ends contradict themselves or each other. No rule that asks
    /// lets it pass.
    Untold,
    /// It is not ZMTP. Where one end has not spoken yet, it may still become [`Recognised::Untold`].
    Other,
    /// ZMTP.
    Zmtp {
        /// The mechanism of both greetings: 20 bytes padded with zeros. NULL for ZMTP 2.0, which has none.
        mechanism: [u8; 20],
        /// The sockets of the end that opened the connection and of the other.
        sockets: [EndSocket; 2],
    },
}

/// What is known of the socket at one end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndSocket {
    /// Nothing yet.
    Pending,
    /// It will not be seen: the mechanism is not NULL.
    Hidden,
    /// Its type.
    Is(SocketType),
}

/// An end of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that sent the SYN.
    Opener,
    /// The other.
    Other,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its sequence number: of the SYN where there is one, else of the first byte.
    pub sequence: u32,
    /// The acknowledgement number; valid if the flag says so.
    pub acknowledges: u32,
    /// The low byte of the flags, as it stands in the header.
    pub flags: u8,
    /// The bytes.
    pub payload: &'a [u8],
}

/// Whether a segment may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fit {
    /// It fits.
    Fits,
    /// It leaves a gap, or contradicts what came before: it must not pass. An honest end sends it again, or never sent it.
    Gap,
}

/// One flow: less than 900 bytes, whatever comes.
#[derive(Clone, Debug)]
pub struct Recogniser {
    state: State,
    recognised: Recognised,
    ends: [Heard; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No SYN was seen.
    Closed,
    /// A SYN was seen.
    Opening,
    /// Its answer too.
    Open,
    /// Nothing that comes changes what was recognised.
    Decided,
}

/// What one end has said.
#[derive(Clone, Debug)]
struct Heard {
    /// The sequence number of its first byte.
    start: u32,
    /// How many bytes are kept.
    len: u16,
    /// How many of them the other end has acknowledged.
    acknowledged: u16,
    bytes: [u8; Recogniser::KEPT],
}

impl Default for Recogniser {
    fn default() -> Self {
        Self::new()
    }
}

impl Recogniser {
    /// The most bytes of an end that are kept, and so the most that it can say before the flow is decided: its greeting
    /// (64), and a READY with the longest identity (305).
    pub const KEPT: usize = 384;

    /// Of a flow of which nothing was seen.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Closed, recognised: Recognised::Untold, ends: [Heard::NOTHING; 2] }
    }

    /// What it speaks, as far as it is known.
    #[must_use]
    pub const fn recognised(&self) -> Recognised {
        self.recognised
    }

    /// Whether both ends of the connection were seen to open it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Decided)
    }

    /// Whether nothing that comes changes what was recognised, and no receiver lacks any of the bytes that it was read from.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.state == State::Decided && self.ends.iter().all(Heard::is_settled)
    }

    /// Takes a segment. What is recognised afterwards holds for this segment too.
    pub fn hear(&mut self, from: End, segment: &Segment<'_>) -> Fit {
        let has = |flag| segment.flags & flag != 0;
        if has(SYN) && (has(RST | FIN) || !segment.payload.is_empty()) {
            return Fit::Gap;
        }
        if has(SYN) && self.begin(from, segment) == Fit::Gap {
            return Fit::Gap;
        }
        if has(ACK) && self.state != State::Closed {
            self.ends[from.opposite() as usize].acknowledge(segment.acknowledges);
        }
        // Its pointer may reach bytes of other segments.
        if has(URG) && matches!(self.state, State::Opening | State::Open) {
            self.decide(Recognised::Untold);
        }
        if segment.payload.is_empty() {
            return Fit::Fits;
        }
        match self.state {
            State::Closed => Fit::Fits,
            // Before the answer.
            State::Opening => Fit::Gap,
            State::Open | State::Decided => self.take(from, segment.sequence, segment.payload),
        }
    }

    /// A SYN, or the answer to one.
    fn begin(&mut self, from: End, segment: &Segment<'_>) -> Fit {
        let start = segment.sequence.wrapping_add(1);
        if segment.flags & ACK == 0 {
            let is_again = self.state != State::Closed && self.ends[from as usize].start == start;
            return match from {
                End::Opener if is_again => Fit::Fits,
                End::Opener => {
                    *self = Self { state: State::Opening, recognised: Recognised::Undecided, ..Self::new() };
                    self.ends[End::Opener as usize].start = start;
                    Fit::Fits
                }
                // Two ends that open at once are two flows to begin with.
                End::Other => Fit::Gap,
            };
        }
        let [opener, other] = &mut self.ends;
        match (self.state, from) {
            (State::Closed, _) => Fit::Fits,
            (_, End::Opener) => Fit::Gap,
            (State::Opening, End::Other) => {
                if segment.acknowledges != opener.start {
                    return Fit::Gap;
                }
                other.start = start;
                self.state = State::Open;
                Fit::Fits
            }
            (_, End::Other) if other.start == start => Fit::Fits,
            _ => Fit::Gap,
        }
    }

    fn take(&mut self, from: End, sequence: u32, payload: &[u8]) -> Fit {
        let is_decided = self.state == State::Decided;
        let is_done = is_decided || self.is_foreign(from);
        let heard = &mut self.ends[from as usize];
        let offset = sequence.wrapping_sub(heard.start) as i32;
        // What lies before the first byte: the SYN's own number, which some keepalives repeat.
        let Some(payload) = payload.get(offset.min(0).unsigned_abs() as usize..) else {
            return Fit::Fits;
        };
        let offset = offset.max(0) as usize;
        if is_done && heard.is_settled() {
            return Fit::Fits;
        }
        if heard.contradicts(offset, payload) {
            return Fit::Gap;
        }
        if is_done {
            return Fit::Fits;
        }
        let Some(news) = usize::from(heard.len).checked_sub(offset) else {
            return Fit::Gap;
        };
        let Some(news) = payload.get(news..).filter(|news| !news.is_empty()) else {
            return Fit::Fits;
        };
        let is_full = heard.keep(news);
        self.read();
        if is_full && self.state != State::Decided && !self.is_foreign(from) {
            self.decide(Recognised::Untold);
        }
        Fit::Fits
    }

    fn decide(&mut self, recognised: Recognised) {
        self.recognised = recognised;
        self.state = State::Decided;
    }

    /// Whether an end does not speak ZMTP, while the other is still silent.
    fn is_foreign(&self, end: End) -> bool {
        signature(self.ends[end as usize].kept()) == Signature::Foreign
    }

    /// Reads what both ends have said so far.
    fn read(&mut self) {
        let [opener, other] = [self.ends[0].kept(), self.ends[1].kept()];
        let (recognised, is_final) = match (signature(opener), signature(other)) {
            (Signature::Complete, Signature::Complete) => {
                let read = read_greetings(opener, other).unwrap_or(Recognised::Untold);
                let is_pending =
                    matches!(read, Recognised::Zmtp { sockets, .. } if sockets.contains(&EndSocket::Pending));
                (read, read != Recognised::Undecided && !is_pending)
            }
            (Signature::Foreign, Signature::Foreign) => (Recognised::Other, true),
            (Signature::Foreign, Signature::Complete) | (Signature::Complete, Signature::Foreign) => {
                (Recognised::Untold, true)
            }
            (Signature::Foreign, _) | (_, Signature::Foreign) => (Recognised::Other, false),
            _ => (Recognised::Undecided, false),
        };
        self.recognised = recognised;
        if is_final {
            self.decide(recognised);
        }
    }
}

impl End {
    /// The end at the other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Opener => Self::Other,
            Self::Other => Self::Opener,
        }
    }
}

impl Heard {
    const NOTHING: Self = Self { start: 0, len: 0, acknowledged: 0, bytes: [0; Recogniser::KEPT] };

    fn kept(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The other end has everything before this number.
    fn acknowledge(&mut self, number: u32) {
        let many = number.wrapping_sub(self.start) as i32;
        if many > i32::from(self.acknowledged) {
            self.acknowledged = u16::try_from(many).unwrap_or(u16::MAX).min(self.len);
        }
    }

    /// Whether nothing that is sent again can reach the other end.
    fn is_settled(&self) -> bool {
        self.acknowledged == self.len
    }

    /// Whether bytes at `offset` are not those that were heard there, where the other end may not have them yet.
    fn contradicts(&self, offset: usize, bytes: &[u8]) -> bool {
        let first = offset.max(usize::from(self.acknowledged));
        let end = offset.saturating_add(bytes.len()).min(usize::from(self.len));
        first < end && self.bytes[first..end] != bytes[first - offset..end - offset]
    }

    /// Keeps bytes that follow; whether there were more than there is room for.
    fn keep(&mut self, news: &[u8]) -> bool {
        let room = &mut self.bytes[usize::from(self.len)..];
        let many = news.len().min(room.len());
        room[..many].copy_from_slice(&news[..many]);
        self.len += many as u16;
        news.len() > many
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const URG: u8 = 32;

#[cfg(test)]
mod tests;
