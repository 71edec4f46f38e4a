//! What the TCP flows speak that a rule about ZMTP asks for: a [`Recogniser`] for each, in a table of fixed size.
//!
//! Only a SYN begins an entry, so what is picked up in the middle of a connection is [`Recognised::Untold`], and so is
//! what found no room: nobody's flows are displaced. A peer may hold as many entries as are free, so that one that takes
//! all it can leaves half of the table to the others.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::hash::Seed;
use super::key::Key;
use super::{Direction, Fragment, Subject, TcpFlags, Transport, millis};
use crate::now::Now;
use crate::packet;
use crate::zmtp::{End, Fit, Recognised, Recogniser, Segment};

/// The watched flows: about 900 bytes each, reserved at construction.
pub struct Speakers {
    seed: Seed,
    /// Entries of `speakers` by hash: open addressing with linear probing, at most half full.
    index: Box<[u32]>,
    speakers: Vec<Speaker>,
    free: Vec<u32>,
    /// How many entries each peer has; of peers that have some.
    held: BTreeMap<u32, u32>,
    limit: usize,
    hand: usize,
}

struct Speaker {
    /// `None` where the entry is free.
    key: Option<Key>,
    opener: Direction,
    expires: u64,
    recogniser: Recogniser,
    /// Which ends have said that they are done, by direction.
    done: [bool; 2],
    is_reset: bool,
}

/// What was seen of a packet's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Seen {
    /// What it speaks, this packet included.
    pub spoken: Recognised,
    /// The packet must not pass, whatever the rules say: it leaves a gap, or contradicts what passed before. TCP sends
    /// again what is missing.
    pub gap: bool,
}

impl Speakers {
    /// An empty table for at most `limit` flows (1 to 65536). `seed` must not be known to peers.
    pub fn new(limit: usize, seed: u128) -> Self {
        let limit = limit.clamp(1, MOST);
        Self {
            seed: Seed::new(seed),
            index: vec![NONE; (limit * 2).next_power_of_two()].into(),
            speakers: Vec::with_capacity(limit),
            free: Vec::with_capacity(limit),
            held: BTreeMap::new(),
            limit,
            hand: 0,
        }
    }

    /// Watches a packet to or from `peer`; to be called for each one that is about to pass, in the order in which they pass, and
    /// with what the headers in `packet` say as its `subject`. What is not TCP is left alone ([`Recognised::Untold`]).
    pub fn watch(
        &mut self,
        direction: Direction,
        peer: u32,
        subject: &Subject,
        packet: &[u8],
        now: Now,
    ) -> Seen {
        let Transport::Tcp { flags, .. } = subject.transport else { return UNTOLD };
        let Some(key) = Key::of(direction, peer, subject) else { return UNTOLD };
        let now = millis(now);
        let at = match self.find(&key, now) {
            Some(at) => Some(at),
            None if flags.opens() && subject.fragment == Fragment::Whole => self.insert(key, direction, now),
            None => None,
        };
        let Some(at) = at else { return UNTOLD };
        let speaker = &mut self.speakers[at as usize];
        let read = (subject.fragment == Fragment::Whole).then(|| segment(packet)).flatten();
        let Some(segment) = read else {
            // A piece of a segment, or none: whoever reads it reads something else than we do. Traffic may be cut.
            let gap = subject.fragment == Fragment::Whole
                || flags.has(TcpFlags::SYN)
                || !speaker.recogniser.is_settled();
            return Seen { spoken: speaker.recogniser.recognised(), gap };
        };
        if flags.opens() && speaker.opener != direction {
            // Whether the rules allow this one is another question than the one about the flow that it would replace.
            return Seen { spoken: speaker.recogniser.recognised(), gap: true };
        }
        let fit = speaker.hear(direction, &segment);
        if fit == Fit::Fits {
            speaker.carry(direction, flags, now);
        }
        Seen { spoken: speaker.recogniser.recognised(), gap: fit == Fit::Gap }
    }

    /// Forgets the flow of a packet: it was not allowed after all.
    pub fn forget(&mut self, direction: Direction, peer: u32, subject: &Subject) {
        if let Some(at) = Key::of(direction, peer, subject).and_then(|key| self.seek(&key)) {
            self.remove(at);
        }
    }

    /// Forgets all flows of a peer.
    pub fn forget_peer(&mut self, peer: u32) {
        for at in 0..self.speakers.len() {
            if self.speakers[at].key.is_some_and(|key| key.peer() == peer) {
                self.remove(at as u32);
            }
        }
    }

    /// How many flows are watched.
    pub fn len(&self) -> usize {
        self.speakers.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&mut self, key: &Key, now: u64) -> Option<u32> {
        let at = self.seek(key)?;
        if self.speakers[at as usize].expires > now {
            return Some(at);
        }
        self.remove(at);
        None
    }

