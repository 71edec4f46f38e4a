//! Replays every committed fuzz input, and seeded streams of mostly valid frames, through the fuzzers' entries; and
//! what real applications were recorded to send.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use lockgate_proto::policy::Policy;
use lockgate_proto::zmtp::{
    Command, CommandVerdict, Fault, Handshake, Hello, Judge, Limits, PartVerdict, Scanned, Scanner,
    SocketType, Verdict, Version,
};
use lockgate_tests::{
    fuzz_flows, fuzz_judging, fuzz_packet, fuzz_policy, fuzz_script, fuzz_speakers, fuzz_uapi, fuzz_wire,
    fuzz_zmtp,
};

/// Every input of a corpus, sorted by name.
#[expect(clippy::disallowed_methods, reason = "a test reads its own fixtures")]
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("a readable entry");
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).expect("a readable input"),
            )
        })
        .collect();
    inputs.sort();
    inputs
}

/// Says which input was being played when a test panics.
struct Playing<'a>(&'a dyn std::fmt::Display);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while playing {}", self.0);
        }
    }
}

fn replay(target: &str, at_least: usize, entry: fn(&[u8])) {
    let inputs = corpus(target);
    assert!(inputs.len() >= at_least, "{} inputs for {target}", inputs.len());
    for (name, input) in &inputs {
        let _playing = Playing(name);
        entry(input);
        for cut in 0..input.len().min(400) {
            entry(&input[..cut]);
        }
    }
}

#[test]
fn zmtp_inputs_hold() {
    replay("zmtp", 12, fuzz_zmtp);
}

#[test]
fn wire_inputs_hold() {
    replay("wire", 5, fuzz_wire);
}

#[test]
fn packet_inputs_hold() {
    replay("packet", 25, fuzz_packet);
    damage("packet", 40, fuzz_packet);
}

#[test]
fn uapi_inputs_hold() {
    replay("uapi", 12, fuzz_uapi);
    damage("uapi", 200, fuzz_uapi);
}

#[test]
fn script_inputs_hold() {
    replay("script", 20, fuzz_script);
    damage("script", 200, fuzz_script);
}

#[test]
fn policy_inputs_hold() {
    replay("policy", 12, fuzz_policy);
    let is_valid = |input: &[u8]| Policy::parse("p", &String::from_utf8_lossy(input)).is_ok();
    let valid = corpus("policy").iter().filter(|(_, input)| is_valid(input)).count();
    assert!(valid >= 10, "{valid} policies of the corpus compile");
    damage("policy", 60, fuzz_policy);
}

#[test]
fn flows_inputs_hold() {
    replay("flows", 8, fuzz_flows);
    damage("flows", 200, fuzz_flows);
}

#[test]
fn judging_inputs_hold() {
    replay("judging", 12, fuzz_judging);
    damage("judging", 400, fuzz_judging);
}

#[test]
fn speakers_inputs_hold() {
    replay("speakers", 8, fuzz_speakers);
    damage("speakers", 200, fuzz_speakers);
}

/// `LOCKGATE_FUZZ=<rounds>` asks for more damage: so many times as much.
fn rounds() -> u64 {
    std::env::var("LOCKGATE_FUZZ").map_or(1, |text| text.parse().expect("LOCKGATE_FUZZ is a number"))
}

/// Plays each input of a corpus with a few bytes changed, so many times in each round.
fn damage(target: &str, times: u64, entry: fn(&[u8])) {
    for (name, input) in corpus(target) {
        for seed in 0..times * rounds() {
            let what = format!("{name}, damaged by {seed}");
            let _playing = Playing(&what);
            let mut dice = Dice(seed);
            let mut damaged = input.clone();
            for _ in 0..=dice.below(4) {
                spoil(&mut damaged, &mut dice);
            }
            entry(&damaged);
        }
    }
}

/// Changes a byte, or repeats or loses some.
fn spoil(input: &mut Vec<u8>, dice: &mut Dice) {
    if input.is_empty() {
        return;
    }
    let at = dice.below(input.len() as u64) as usize;
    match dice.below(6) {
        0 => input[at] = dice.below(256) as u8,
        1 | 2 => input[at] ^= 1 << dice.below(8),
        3 => input.insert(at, dice.below(256) as u8),
        4 => input.truncate(at),
        _ => input.extend_from_within(at..),
    }
}

/// A small generator of pseudo-random numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<'a>(&mut self, of: &[&'a [u8]]) -> &'a [u8] {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A frame that is valid more often than not.
fn frame(dice: &mut Dice) -> Vec<u8> {
    // The last two are refused: seldom, or no stream would get far.
    let bound = if dice.below(8) == 0 { 16 } else { 14 };
    let flags = [0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 4, 6, 6, 5, 8][dice.below(bound) as usize];
    let body = if flags & 4 != 0 {
        let name = dice.pick(&[
            b"\x09SUBSCRIBE",
            b"\x06CANCEL",
            b"\x04PING\0\x01",
            b"\x04PONG",
            b"\x04JOIN",
            b"\x05ERROR\0",
        ]);
        let topic = dice.below(4) as usize * usize::from(name != b"\x05ERROR\0");
        [name, &b"temp"[..topic]].concat()
    } else {
        let start = dice.pick(&[b"", b"\x00", b"\x01", b"temp.", b"raw.", b"\x02"]);
        let length = [0, 3, 200, 700, 3000][dice.below(5) as usize];
        [start, &vec![b'x'; length]].concat()
    };
    if flags & 2 == 0 && body.len() < 256 {
        [&[flags, body.len() as u8], &body[..]].concat()
    } else {
        [&[flags | 2][..], &(body.len() as u64).to_be_bytes(), &body].concat()
    }
}

