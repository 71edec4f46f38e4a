//! Recorded greetings of libzmq, cut in every way, and ends that mean to be misread.

mod opening;

use alloc::vec;
use alloc::vec::Vec;
use std::println;

use super::*;
use End::{Opener, Other};
use EndSocket::{Hidden, Is, Pending};

const STARTS: [u32; 2] = [0xffff_fff0, 7_000];

/// What libzmq wrote, up to the end of its READY.
fn recorded(text: &str, len: usize) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |two: &[u8]| u8::from_str_radix(core::str::from_utf8(two).expect("digits"), 16).expect("hex");
    let mut bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    assert!(bytes.len() >= len);
    bytes.truncate(len);
    bytes
}

macro_rules! recorded {
    ($name:literal, $len:expr) => {
        recorded(include_str!(concat!("../../../../tests/vectors/zmtp/", $name, ".hex")), $len)
    };
}

fn greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01".to_vec();
    bytes.extend_from_slice(mechanism);
    bytes.resize(64, 0);
    bytes
}

fn ready(socket: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    body.push(socket.len() as u8);
    body.extend_from_slice(socket.as_bytes());
    [&[4, body.len() as u8][..], &body].concat()
}

fn null(socket: &str) -> Vec<u8> {
    [greeting(b"NULL"), ready(socket)].concat()
}

fn mechanism(name: &[u8]) -> [u8; 20] {
    let mut field = [0; 20];
    field[..name.len()].copy_from_slice(name);
    field
}

fn zmtp(name: &[u8], sockets: [EndSocket; 2]) -> Recognised {
    Recognised::Zmtp { mechanism: mechanism(name), sockets }
}

/// A connection, and what each end has sent of its bytes.
struct Wire {
    recogniser: Recogniser,
}

impl Wire {
    fn new() -> Self {
        let mut wire = Self { recogniser: Recogniser::new() };
        assert_eq!(wire.send(Opener, STARTS[0].wrapping_sub(1), SYN, b""), Fit::Fits);
        assert_eq!(wire.send(Other, STARTS[1] - 1, SYN | ACK, b""), Fit::Fits);
        wire
    }

    /// With nothing acknowledged but the SYN.
    fn send(&mut self, from: End, sequence: u32, flags: u8, payload: &[u8]) -> Fit {
        let acknowledges = STARTS[from.opposite() as usize];
        self.recogniser.hear(from, &Segment { sequence, acknowledges, flags, payload })
    }

    fn data(&mut self, from: End, at: usize, payload: &[u8]) -> Fit {
        self.send(from, STARTS[from as usize].wrapping_add(at as u32), ACK, payload)
    }

    fn acknowledge(&mut self, from: End, many: usize) {
        let acknowledges = STARTS[from.opposite() as usize].wrapping_add(many as u32);
        let bare = Segment { sequence: 0, acknowledges, flags: ACK, payload: b"" };
        assert_eq!(self.recogniser.hear(from, &bare), Fit::Fits);
    }

    fn recognised(&self) -> Recognised {
        self.recogniser.recognised()
    }

    fn is_decided(&self) -> bool {
        self.recogniser.state == State::Decided
    }
}

/// Both ends, and what they are.
fn conversations() -> Vec<(Vec<u8>, Vec<u8>, Recognised)> {
    use SocketType::{Dealer, Pub, Rep, Req, Router, Sub, Xpub, Xsub};
    let two = |socket: u8| [&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03"[..], &[socket, 0, 0]].concat();
    let is = |a, b| zmtp(b"NULL", [Is(a), Is(b)]);
    let long = [
        &greeting(b"NULL")[..],
        b"\x06\0\0\0\0\0\0\x01\x28\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\xff",
        &[b'i'; 255],
    ]
    .concat();
    vec![
        (recorded!("sub-3.1", 64 + 27), null("PUB"), is(Sub, Pub)),
        (recorded!("sub-3.0", 64 + 27), null("PUB"), is(Sub, Pub)),
        (recorded!("xsub-3.1", 64 + 28), null("XPUB"), is(Xsub, Xpub)),
        (recorded!("dealer-3.1", 64 + 49), long, is(Dealer, Router)),
        (null("REQ"), recorded!("rep-binds-3.1", 64 + 27), is(Req, Rep)),
        (recorded!("plain-3.1", 64), recorded!("plain-3.1", 64), zmtp(b"PLAIN", [Hidden; 2])),
        (greeting(b"CURVE"), greeting(b"CURVE"), zmtp(b"CURVE", [Hidden; 2])),
        (
            greeting(b"ABCDEFGHIJKLMNOPQRST"),
            greeting(b"ABCDEFGHIJKLMNOPQRST"),
            zmtp(b"ABCDEFGHIJKLMNOPQRST", [Hidden; 2]),
        ),
        (recorded!("sub-2.0", 12), two(1), is(Sub, Pub)),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"HTTP/1.1 200 OK".to_vec(), Recognised::Other),
        (b"\x16\x03\x01".to_vec(), b"\x16".to_vec(), Recognised::Other),
        (b"\x01\0".to_vec(), b"\x01\0".to_vec(), Recognised::Other),
        (
            b"\xff\0\0\0\0\0\0\0\x01\x7e".to_vec(),
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe".to_vec(),
            Recognised::Other,
        ),
        (b"\x01\0".to_vec(), null("PUB"), Recognised::Untold),
        (null("SUB"), b"SSH-2.0-".to_vec(), Recognised::Untold),
        (greeting(b"NULL"), greeting(b"PLAIN"), Recognised::Untold),
        (greeting(b"NULL\0x"), greeting(b"NULL\0x"), Recognised::Untold),
        (greeting(b""), greeting(b""), Recognised::Untold),
        (null("CLIENT"), null("SERVER"), Recognised::Untold),
        ([greeting(b"NULL"), b"\0\x01x".to_vec()].concat(), null("PUB"), Recognised::Untold),
        ([greeting(b"NULL"), b"\x04\x09\x05ERROR\x02no".to_vec()].concat(), null("PUB"), Recognised::Untold),
        (b"\xff\0\0\0\0\0\0\0\x01\x7f\0".to_vec(), null("PUB"), Recognised::Untold),
    ]
}

