//! Reads a request, line by line: what is unknown, misplaced or misspelt ends it.

use std::net::{SocketAddr, SocketAddrV6};

use lockgate_proto::keys::{PresharedKey, PrivateKey, PublicKey};

use lockgate_proto::prefix::Prefix;

use super::{Change, Edit, Errno, Flaw, LINE, Parsed, PeerChange, Presence, Request, allowed_ip};
use crate::machine::host;

/// Reads one request, its empty line included, in time in proportion to its length. What stands behind the empty line is
/// not looked at.
///
/// # Errors
/// Where there is nothing to do: the operation is unknown, a `get` says more, or the empty line is missing.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Flaw> {
    let mut lines = Lines { rest: bytes, number: 0 };
    let flawed = |errno, line, reason| Err(Flaw { errno, line, reason });
    let request = match lines.next() {
        Some(b"get=1") => match lines.next() {
            Some(b"") => return Ok(Parsed { request: Request::Get, flaw: None }),
            Some(_) => return flawed(Errno::Invalid, 2, "a get says nothing more"),
            None => None,
        },
        Some(b"set=1") => Some(set(lines)),
        _ => return flawed(Errno::Protocol, 1, "a request begins with get=1 or set=1"),
    };
    request.map_or_else(|| flawed(Errno::Protocol, 2, END_MISSING), Ok)
}

const END_MISSING: &str = "a request ends with an empty line";

fn set(mut lines: Lines<'_>) -> Parsed {
    let mut changes = Vec::new();
    let flaw = loop {
        let Some(line) = lines.next() else {
            break Some((Errno::Protocol, END_MISSING));
        };
        if line.is_empty() {
            break None;
        }
        if let Err(flaw) = take(line, &mut changes) {
            break Some(flaw);
        }
    };
    let line = lines.number;
    Parsed { request: Request::Set(changes), flaw: flaw.map(|(errno, reason)| Flaw { errno, line, reason }) }
}

