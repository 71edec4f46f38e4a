//! `lockgate pubkey`: the public key of the private key on stdin.

use std::io::Read;

use lockgate_proto::keys::PrivateKey;
use zeroize::Zeroizing;

use super::{Failure, print};
use crate::cli::Common;

/// A key is 44 characters; more room lets a wrong file be told from a long one without reading it all.
const MOST: u64 = 1024;

pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(MOST).read_to_string(&mut text).map_err(|error| {
        Failure::failed(format!("stdin: {error}"), "send a private key:  lockgate pubkey < node.key")
    })?;
    // The text itself stays out of the message: it may be a key with one character too many.
    let key = PrivateKey::from_base64(text.trim()).map_err(|error| {
        Failure::failed(
            format!("stdin holds no private key: {error}"),
            "lockgate keygen node.key && lockgate pubkey < node.key",
        )
    })?;
    print(if common.json {
        format!("{{\"public_key\":\"{}\"}}", key.public())
    } else {
        key.public().to_string()
    })
}
