//! A network namespace of a test's own: only its thread is in it, and it is gone when the thread is.

use std::io::Read;
use std::process::{Child, Command, Stdio};

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

/// The same with the loopback device up.
pub(crate) fn in_private_loopback(test: impl FnOnce() + Send) {
    in_private_network(|| {
        ip("link set lo up");
        test();
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

/// Another network namespace, for the other end of a cable; gone with the value.
pub(crate) struct Other(Child);

impl Other {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // It says when it is inside, and lives until its input ends.
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", "echo inside; exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut inside = [0; 7];
        child.stdout.as_mut().expect("it is piped").read_exact(&mut inside).unwrap();
        Self(child)
    }

    /// A process in it, by which `ip link set … netns` finds it.
    pub(crate) fn process(&self) -> u32 {
        self.0.id()
    }

    /// `ip` with these arguments, inside.
    pub(crate) fn ip(&self, arguments: &str) {
        self.run(&format!("ip {arguments}"));
    }

    /// Any command, inside.
    pub(crate) fn run(&self, command: &str) {
        let mut enter = Command::new("nsenter");
        enter.args(["-t", &self.process().to_string(), "-n"]).args(command.split(' '));
        let status = enter.status().unwrap();
        assert!(status.success(), "{command}: {status}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends with its input.
        let _ = self.0.wait();
    }
}
