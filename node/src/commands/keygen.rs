//! `lockgate keygen`: a private key, into a file or to stdout.

use lockgate_proto::keys::PrivateKey;
use zeroize::Zeroizing;

use super::{Failure, print, unwritable};
use crate::cli::{Common, Keygen};
use crate::machine::entropy::randomness;
use crate::machine::files_write::{Access, Existing, write};

pub(super) fn run(options: &Keygen, common: &Common) -> Result<(), Failure> {
    let key = PrivateKey::generate(&mut *randomness().secret);
    let text = Zeroizing::new(format!("{}\n", key.to_base64().as_str()));
    let Some(file) = &options.file else {
        return print(if common.json {
            format!("{{\"private_key\":\"{}\"}}", text.trim())
        } else {
            text.trim().to_owned()
        });
    };
    let existing = if options.force { Existing::Replace } else { Existing::Keep };
    write(file, &text, Access::Owner, existing).map_err(|error| {
        unwritable(file, &error, "name another file, or replace it (its key is lost) with --force")
    })?;
    print(if common.json {
        format!("{{\"public_key\":\"{}\"}}", key.public())
    } else {
        key.public().to_string()
    })
}
