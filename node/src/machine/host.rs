//! This host, as its kernel names it.

use std::fs::OpenOptions;
use std::io::Read;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The host's name; `None` where the kernel does not tell.
pub fn name() -> Option<String> {
    let mut name = String::new();
    OpenOptions::new().read(true).open("/proc/sys/kernel/hostname").ok()?.read_to_string(&mut name).ok()?;
    Some(name.trim_end().to_owned())
}

/// The folder for sockets of running programs: the system's for root, else the user's own.
pub fn runtime_folder() -> PathBuf {
    let user = rustix::process::getuid();
    if user.is_root() {
        return PathBuf::from("/run/lockgate");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder).join("lockgate"),
        _ => std::env::temp_dir().join(format!("lockgate-{}", user.as_raw())),
    }
}

/// How many processors this process may use; 1 where the system does not say.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Lets this process have as many descriptors as the system allows it: every connection is one, and the usual limit
/// of 1024 is there for programs that call `select`. A system that refuses keeps its limit.
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised =
        current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    tracing::debug!(before = current, limit = maximum, raised, "file descriptors");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_limit_is_raised_to_what_the_system_allows() {
        raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
