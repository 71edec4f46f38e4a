//! QUIC without cryptography of its own, for use inside the tunnel only.
//!
//! The tunnel has authenticated, decrypted and replay-checked every datagram before it comes here, and the
//! only way in is a [`LinkDatagram`](lockgate_proto::device::LinkDatagram), which nothing but the tunnel can
//! make: so a second encryption would protect nothing. The two ends exchange transport parameters (RFC 9000,
//! 7.4) in CRYPTO frames, each message a 16-bit length and a body, then one byte that says "finished".
//!
//! Nothing in this file keeps a secret. Never use it over anything but the tunnel.

use std::any::Any;
use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use quinn_proto::crypto::{
    AeadKey, ClientConfig, CryptoError, ExportKeyingMaterialError, HandshakeTokenKey, HeaderKey, HmacKey,
    KeyPair, Keys, PacketKey, ServerConfig, Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{
    ConnectError, ConnectionId, ConnectionIdGenerator, Side, TimeSource, TransportError, TransportErrorCode,
};

/// Both ends' configuration.
#[derive(Debug)]
pub(super) struct Plain;

/// More transport parameters than any QUIC implementation sends.
const MAX_PARAMETERS: usize = 4096;
const FINISHED: u8 = 1;

/// Where the exchange stands; both ends pass through all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Our parameters are still to be written (Initial).
    Parameters,
    /// Waiting for the peer's parameters.
    Waiting,
    /// Both are known; Handshake keys are due.
    Known,
    /// In the Handshake space; our "finished" is still to be written.
    Finishing,
    /// Data keys are out.
    Written,
}

struct Exchange {
    side: Side,
    ours: Vec<u8>,
    step: Step,
    received: Vec<u8>,
    theirs: Option<TransportParameters>,
    peer_finished: bool,
    /// Of the next data keys.
    generation: u8,
}