#[test]
fn greetings_are_read_however_they_are_cut() {
    for (opener, other, expected) in conversations() {
        for cut in 0..=opener.len().max(other.len()) {
            for order in [[Opener, Other], [Other, Opener]] {
                let mut wire = Wire::new();
                for from in order {
                    let bytes = if from == Opener { &opener } else { &other };
                    let (first, second) = bytes.split_at(cut.min(bytes.len()));
                    assert_eq!(wire.recognised(), wire.recogniser.recognised);
                    assert!(!wire.is_decided(), "by one end alone");
                    assert_eq!(wire.data(from, 0, first), Fit::Fits);
                    assert_eq!(wire.data(from, first.len(), second), Fit::Fits);
                }
                assert_eq!(
                    (wire.recognised(), wire.is_decided()),
                    (expected, true),
                    "{opener:?} {other:?} at {cut}"
                );
            }
        }
    }
}

#[test]
fn greetings_are_read_byte_by_byte_and_out_of_step() {
    for (opener, other, expected) in conversations() {
        for lead in [0, 1, 9, 10, 11, 63, 64, 65] {
            let mut wire = Wire::new();
            for at in 0..opener.len().max(other.len()) + lead {
                let behind = at.checked_sub(lead);
                for (from, bytes, at) in [(Opener, &opener, Some(at)), (Other, &other, behind)] {
                    if let Some(byte) = at.and_then(|at| bytes.get(at)) {
                        assert_eq!(wire.data(from, at.expect("it has one"), &[*byte]), Fit::Fits);
                    }
                }
            }
            assert_eq!((wire.recognised(), wire.is_decided()), (expected, true), "{opener:?} lead {lead}");
        }
    }
}

#[test]
fn the_sockets_show_one_after_the_other() {
    let mut wire = Wire::new();
    let told = |wire: &Wire| wire.recognised();
    assert_eq!(told(&wire), Recognised::Undecided);
    wire.data(Opener, 0, &null("SUB")).must_fit();
    assert_eq!(told(&wire), Recognised::Undecided, "one greeting is none");
    wire.data(Other, 0, &greeting(b"NULL")).must_fit();
    assert_eq!(told(&wire), zmtp(b"NULL", [Is(SocketType::Sub), Pending]));
    wire.data(Other, 64, &ready("PUB")).must_fit();
    assert_eq!(told(&wire), zmtp(b"NULL", [Is(SocketType::Sub), Is(SocketType::Pub)]));
    // What follows is traffic, in any order.
    wire.data(Opener, 5_000, b"\x04\x0b\x09SUBSCRIBE").must_fit();
    assert_eq!(told(&wire), zmtp(b"NULL", [Is(SocketType::Sub), Is(SocketType::Pub)]));
}

impl Fit {
    fn must_fit(self) {
        assert_eq!(self, Fit::Fits);
    }
}

