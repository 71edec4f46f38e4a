//! Keys in WireGuard's format. (A stand-in until the tunnel branch is merged.)

use alloc::string::String;
use core::fmt;

use base64ct::{Base64, Encoding};
use x25519_dalek::{PublicKey as Point, StaticSecret};

use crate::entropy::Entropy;

/// A Curve25519 private key.
pub struct PrivateKey(StaticSecret);

/// A Curve25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey([u8; 32]);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key is 44 base64 characters")
    }
}

impl PrivateKey {
    /// A new key.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self(StaticSecret::from(bytes))
    }

    /// Reads base64.
    ///
    /// # Errors
    /// The text is not 32 bytes in base64.
    pub fn from_base64(text: &str) -> Result<Self, BadKey> {
        let mut bytes = [0; 32];
        match Base64::decode(text, &mut bytes) {
            Ok(slice) if slice.len() == 32 => Ok(Self(StaticSecret::from(bytes))),
            _ => Err(BadKey),
        }
    }

    /// As base64.
    pub fn to_base64(&self) -> String {
        Base64::encode_string(self.0.as_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(Point::from(&self.0).to_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}
