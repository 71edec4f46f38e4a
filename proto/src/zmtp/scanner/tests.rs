use super::*;
use crate::zmtp::frame::encode_command;
use alloc::{format, string::String, vec};

mod commands;

/// Passes and drops by the first byte that it is shown, and writes down what it was asked.
#[derive(Default)]
struct Clerk {
    asked: Vec<String>,
    closes: bool,
    /// How often it still says `Wait`.
    waits: usize,
}

impl Judge for Clerk {
    fn message(&mut self, start: &[u8], size: u64, more: bool) -> Verdict {
        if self.waits > 0 {
            self.waits -= 1;
            return Verdict::Wait;
        }
        self.asked.push(format!("message {} {size} {more}", start.escape_ascii()));
        match start.first() {
            Some(b'd') => Verdict::Drop,
            Some(b'c') => Verdict::Close,
            _ => Verdict::Pass,
        }
    }

    fn part(&mut self, total: u64, parts: u32) -> PartVerdict {
        self.asked.push(format!("part {total} {parts}"));
        if self.closes { PartVerdict::Close } else { PartVerdict::Pass }
    }

    fn command(&mut self, command: Command<'_>) -> CommandVerdict {
        self.asked.push(format!("{command:?}"));
        match command {
            Command::Subscribe(b"d") | Command::Unknown { .. } => CommandVerdict::Drop,
            Command::Ping { .. } => CommandVerdict::Replace(Bytes::from_static(b"<pong>")),
            Command::Error { .. } => CommandVerdict::Close,
            _ => CommandVerdict::Pass,
        }
    }
}

fn frame(more: bool, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    crate::zmtp::frame::encode_header(u8::from(more), body.len(), &mut out);
    out.extend_from_slice(body);
    out.to_vec()
}

fn command(name: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_command(name, &[rest], &mut out);
    out.to_vec()
}

fn limits() -> Limits {
    Limits { max_frame: 1000, max_message: 1200, max_parts: 4, max_command: 300, topic_peek: 3 }
}

fn scanner(version: Version, sender: SocketType) -> Scanner {
    Scanner::new(version, sender, limits())
}

/// What came out, how it ended, and what the judge was asked.
type Played = (Vec<u8>, Result<Scanned, Fault>, Vec<String>);

fn play(mut scanner: Scanner, mut judge: Clerk, stream: &[u8], cuts: &[usize]) -> Played {
    let (mut out, mut from, mut result) = (Vec::new(), 0, Ok(Scanned::All));
    for &to in cuts.iter().chain([&stream.len()]) {
        let mut chunk = Bytes::copy_from_slice(&stream[from..to]);
        from = to;
        result = loop {
            match scanner.scan(chunk, &mut judge, &mut |run| out.extend_from_slice(&run)) {
                Ok(Scanned::Waiting(rest)) => chunk = rest,
                other => break other,
            }
        };
        assert!(scanner.carried() <= limits().max_command + 10);
        assert!(scanner.carry.capacity() <= scanner.carry.len() + CARRY_SLACK);
    }
    assert_eq!(scanner.counts().bytes, out.len() as u64);
    (out, result, judge.asked)
}

fn pass_all(version: Version, sender: SocketType, stream: &[u8]) -> Played {
    play(scanner(version, sender), Clerk::default(), stream, &[])
}

#[test]
fn a_run_is_emitted_as_the_slice_it_was() {
    let stream: Bytes = [frame(false, b"one"), frame(true, b"two"), frame(false, &[7; 300])].concat().into();
    let mut scanner = scanner(Version::V3_1, SocketType::Push);
    let mut runs = Vec::new();
    let scanned = scanner.scan(stream.clone(), &mut Clerk::default(), &mut |run| {
        runs.push(run);
    });
    assert_eq!(scanned, Ok(Scanned::All));
    assert_eq!(runs, vec![stream.clone()]);
    assert_eq!(runs[0].as_ptr(), stream.as_ptr(), "no copy");
    let expected = Counts { messages: 2, frames: 3, bytes: stream.len() as u64, ..Counts::default() };
    assert_eq!(*scanner.counts(), expected);
}

#[test]
fn a_dropped_message_goes_with_all_its_parts_and_no_other() {
    let kept = [frame(false, b"a"), frame(true, b"b"), frame(false, b"d not the first part")];
    let dropped = [frame(true, b"drop"), frame(true, &[1; 900]), frame(true, &[1; 900]), frame(false, b"")];
    let stream = [kept.concat(), dropped.concat(), frame(false, b"d"), kept.concat()].concat();
    let mut scanner = scanner(Version::V3_1, SocketType::Pub);
    let mut runs = Vec::new();
    let scanned = scanner.scan(stream.into(), &mut Clerk::default(), &mut |run| {
        runs.push(run);
    });
    assert_eq!(scanned, Ok(Scanned::All), "limits on a message hold for those that pass");
    assert_eq!(runs, vec![kept.concat(), kept.concat()]);
    let counts = scanner.counts();
    assert_eq!((counts.messages, counts.dropped_messages, counts.frames), (4, 2, 11));
    assert_eq!(counts.dropped_bytes, dropped.concat().len() as u64 + 3);
}

#[test]
fn the_judge_sees_size_and_start_before_the_body_has_come() {
    let mut head = frame(true, &[b'x'; 700]);
    head.truncate(9 + 3);
    let (out, result, asked) = pass_all(Version::V3_1, SocketType::Pub, &head);
    assert_eq!((out, result), (head.clone(), Ok(Scanned::All)));
    assert_eq!(asked, ["message xxx 700 true"]);
    head.pop();
    assert_eq!(pass_all(Version::V3_1, SocketType::Pub, &head).2, [""; 0], "not before the peek is whole");
}

