//! The obvious parser: it has the whole stream, goes frame by frame, copies everything, and is slow.

use bytes::BytesMut;
use lockgate_proto::zmtp::{
    Command, CommandVerdict, Fault, Hello, Judge, Limits, PartVerdict, Scanned, Verdict, Version,
    encode_cancel, encode_subscribe,
};

/// A message of which more parts are to come.
#[derive(Clone, Copy)]
struct Open {
    passes: bool,
    parts: u32,
    total: u64,
}

/// A frame as far as it has arrived.
struct Frame<'a> {
    whole: &'a [u8],
    body: &'a [u8],
    size: u64,
    more: bool,
    command: bool,
}

/// Output and end of a scan of `stream`, all at once.
pub(super) fn scan(
    stream: &[u8],
    peer: &Hello,
    limits: &Limits,
    judge: &mut impl Judge,
) -> (Vec<u8>, Result<Scanned, Fault>) {
    let mut output = Vec::new();
    let mut open = None;
    let mut rest = stream;
    loop {
        let frame = match next(rest, peer.version) {
            Ok(Some(frame)) => frame,
            Ok(None) => return (output, Ok(Scanned::All)),
            Err(fault) => return (output, Err(fault)),
        };
        rest = &rest[frame.whole.len()..];
        let end = if frame.command {
            take_command(&frame, open.is_some(), limits, judge, &mut output)
        } else if peer.socket_type.is_subscriber() && open.is_none_or(|open: Open| open.passes) {
            take_from_subscriber(&frame, &mut open, limits, judge, &mut output)
        } else {
            take_message(&frame, &mut open, limits, judge, &mut output)
        };
        match end {
            Ok(true) => {}
            Ok(false) => return (output, Ok(Scanned::Closed)),
            Err(None) => return (output, Ok(Scanned::All)),
            Err(Some(fault)) => return (output, Err(fault)),
        }
    }
}

fn next(rest: &[u8], version: Version) -> Result<Option<Frame<'_>>, Fault> {
    let Some(&flags) = rest.first() else {
        return Ok(None);
    };
    let known: &[u8] = if version == Version::V2_0 { &[0, 1, 2, 3] } else { &[0, 1, 2, 3, 4, 6] };
    if !known.contains(&flags) {
        return Err(Fault::Flags);
    }
    let header = if flags & 2 == 0 { 2 } else { 9 };
    if rest.len() < header {
        return Ok(None);
    }
    let size = rest[1..header].iter().fold(0_u64, |size, &byte| size << 8 | u64::from(byte));
    let end = rest.len().min(usize::try_from(size).unwrap_or(usize::MAX).saturating_add(header));
    let (whole, body) = (&rest[..end], &rest[header..end]);
    Ok(Some(Frame { whole, body, size, more: flags & 1 != 0, command: flags & 4 != 0 }))
}

/// Go on, closed, not enough bytes, or a fault.
type Step = Result<bool, Option<Fault>>;

fn take_command(
    frame: &Frame<'_>,
    inside: bool,
    limits: &Limits,
    judge: &mut impl Judge,
    output: &mut Vec<u8>,
) -> Step {
    if frame.size > limits.max_command as u64 {
        return Err(Some(Fault::CommandTooLarge));
    }
    if (frame.body.len() as u64) < frame.size {
        return Err(None);
    }
    let command = parse(frame.body).ok_or(Some(Fault::Command))?;
    if inside && !matches!(command, Command::Ping { .. } | Command::Pong { .. }) {
        return Err(Some(Fault::Interleaved));
    }
    Ok(apply(judge.command(command), frame.whole, output))
}

fn apply(verdict: CommandVerdict, passing: &[u8], output: &mut Vec<u8>) -> bool {
    match verdict {
        CommandVerdict::Pass => output.extend_from_slice(passing),
        CommandVerdict::Drop => {}
        CommandVerdict::Replace(bytes) => output.extend_from_slice(&bytes),
        CommandVerdict::Close => return false,
    }
    true
}

