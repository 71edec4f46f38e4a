//! ZMTP 3.1 traffic, as an application writes and reads it: written apart from the code under test.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) more: bool,
    pub(crate) command: bool,
    pub(crate) body: Bytes,
}

/// Takes one whole frame from the front.
pub(crate) fn take(input: &mut BytesMut) -> Option<Frame> {
    let flags = *input.first()?;
    assert!(flags <= 7 && flags & (COMMAND | MORE) != COMMAND | MORE, "flags {flags:#x}");
    let (header, size) = if flags & LONG == 0 {
        (2, usize::from(*input.get(1)?))
    } else {
        let size = input.get(1..9)?.first_chunk::<8>().expect("eight bytes");
        (9, usize::try_from(u64::from_be_bytes(*size)).expect("a size of this machine"))
    };
    if input.len() < header + size {
        return None;
    }
    input.advance(header);
    let body = input.split_to(size).freeze();
    Some(Frame { more: flags & MORE != 0, command: flags & COMMAND != 0, body })
}

fn put(flags: u8, body: &[u8], out: &mut BytesMut) {
    match u8::try_from(body.len()) {
        Ok(size) => out.extend_from_slice(&[flags, size]),
        Err(_) => {
            out.put_u8(flags | LONG);
            out.put_u64(body.len() as u64);
        }
    }
    out.extend_from_slice(body);
}

/// Writes a message.
pub(crate) fn put_message(parts: &[Bytes], out: &mut BytesMut) {
    for (place, part) in parts.iter().enumerate() {
        put(if place + 1 < parts.len() { MORE } else { 0 }, part, out);
    }
}

/// Writes a command.
pub(crate) fn put_command(name: &str, argument: &[u8], out: &mut BytesMut) {
    let mut body = vec![u8::try_from(name.len()).expect("a short name")];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(argument);
    put(COMMAND, &body, out);
}

/// A command's name and what follows it.
pub(crate) fn split_command(body: &[u8]) -> (&[u8], &[u8]) {
    body[1..].split_at(usize::from(body[0]))
}
