//! Keys, as files for `wg`.

use std::path::PathBuf;

use super::Lab;
use crate::rig::new_key;

/// A private key in a file, and its public half.
pub struct KeyPair {
    /// The private key, in base64.
    pub private: String,
    /// The public key, in base64.
    pub public: String,
    /// Where the private key is.
    pub file: PathBuf,
}

impl KeyPair {
    pub(super) fn generate(lab: &Lab) -> Self {
        let key = new_key();
        let private = key.to_base64().to_string();
        let file = lab.private_file(&private);
        Self { public: key.public().to_string(), private, file }
    }
}

/// A new preshared key, in a file: 32 random bytes in base64, as a private key is.
pub fn preshared_key(lab: &Lab) -> PathBuf {
    lab.private_file(&new_key().to_base64())
}
