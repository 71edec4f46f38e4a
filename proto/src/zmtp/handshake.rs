//! One side of a handshake with an application on this host, mechanism NULL.
//!
//! Each peer waits at its own places (libzmq sends 10 bytes, waits for 10, then 1, then 53), so each of our pieces goes
//! out at the first moment at which it is decided: the signature at once, the version byte after the peer's signature,
//! the rest after the peer's version byte. Nothing we send says a socket type before [`Handshake::answer`], with one
//! exception: a 2.0 peer sends its identity only after our type byte, and gets the natural counterpart of its own type.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::command::split_name;
use super::frame::{Header, encode_header};
use super::{Fault, Hello, MAX_HANDSHAKE_COMMAND, Mechanism, SocketType, Version};

/// `FF`, eight bytes of padding, `7F`.
pub(super) const SIGNATURE: usize = 10;
/// A 3.x greeting after its version byte: minor, mechanism, as-server, filler.
pub(super) const REST: usize = 1 + 20 + 1 + 31;
/// The revision that we announce: 3.x.
pub(super) const REVISION: u8 = 3;
/// The minor version that we announce.
const MINOR: u8 = 1;

/// What the handshake waits for, in the order of a handshake. Each is a step with a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// The peer's first ten bytes.
    Signature,
    /// Its version byte.
    Revision,
    /// The rest of its greeting: version and mechanism, or a 2.0 peer's socket type.
    Greeting,
    /// Its READY, or a 2.0 peer's identity.
    Ready,
    /// [`Handshake::answer`]: the peer is known and waits for us.
    Answer,
    /// Nothing: what follows is traffic.
    Done,
    /// Nothing: the peer is at fault.
    Failed,
}

/// Which end of the connection we are.
enum Role {
    /// The application connected; it is answered when the far side is known.
    Accepting,
    /// We connected, and speak as this one.
    Dialing(Hello),
}

/// Where we are; a piece of the greeting carries what later pieces need.
#[derive(Clone, Copy)]
enum Step {
    Signature,
    Revision,
    Greeting,
    SocketType,
    Ready(Version),
    Identity(SocketType),
    Answer(Version),
    Done,
    Failed(Fault),
}

/// A handshake in progress. It keeps none of the peer's bytes: what is incomplete stays in the caller's buffer.
pub struct Handshake {
    role: Role,
    step: Step,
    version: Option<Version>,
    mechanism: Option<Mechanism>,
}

impl Handshake {
    /// The application connected to us; our type is open until the far side is known.
    #[must_use]
    pub fn accepting() -> Self {
        Self { role: Role::Accepting, step: Step::Signature, version: None, mechanism: None }
    }

    /// We connected to the application, and speak as `our`.
    #[must_use]
    pub fn dialing(our: Hello) -> Self {
        Self { role: Role::Dialing(our), step: Step::Signature, version: None, mechanism: None }
    }

    /// Writes the first ten bytes; to be called once, as soon as the connection stands.
    pub fn greet(&mut self, out: &mut BytesMut) {
        // As libzmq: a 1.0 peer would read this as the length of an identity frame.
        let identity = match &self.role {
            Role::Accepting => 0,
            Role::Dialing(our) => our.short_identity().len(),
        };
        out.put_u8(0xFF);
        out.put_u64(identity as u64 + 1);
        out.put_u8(0x7F);
    }

