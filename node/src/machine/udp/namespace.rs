//! A network of a test's own, for what the machine's own network should not be asked to do.

use std::io::Read;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};

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