    fn seek(&self, key: &Key) -> Option<u32> {
        let mut place = self.home(key);
        loop {
            let at = self.index[place];
            if at == NONE {
                return None;
            }
            if self.speakers[at as usize].key.is_some_and(|known| known.is(key)) {
                return Some(at);
            }
            place = self.after(place);
        }
    }

    fn insert(&mut self, key: Key, opener: Direction, now: u64) -> Option<u32> {
        self.sweep(now);
        let held = self.held.get(&key.peer()).map_or(0, |held| *held as usize);
        if held >= self.limit - self.len() {
            return None;
        }
        let recogniser = Recogniser::new();
        let (done, is_reset) = ([false; 2], false);
        let speaker = Speaker { key: Some(key), opener, expires: now, recogniser, done, is_reset };
        let at = match self.free.pop() {
            Some(at) => {
                self.speakers[at as usize] = speaker;
                at
            }
            None => {
                self.speakers.push(speaker);
                (self.speakers.len() - 1) as u32
            }
        };
        *self.held.entry(key.peer()).or_insert(0) += 1;
        let mut place = self.home(&key);
        while self.index[place] != NONE {
            place = self.after(place);
        }
        self.index[place] = at;
        Some(at)
    }

    /// Looks at a few entries and forgets those that rested for too long.
    fn sweep(&mut self, now: u64) {
        for _ in 0..SWEPT_PER_INSERT.min(self.speakers.len()) {
            self.hand = (self.hand + 1) % self.speakers.len();
            let speaker = &self.speakers[self.hand];
            if speaker.key.is_some() && speaker.expires <= now {
                self.remove(self.hand as u32);
            }
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(key) = self.speakers[at as usize].key else { return };
        self.unindex(&key, at);
        self.speakers[at as usize].key = None;
        self.free.push(at);
        if let Some(held) = self.held.get_mut(&key.peer()) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&key.peer());
            }
        }
    }

    /// Takes an entry out of the index, and moves back those behind it that would no longer be found.
    fn unindex(&mut self, key: &Key, at: u32) {
        let mask = self.index.len() - 1;
        let mut hole = self.home(key);
        while self.index[hole] != at {
            assert!(self.index[hole] != NONE, "every watched flow is in the index");
            hole = self.after(hole);
        }
        let mut place = self.after(hole);
        while self.index[place] != NONE {
            let moved = self.speakers[self.index[place] as usize].key.expect("the index has no free entries");
            let home = self.home(&moved);
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.index[hole] = self.index[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.index[hole] = NONE;
    }

    fn home(&self, key: &Key) -> usize {
        key.hash(self.seed) as usize & (self.index.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.index.len() - 1)
    }
}

impl Speaker {
    fn hear(&mut self, direction: Direction, segment: &Segment<'_>) -> Fit {
        let from = if direction == self.opener { End::Opener } else { End::Other };
        self.recogniser.hear(from, segment)
    }

    /// A segment passed that is good for `flags`.
    fn carry(&mut self, direction: Direction, flags: TcpFlags, now: u64) {
        if flags.opens() && !self.recogniser.is_open() {
            (self.done, self.is_reset) = ([false; 2], false);
        }
        self.is_reset |= flags.has(TcpFlags::RST);
        self.done[direction as usize] |= flags.has(TcpFlags::FIN);
        let life = match self.done {
            _ if self.is_reset => RESET,
            [true, true] => CLOSING,
            _ if !self.recogniser.is_open() => OPENING,
            _ => OPEN,
        };
        self.expires = now.saturating_add(life);
    }
}

/// The TCP segment of a whole packet; `None` where there is none.
fn segment(packet: &[u8]) -> Option<Segment<'_>> {
    let headers = packet::parse(packet).ok()?;
    let packet::Transport::Tcp { flags, .. } = headers.transport else { return None };
    let tcp = packet.get(headers.transport_at..headers.end)?;
    let header = tcp.first_chunk::<20>()?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = usize::from(header[12] >> 4) * 4;
    let payload = tcp.get(length..).filter(|_| length >= header.len())?;
    Some(Segment { sequence: word(4), acknowledges: word(8), flags, payload })
}

const UNTOLD: Seen = Seen { spoken: Recognised::Untold, gap: false };
const NONE: u32 = u32::MAX;
const MOST: usize = 1 << 16;
/// More than one, so that the hand is faster than what comes in.
const SWEPT_PER_INSERT: usize = 4;
/// Milliseconds without a segment after which a flow is forgotten: while it opens, as long as it is open, after both
/// ends are done, after a reset. Those of the flow table.
const OPENING: u64 = 30_000;
const OPEN: u64 = 7_440_000;
const CLOSING: u64 = 60_000;
const RESET: u64 = 10_000;

#[cfg(test)]
mod tests;