    /// Consumes what it can of `input` and writes what that makes due. `Some` once, when the peer is known; what
    /// follows in `input` is traffic. An incomplete piece stays in `input`: at most 64 KiB and nine bytes.
    ///
    /// # Errors
    /// The peer's fault; the connection is to be closed. Every later call returns it again.
    pub fn handle(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Option<Hello>, Fault> {
        loop {
            match self.advance(input, out) {
                Ok(Advance::Step) => {}
                Ok(Advance::Starved) => return Ok(None),
                Ok(Advance::Known(hello)) => return Ok(Some(hello)),
                Err(fault) => {
                    self.step = Step::Failed(fault);
                    return Err(fault);
                }
            }
        }
    }

    /// The accepting side's answer once the far side is known: READY with `our` properties, or for a 2.0 peer the
    /// identity frame. Whether `our` type matches the peer's is the caller's to judge before. No effect at any other time.
    pub fn answer(&mut self, our: &Hello, out: &mut BytesMut) {
        let Step::Answer(version) = self.step else {
            return;
        };
        if version.has_commands() {
            our.encode_ready(out);
        } else {
            encode_identity(our, out);
        }
        self.step = Step::Done;
    }

    /// What it waits for.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self.step {
            Step::Signature => Progress::Signature,
            Step::Revision => Progress::Revision,
            Step::Greeting | Step::SocketType => Progress::Greeting,
            Step::Ready(_) | Step::Identity(_) => Progress::Ready,
            Step::Answer(_) => Progress::Answer,
            Step::Done => Progress::Done,
            Step::Failed(_) => Progress::Failed,
        }
    }

    /// What the peer speaks, as soon as its greeting said so.
    #[must_use]
    pub fn peer_version(&self) -> Option<Version> {
        self.version
    }

    /// The mechanism that the peer's greeting named, also where that ended the handshake; 2.0 has none.
    #[must_use]
    pub fn peer_mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    fn advance(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Advance, Fault> {
        match self.step {
            Step::Signature => self.signature(input, out),
            Step::Revision => self.revision(input, out),
            Step::Greeting => self.greeting(input, out),
            Step::SocketType => self.socket_type(input, out),
            Step::Ready(version) => self.ready(version, input),
            Step::Identity(socket_type) => self.identity(socket_type, input),
            Step::Answer(_) | Step::Done => Ok(Advance::Starved),
            Step::Failed(fault) => Err(fault),
        }
    }

    fn signature(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Advance, Fault> {
        if input.first().is_some_and(|&first| first != 0xFF) {
            return Err(Fault::NotZmtp);
        }
        let Some(signature) = input.first_chunk::<SIGNATURE>() else {
            return Ok(Advance::Starved);
        };
        // Bit 0 clear: the flags of a 1.0 peer's long identity frame.
        if signature[SIGNATURE - 1] & 1 == 0 {
            return Err(Fault::NotZmtp);
        }
        input.advance(SIGNATURE);
        out.put_u8(REVISION);
        self.step = Step::Revision;
        Ok(Advance::Step)
    }

    fn revision(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Advance, Fault> {
        let Some(&revision) = input.first() else {
            return Ok(Advance::Starved);
        };
        if revision == 0 {
            return Err(Fault::Revision);
        }
        input.advance(1);
        if revision >= REVISION {
            out.put_u8(MINOR);
            out.extend_from_slice(b"NULL");
            out.put_bytes(0, REST - 1 - b"NULL".len());
            self.step = Step::Greeting;
            return Ok(Advance::Step);
        }
        self.version = Some(Version::V2_0);
        if let Role::Dialing(our) = &self.role {
            out.put_u8(our.socket_type.code());
            encode_identity(our, out);
        }
        self.step = Step::SocketType;
        Ok(Advance::Step)
    }

    fn greeting(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Advance, Fault> {
        let Some(&[minor, ref rest @ ..]) = input.first_chunk::<REST>() else {
            return Ok(Advance::Starved);
        };
        let version = if minor == 0 { Version::V3_0 } else { Version::V3_1 };
        let mechanism = Mechanism::from_greeting(&rest[..20]);
        self.version = Some(version);
        self.mechanism = Some(mechanism);
        if mechanism != Mechanism::Null {
            return Err(Fault::Mechanism);
        }
        input.advance(REST);
        if let Role::Dialing(our) = &self.role {
            our.encode_ready(out);
        }
        self.step = Step::Ready(version);
        Ok(Advance::Step)
    }

    fn socket_type(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Advance, Fault> {
        let Some(&code) = input.first() else {
            return Ok(Advance::Starved);
        };
        let socket_type = SocketType::from_code(code).ok_or(Fault::SocketType)?;
        input.advance(1);
        if let Role::Accepting = self.role {
            out.put_u8(socket_type.counterparts()[0].code());
        }
        self.step = Step::Identity(socket_type);
        Ok(Advance::Step)
    }

    fn identity(&mut self, socket_type: SocketType, input: &mut BytesMut) -> Result<Advance, Fault> {
        match input.first() {
            None => return Ok(Advance::Starved),
            Some(0) => {}
            Some(_) => return Err(Fault::Identity),
        }
        let Some(&length) = input.get(1) else {
            return Ok(Advance::Starved);
        };
        let length = usize::from(length);
        if input.len() < 2 + length {
            return Ok(Advance::Starved);
        }
        input.advance(2);
        let identity = Bytes::copy_from_slice(&input.split_to(length));
        self.known(Hello::new(Version::V2_0, socket_type, identity)?)
    }

    fn ready(&mut self, version: Version, input: &mut BytesMut) -> Result<Advance, Fault> {
        let Some(header) = Header::parse(input, version)? else {
            return Ok(Advance::Starved);
        };
        if !header.is_command() {
            return Err(Fault::HandshakeFrame);
        }
        if header.size > MAX_HANDSHAKE_COMMAND as u64 {
            return Err(Fault::HandshakeTooLarge);
        }
        let end = header.len + header.size as usize;
        if input.len() < end {
            return Ok(Advance::Starved);
        }
        let command = input.split_to(end);
        let (name, properties) = split_name(&command[header.len..]).ok_or(Fault::HandshakeFrame)?;
        match name {
            // A copy of its own: a slice would keep the caller's whole read buffer for as long as the connection.
            b"READY" => self.known(Hello::from_ready(version, Bytes::copy_from_slice(properties))?),
            b"ERROR" => Err(Fault::PeerError),
            _ => Err(Fault::HandshakeFrame),
        }
    }

    fn known(&mut self, peer: Hello) -> Result<Advance, Fault> {
        self.step = match &self.role {
            Role::Accepting => Step::Answer(peer.version),
            Role::Dialing(our) if our.socket_type.matches(peer.socket_type) => Step::Done,
            Role::Dialing(_) => return Err(Fault::Incompatible),
        };
        Ok(Advance::Known(peer))
    }
}

/// What one piece did.
enum Advance {
    /// Consumed; look at the next one.
    Step,
    /// Incomplete.
    Starved,
    /// It was the last one.
    Known(Hello),
}

/// A 2.0 peer's identity: the first frame, short and final.
fn encode_identity(our: &Hello, out: &mut BytesMut) {
    let identity = our.short_identity();
    encode_header(0, identity.len(), out);
    out.extend_from_slice(identity);
}

#[cfg(test)]
mod tests;
