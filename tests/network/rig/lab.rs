//! What a network test needs of its machine, and the folder that it keeps its files in.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::{Implementation, KeyPair};
use crate::rig::put_private;

/// Names what must be there: `required` makes a missing thing a failure instead of a skipped test.
const NETWORK: &str = "LOCKGATE_NETWORK";

/// A place to work: its files go away with it.
pub struct Lab {
    dir: TempDir,
}

static FILES: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// A lab, if this machine can run a test with the subject and these `others`; else `None`, with the reason on
    /// stderr, and a failure where `LOCKGATE_NETWORK=required`.
    pub fn open(others: &[Implementation]) -> Option<Self> {
        match missing(others) {
            None => Some(Self { dir: tempfile::tempdir().expect("a temporary folder") }),
            Some(why) => {
                skip(&why);
                None
            }
        }
    }

    /// Says that a test cannot go on without something more; a failure where `LOCKGATE_NETWORK=required`.
    pub fn lacks(&self, why: &str) {
        skip(why);
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of its own that nobody else may read.
    pub fn private_file(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join(format!("file-{}", FILES.fetch_add(1, Ordering::Relaxed)));
        put_private(&path, text);
        path
    }

    /// A new key pair, its private half in a file.
    pub fn key_pair(&self) -> KeyPair {
        KeyPair::generate(self)
    }
}

fn skip(why: &str) {
    let required = std::env::var(NETWORK).is_ok_and(|value| value == "required");
    assert!(!required, "{NETWORK}=required, and {why}");
    eprintln!("skipped: {why}");
}

/// Why a test with these implementations cannot run here.
fn missing(others: &[Implementation]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun".to_owned());
    }
    if let Some(tool) = ["ip", "wg", "ping", "nft", "sysctl"].into_iter().find(|tool| on_path(tool).is_none())
    {
        return Some(format!("there is no program named {tool}"));
    }
    let mut wanted = vec![Implementation::subject()];
    wanted.extend(others);
    let absent = wanted.into_iter().find(|implementation| implementation.program().is_none())?;
    Some(format!("there is no {} (on PATH or in the folder that LOCKGATE_PEERS names)", absent.file_name()))
}

/// Where a program of this name lies in the folders of PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