fn parse(body: &[u8]) -> Option<Command<'_>> {
    let length = usize::from(*body.first()?);
    if length == 0 || body.len() < 1 + length {
        return None;
    }
    let (name, rest) = (&body[1..=length], &body[1 + length..]);
    Some(match name {
        b"SUBSCRIBE" => Command::Subscribe(rest),
        b"CANCEL" => Command::Cancel(rest),
        b"PING" if (2..=18).contains(&rest.len()) => {
            Command::Ping { ttl: u16::from(rest[0]) << 8 | u16::from(rest[1]), context: &rest[2..] }
        }
        b"PONG" if rest.len() <= 16 => Command::Pong { context: rest },
        b"ERROR" if !rest.is_empty() && usize::from(rest[0]) == rest.len() - 1 => {
            Command::Error { reason: &rest[1..] }
        }
        b"PING" | b"PONG" | b"ERROR" => return None,
        name => Command::Unknown { name },
    })
}

fn take_from_subscriber(
    frame: &Frame<'_>,
    open: &mut Option<Open>,
    limits: &Limits,
    judge: &mut impl Judge,
    output: &mut Vec<u8>,
) -> Step {
    if frame.size > limits.max_frame {
        return Err(Some(Fault::FrameTooLarge));
    }
    if frame.size > 0 && frame.body.is_empty() {
        return Err(None);
    }
    let Some(&kind @ (0 | 1)) = frame.body.first() else {
        return take_message(frame, open, limits, judge, output);
    };
    if open.is_some() || frame.more {
        return Err(Some(Fault::HiddenSubscription));
    }
    if frame.size > limits.max_command as u64 + 1 {
        return Err(Some(Fault::CommandTooLarge));
    }
    if (frame.body.len() as u64) < frame.size {
        return Err(None);
    }
    let topic = &frame.body[1..];
    let mut canonical = BytesMut::new();
    let command = if kind == 1 {
        encode_subscribe(topic, Version::V3_1, &mut canonical);
        Command::Subscribe(topic)
    } else {
        encode_cancel(topic, Version::V3_1, &mut canonical);
        Command::Cancel(topic)
    };
    Ok(apply(judge.command(command), &canonical, output))
}

fn take_message(
    frame: &Frame<'_>,
    open: &mut Option<Open>,
    limits: &Limits,
    judge: &mut impl Judge,
    output: &mut Vec<u8>,
) -> Step {
    if frame.size > limits.max_frame {
        return Err(Some(Fault::FrameTooLarge));
    }
    let now = match *open {
        Some(Open { passes: false, parts, total }) => Open { passes: false, parts: parts + 1, total },
        Some(Open { parts, total, .. }) => {
            let later = Open { passes: true, parts: parts + 1, total: total + frame.size };
            if later.total > limits.max_message {
                return Err(Some(Fault::MessageTooLarge));
            }
            if later.parts > limits.max_parts {
                return Err(Some(Fault::TooManyParts));
            }
            if judge.part(later.total, later.parts) == PartVerdict::Close {
                return Ok(false);
            }
            later
        }
        None => {
            let peek = limits.topic_peek.min(usize::try_from(frame.size).unwrap_or(usize::MAX));
            let Some(start) = frame.body.get(..peek) else {
                return Err(None);
            };
            let verdict = loop {
                match judge.message(start, frame.size, frame.more) {
                    Verdict::Wait => {}
                    verdict => break verdict,
                }
            };
            match verdict {
                Verdict::Close => return Ok(false),
                Verdict::Pass if frame.size > limits.max_message => {
                    return Err(Some(Fault::MessageTooLarge));
                }
                verdict => Open { passes: verdict == Verdict::Pass, parts: 1, total: frame.size },
            }
        }
    };
    if now.passes {
        output.extend_from_slice(frame.whole);
    }
    *open = frame.more.then_some(now);
    Ok(true)
}
