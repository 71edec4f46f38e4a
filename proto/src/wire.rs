//! The four messages of WireGuard v1, as they stand in a datagram (WireGuard paper, 5.4).
//!
//! ```text
//! initiation  148  type=1 | sender | Noise message 1 (108) | mac1 (16) | mac2 (16)
//! response     92  type=2 | sender | receiver | Noise message 2 (48) | mac1 (16) | mac2 (16)
//! cookie       64  type=3 | receiver | nonce (24) | encrypted cookie (32)
//! data       >=32  type=4 | receiver | counter (8) | encrypted payload (>=16)
//! ```
//! The type is a little-endian `u32`, so the three reserved bytes are zero; all integers are little endian.

use crate::crypto::{COOKIE_NONCE_LEN, MAC_LEN, TAG_LEN};
use crate::discard::Discard;

/// Bytes of an initiation.
pub const INITIATION_LEN: usize = 148;
/// Bytes of a response.
pub const RESPONSE_LEN: usize = 92;
/// Bytes of a cookie reply.
pub const COOKIE_REPLY_LEN: usize = 64;
/// Bytes before the encrypted payload of a data message.
pub const DATA_HEADER_LEN: usize = 16;
/// What a data message adds to its (padded) payload.
pub const DATA_OVERHEAD: usize = DATA_HEADER_LEN + TAG_LEN;
/// The largest UDP payload there is over IPv4, and the largest we send.
pub const MAX_DATAGRAM: usize = 65_507;

/// Bytes of the first Noise message: ephemeral, sealed static, sealed timestamp.
pub const NOISE_INITIATION_LEN: usize = 108;
/// Bytes of the second Noise message: ephemeral, sealed nothing.
pub const NOISE_RESPONSE_LEN: usize = 48;

const INITIATION: u32 = 1;
const RESPONSE: u32 = 2;
const COOKIE_REPLY: u32 = 3;
const DATA: u32 = 4;

/// A datagram of one of the four shapes. Nothing in it is believed yet.
#[derive(Debug)]
pub enum Message<'d> {
    /// Wants a session.
    Initiation(Initiation<'d>),
    /// Grants one.
    Response(Response<'d>),
    /// Wants proof of our address first.
    CookieReply(CookieReply<'d>),
    /// Carries a payload.
    Data(Data<'d>),
}

/// The two MACs at the end of a handshake message, and what they cover.
#[derive(Clone, Copy, Debug)]
pub struct Macs<'d> {
    /// All before `mac1`.
    pub covered: &'d [u8],
    /// Made with the receiver's public key.
    pub mac1: &'d [u8; MAC_LEN],
    /// Made with the receiver's cookie; zero where there is none.
    pub mac2: &'d [u8; MAC_LEN],
}

/// A view of an initiation.
#[derive(Debug)]
pub struct Initiation<'d> {
    /// The index that the initiator wants to be answered at.
    pub sender: u32,
    /// The first Noise message.
    pub noise: &'d [u8; NOISE_INITIATION_LEN],
    /// Its MACs.
    pub macs: Macs<'d>,
}

/// A view of a response.
#[derive(Debug)]
pub struct Response<'d> {
    /// The index that the responder wants data for.
    pub sender: u32,
    /// The index of the initiation that it answers.
    pub receiver: u32,
    /// The second Noise message.
    pub noise: &'d [u8; NOISE_RESPONSE_LEN],
    /// Its MACs.
    pub macs: Macs<'d>,
}

/// A view of a cookie reply.
#[derive(Debug)]
pub struct CookieReply<'d> {
    /// The sender index of the message that it answers.
    pub receiver: u32,
    /// Nonce of the encryption.
    pub nonce: &'d [u8; COOKIE_NONCE_LEN],
    /// The cookie, encrypted.
    pub sealed: &'d [u8; MAC_LEN + TAG_LEN],
}

/// A view of a data message, opened in place.
#[derive(Debug)]
pub struct Data<'d> {
    /// The index of the session.
    pub receiver: u32,
    /// The packet's number in its session: nonce and replay protection.
    pub counter: u64,
    /// The encrypted payload and its tag.
    pub sealed: &'d mut [u8],
}

/// Sorts a datagram by type and exact length. Total: any bytes give a view or [`Discard::Malformed`].
///
/// # Errors
/// [`Discard::Malformed`] for everything else.
pub fn parse(datagram: &mut [u8]) -> Result<Message<'_>, Discard> {
    let kind = u32_at(datagram, 0).ok_or(Discard::Malformed)?;
    match kind {
        INITIATION => initiation(datagram).map(Message::Initiation),
        RESPONSE => response(datagram).map(Message::Response),
        COOKIE_REPLY => cookie_reply(datagram).map(Message::CookieReply),
        DATA => data(datagram).map(Message::Data),
        _ => None,
    }
    .ok_or(Discard::Malformed)
}

fn initiation(datagram: &[u8]) -> Option<Initiation<'_>> {
    let (message, macs) = macs(datagram, INITIATION_LEN)?;
    Some(Initiation { sender: u32_at(message, 4)?, noise: message[8..].try_into().ok()?, macs })
}

fn response(datagram: &[u8]) -> Option<Response<'_>> {
    let (message, macs) = macs(datagram, RESPONSE_LEN)?;
    Some(Response {
        sender: u32_at(message, 4)?,
        receiver: u32_at(message, 8)?,
        noise: message[12..].try_into().ok()?,
        macs,
    })
}

