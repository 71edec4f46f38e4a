//! Who an application says it is.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::encode_command;
use super::{Fault, MAX_HANDSHAKE_COMMAND, SocketType, Version};

/// Bytes of an encoded `Hello` without identity and properties: version, type, and their lengths.
const FIXED: usize = 1 + 1 + 1 + 4;
/// The longest identity.
const MAX_IDENTITY: usize = 255;

/// An application's greeting and READY (or, for 2.0, its type and identity). Claims, all of it: to restrict, never to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the application speaks.
    pub version: Version,
    /// Its socket type.
    pub socket_type: SocketType,
    /// Its identity, at most 255 bytes; empty where it has none.
    pub identity: Bytes,
    /// READY's name and value list exactly as sent, Socket-Type and Identity among it; empty where there was no READY
    /// (2.0). What agrees with the other fields wherever it came out of a handshake or of [`Hello::decode`].
    pub properties: Bytes,
}

impl Hello {
    /// Someone who never sent a READY: its properties are made of these fields when they are needed.
    ///
    /// # Errors
    /// [`Fault::Identity`] for an identity above 255 bytes.
    pub fn new(version: Version, socket_type: SocketType, identity: Bytes) -> Result<Hello, Fault> {
        if identity.len() > MAX_IDENTITY {
            return Err(Fault::Identity);
        }
        Ok(Hello { version, socket_type, identity, properties: Bytes::new() })
    }

    /// Writes our own compact form, for the opening of a stream between nodes: version, type and identity's length
    /// (a byte each), identity, properties' length (u32 big endian), properties.
    pub fn encode(&self, out: &mut BytesMut) {
        let identity = self.short_identity();
        out.reserve(FIXED + identity.len() + self.properties.len());
        out.put_u8(match self.version {
            Version::V2_0 => 20,
            Version::V3_0 => 30,
            Version::V3_1 => 31,
        });
        out.put_u8(self.socket_type.code());
        out.put_u8(identity.len() as u8);
        out.extend_from_slice(identity);
        out.put_u32(
            u32::try_from(self.properties.len()).expect("properties came in a command of at most 64 KiB"),
        );
        out.extend_from_slice(&self.properties);
    }

    /// Reads exactly what [`Hello::encode`] wrote; nothing may follow.
    ///
    /// # Errors
    /// [`Fault::Hello`] for anything that no `encode` writes, fields that disagree with the properties included.
    pub fn decode(bytes: &[u8]) -> Result<Hello, Fault> {
        Self::decode_parts(bytes).ok_or(Fault::Hello)
    }

    fn decode_parts(bytes: &[u8]) -> Option<Hello> {
        let (&[version, code, length], rest) = bytes.split_first_chunk::<3>()?;
        let version = match version {
            20 => Version::V2_0,
            30 => Version::V3_0,
            31 => Version::V3_1,
            _ => return None,
        };
        let socket_type = SocketType::from_code(code)?;
        let (identity, rest) = rest.split_at_checked(usize::from(length))?;
        let (length, properties) = rest.split_first_chunk::<4>()?;
        if u32::from_be_bytes(*length) as usize != properties.len()
            || properties.len() > MAX_HANDSHAKE_COMMAND
        {
            return None;
        }
        if !properties.is_empty() {
            let ready = Ready::parse(properties).ok()?;
            let agrees = ready.socket_type == socket_type && ready.identity == identity;
            if !agrees || !version.has_commands() {
                return None;
            }
        }
        let (identity, properties) = (Bytes::copy_from_slice(identity), Bytes::copy_from_slice(properties));
        Some(Hello { version, socket_type, identity, properties })
    }

    /// From the properties of a READY that arrived on a connection of this version.
    pub(super) fn from_ready(version: Version, properties: Bytes) -> Result<Hello, Fault> {
        let ready = Ready::parse(&properties)?;
        let (socket_type, identity) = (ready.socket_type, properties.slice_ref(ready.identity));
        Ok(Hello { version, socket_type, identity, properties })
    }

    /// Writes the READY command: the properties as they were sent, or made of type and identity.
    pub(super) fn encode_ready(&self, out: &mut BytesMut) {
        if !self.properties.is_empty() {
            return encode_command(b"READY", &[&self.properties], out);
        }
        let mut made = BytesMut::new();
        encode_property(b"Socket-Type", self.socket_type.name().as_bytes(), &mut made);
        if self.socket_type.has_identity() {
            encode_property(b"Identity", self.short_identity(), &mut made);
        }
        encode_command(b"READY", &[&made], out);
    }

    /// The identity, cut to what a 2.0 frame's short size and our own form can say.
    pub(super) fn short_identity(&self) -> &[u8] {
        &self.identity[..self.identity.len().min(MAX_IDENTITY)]
    }
}

/// What READY's properties say about the two names that we understand.
pub(super) struct Ready<'a> {
    pub(super) socket_type: SocketType,
    identity: &'a [u8],
}

impl<'a> Ready<'a> {
    /// Names are case-insensitive; the two known ones may stand once only, lest two readers believe two things.
    pub(super) fn parse(mut rest: &'a [u8]) -> Result<Ready<'a>, Fault> {
        let (mut socket_type, mut identity) = (None, None);
        while !rest.is_empty() {
            let (name, value, after) = split_property(rest).ok_or(Fault::Ready)?;
            rest = after;
            let before = if name.eq_ignore_ascii_case(b"Socket-Type") {
                socket_type.replace(value)
            } else if name.eq_ignore_ascii_case(b"Identity") {
                identity.replace(value)
            } else {
                None
            };
            if before.is_some() {
                return Err(Fault::Ready);
            }
        }
        let socket_type = socket_type.and_then(SocketType::from_name).ok_or(Fault::SocketType)?;
        let identity = identity.unwrap_or_default();
        if identity.len() > MAX_IDENTITY {
            return Err(Fault::Identity);
        }
        Ok(Ready { socket_type, identity })
    }
}

/// The first property: its name (of the RFC's name-chars), its value, and what follows.
fn split_property(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = super::command::split_name(bytes)?;
    if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte)) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((name, value, rest))
}