#[test]
fn a_gap_does_not_pass_until_the_flow_is_decided() {
    let mut wire = Wire::new();
    let (opener, other) = (null("SUB"), null("PUB"));
    for at in 1..opener.len() {
        assert_eq!(wire.data(Opener, at, &opener[at..]), Fit::Gap);
    }
    assert_eq!(
        wire.data(Opener, usize::MAX >> 1, b"x"),
        Fit::Fits,
        "long before the start: no receiver takes it"
    );
    assert_eq!(wire.recogniser.ends[0].len, 0);
    wire.data(Opener, 0, &opener[..20]).must_fit();
    assert_eq!(wire.data(Opener, 21, &opener[21..]), Fit::Gap);
    wire.data(Opener, 10, &opener[10..]).must_fit();
    wire.data(Other, 0, &other).must_fit();
    assert!(wire.is_decided());
    wire.data(Opener, opener.len() + 100, b"later").must_fit();
}

#[test]
fn what_is_sent_again_must_be_the_same_until_it_is_acknowledged() {
    let (honest, other) = (null("SUB"), null("PUB"));
    let mut lie = honest.clone();
    let socket = honest.len() - 3;
    lie[socket..].copy_from_slice(b"PUB");
    for is_decided in [false, true] {
        let mut wire = Wire::new();
        wire.data(Opener, 0, &honest).must_fit();
        if is_decided {
            wire.data(Other, 0, &other).must_fit();
        }
        let before = wire.recognised();
        for cut in [0, 10, socket] {
            wire.data(Opener, cut, &honest[cut..]).must_fit();
            assert_eq!(wire.data(Opener, cut, &lie[cut..]), Fit::Gap, "from {cut}");
        }
        let longer = [&lie[..], b"more"].concat();
        assert_eq!(wire.data(Opener, 3, &longer[3..]), Fit::Gap, "with news behind it");
        wire.data(Opener, 0, &lie[..socket]).must_fit();
        wire.acknowledge(Other, socket);
        assert_eq!(wire.data(Opener, 0, &lie), Fit::Gap, "acknowledged in part");
        wire.acknowledge(Other, honest.len());
        wire.data(Opener, 0, &lie).must_fit();
        wire.acknowledge(Other, 0);
        wire.data(Opener, 0, &lie).must_fit();
        assert_eq!(wire.recognised(), before);
        wire.data(Other, 0, &other).must_fit();
        let sockets = [Is(SocketType::Sub), Is(SocketType::Pub)];
        assert_eq!(wire.recognised(), zmtp(b"NULL", sockets), "the lie changed nothing");
    }
}

#[test]
fn the_end_that_sends_cannot_acknowledge_for_the_other() {
    let (honest, mut lie) = (null("SUB"), null("SUB"));
    let socket = honest.len() - 3;
    lie[socket..].copy_from_slice(b"PUB");
    let mut wire = Wire::new();
    wire.data(Opener, 0, &honest).must_fit();
    wire.acknowledge(Opener, 5_000);
    assert_eq!(wire.data(Opener, 0, &lie), Fit::Gap);
}

#[test]
fn a_protocol_that_is_not_zmtp_is_told_by_its_first_bytes_and_left_alone() {
    let mut wire = Wire::new();
    wire.data(Opener, 0, b"POST ").must_fit();
    assert_eq!((wire.recognised(), wire.is_decided()), (Recognised::Other, false));
    for at in [2_000, 900, 1_000_000, 5] {
        wire.data(Opener, at, &[b'x'; 1_400]).must_fit();
    }
    assert_eq!(wire.data(Opener, 0, &null("PUB")), Fit::Gap, "it said something else there");
    let mut late = Wire { recogniser: wire.recogniser.clone() };
    late.data(Other, 0, &null("SUB")[..10]).must_fit();
    assert_eq!((late.recognised(), late.is_decided()), (Recognised::Untold, true), "the other end is libzmq");
    wire.data(Other, 0, b"HTTP").must_fit();
    assert_eq!((wire.recognised(), wire.is_decided()), (Recognised::Other, true));
}

#[test]
fn more_than_is_kept_without_a_decision_is_never_told() {
    let huge = [&greeting(b"NULL")[..], b"\x06\0\0\0\0\0\0\x10\0\x05READY\x05X-any\0\0\x0f\x00"].concat();
    let mut wire = Wire::new();
    wire.data(Other, 0, &null("PUB")).must_fit();
    wire.data(Opener, 0, &huge).must_fit();
    assert_eq!(wire.recognised(), zmtp(b"NULL", [Pending, Is(SocketType::Pub)]));
    let mut at = huge.len();
    while !wire.is_decided() {
        assert!(at <= Recogniser::KEPT);
        wire.data(Opener, at, b"x").must_fit();
        at += 1;
    }
    assert_eq!((wire.recognised(), at), (Recognised::Untold, Recogniser::KEPT + 1));
    let mut wire = Wire::new();
    wire.data(Opener, 0, &[&null("SUB")[..], &vec![0; 64 * 1024]].concat()).must_fit();
    assert_eq!(
        (wire.recognised(), wire.is_decided()),
        (Recognised::Untold, true),
        "in one segment, before the answer"
    );
}

