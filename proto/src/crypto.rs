//! The one crypto file: the AEAD of packets, BLAKE2s, and the AEAD of cookies. Only X25519 lives elsewhere ([`crate::keys`]).
//!
//! Packets go through aws-lc (constant time, wipes its keys); RustCrypto's ChaCha20-Poly1305 is the oracle in the tests
//! and does the cookies (XChaCha20-Poly1305).

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use blake2::digest::Mac;
use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest};
use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::discard::Discard;

/// Bytes that an AEAD adds.
pub const TAG_LEN: usize = 16;

/// Bytes of a MAC on a handshake message, and of a cookie.
pub const MAC_LEN: usize = 16;

/// Bytes of a BLAKE2s hash.
pub const HASH_LEN: usize = 32;

/// Bytes of the nonce of a cookie reply.
pub const COOKIE_NONCE_LEN: usize = 24;

/// One direction's key: ChaCha20-Poly1305 whose nonce is four zero bytes and a little-endian counter (RFC 8439, Noise 12.3).
pub struct AeadKey(LessSafeKey);

impl AeadKey {
    /// The key with these bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("a ChaCha20-Poly1305 key is any 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `buffer` in place: its last [`TAG_LEN`] bytes receive the tag, all before is the plaintext.
    ///
    /// # Panics
    /// Where `buffer` has no room for the tag: its length is ours, never a peer's.
    pub fn seal(&self, counter: u64, associated: &[u8], buffer: &mut [u8]) {
        let (plaintext, room) =
            buffer.split_last_chunk_mut::<TAG_LEN>().expect("the caller leaves room for the tag");
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(counter), Aad::from(associated), plaintext)
            .expect("a datagram is below the AEAD's limit of 256 GiB");
        room.copy_from_slice(tag.as_ref());
    }

    /// Decrypts `buffer` (ciphertext, then the tag) in place and returns the plaintext.
    ///
    /// # Errors
    /// [`Discard::NotAuthentic`]; what `buffer` then holds is unspecified and must not be used.
    pub fn open<'b>(
        &self,
        counter: u64,
        associated: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], Discard> {
        self.0.open_in_place(nonce(counter), Aad::from(associated), buffer).map_err(|_| Discard::NotAuthentic)
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// BLAKE2s-256 of the parts, one after another (RFC 7693).
pub fn hash(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// A BLAKE2s-256 in progress.
pub struct Hasher(Blake2s256);

impl Hasher {
    /// A hash of nothing yet.
    pub fn new() -> Self {
        Self(Blake2s256::new())
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        Digest::update(&mut self.0, bytes);
    }

    /// The hash of all that was added; the next update begins a new one.
    pub fn finish(&mut self) -> [u8; HASH_LEN] {
        self.0.finalize_reset().into()
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Keyed BLAKE2s-128 of the parts, one after another. The key has 1 to 32 bytes.
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; MAC_LEN] {
    let mut mac =
        <Blake2sMac<U16> as Mac>::new_from_slice(key).expect("the MAC keys here have 16 or 32 bytes");
    for part in parts {
        Mac::update(&mut mac, part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether two MACs are the same, in constant time.
pub fn equal(one: &[u8; MAC_LEN], other: &[u8; MAC_LEN]) -> bool {
    one.ct_eq(other).into()
}

/// Encrypts a cookie for the reply that carries it (WireGuard paper, 5.4.7): ciphertext, then tag.
pub fn seal_cookie(
    key: &[u8; 32],
    nonce: &[u8; COOKIE_NONCE_LEN],
    mac1: &[u8; MAC_LEN],
    cookie: &[u8; MAC_LEN],
) -> [u8; MAC_LEN + TAG_LEN] {
    let mut sealed = [0; MAC_LEN + TAG_LEN];
    let (text, room) = sealed.split_at_mut(MAC_LEN);
    text.copy_from_slice(cookie);
    let tag = XChaCha20Poly1305::new(key.into())
        .encrypt_in_place_detached(XNonce::from_slice(nonce), mac1, text)
        .expect("16 bytes are below the AEAD's limit");
    room.copy_from_slice(&tag);
    sealed
}

/// Decrypts a cookie reply; the cookie is wiped when dropped.
///
/// # Errors
/// [`Discard::NotAuthentic`] where it was not made for the message that `mac1` closed.
pub fn open_cookie(
    key: &[u8; 32],
    nonce: &[u8; COOKIE_NONCE_LEN],
    mac1: &[u8; MAC_LEN],
    sealed: &[u8; MAC_LEN + TAG_LEN],
) -> Result<Zeroizing<[u8; MAC_LEN]>, Discard> {
    let mut cookie = Zeroizing::new([0; MAC_LEN]);
    cookie.copy_from_slice(&sealed[..MAC_LEN]);
    XChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            mac1,
            &mut *cookie,
            Tag::from_slice(&sealed[MAC_LEN..]),
        )
        .map_err(|_| Discard::NotAuthentic)?;
    Ok(cookie)
}

#[cfg(test)]
mod tests;
