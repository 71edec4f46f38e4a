//! A network of a test's own, for what the machine's own network should not be asked to do.

use std::panic::resume_unwind;
use std::process::Command;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs `test` on a thread that has a network namespace to itself, with nothing but a loopback device in it that is up.
/// Where this process may not make one, says so on stderr and does nothing.
#[expect(unsafe_code, reason = "a thread leaves the network of its process")]
pub(crate) fn run(test: impl FnOnce() + Send) {
    let run = move || {
        // SAFETY: a network namespace of its own leaves the thread's memory and descriptors as they are.
        if let Err(errno) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
            eprintln!("skipped: no network namespace can be made here: {errno}");
            return;
        }
        ip("link set lo up");
        test();
    };
    if let Err(panic) = std::thread::scope(|scope| scope.spawn(run).join()) {
        resume_unwind(panic);
    }
}

/// `ip` with these arguments, in the namespace of the calling thread.
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}: {status}");
}
