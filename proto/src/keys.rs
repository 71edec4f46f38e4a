//! Keys: the private key of a node, the public key that names it, and the key that two peers share beforehand.
//!
//! Text form is WireGuard's: 44 characters of base64 for 32 bytes, and 64 hexadecimal digits where programs talk to each
//! other. No error here repeats what it was given.

mod hex;

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;

use base64ct::{Base64, Encoding};
use subtle::ConstantTimeEq;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::Entropy;

pub use hex::KEY_HEX_LEN;

/// Bytes in every key.
pub const KEY_LEN: usize = 32;

/// Characters in the text form of every key: base64 of 32 bytes, one `=` at the end.
pub const KEY_TEXT_LEN: usize = 44;

/// Why a text is not a key. It never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 44 characters.
    #[error("a key is 44 characters of base64, this has {0}")]
    Length(usize),
    /// 44 characters that are not the base64 of 32 bytes.
    #[error("a key is 44 characters of base64 and ends in one '=', this is something else")]
    NotBase64,
    /// Not 64 hexadecimal digits.
    #[error("a key is 64 hexadecimal digits, this is something else")]
    NotHex,
}

/// An X25519 private key; wiped from memory when dropped, never printed by `Debug`.
#[derive(Clone)]
pub struct PrivateKey(StaticSecret);

impl PrivateKey {
    /// The key with these bytes (clamped where it is used, as RFC 7748 section 5 says). The argument is wiped; an array
    /// that it was copied from is the caller's to wipe.
    pub fn from_bytes(mut bytes: [u8; KEY_LEN]) -> Self {
        let key = Self(StaticSecret::from(bytes));
        bytes.zeroize();
        key
    }

    /// A new key, clamped as `wg genkey` does.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(&mut *bytes);
        Self::from_bytes(*bytes).clamped()
    }

    /// The same key with the bits set and cleared that RFC 7748 section 5 has where it is used, as WireGuard stores it.
    #[must_use]
    pub fn clamped(&self) -> Self {
        let mut bytes = self.to_bytes();
        bytes[0] &= 0xf8;
        bytes[31] = (bytes[31] & 0x7f) | 0x40;
        Self::from_bytes(*bytes)
    }

    /// Parses the 44-character text form.
    ///
    /// # Errors
    /// [`KeyError`] where `text` is no key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode(text).map(|bytes| Self::from_bytes(*bytes))
    }

    /// Parses 64 hexadecimal digits, in either case.
    ///
    /// # Errors
    /// [`KeyError::NotHex`] where `text` is no key.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        hex::decode(text).map(|bytes| Self::from_bytes(*bytes))
    }

    /// The text form; the caller keeps it no longer than needed, and dropping it wipes it.
    pub fn to_base64(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.0.to_bytes());
        Zeroizing::new(Base64::encode_string(&*bytes))
    }

    /// Appends 64 hexadecimal digits, in lower case. Room for them is the caller's: a text that grows leaves a copy.
    pub fn push_hex(&self, text: &mut String) {
        hex::push(&self.to_bytes(), text);
    }

    /// Whether every byte is zero, which WireGuard's configuration protocol writes for "none". Constant time.
    pub fn is_zero(&self) -> bool {
        self.to_bytes().ct_eq(&[0; KEY_LEN]).into()
    }

    /// The bytes themselves, for a file that only its owner reads.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_LEN]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key that belongs to this one.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// X25519 with `other`; `None` where the result would be all zero (a low-order point: anyone could know it).
    pub fn agree(&self, other: &PublicKey) -> Option<SharedSecret> {
        let shared = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(other.0));
        shared.was_contributory().then(|| SharedSecret(Zeroizing::new(shared.to_bytes())))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// What two X25519 keys agree on; wiped from memory when dropped.
#[derive(Clone)]
pub struct SharedSecret(Zeroizing<[u8; KEY_LEN]>);

impl SharedSecret {
    /// The bytes, as input of a key derivation.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// An X25519 public key: the name of a node. Equality is constant time; the order is that of the bytes.
#[derive(Clone, Copy)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Parses the 44-character text form.
    ///
    /// # Errors
    /// [`KeyError`] where `text` is no key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode(text).map(|bytes| Self(*bytes))
    }

    /// Parses 64 hexadecimal digits, in either case.
    ///
    /// # Errors
    /// [`KeyError::NotHex`] where `text` is no key.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        hex::decode(text).map(|bytes| Self(*bytes))
    }

    /// The text form.
    pub fn to_base64(&self) -> String {
        Base64::encode_string(&self.0)
    }

    /// Appends 64 hexadecimal digits, in lower case. Room for them is the caller's: a text that grows leaves a copy.
    pub fn push_hex(&self, text: &mut String) {
        hex::push(&self.0, text);
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Whether every private key agrees with this one on the same, all-zero secret: it is nobody's. Costs an X25519.
    pub fn is_low_order(&self) -> bool {
        // Scalars are clamped to multiples of the cofactor, so any one of them finds a low-order point out.
        PrivateKey::from_bytes([1; KEY_LEN]).agree(self).is_none()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

/// A symmetric key that two peers mix into their handshake; wiped from memory when dropped.
#[derive(Clone)]
pub struct PresharedKey(Zeroizing<[u8; KEY_LEN]>);

impl PresharedKey {
    /// The key with these bytes. The argument is wiped; an array that it was copied from is the caller's to wipe.
    pub fn from_bytes(mut bytes: [u8; KEY_LEN]) -> Self {
        let key = Self(Zeroizing::new(bytes));
        bytes.zeroize();
        key
    }

    /// What WireGuard mixes in where no key was shared: all zero.
    pub fn absent() -> Self {
        Self::from_bytes([0; KEY_LEN])
    }

    /// Whether this is [`PresharedKey::absent`].
    pub fn is_absent(&self) -> bool {
        self.0.ct_eq(&[0; KEY_LEN]).into()
    }

    /// A new key.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// Parses the 44-character text form.
    ///
    /// # Errors
    /// [`KeyError`] where `text` is no key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }

    /// Parses 64 hexadecimal digits, in either case.
    ///
    /// # Errors
    /// [`KeyError::NotHex`] where `text` is no key.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        hex::decode(text).map(Self)
    }

    /// The text form; dropping it wipes it.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(&*self.0))
    }

    /// Appends 64 hexadecimal digits, in lower case. Room for them is the caller's: a text that grows leaves a copy.
    pub fn push_hex(&self, text: &mut String) {
        hex::push(&self.0, text);
    }

    /// Whether every byte is zero, which WireGuard's configuration protocol writes for "none". Constant time.
    pub fn is_zero(&self) -> bool {
        self.0.ct_eq(&[0; KEY_LEN]).into()
    }

    /// The bytes, as input of the handshake.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(..)")
    }
}

