//! Commands after the handshake (RFC 37), and the message forms that older versions have for them.

use bytes::{BufMut, BytesMut};

use super::Version;
use super::fault::Fault;
use super::frame::{encode_command, encode_header};

/// The longest context of a PING (RFC 37).
const MAX_CONTEXT: usize = 16;

/// What a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The sender wants messages that begin so.
    Subscribe(&'a [u8]),
    /// One earlier subscription of exactly this prefix ends.
    Cancel(&'a [u8]),
    /// The sender asks for a PONG.
    Ping {
        /// Tenths of a second after which the sender wants to be taken for dead when silent; 0 = never.
        ttl: u16,
        /// To be repeated in the PONG; at most 16 bytes.
        context: &'a [u8],
    },
    /// Answers a PING.
    Pong {
        /// The PING's context.
        context: &'a [u8],
    },
    /// The peer gives up, and says why.
    Error {
        /// Its words, at most 255 bytes; not to be trusted as text.
        reason: &'a [u8],
    },
    /// Anything else, JOIN and LEAVE included.
    Unknown {
        /// Its name, 1 to 255 bytes.
        name: &'a [u8],
    },
}

impl<'a> Command<'a> {
    /// Parses a command frame's body: the name's length, the name, the rest.
    pub(super) fn parse(body: &'a [u8]) -> Result<Command<'a>, Fault> {
        let (name, rest) = split_name(body).ok_or(Fault::Command)?;
        match name {
            b"SUBSCRIBE" => Ok(Command::Subscribe(rest)),
            b"CANCEL" => Ok(Command::Cancel(rest)),
            b"PING" => {
                let (ttl, context) = rest.split_first_chunk::<2>().ok_or(Fault::Command)?;
                Ok(Command::Ping { ttl: u16::from_be_bytes(*ttl), context: short(context)? })
            }
            b"PONG" => Ok(Command::Pong { context: short(rest)? }),
            b"ERROR" => match rest.split_first() {
                Some((&length, reason)) if usize::from(length) == reason.len() => {
                    Ok(Command::Error { reason })
                }
                _ => Err(Fault::Command),
            },
            _ => Ok(Command::Unknown { name }),
        }
    }

    /// Whether libzmq may send it between two parts of a message: its heartbeat does not look.
    pub(super) fn may_interleave(&self) -> bool {
        matches!(self, Command::Ping { .. } | Command::Pong { .. })
    }
}

/// A command body's name (not empty) and what follows it.
pub(super) fn split_name(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = body.split_first()?;
    if length == 0 {
        return None;
    }
    rest.split_at_checked(usize::from(length))
}

fn short(context: &[u8]) -> Result<&[u8], Fault> {
    if context.len() > MAX_CONTEXT { Err(Fault::Command) } else { Ok(context) }
}

/// Writes a subscription to `topic` as a peer of version `form` understands it: a command in 3.1, a message before.
pub fn encode_subscribe(topic: &[u8], form: Version, out: &mut BytesMut) {
    encode_subscription(b"SUBSCRIBE", 1, topic, form, out);
}

/// Writes the end of one subscription to `topic`, in the form of version `form`.
pub fn encode_cancel(topic: &[u8], form: Version, out: &mut BytesMut) {
    encode_subscription(b"CANCEL", 0, topic, form, out);
}

fn encode_subscription(name: &[u8], first: u8, topic: &[u8], form: Version, out: &mut BytesMut) {
    if form >= Version::V3_1 {
        return encode_command(name, &[topic], out);
    }
    encode_header(0, topic.len() + 1, out);
    out.put_u8(first);
    out.extend_from_slice(topic);
}

/// Writes a PING; only 3.1 peers have it. `ttl` is in tenths of a second, `context` is cut at 16 bytes.
pub fn encode_ping(ttl: u16, context: &[u8], out: &mut BytesMut) {
    let context = &context[..context.len().min(MAX_CONTEXT)];
    encode_command(b"PING", &[&ttl.to_be_bytes(), context], out);
}

/// Writes the PONG for a PING with this `context` (cut at 16 bytes); only 3.1 peers have it.
pub fn encode_pong(context: &[u8], out: &mut BytesMut) {
    encode_command(b"PONG", &[&context[..context.len().min(MAX_CONTEXT)]], out);
}

/// Writes an ERROR, cut at 255 bytes. libzmq then never reconnects: only where an operator asked for that.
pub fn encode_error(reason: &[u8], out: &mut BytesMut) {
    let reason = &reason[..reason.len().min(255)];
    encode_command(b"ERROR", &[&[reason.len() as u8], reason], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_parse_to_what_they_say() {
        for (body, expected) in [
            (&b"\x09SUBSCRIBEtemp."[..], Ok(Command::Subscribe(b"temp."))),
            (b"\x09SUBSCRIBE", Ok(Command::Subscribe(b""))),
            (b"\x06CANCELa", Ok(Command::Cancel(b"a"))),
            (b"\x04PING\x01\x02ctx", Ok(Command::Ping { ttl: 258, context: b"ctx" })),
            (b"\x04PING\x00\x00", Ok(Command::Ping { ttl: 0, context: b"" })),
            (b"\x04PING\x00", Err(Fault::Command)),
            (b"\x04PING\x00\x000123456789abcdefg", Err(Fault::Command)),
            (b"\x04PONG0123456789abcdef", Ok(Command::Pong { context: b"0123456789abcdef" })),
            (b"\x04PONG0123456789abcdefg", Err(Fault::Command)),
            (b"\x05ERROR\x02no", Ok(Command::Error { reason: b"no" })),
            (b"\x05ERROR\x03no", Err(Fault::Command)),
            (b"\x05ERROR", Err(Fault::Command)),
            (b"\x04JOINgroup", Ok(Command::Unknown { name: b"JOIN" })),
            (b"\x09subscribea", Ok(Command::Unknown { name: b"subscribe" })),
            (b"\x0aSUBSCRIBE", Err(Fault::Command)),
            (b"\x00", Err(Fault::Command)),
            (b"", Err(Fault::Command)),
        ] {
            assert_eq!(Command::parse(body), expected, "{body:?}");
        }
    }

    #[test]
    fn each_encoding_is_the_bytes_of_its_rfc() {
        let wrote = |write: &dyn Fn(&mut BytesMut)| {
            let mut out = BytesMut::new();
            write(&mut out);
            out
        };
        assert_eq!(&wrote(&|o| encode_subscribe(b"ab", Version::V3_1, o))[..], b"\x04\x0c\x09SUBSCRIBEab");
        assert_eq!(&wrote(&|o| encode_cancel(b"", Version::V3_1, o))[..], b"\x04\x07\x06CANCEL");
        for old in [Version::V2_0, Version::V3_0] {
            assert_eq!(&wrote(&|o| encode_subscribe(b"ab", old, o))[..], b"\x00\x03\x01ab");
            assert_eq!(&wrote(&|o| encode_cancel(b"", old, o))[..], b"\x00\x01\x00");
        }
        assert_eq!(&wrote(&|o| encode_ping(300, b"c", o))[..], b"\x04\x08\x04PING\x01\x2cc");
        assert_eq!(
            &wrote(&|o| encode_pong(b"0123456789abcdefg", o))[..],
            b"\x04\x15\x04PONG0123456789abcdef"
        );
        assert_eq!(&wrote(&|o| encode_error(b"no", o))[..], b"\x04\x09\x05ERROR\x02no");
        let long = wrote(&|o| encode_subscribe(&[7; 300], Version::V3_0, o));
        assert_eq!(&long[..10], b"\x02\0\0\0\0\0\0\x01\x2d\x01");
    }
}
