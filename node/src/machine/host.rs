//! This host, as its kernel names it.

use std::fs::OpenOptions;
use std::io::Read;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

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

/// Keeps the memory of this process, and the keys in it, out of core dumps and from other processes of the same user. A
/// program that is started has to ask for itself.
pub fn hide_memory() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a core dump of this process would hold its keys");
    }
}

/// The number of the interface `name` in this network namespace.
pub fn interface_index(name: &str) -> Option<u32> {
    let asking = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    netdevice::name_to_index(asking, name).ok()
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn a_process_that_hides_its_memory_leaves_no_core_dump() {
        hide_memory();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        // The other tests of this process read about it.
        set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    }

    #[test]
    fn an_interface_is_found_by_its_name_and_by_no_other() {
        assert_eq!(interface_index("lo"), Some(1));
        for name in ["", "no such one", "a-name-that-is-far-too-long-for-an-interface", "l\0"] {
            assert_eq!(interface_index(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_descriptor_limit_is_raised_to_what_the_system_allows() {
        raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