impl Exchange {
    fn new(side: Side, parameters: &TransportParameters) -> Self {
        let mut body = Vec::new();
        parameters.write(&mut body);
        let mut ours = Vec::with_capacity(2 + body.len());
        ours.extend_from_slice(&u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
        ours.extend_from_slice(&body);
        let step = if side.is_client() { Step::Parameters } else { Step::Waiting };
        Self { side, ours, step, received: Vec::new(), theirs: None, peer_finished: false, generation: 0 }
    }

    fn take_parameters(&mut self) -> Result<bool, TransportError> {
        let Some((length, rest)) = self.received.split_first_chunk::<2>() else { return Ok(false) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MAX_PARAMETERS {
            return Err(violation("oversized transport parameters"));
        }
        let Some(body) = rest.get(..length) else { return Ok(false) };
        let theirs = TransportParameters::read(self.side, &mut Cursor::new(body))?;
        self.theirs = Some(theirs);
        self.received.drain(..2 + length);
        self.step = if self.side.is_client() { Step::Known } else { Step::Parameters };
        Ok(true)
    }
}

impl Exchange {
    fn data_keys(&mut self) -> KeyPair<Box<dyn PacketKey>> {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        KeyPair { local: Box::new(Key { generation }), remote: Box::new(Key { generation }) }
    }
}

impl Session for Exchange {
    fn initial_keys(&self, _: &ConnectionId, _: Side) -> Keys {
        no_keys()
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        !self.peer_finished
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if self.received.len() + bytes.len() > MAX_PARAMETERS + 3 {
            return Err(violation("oversized handshake"));
        }
        self.received.extend_from_slice(bytes);
        let news = self.theirs.is_none() && self.take_parameters()?;
        if self.theirs.is_some() && !self.received.is_empty() {
            if self.received != [FINISHED] {
                return Err(violation("unexpected handshake message"));
            }
            self.received.clear();
            self.peer_finished = true;
        }
        Ok(news)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        Ok(self.theirs)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        match self.step {
            Step::Parameters => {
                out.extend_from_slice(&self.ours);
                if self.side.is_client() {
                    self.step = Step::Waiting;
                    return None;
                }
                self.step = Step::Finishing;
                Some(no_keys())
            }
            Step::Known => {
                self.step = Step::Finishing;
                Some(no_keys())
            }
            // The client answers the server's "finished", so that both are certain of both.
            Step::Finishing if self.side.is_server() || self.peer_finished => {
                out.push(FINISHED);
                self.step = Step::Written;
                Some(Keys { packet: self.data_keys(), ..no_keys() })
            }
            Step::Waiting | Step::Finishing | Step::Written => None,
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        Some(self.data_keys())
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

impl ClientConfig for Plain {
    fn start_session(
        self: Arc<Self>,
        _: u32,
        _: &str,
        parameters: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        Ok(Box::new(Exchange::new(Side::Client, parameters)))
    }
}

impl ServerConfig for Plain {
    fn initial_keys(&self, _: u32, _: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        Ok(no_keys())
    }

    fn retry_tag(&self, _: u32, _: &ConnectionId, _: &[u8]) -> [u8; 16] {
        [0; 16]
    }

    fn start_session(self: Arc<Self>, _: u32, parameters: &TransportParameters) -> Box<dyn Session> {
        Box::new(Exchange::new(Side::Server, parameters))
    }
}

fn violation(reason: &str) -> TransportError {
    TransportError { code: TransportErrorCode::PROTOCOL_VIOLATION, frame: None, reason: reason.into() }
}

fn no_keys() -> Keys {
    Keys {
        header: KeyPair { local: Box::new(Plain), remote: Box::new(Plain) },
        packet: KeyPair { local: Box::new(Key { generation: 0 }), remote: Box::new(Key { generation: 0 }) },
    }
}

impl HeaderKey for Plain {
    fn decrypt(&self, _: usize, _: &mut [u8]) {}

    fn encrypt(&self, _: usize, _: &mut [u8]) {}

    fn sample_size(&self) -> usize {
        0
    }
}

/// A key that seals nothing. Its tag says what a real one would prove implicitly (RFC 9001, 5.3 and 6): the packet's
/// whole number, of which the header has only the end, and the generation of keys, of which it has one bit. Without
/// them a packet that comes very late passes for a new one, which ends the connection.
struct Key {
    generation: u8,
}

/// Bytes of a tag: generation, then the lower half of the number.
pub(super) const TAG: usize = 5;

impl Key {
    fn tag(&self, number: u64) -> [u8; TAG] {
        let [.., a, b, c, d] = number.to_be_bytes();
        [self.generation, a, b, c, d]
    }
}

impl PacketKey for Key {
    fn encrypt(&self, number: u64, packet: &mut [u8], _: usize) {
        if let Some(tag) = packet.last_chunk_mut() {
            *tag = self.tag(number);
        }
    }

    fn decrypt(&self, number: u64, _: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        if payload.last_chunk() != Some(&self.tag(number)) {
            return Err(CryptoError);
        }
        payload.truncate(payload.len() - TAG);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        TAG
    }

    fn confidentiality_limit(&self) -> u64 {
        u64::MAX
    }

    fn integrity_limit(&self) -> u64 {
        u64::MAX
    }
}

/// Stateless reset tokens (RFC 9000, 10.3): a restarted node must be able to end a connection that it has
/// forgotten, so the token is the connection ID itself, repeated. Only the two ends ever see either.
impl HmacKey for Plain {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        for (byte, source) in signature.iter_mut().zip(data.iter().cycle()) {
            *byte = *source;
        }
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), CryptoError> {
        Err(CryptoError)
    }
}

/// There is no Retry and there are no address tokens: the tunnel knows who is calling.
impl HandshakeTokenKey for Plain {
    fn aead_from_hkdf(&self, _: &[u8]) -> Box<dyn AeadKey> {
        Box::new(Self)
    }
}

impl AeadKey for Plain {
    fn seal(&self, _: &mut Vec<u8>, _: &[u8]) -> Result<(), CryptoError> {
        Err(CryptoError)
    }

    fn open<'a>(&self, _: &'a mut [u8], _: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        Err(CryptoError)
    }
}

/// Tokens would ask for the time; there are none.
impl TimeSource for Plain {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// Connection IDs from a seed, so that a simulated world replays (SplitMix64).
#[derive(Debug)]
pub(super) struct Cids(pub(super) u64);

/// Bytes of a connection ID.
pub(super) const CID_LENGTH: usize = 8;

impl ConnectionIdGenerator for Cids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ConnectionId::new(&(mixed ^ (mixed >> 31)).to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        CID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_only_the_number_and_the_generation_that_were_sealed() {
        let mut packet = b"header payload.....".to_vec();
        Key { generation: 1 }.encrypt(0x1_0000_0102, &mut packet, 7);
        assert_eq!(packet, b"header payload\x01\0\0\x01\x02");
        for (generation, number, opens) in
            [(1, 0x1_0000_0102, true), (1, 0x1_0000_0202, false), (0, 0x1_0000_0102, false)]
        {
            let mut payload = BytesMut::from(&packet[7..]);
            let opened = Key { generation }.decrypt(number, &packet[..7], &mut payload);
            assert_eq!(opened.is_ok(), opens, "generation {generation}, number {number:#x}");
            assert!(!opens || payload == b"payload"[..]);
        }
        assert!(Key { generation: 1 }.decrypt(0, &[], &mut BytesMut::from(&b"tiny"[..])).is_err());
    }
}
