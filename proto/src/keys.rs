//! Keys in WireGuard's format. (A stand-in: the real ones are built elsewhere.)

use base64ct::{Base64, Encoding};
use x25519_dalek::StaticSecret;
use zeroize::Zeroize;

/// Why a text is not a key. It never says what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 44 characters of base64 (32 bytes)")]
pub struct KeyError;

/// Our own static key.
pub struct PrivateKey(StaticSecret);

impl PrivateKey {
    /// Reads the base64 text of a key.
    ///
    /// # Errors
    /// If it is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let mut bytes = decode(text)?;
        let key = Self(StaticSecret::from(bytes));
        bytes.zeroize();
        Ok(key)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }
}

/// Somebody's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads the base64 text of a key.
    ///
    /// # Errors
    /// If it is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

/// A key that two peers share beforehand.
pub struct PresharedKey([u8; 32]);

impl PresharedKey {
    /// Reads the base64 text of a key.
    ///
    /// # Errors
    /// If it is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

impl Drop for PresharedKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn decode(text: &str) -> Result<[u8; 32], KeyError> {
    let mut bytes = [0; 32];
    let decoded = Base64::decode(text, &mut bytes).map_err(|_| KeyError)?;
    if decoded.len() == 32 {
        Ok(bytes)
    } else {
        Err(KeyError)
    }
}