fn macs(datagram: &[u8], len: usize) -> Option<(&[u8], Macs<'_>)> {
    if datagram.len() != len {
        return None;
    }
    let (rest, mac2) = datagram.split_last_chunk()?;
    let (covered, mac1) = rest.split_last_chunk()?;
    Some((covered, Macs { covered, mac1, mac2 }))
}

fn cookie_reply(datagram: &[u8]) -> Option<CookieReply<'_>> {
    if datagram.len() != COOKIE_REPLY_LEN {
        return None;
    }
    Some(CookieReply {
        receiver: u32_at(datagram, 4)?,
        nonce: datagram[8..32].try_into().ok()?,
        sealed: datagram[32..].try_into().ok()?,
    })
}

fn data(datagram: &mut [u8]) -> Option<Data<'_>> {
    if datagram.len() < DATA_OVERHEAD {
        return None;
    }
    let (header, sealed) = datagram.split_at_mut(DATA_HEADER_LEN);
    let counter = u64::from_le_bytes(*header.last_chunk()?);
    Some(Data { receiver: u32_at(header, 4)?, counter, sealed })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Writes an initiation up to its MACs into `slot` ([`INITIATION_LEN`] bytes).
pub fn write_initiation(slot: &mut [u8], sender: u32, noise: &[u8; NOISE_INITIATION_LEN]) {
    slot[..4].copy_from_slice(&INITIATION.to_le_bytes());
    slot[4..8].copy_from_slice(&sender.to_le_bytes());
    slot[8..116].copy_from_slice(noise);
}

/// Writes a response up to its MACs into `slot` ([`RESPONSE_LEN`] bytes).
pub fn write_response(slot: &mut [u8], sender: u32, receiver: u32, noise: &[u8; NOISE_RESPONSE_LEN]) {
    slot[..4].copy_from_slice(&RESPONSE.to_le_bytes());
    slot[4..8].copy_from_slice(&sender.to_le_bytes());
    slot[8..12].copy_from_slice(&receiver.to_le_bytes());
    slot[12..60].copy_from_slice(noise);
}

/// Writes a cookie reply into `slot` ([`COOKIE_REPLY_LEN`] bytes).
pub fn write_cookie_reply(
    slot: &mut [u8],
    receiver: u32,
    nonce: &[u8; COOKIE_NONCE_LEN],
    sealed: &[u8; MAC_LEN + TAG_LEN],
) {
    slot[..4].copy_from_slice(&COOKIE_REPLY.to_le_bytes());
    slot[4..8].copy_from_slice(&receiver.to_le_bytes());
    slot[8..32].copy_from_slice(nonce);
    slot[32..64].copy_from_slice(sealed);
}

/// Writes the header of a data message into the first [`DATA_HEADER_LEN`] bytes of `slot`.
pub fn write_data_header(slot: &mut [u8], receiver: u32, counter: u64) {
    slot[..4].copy_from_slice(&DATA.to_le_bytes());
    slot[4..8].copy_from_slice(&receiver.to_le_bytes());
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn only_exact_lengths_and_types_parse() {
        for kind in 0..6_u32 {
            for len in 0..200 {
                let mut datagram = vec![0; len];
                if len >= 4 {
                    datagram[..4].copy_from_slice(&kind.to_le_bytes());
                }
                let expected = match kind {
                    1 => len == 148,
                    2 => len == 92,
                    3 => len == 64,
                    4 => len >= 32,
                    _ => false,
                };
                assert_eq!(parse(&mut datagram).is_ok(), expected, "type {kind} length {len}");
            }
        }
    }

    #[test]
    fn reserved_bytes_must_be_zero() {
        for at in 1..4 {
            let mut datagram = [0; 148];
            datagram[0] = 1;
            datagram[at] = 1;
            assert_eq!(parse(&mut datagram).unwrap_err(), Discard::Malformed, "byte {at}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut slot = [0; INITIATION_LEN];
        write_initiation(&mut slot, 0x0403_0201, &[7; 108]);
        assert_eq!(&slot[..9], &[1, 0, 0, 0, 1, 2, 3, 4, 7]);
        slot[116..132].fill(8);
        slot[132..].fill(9);
        let Ok(Message::Initiation(view)) = parse(&mut slot) else { panic!("not an initiation") };
        assert_eq!((view.sender, view.noise), (0x0403_0201, &[7; 108]));
        assert_eq!((view.macs.covered.len(), view.macs.mac1, view.macs.mac2), (116, &[8; 16], &[9; 16]));

        let mut slot = [0; RESPONSE_LEN];
        write_response(&mut slot, 1, 2, &[7; 48]);
        let Ok(Message::Response(view)) = parse(&mut slot) else { panic!("not a response") };
        assert_eq!((view.sender, view.receiver, view.noise, view.macs.covered.len()), (1, 2, &[7; 48], 60));

        let mut slot = [0; COOKIE_REPLY_LEN];
        write_cookie_reply(&mut slot, 3, &[1; 24], &[2; 32]);
        let Ok(Message::CookieReply(view)) = parse(&mut slot) else { panic!("not a cookie reply") };
        assert_eq!((view.receiver, view.nonce, view.sealed), (3, &[1; 24], &[2; 32]));

        let mut slot = [5; 40];
        write_data_header(&mut slot, 4, 1 << 40);
        let Ok(Message::Data(view)) = parse(&mut slot) else { panic!("not data") };
        assert_eq!((view.receiver, view.counter, view.sealed), (4, 1 << 40, &mut [5; 24][..]));
    }
}