#[test]
fn urgent_bytes_leave_nothing_to_tell() {
    for payload in [&b""[..], &null("SUB")] {
        let mut wire = Wire::new();
        wire.send(Opener, STARTS[0], ACK | URG, payload).must_fit();
        assert_eq!((wire.recognised(), wire.is_decided()), (Recognised::Untold, true));
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 33) as usize % sides
    }
}

/// An honest receiver: it loses or takes what passes, keeps what comes early, and acknowledges what it has in order.
#[derive(Default)]
struct Receiver {
    stream: Vec<Option<u8>>,
}

impl Receiver {
    /// Some keep the first copy of a byte, some the last.
    fn take(&mut self, at: usize, bytes: &[u8], keeps_first: bool) {
        let done = self.in_order();
        self.stream.resize(self.stream.len().max(at + bytes.len()), None);
        for (place, byte) in self.stream[at..].iter_mut().zip(bytes).skip(done.saturating_sub(at)) {
            if place.is_none() || !keeps_first {
                *place = Some(*byte);
            }
        }
    }

    fn in_order(&self) -> usize {
        self.stream.iter().position(Option::is_none).unwrap_or(self.stream.len())
    }
}

#[test]
fn an_honest_receiver_hears_what_was_read_whatever_a_hostile_sender_does() {
    let (mut heard, mut refused, mut decided) = (0, 0, 0);
    for seed in 0..3_000_u64 {
        let mut dice = Dice(seed);
        let (mut wire, mut receiver) = (Wire::new(), Receiver::default());
        let keeps_first = dice.roll(2) == 0;
        // Two stories that the sender would like to be believed, one by us, one by the receiver.
        let stories =
            [null("SUB"), null("PUB"), recorded!("dealer-3.1", 200), b"GET / HTTP/1.1\r\n".to_vec()];
        let stories = [&stories[dice.roll(4)], &stories[dice.roll(4)]];
        for _ in 0..60 {
            match dice.roll(8) {
                0 => wire.acknowledge(Other, receiver.in_order()),
                1 => {
                    let other = null("REP");
                    let from = dice.roll(other.len());
                    _ = wire.data(Other, from, &other[from..]);
                }
                _ => {
                    let story = stories[dice.roll(2)];
                    let kept = usize::from(wire.recogniser.ends[0].len).min(story.len() - 1);
                    let at = if dice.roll(2) == 0 { kept } else { dice.roll(story.len()) };
                    let end = at + 1 + dice.roll(story.len() - at);
                    match wire.data(Opener, at, &story[at..end]) {
                        Fit::Fits if dice.roll(3) > 0 => receiver.take(at, &story[at..end], keeps_first),
                        Fit::Fits => {}
                        Fit::Gap => refused += 1,
                    }
                }
            }
            let kept = wire.recogniser.ends[0].kept();
            let both = kept.len().min(receiver.in_order());
            let stream: Vec<u8> = receiver.stream[..both].iter().flatten().copied().collect();
            assert_eq!(stream, kept[..both], "seed {seed}");
            heard += both;
        }
        decided += usize::from(wire.is_decided());
    }
    println!("{heard} bytes compared, {refused} segments refused, {decided} decided");
    assert!(heard > 1_000_000 && refused > 10_000 && decided > 150);
}

#[test]
fn whatever_comes_it_stays_small_and_a_decision_stays() {
    assert!(size_of::<Recogniser>() <= 900, "{}", size_of::<Recogniser>());
    let pieces = [null("SUB"), null("PUB"), greeting(b"CURVE"), vec![0xff; 700], b"\x01\0\0".to_vec()];
    let mut told = 0;
    for seed in 0..2_000_u64 {
        let mut dice = Dice(seed);
        let mut wire = Wire::new();
        for _ in 0..40 {
            let before = (wire.is_decided(), wire.recognised());
            let from = if dice.roll(2) == 0 { Opener } else { Other };
            let flags = [ACK, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST, 0, 255, URG][dice.roll(10)];
            let piece = &pieces[dice.roll(pieces.len())];
            let at = dice.roll(piece.len());
            let sequence = match dice.roll(8) {
                0 => dice.roll(usize::MAX) as u32,
                _ => STARTS[from as usize].wrapping_add(at as u32),
            };
            let acknowledges = if dice.roll(2) == 0 {
                dice.roll(usize::MAX) as u32
            } else {
                STARTS[from.opposite() as usize]
            };
            let segment = Segment { sequence, acknowledges, flags, payload: &piece[at..] };
            _ = wire.recogniser.hear(from, &segment);
            if before.0 && flags & SYN == 0 {
                assert_eq!((wire.is_decided(), wire.recognised()), before, "seed {seed}");
            }
            told += usize::from(wire.is_decided());
        }
    }
    assert!(told > 1_000);
}
