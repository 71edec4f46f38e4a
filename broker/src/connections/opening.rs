//! How a stream begins: the using node says for which service and for whom, the offering node answers.
//!
//! Request: `version u8 = 1, length u16, name_length u8, name, Hello`. Answer: `code u8, length u16, Hello`
//! (`length` is zero for a refusal). Integers are big-endian; [`Hello`] has its own compact form. ZMTP frames
//! in the form of ZMTP 3.1 follow in both directions.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use lockgate_proto::zmtp::Hello;

/// The only version of this exchange.
const VERSION: u8 = 1;
const HEADER: usize = 3;

/// What the using node asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) service: String,
    pub(crate) hello: Hello,
}

/// What the offering node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This is the application that has the service; its traffic follows.
    Open(Hello),
    Refused(Refusal),
}

/// Why the offering node does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its policy says no.
    Denied = 1,
    /// It does not offer the service.
    NoService = 2,
    /// The application is not there, for now.
    Unreachable = 3,
    /// The application there and the one here cannot talk to each other.
    Mismatch = 4,
}

/// The bytes are not what a node sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

impl Request {
    pub(crate) fn encode(&self) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u8(u8::try_from(self.service.len()).unwrap_or(u8::MAX));
        body.put_slice(self.service.as_bytes());
        self.hello.encode(&mut body);
        framed(VERSION, &body)
    }

    /// Takes a whole request off the front of `input`; `None` while it is incomplete.
    pub(crate) fn decode(input: &mut BytesMut) -> Result<Option<Self>, Nonsense> {
        let Some((version, mut body)) = unframe(input)? else { return Ok(None) };
        if version != VERSION || body.is_empty() {
            return Err(Nonsense);
        }
        let length = usize::from(body.get_u8());
        if body.len() < length {
            return Err(Nonsense);
        }
        let service = String::from_utf8(body.split_to(length).to_vec()).map_err(|_| Nonsense)?;
        let hello = Hello::decode(&body).map_err(|_| Nonsense)?;
        Ok(Some(Self { service, hello }))
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Open(hello) => {
                let mut body = BytesMut::new();
                hello.encode(&mut body);
                framed(0, &body)
            }
            Self::Refused(refusal) => framed(*refusal as u8, &[]),
        }
    }

    /// Takes a whole answer off the front of `input`; `None` while it is incomplete.
    pub(crate) fn decode(input: &mut BytesMut) -> Result<Option<Self>, Nonsense> {
        let Some((code, body)) = unframe(input)? else { return Ok(None) };
        let refusal = match code {
            0 => return Ok(Some(Self::Open(Hello::decode(&body).map_err(|_| Nonsense)?))),
            1 => Refusal::Denied,
            2 => Refusal::NoService,
            3 => Refusal::Unreachable,
            4 => Refusal::Mismatch,
            _ => return Err(Nonsense),
        };
        Ok(Some(Self::Refused(refusal)))
    }
}

fn framed(first: u8, body: &[u8]) -> Bytes {
    let mut whole = BytesMut::with_capacity(HEADER + body.len());
    whole.put_u8(first);
    whole.put_u16(u16::try_from(body.len()).unwrap_or(u16::MAX));
    whole.put_slice(body);
    whole.freeze()
}

fn unframe(input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, Nonsense> {
    let Some(&[first, high, low]) = input.first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if input.len() < HEADER + length {
        return Ok(None);
    }
    input.advance(HEADER);
    Ok(Some((first, input.split_to(length).freeze())))
}