#[test]
fn seeded_streams_hold() {
    for seed in 0..3000 {
        let _playing = Playing(&seed);
        let mut dice = Dice(seed);
        let mode = (dice.below(256) | 1) as u8;
        let mut input = vec![mode, dice.below(256) as u8, dice.below(256) as u8, dice.below(256) as u8];
        for _ in 0..dice.below(12) {
            input.extend_from_slice(&frame(&mut dice));
        }
        if dice.below(4) == 0 && input.len() > 4 {
            let at = 4 + dice.below(input.len() as u64 - 4) as usize;
            input[at] ^= 1 << dice.below(8);
        }
        fuzz_zmtp(&input);
    }
}

#[test]
fn damaged_inputs_hold() {
    for (name, input) in corpus("zmtp") {
        let _playing = Playing(&name);
        let mut dice = Dice(input.len() as u64);
        for _ in 0..100 {
            let mut damaged = input.clone();
            for _ in 0..=dice.below(3) {
                let at = dice.below(damaged.len() as u64) as usize;
                match dice.below(4) {
                    0 => damaged[at] = dice.below(256) as u8,
                    1 => damaged[at] ^= 1 << dice.below(8),
                    2 => damaged.insert(at, dice.below(256) as u8),
                    _ => damaged.extend_from_within(at..),
                }
            }
            fuzz_zmtp(&damaged);
        }
    }
}

/// Passes everything, and writes down what it saw.
#[derive(Default)]
struct Witness(Vec<String>);

impl Judge for Witness {
    fn message(&mut self, start: &[u8], size: u64, _: bool) -> Verdict {
        self.0.push(format!("{} of {size}", start.escape_ascii()));
        Verdict::Pass
    }

    fn part(&mut self, total: u64, parts: u32) -> PartVerdict {
        self.0.push(format!("part {parts}, {total} in all"));
        PartVerdict::Pass
    }

    fn command(&mut self, command: Command<'_>) -> CommandVerdict {
        self.0.push(match command {
            Command::Subscribe(topic) => format!("+{}", topic.escape_ascii()),
            Command::Cancel(topic) => format!("-{}", topic.escape_ascii()),
            other => format!("{other:?}"),
        });
        CommandVerdict::Pass
    }
}

/// A recording's lines as bytes, one read each.
#[expect(clippy::disallowed_methods, reason = "a test reads its own fixtures")]
fn recording(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/zmtp").join(format!("{name}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hex is ASCII");
        u8::from_str_radix(pair, 16).expect("two hex digits")
    };
    text.lines().map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// Plays a recording read by read: the peer (or its fault), and what the judge saw.
fn replay_recording(name: &str, mut shake: Handshake) -> (Result<Hello, Fault>, Vec<String>) {
    let (mut input, mut sent, mut witness) = (BytesMut::new(), BytesMut::new(), Witness::default());
    let mut known: Option<(Hello, Scanner)> = None;
    shake.greet(&mut sent);
    for read in recording(name) {
        input.extend_from_slice(&read);
        if known.is_none() {
            match shake.handle(&mut input, &mut sent) {
                Ok(None) => continue,
                Ok(Some(peer)) => {
                    let limits = Limits { topic_peek: 3, ..Limits::default() };
                    let scanner = Scanner::new(peer.version, peer.socket_type, limits);
                    known = Some((peer, scanner));
                }
                Err(fault) => return (Err(fault), witness.0),
            }
        }
        let (_, scanner) = known.as_mut().expect("set above");
        let scanned = scanner.scan(input.split().freeze(), &mut witness, &mut drop::<Bytes>);
        assert_eq!(scanned, Ok(Scanned::All), "{name}");
    }
    let (peer, scanner) = known.expect("the recording has a whole handshake");
    assert!(scanner.at_boundary(), "{name}");
    (Ok(peer), witness.0)
}

#[test]
fn recordings_of_libzmq_read_as_what_they_were() {
    let requester = Hello::new(Version::V3_1, SocketType::Req, Bytes::new()).expect("no identity is short");
    let subscriptions = &["+raw.", "+temp.", "-raw."][..];
    let request = &[" of 0", "part 2, 7 in all", "xxx of 300", "Ping { ttl: 0, context: [] }"][..];
    for (name, version, kind, identity, seen) in [
        ("sub-3.1", Version::V3_1, SocketType::Sub, "", subscriptions),
        ("sub-3.0", Version::V3_1, SocketType::Sub, "", subscriptions),
        ("sub-2.0", Version::V2_0, SocketType::Sub, "old", subscriptions),
        ("xsub-3.1", Version::V3_1, SocketType::Xsub, "", &["+temp.", "use of 4"]),
        ("dealer-3.1", Version::V3_1, SocketType::Dealer, "edge-1", request),
        ("rep-binds-3.1", Version::V3_1, SocketType::Rep, "", &[" of 0", "part 2, 5 in all"]),
    ] {
        let shake = match kind {
            SocketType::Rep => Handshake::dialing(requester.clone()),
            _ => Handshake::accepting(),
        };
        let (peer, witness) = replay_recording(name, shake);
        let peer = peer.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!((peer.version, peer.socket_type), (version, kind), "{name}");
        assert_eq!(peer.identity, identity, "{name}");
        assert_eq!(witness, seen, "{name}");
    }
    assert_eq!(replay_recording("plain-3.1", Handshake::accepting()).0, Err(Fault::Mechanism));
}
