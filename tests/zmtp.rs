//! ZMTP with every byte chosen by someone else.
//!
//! The input's first four bytes choose the situation, the rest is what the peer sends: `[mode, sender, salt, cuts]`.
//! Whatever the chunks, the same bytes must lead to the same answers, the same questions to the judge and the same
//! output, which is also that of an obvious parser that sees the whole stream at once.

use bytes::{Bytes, BytesMut};
use lockgate_proto::zmtp::{
    Command, CommandVerdict, Counts, Fault, Handshake, Hello, Judge, Limits, PartVerdict, Scanned, Scanner,
    SocketType, Verdict, Version,
};

mod reference;

/// Small, so that short inputs reach them.
const LIMITS: Limits =
    Limits { max_frame: 4096, max_message: 6000, max_parts: 5, max_command: 600, topic_peek: 0 };

/// Plays `input` as a whole, byte by byte and in chunks of its own choice, and compares.
///
/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_zmtp(input: &[u8]) {
    hello_is_total(input);
    let Some((&[mode, sender, salt, cuts], stream)) = input.split_first_chunk::<4>() else {
        return;
    };
    let situation = Situation::new(mode, sender, salt);
    let whole = situation.play(stream, usize::MAX, 1);
    assert_eq!(situation.play(stream, 1, 1), whole, "byte by byte");
    assert_eq!(situation.play(stream, usize::from(cuts % 64) + 1, u64::from(cuts) + 1), whole, "in chunks");
    if let Some(peer) = &whole.peer {
        assert!(whole.traffic.len() <= stream.len());
        let mut encoded = BytesMut::new();
        peer.encode(&mut encoded);
        assert_eq!(Hello::decode(&encoded).as_ref(), Ok(peer), "a peer that we took crosses between nodes");
        let mut clerk = Clerk::new(salt);
        let (output, end) = reference::scan(&whole.traffic, peer, &situation.limits, &mut clerk);
        assert_eq!((&whole.output, &whole.end), (&output, &end), "the obvious parser disagrees");
        assert_eq!(whole.asked, clerk.asked, "the obvious parser asked otherwise");
    }
}

/// Our own form between nodes: what decodes is exactly what encodes.
fn hello_is_total(input: &[u8]) {
    if let Ok(hello) = Hello::decode(input) {
        let mut encoded = BytesMut::new();
        hello.encode(&mut encoded);
        assert_eq!(encoded, input, "one Hello, one encoding");
    }
}

/// Who we are in this input, and where it begins.
struct Situation {
    /// The peer that the traffic comes from where there is no handshake.
    ready: Option<Hello>,
    dialing: Option<SocketType>,
    limits: Limits,
    salt: u8,
}

/// Everything that must not depend on the chunks.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sent: Vec<u8>,
    refused: Option<Fault>,
    peer: Option<Hello>,
    traffic: Vec<u8>,
    output: Vec<u8>,
    end: Result<Scanned, Fault>,
    asked: Vec<String>,
    counts: Counts,
    at_boundary: bool,
}

impl Situation {
    fn new(mode: u8, sender: u8, salt: u8) -> Self {
        let version = [Version::V2_0, Version::V3_0, Version::V3_1][usize::from(mode >> 2) % 3];
        let kind = SocketType::ALL[usize::from(sender) % SocketType::ALL.len()];
        let ready = Hello::new(version, kind, Bytes::new()).expect("no identity is short");
        Self {
            ready: (mode & 1 != 0).then_some(ready),
            dialing: (mode & 2 != 0).then_some(kind),
            limits: Limits { topic_peek: usize::from(salt % 8), ..LIMITS },
            salt,
        }
    }

    fn play(&self, stream: &[u8], longest: usize, seed: u64) -> Outcome {
        let mut table = Table::new(self);
        let (mut rest, mut seed) = (stream, seed);
        while !rest.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let wish = if longest == 1 { 1 } else { (seed >> 33) as usize % longest + 1 };
            let here = if longest == usize::MAX { rest.len() } else { wish.min(rest.len()) };
            let (chunk, after) = rest.split_at(here);
            rest = after;
            table.take(chunk);
        }
        table.outcome()
    }
}

/// A connection being played.
struct Table<'s> {
    situation: &'s Situation,
    shake: Handshake,
    input: BytesMut,
    sent: BytesMut,
    scanner: Option<Scanner>,
    clerk: Clerk,
    outcome: Outcome,
}