type Outcome<T> = Result<T, (Errno, &'static str)>;

fn take(line: &[u8], changes: &mut Vec<Change>) -> Outcome<()> {
    if line.len() > LINE {
        return Err((Errno::Io, "a line is at most 65535 bytes"));
    }
    let Some(at) = line.iter().position(|byte| *byte == b'=') else {
        return Err((Errno::Protocol, "a line is key=value"));
    };
    let (key, value) = (&line[..at], &line[at + 1..]);
    let value = std::str::from_utf8(value).map_err(|_| invalid("a value is text"))?;
    if key == b"public_key" {
        changes.push(Change::Peer(begin_peer(value)?));
    } else if let Some(Change::Peer(peer)) = changes.last_mut() {
        edit_peer(peer, key, value)?;
    } else {
        changes.push(change_device(key, value)?);
    }
    Ok(())
}

fn change_device(key: &[u8], value: &str) -> Outcome<Change> {
    match key {
        b"private_key" => {
            let key =
                PrivateKey::from_hex(value).map_err(|_| invalid("private_key is 64 hexadecimal digits"))?;
            Ok(Change::PrivateKey((!key.is_zero()).then(|| Box::new(key.clamped()))))
        }
        b"listen_port" => number(value).map(Change::ListenPort).ok_or(invalid("listen_port is 0 to 65535")),
        b"fwmark" => number(value).map(Change::Fwmark).ok_or(invalid("fwmark is a number of 32 bits")),
        b"replace_peers" => only_true(value).map(|()| Change::ReplacePeers),
        _ => Err(invalid("this key is not one of the device's")),
    }
}

fn begin_peer(value: &str) -> Outcome<PeerChange> {
    let public_key =
        PublicKey::from_hex(value).map_err(|_| invalid("public_key is 64 hexadecimal digits"))?;
    Ok(PeerChange { public_key, presence: Presence::Wanted, edits: Vec::new() })
}

/// What is said of a peer that goes is checked and has no effect.
fn edit_peer(peer: &mut PeerChange, key: &[u8], value: &str) -> Outcome<()> {
    match key {
        b"remove" => {
            only_true(value)?;
            (peer.presence, peer.edits) = (Presence::Removed, Vec::new());
        }
        b"update_only" => {
            only_true(value)?;
            if peer.presence == Presence::Wanted {
                peer.presence = Presence::UpdateOnly;
            }
        }
        b"protocol_version" if value == "1" => {}
        b"protocol_version" => return Err(invalid("protocol_version is 1")),
        key => {
            let edit = read_edit(key, value)?;
            if peer.presence != Presence::Removed {
                peer.edits.push(edit);
            }
        }
    }
    Ok(())
}

fn read_edit(key: &[u8], value: &str) -> Outcome<Edit> {
    match key {
        b"preshared_key" => {
            let key = PresharedKey::from_hex(value)
                .map_err(|_| invalid("preshared_key is 64 hexadecimal digits"))?;
            Ok(Edit::PresharedKey((!key.is_zero()).then(|| Box::new(key))))
        }
        b"endpoint" => endpoint(value).map(Edit::Endpoint),
        b"persistent_keepalive_interval" => number(value)
            .map(Edit::Keepalive)
            .ok_or(invalid("persistent_keepalive_interval is 0 to 65535 seconds")),
        b"replace_allowed_ips" => only_true(value).map(|()| Edit::ReplaceAllowedIps),
        b"allowed_ip" => {
            let (edit, range): (fn(Prefix) -> Edit, _) = match value.strip_prefix('-') {
                Some(range) => (Edit::Disallow, range),
                None => (Edit::Allow, value),
            };
            allowed_ip::parse(range).map(edit).ok_or(invalid("allowed_ip is ADDRESS/LENGTH"))
        }
        _ => Err(invalid("this key is not one of a peer's")),
    }
}

/// `192.0.2.1:51820`, `[2001:db8::1]:51820`, or `[fe80::1%7]:51820` and `[fe80::1%eth0]:51820` with the interface that
/// leads there: `wg` prints the name, a report the number.
fn endpoint(value: &str) -> Outcome<SocketAddr> {
    let address: SocketAddr = match named_zone(value) {
        None => value.parse().map_err(|_| invalid("endpoint is ADDRESS:PORT or [ADDRESS]:PORT"))?,
        Some((before, name, behind)) => {
            let index = host::interface_index(name)
                .ok_or(invalid("the zone of this endpoint is no interface of this host"))?;
            format!("{before}%{index}{behind}")
                .parse()
                .map_err(|_| invalid("an endpoint with a zone is [ADDRESS%ZONE]:PORT"))?
        }
    };
    Ok(match address {
        SocketAddr::V6(address) if address.ip().to_ipv4_mapped().is_none() => {
            SocketAddrV6::new(*address.ip(), address.port(), 0, address.scope_id()).into()
        }
        address => SocketAddr::new(address.ip().to_canonical(), address.port()),
    })
}

/// What stands before, in and behind a zone that is a name.
fn named_zone(value: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = value.split_once('%')?;
    let end = rest.rfind("]:")?;
    let (zone, behind) = rest.split_at(end);
    (number::<u32>(zone).is_none()).then_some((before, zone, behind))
}

/// Digits and nothing else: `parse` alone would take a sign.
fn number<T: std::str::FromStr>(value: &str) -> Option<T> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

fn only_true(value: &str) -> Outcome<()> {
    if value == "true" { Ok(()) } else { Err(invalid("the only value of this key is true")) }
}

fn invalid(reason: &'static str) -> (Errno, &'static str) {
    (Errno::Invalid, reason)
}

/// The lines of a text; what has no line end is no line.
struct Lines<'a> {
    rest: &'a [u8],
    /// Of the line given last, or of the one that is missing.
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.number += 1;
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line)
    }
}
