//! `lockgate init`: the three files that a node starts from, commented, ready to edit.

use std::path::{Path, PathBuf};

use lockgate_proto::keys::PrivateKey;
use zeroize::Zeroizing;

use super::{Failure, print, unwritable};
use crate::cli::{Common, Init};
use crate::machine::entropy::randomness;
use crate::machine::files_write::{Access, Existing, create_dir, write};
use crate::machine::host;

const CONFIG: &str = include_str!("init/lockgate.toml");
const POLICY: &str = include_str!("init/policy.toml");

pub(super) fn run(options: &Init, common: &Common) -> Result<(), Failure> {
    let name = options.name.clone().unwrap_or_else(host_name);
    proper_name(&name)?;
    create_dir(&options.dir).map_err(|error| unwritable(&options.dir, &error, "name a folder with --dir"))?;
    let dir = options.dir.canonicalize().map_err(|error| {
        Failure::failed(format!("{}: {error}", options.dir.display()), "name a folder with --dir")
    })?;
    let [key_file, config_file, policy_file] =
        ["node.key", "lockgate.toml", "policy.toml"].map(|file| dir.join(file));
    // Looked at before the first write, so that a refusal leaves the folder as it was.
    for file in [&key_file, &config_file, &policy_file] {
        if file.symlink_metadata().is_ok() {
            return Err(Failure::failed(format!("{} is there already", file.display()), MEND));
        }
    }
    let key = PrivateKey::generate(&mut *randomness().secret);
    let key_text = Zeroizing::new(format!("{}\n", key.to_base64().as_str()));
    let fill = |text: &str| {
        text.replace("@NAME@", &name)
            .replace("@DIR@", &dir.display().to_string())
            .replace("@PUBLIC@", &key.public().to_string())
    };
    put(&key_file, &key_text, Access::Owner)?;
    put(&config_file, &fill(CONFIG), Access::Everyone)?;
    put(&policy_file, &fill(POLICY), Access::Everyone)?;
    tell(&name, &key.public().to_string(), &[config_file, policy_file, key_file], common)
}

const MEND: &str = "name another folder with --dir, or move the file away";

fn put(file: &Path, text: &str, access: Access) -> Result<(), Failure> {
    write(file, text, access, Existing::Keep).map_err(|error| unwritable(file, &error, MEND))
}

fn tell(name: &str, public: &str, files: &[PathBuf], common: &Common) -> Result<(), Failure> {
    if common.json {
        let report = serde_json::json!({ "name": name, "public_key": public, "files": files });
        return print(report);
    }
    for file in files {
        print(format_args!("wrote {}", file.display()))?;
    }
    print(format_args!("public key of {name}: {public}"))?;
    print(format_args!("next: edit {0}, then  lockgate check -c {0}", files[0].display()))
}

/// A name goes into TOML, into the policy and into logs: letters, digits, `-`, `_` and `.` need no quoting anywhere.
fn proper_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.len() <= 63 && name.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{name:?} cannot be a node's name"),
        "use 1 to 63 letters, digits, '-', '_' or '.':  lockgate init --name edge-north",
    ))
}

fn host_name() -> String {
    host::name().filter(|name| proper_name(name).is_ok()).unwrap_or_else(|| "node".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_need_quoting_is_refused() {
        for name in ["", "a b", "a\"b", "ä", "a\n", &"x".repeat(64)] {
            assert!(proper_name(name).is_err(), "{name:?}");
        }
        for name in ["edge-north", "n1", "a.b_c"] {
            assert!(proper_name(name).is_ok(), "{name:?}");
        }
    }
}
