//! A network namespace of a test's own: only its thread is in it, and it is gone when the thread is.

use std::process::Command;

use rustix::thread::{Pid, UnshareFlags, gettid, unshare_unsafe};

/// Runs `test` on a thread in a new, empty network namespace; says on stderr why not where this process may not make
/// one, or has no TUN devices. Programs that the thread starts are in it too.
///
/// # Panics
/// If `test` does.
#[expect(unsafe_code, reason = "only rustix knows that sharing no descriptors could surprise a thread")]
pub(crate) fn in_private_network(test: impl FnOnce() + Send) {
    if !std::path::Path::new("/dev/net/tun").exists() {
        return eprintln!("skipped: there is no /dev/net/tun here");
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: NEWNET alone is asked for; the table of descriptors stays shared.
            match unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
                Ok(()) => test(),
                Err(why) => eprintln!("skipped: no network namespace can be made here: {why}"),
            }
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The calling thread as `ip link set .. netns` takes it.
pub(crate) fn thread_id() -> String {
    Pid::as_raw(Some(gettid())).to_string()
}

/// `ip` with these words, in the calling thread's namespace.
///
/// # Panics
/// When it fails.
pub(crate) fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}
