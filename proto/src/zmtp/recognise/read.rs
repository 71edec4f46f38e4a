//! What two ends have said, read from their first bytes.

use super::super::command::split_name;
use super::super::frame::Header;
use super::super::handshake::{REST, REVISION, SIGNATURE};
use super::super::hello::Ready;
use super::super::{MAX_HANDSHAKE_COMMAND, Mechanism, SocketType, Version};
use super::{EndSocket, Recognised};

/// What the first bytes of an end are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// They may become a signature.
    Short,
    /// `FF`, eight bytes, and one with bit 0 set: a 2.0 or 3.x peer.
    Complete,
    /// They are none.
    Foreign,
}

pub(super) fn signature(kept: &[u8]) -> Signature {
    match (kept.first(), kept.get(SIGNATURE - 1)) {
        (None | Some(0xFF), None) => Signature::Short,
        (Some(0xFF), Some(last)) if last & 1 == 1 => Signature::Complete,
        _ => Signature::Foreign,
    }
}

/// What two ends speak that both sent a signature; `None` where it is nothing that they could.
pub(super) fn read_greetings(opener: &[u8], other: &[u8]) -> Option<Recognised> {
    let (Some(&one), Some(&two)) = (opener.get(SIGNATURE), other.get(SIGNATURE)) else {
        return Some(Recognised::Undecided);
    };
    let [opener, other] = [opener, other].map(|kept| &kept[SIGNATURE + 1..]);
    // Both speak what the older one of them does.
    match one.min(two) {
        0 => None,
        REVISION.. => read_three(opener, other),
        _ => read_two(opener, other),
    }
}

/// 2.0: a byte for the socket type, nothing for a mechanism.
fn read_two(opener: &[u8], other: &[u8]) -> Option<Recognised> {
    let read = |kept: &[u8]| match kept.first() {
        None => Some(EndSocket::Pending),
        Some(code) => SocketType::from_code(*code).map(EndSocket::Is),
    };
    let mut mechanism = [0; 20];
    mechanism[..4].copy_from_slice(b"NULL");
    Some(Recognised::Zmtp { mechanism, sockets: [read(opener)?, read(other)?] })
}

/// 3.x: the mechanism, which must be the same, and behind the greeting READY.
fn read_three(opener: &[u8], other: &[u8]) -> Option<Recognised> {
    let (Some(one), Some(two)) = (opener.first_chunk::<REST>(), other.first_chunk::<REST>()) else {
        return Some(Recognised::Undecided);
    };
    let mechanism = *one[1..].first_chunk::<20>()?;
    let end = mechanism.iter().position(|byte| *byte == 0).unwrap_or(mechanism.len());
    if mechanism[..] != two[1..21] || end == 0 || mechanism[end..].iter().any(|byte| *byte != 0) {
        return None;
    }
    let sockets = match Mechanism::from_greeting(&mechanism) {
        Mechanism::Null => [read_ready(one[0], &opener[REST..])?, read_ready(two[0], &other[REST..])?],
        _ => [EndSocket::Hidden; 2],
    };
    Some(Recognised::Zmtp { mechanism, sockets })
}

fn read_ready(minor: u8, kept: &[u8]) -> Option<EndSocket> {
    let version = if minor == 0 { Version::V3_0 } else { Version::V3_1 };
    let Some(header) = Header::parse(kept, version).ok()? else {
        return Some(EndSocket::Pending);
    };
    if !header.is_command() || header.size > MAX_HANDSHAKE_COMMAND as u64 {
        return None;
    }
    let Some(body) = kept.get(header.len..header.len + header.size as usize) else {
        return Some(EndSocket::Pending);
    };
    let (name, properties) = split_name(body)?;
    let ready = if name == b"READY" { Ready::parse(properties).ok()? } else { return None };
    Some(EndSocket::Is(ready.socket_type))
}