#[test]
fn hostile_frames_end_the_connection_from_the_header_alone() {
    let parts =
        |n: usize, size: usize| (0..n).flat_map(|_| frame(true, &vec![b'x'; size])).collect::<Vec<_>>();
    for (sender, stream, fault) in [
        (SocketType::Push, b"\x02\0\0\x40\0\0\0\0\0".to_vec(), Fault::FrameTooLarge),
        (SocketType::Push, b"\x02\0\0\0\x01\x40\0\0\0".to_vec(), Fault::FrameTooLarge),
        (SocketType::Push, b"\x03\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), Fault::FrameTooLarge),
        (SocketType::Push, b"\x06\0\0\0\0\0\0\x01\x2d".to_vec(), Fault::CommandTooLarge),
        (SocketType::Sub, b"\x02\0\0\0\0\0\0\x01\x2e\x01".to_vec(), Fault::CommandTooLarge),
        (SocketType::Push, b"\x08".to_vec(), Fault::Flags),
        (SocketType::Push, b"\x05".to_vec(), Fault::Flags),
        (SocketType::Push, b"\x80".to_vec(), Fault::Flags),
        (SocketType::Push, b"\x04\x00".to_vec(), Fault::Command),
        (SocketType::Push, b"\x04\x05\x05PING".to_vec(), Fault::Command),
        (SocketType::Push, parts(5, 1), Fault::TooManyParts),
        (SocketType::Push, parts(2, 601), Fault::MessageTooLarge),
        (SocketType::Push, [parts(1, 1), command(b"SUBSCRIBE", b"x")].concat(), Fault::Interleaved),
        (SocketType::Push, [parts(1, 1), command(b"NEWS", b"")].concat(), Fault::Interleaved),
        (SocketType::Xsub, frame(true, b"\x01secret"), Fault::HiddenSubscription),
        (
            SocketType::Xsub,
            [frame(true, b"user"), frame(false, b"\x01secret")].concat(),
            Fault::HiddenSubscription,
        ),
    ] {
        let good = frame(false, b"good");
        let stream = [good.clone(), stream].concat();
        let (out, result, _) = pass_all(Version::V3_1, sender, &stream);
        assert_eq!(result, Err(fault), "{}", stream.escape_ascii());
        assert!(out.starts_with(&good), "what came before has passed");
    }
    for flags in [4_u8, 6] {
        assert_eq!(
            pass_all(Version::V2_0, SocketType::Push, &[flags]).1,
            Err(Fault::Flags),
            "2.0 has no commands"
        );
    }
}

#[test]
fn a_first_frame_above_the_message_limit_is_the_judges_to_drop() {
    let limits = Limits { max_message: 5, ..limits() };
    for (body, expected) in [(b"d-large", Ok(Scanned::All)), (b"x-large", Err(Fault::MessageTooLarge))] {
        let scanner = Scanner::new(Version::V3_1, SocketType::Pub, limits);
        let (out, result, _) = play(scanner, Clerk::default(), &frame(false, body), &[]);
        assert_eq!((out.len(), result), (0, expected));
    }
}

#[test]
fn a_judge_may_wait_and_nothing_is_lost_or_asked_out_of_turn() {
    let stream = [frame(false, b"one"), frame(false, b"two"), frame(false, b"three")].concat();
    let mut scanner = scanner(Version::V3_1, SocketType::Push);
    let mut judge = Clerk::default();
    let mut out = Vec::new();
    assert_eq!(
        scanner.scan(stream[..7].to_vec().into(), &mut judge, &mut |run| out.push(run)),
        Ok(Scanned::All)
    );
    judge.waits = 2;
    let chunk = Bytes::copy_from_slice(&stream[7..]);
    let Ok(Scanned::Waiting(rest)) = scanner.scan(chunk, &mut judge, &mut |run| out.push(run)) else {
        panic!()
    };
    let Ok(Scanned::Waiting(rest)) = scanner.scan(rest, &mut judge, &mut |run| out.push(run)) else {
        panic!()
    };
    assert_eq!(out.concat(), stream[..5], "the waiting message began in the chunk before");
    assert_eq!(scanner.scan(rest, &mut judge, &mut |run| out.push(run)), Ok(Scanned::All));
    assert_eq!(out.concat(), stream);
    assert_eq!(judge.asked.len(), 3);
}

#[test]
fn a_stream_cut_anywhere_ends_like_the_whole_one() {
    let tail =
        [command(b"PING", b"\0\0"), frame(false, b"drop"), frame(true, &[b'y'; 260]), frame(false, b"z")];
    let streams = [
        [frame(true, b"abcdef"), frame(false, b""), frame(false, b"d"), tail.concat()].concat(),
        [frame(false, b"\x01topic"), frame(false, b"\x01d"), frame(false, b"\x00"), tail.concat()].concat(),
        [frame(true, b"x"), command(b"CANCEL", b"")].concat(),
        [tail.concat(), command(b"ERROR", b"\0"), frame(false, b"after")].concat(),
        [tail.concat(), b"\x02\0\0\x40\0\0\0\0\0".to_vec()].concat(),
    ];
    for stream in &streams {
        for sender in [SocketType::Pub, SocketType::Sub] {
            let run = |cuts: &[usize]| play(scanner(Version::V3_1, sender), Clerk::default(), stream, cuts);
            let whole = run(&[]);
            for cut in 0..stream.len() {
                assert_eq!(run(&[cut]), whole, "cut at {cut}");
            }
            assert_eq!(run(&(0..stream.len()).collect::<Vec<_>>()), whole, "byte by byte");
        }
    }
}