/// Strict base64: exactly 44 characters, padded, canonical.
fn decode(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    if text.len() != KEY_TEXT_LEN {
        return Err(KeyError::Length(text.chars().count()));
    }
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    match Base64::decode(text, &mut *bytes) {
        Ok(decoded) if decoded.len() == KEY_LEN => Ok(bytes),
        _ => Err(KeyError::NotBase64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn hex(text: &str) -> [u8; 32] {
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn rfc_7748_section_5_2_vectors() {
        for (scalar, point, result) in [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
        ] {
            let agreed =
                PrivateKey::from_bytes(hex(scalar)).agree(&PublicKey::from_bytes(hex(point))).unwrap();
            assert_eq!(agreed.as_bytes(), &hex(result));
        }
    }

    #[test]
    fn text_form_is_strict() {
        let key = "GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFnXA=";
        let parsed = PublicKey::from_base64(key).unwrap();
        assert_eq!(format!("{parsed} {parsed:?}"), format!("{key} {key}"));
        for (text, error) in [
            ("", KeyError::Length(0)),
            (&key[..43], KeyError::Length(43)),
            ("GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFnXA=\n", KeyError::Length(45)),
            ("GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFnXAA", KeyError::NotBase64),
            ("GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFnX==", KeyError::NotBase64),
            ("GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFn_A=", KeyError::NotBase64),
            ("GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFnXB=", KeyError::NotBase64),
        ] {
            assert_eq!(PublicKey::from_base64(text).unwrap_err(), error, "{text:?}");
            assert_eq!(PrivateKey::from_base64(text).unwrap_err(), error, "{text:?}");
            assert_eq!(PresharedKey::from_base64(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn the_hexadecimal_form_is_that_of_the_bytes() {
        let text = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4";
        let (private, public) = (PrivateKey::from_hex(text).unwrap(), PublicKey::from_hex(text).unwrap());
        let shared = PresharedKey::from_hex(text).unwrap();
        for bytes in [&*private.to_bytes(), public.as_bytes(), shared.as_bytes()] {
            assert_eq!(bytes, &hex(text));
        }
        let mut pushed = String::new();
        private.push_hex(&mut pushed);
        public.push_hex(&mut pushed);
        shared.push_hex(&mut pushed);
        assert_eq!(pushed, text.repeat(3));
        assert_eq!(private.clamped().to_bytes()[0], 0xa0);
        assert_eq!(private.clamped().to_bytes()[31], 0x44);
        assert_eq!(private.clamped().public(), private.public());
        for (key, zero) in [("0".repeat(64), true), (text.into(), false)] {
            assert_eq!(PrivateKey::from_hex(&key).unwrap().is_zero(), zero);
            assert_eq!(PresharedKey::from_hex(&key).unwrap().is_zero(), zero);
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let text = format!("{:?} {:?}", PrivateKey::from_bytes([7; 32]), PresharedKey::from_bytes([7; 32]));
        assert_eq!(text, "PrivateKey(..) PresharedKey(..)");
    }

    #[test]
    fn low_order_points_agree_on_nothing() {
        let private = PrivateKey::from_bytes([0x42; 32]);
        for point in [
            [0; 32],
            hex("0100000000000000000000000000000000000000000000000000000000000000"),
            hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
            hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        ] {
            assert!(private.agree(&PublicKey::from_bytes(point)).is_none(), "{point:02x?}");
            assert!(PublicKey::from_bytes(point).is_low_order(), "{point:02x?}");
        }
        assert!(!private.public().is_low_order());
    }

    #[test]
    fn a_generated_key_is_clamped_and_survives_its_text_form() {
        struct Ones;
        impl Entropy for Ones {
            fn fill(&mut self, bytes: &mut [u8]) {
                bytes.fill(0xff);
            }
        }
        let key = PrivateKey::generate(&mut Ones);
        assert_eq!((key.to_bytes()[0], key.to_bytes()[31]), (0xf8, 0x7f));
        let again = PrivateKey::from_base64(&key.to_base64()).unwrap();
        assert_eq!(again.public(), key.public());
    }
}