fn encode_property(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.put_u8(u8::try_from(name.len()).expect("property names are ours and short"));
    out.extend_from_slice(name);
    out.put_u32(u32::try_from(value.len()).expect("values are at most 255 bytes"));
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn list(properties: &[(&str, &[u8])]) -> Bytes {
        let mut out = BytesMut::new();
        for (name, value) in properties {
            encode_property(name.as_bytes(), value, &mut out);
        }
        out.freeze()
    }

    fn read(properties: Bytes) -> Result<(SocketType, Vec<u8>), Fault> {
        Hello::from_ready(Version::V3_1, properties).map(|hello| (hello.socket_type, hello.identity.to_vec()))
    }

    #[test]
    fn ready_is_read_by_the_rfc() {
        let long = [7; 256];
        for (properties, expected) in [
            (list(&[("Socket-Type", b"PUB")]), Ok((SocketType::Pub, b"".to_vec()))),
            (
                list(&[("SOCKET-type", b"DEALER"), ("identity", b"me")]),
                Ok((SocketType::Dealer, b"me".to_vec())),
            ),
            (
                list(&[("X-Any.thing", b"\0\xff"), ("Socket-Type", b"PAIR")]),
                Ok((SocketType::Pair, b"".to_vec())),
            ),
            (
                list(&[("Socket-Type", b"REQ"), ("Identity", &long[..255])]),
                Ok((SocketType::Req, long[..255].to_vec())),
            ),
            (list(&[("Socket-Type", b"REQ"), ("Identity", &long)]), Err(Fault::Identity)),
            (list(&[("Socket-Type", b"pub")]), Err(Fault::SocketType)),
            (list(&[("Socket-Type", b"CLIENT")]), Err(Fault::SocketType)),
            (list(&[("Identity", b"me")]), Err(Fault::SocketType)),
            (list(&[]), Err(Fault::SocketType)),
            (list(&[("Socket-Type", b"PUB"), ("socket-type", b"SUB")]), Err(Fault::Ready)),
            (list(&[("Socket-Type", b"REQ"), ("Identity", b"a"), ("IDENTITY", b"b")]), Err(Fault::Ready)),
            (list(&[("Socket Type", b"PUB")]), Err(Fault::Ready)),
            (list(&[("", b"PUB")]), Err(Fault::Ready)),
            (Bytes::from_static(b"\x0bSocket-Type\0\0\0\x04PUB"), Err(Fault::Ready)),
            (Bytes::from_static(b"\x0bSocket-Type\xff\xff\xff\xffPUB"), Err(Fault::Ready)),
            (Bytes::from_static(b"\x0bSocket-Type\0\0"), Err(Fault::Ready)),
            (Bytes::from_static(b"\xffSocket-Type"), Err(Fault::Ready)),
        ] {
            assert_eq!(read(properties.clone()), expected, "{properties:?}");
        }
    }

    fn samples() -> [Hello; 4] {
        let properties = list(&[("X-a", b"1"), ("Socket-Type", b"ROUTER"), ("Identity", b"hub")]);
        [
            Hello::new(Version::V2_0, SocketType::Dealer, Bytes::from_static(b"old")).unwrap(),
            Hello::new(Version::V3_1, SocketType::Xsub, Bytes::new()).unwrap(),
            Hello::from_ready(Version::V3_0, properties.clone()).unwrap(),
            Hello::from_ready(Version::V3_1, properties).unwrap(),
        ]
    }

    #[test]
    fn a_hello_crosses_between_nodes_unchanged() {
        for hello in samples() {
            let mut bytes = BytesMut::new();
            hello.encode(&mut bytes);
            assert_eq!(Hello::decode(&bytes), Ok(hello));
            for cut in 0..bytes.len() {
                assert_eq!(Hello::decode(&bytes[..cut]), Err(Fault::Hello), "cut at {cut}");
            }
            bytes.put_u8(0);
            assert_eq!(Hello::decode(&bytes), Err(Fault::Hello), "a byte too many");
        }
    }

    #[test]
    fn a_hello_whose_fields_disagree_with_its_properties_is_refused() {
        let [_, _, _, honest] = samples();
        let old = Hello { version: Version::V2_0, ..honest.clone() };
        let other_type = Hello { socket_type: SocketType::Dealer, ..honest.clone() };
        let other_identity = Hello { identity: Bytes::from_static(b"spoke"), ..honest };
        for liar in [old, other_type, other_identity] {
            let mut bytes = BytesMut::new();
            liar.encode(&mut bytes);
            assert_eq!(Hello::decode(&bytes), Err(Fault::Hello), "{liar:?}");
        }
    }

    #[test]
    fn a_ready_is_repeated_as_it_was_sent_and_made_where_there_was_none() {
        let [old, xsub, _, router] = samples();
        for (hello, expected) in [
            (old, &b"\x04\x2c\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x03old"[..]),
            (xsub, b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04XSUB"),
            (router, b"\x04\x35\x05READY\x03X-a\0\0\0\x011\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\x03hub"),
        ] {
            let mut out = BytesMut::new();
            hello.encode_ready(&mut out);
            assert_eq!(out.escape_ascii().collect::<Vec<_>>(), expected.escape_ascii().collect::<Vec<_>>());
        }
    }
}