impl<'s> Table<'s> {
    fn new(situation: &'s Situation) -> Self {
        let our = |kind| Hello::new(Version::V3_1, kind, Bytes::from_static(b"us")).expect("short");
        let outcome = Outcome {
            sent: Vec::new(),
            refused: None,
            peer: None,
            traffic: Vec::new(),
            output: Vec::new(),
            end: Ok(Scanned::All),
            asked: Vec::new(),
            counts: Counts::default(),
            at_boundary: true,
        };
        let mut table = Self {
            situation,
            shake: situation.dialing.map_or_else(Handshake::accepting, |kind| Handshake::dialing(our(kind))),
            input: BytesMut::new(),
            sent: BytesMut::new(),
            scanner: None,
            clerk: Clerk::new(situation.salt),
            outcome,
        };
        match &situation.ready {
            Some(peer) => table.meet(peer.clone()),
            None => table.shake.greet(&mut table.sent),
        }
        table
    }

    fn take(&mut self, chunk: &[u8]) {
        if self.scanner.is_some() {
            return self.scan(Bytes::copy_from_slice(chunk));
        }
        self.input.extend_from_slice(chunk);
        match self.shake.handle(&mut self.input, &mut self.sent) {
            Ok(None) => assert!(self.input.len() <= 64 * 1024 + 9),
            Ok(Some(peer)) => {
                let natural = peer.socket_type.counterparts()[0];
                let our = Hello::new(Version::V3_0, natural, Bytes::new()).expect("short");
                self.shake.answer(&our, &mut self.sent);
                self.meet(peer);
                let traffic = self.input.split().freeze();
                self.scan(traffic);
            }
            Err(fault) => self.outcome.refused = Some(fault),
        }
    }

    fn meet(&mut self, peer: Hello) {
        self.scanner = Some(Scanner::new(peer.version, peer.socket_type, self.situation.limits));
        self.outcome.peer = Some(peer);
    }

    fn scan(&mut self, mut chunk: Bytes) {
        let scanner = self.scanner.as_mut().expect("the peer is known");
        self.outcome.traffic.extend_from_slice(&chunk);
        let output = &mut self.outcome.output;
        self.outcome.end = loop {
            let mut emit = |run: Bytes| output.extend_from_slice(&run);
            match scanner.scan(chunk, &mut self.clerk, &mut emit) {
                Ok(Scanned::Waiting(rest)) => chunk = rest,
                end => break end,
            }
        };
        assert!(scanner.carried() <= LIMITS.max_command + 10, "a carry of {}", scanner.carried());
    }

    fn outcome(mut self) -> Outcome {
        self.outcome.sent = self.sent.to_vec();
        self.outcome.asked = self.clerk.asked;
        if let Some(scanner) = &self.scanner {
            self.outcome.counts = *scanner.counts();
            self.outcome.at_boundary = scanner.at_boundary();
            assert_eq!(self.outcome.counts.bytes, self.outcome.output.len() as u64);
        }
        self.outcome
    }
}

/// Decides by what it is shown and a salt, and writes down what it was asked.
struct Clerk {
    salt: u8,
    waited: bool,
    asked: Vec<String>,
}

impl Clerk {
    fn new(salt: u8) -> Self {
        Self { salt, waited: false, asked: Vec::new() }
    }

    /// Sixteen outcomes, chosen by the latest question.
    fn lot(&self) -> u8 {
        let question = self.asked.last().expect("asked before it draws");
        let sum =
            question.bytes().fold(u32::from(self.salt), |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
        (sum >> 3) as u8 % 16
    }
}

impl Judge for Clerk {
    fn message(&mut self, start: &[u8], size: u64, more: bool) -> Verdict {
        self.asked.push(format!("message {} {size} {more}", start.escape_ascii()));
        match self.lot() {
            0..=3 => Verdict::Drop,
            4 if self.salt & 64 != 0 => Verdict::Close,
            5..=6 if !self.waited => {
                self.waited = true;
                self.asked.pop();
                Verdict::Wait
            }
            _ => {
                self.waited = false;
                Verdict::Pass
            }
        }
    }

    fn part(&mut self, total: u64, parts: u32) -> PartVerdict {
        self.asked.push(format!("part {total} {parts}"));
        if self.lot() == 0 && self.salt & 64 != 0 { PartVerdict::Close } else { PartVerdict::Pass }
    }

    fn command(&mut self, command: Command<'_>) -> CommandVerdict {
        self.asked.push(format!("{command:?}"));
        match self.lot() {
            0..=3 => CommandVerdict::Drop,
            4..=6 => CommandVerdict::Replace(Bytes::from_static(b"\x00\x01r")),
            7 if self.salt & 64 != 0 => CommandVerdict::Close,
            8 => CommandVerdict::Replace(Bytes::new()),
            _ => CommandVerdict::Pass,
        }
    }
}
