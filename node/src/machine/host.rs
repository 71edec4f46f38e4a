//! This host, as its kernel names it.

use std::fs::OpenOptions;
use std::io::Read;

/// The host's name; `None` where the kernel does not tell.
pub fn name() -> Option<String> {
    let mut name = String::new();
    OpenOptions::new().read(true).open("/proc/sys/kernel/hostname").ok()?.read_to_string(&mut name).ok()?;
    Some(name.trim_end().to_owned())
}
