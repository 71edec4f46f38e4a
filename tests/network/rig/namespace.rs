//! A network of its own: a namespace, made for a test and gone with it.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::command::{run, try_run, words};

/// A network namespace; gone with the value, and with it every process that still runs in it.
pub struct Namespace {
    name: String,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Namespace {
    /// A namespace with its loopback device up; `role` is a part of its name.
    ///
    /// # Panics
    /// Where this process may not make one: ask [`Lab::open`](super::Lab::open) first.
    pub fn new(role: &str) -> Self {
        let made = Self::add(role).unwrap_or_else(|why| panic!("no network namespace: {why}"));
        made.ip("link set lo up");
        // An address is to be usable at once, and a burst of a test's errors is not to be rationed.
        for (key, value) in [
            ("net.ipv6.conf.default.accept_dad", "0"),
            ("net.ipv6.conf.all.accept_dad", "0"),
            ("net.ipv4.icmp_ratelimit", "0"),
        ] {
            made.sysctl(key, value);
        }
        made
    }

    /// A namespace whose loopback device carries packets of `mtu` bytes; `None`, with the reason on stderr, where this
    /// process may not make one.
    pub fn with_loopback_mtu(mtu: u16) -> Option<Self> {
        match Self::add(&mtu.to_string()) {
            Ok(made) => {
                made.ip(&format!("link set lo mtu {mtu} up"));
                Some(made)
            }
            Err(why) => {
                eprintln!("skipped: no network namespace can be made here: {why}");
                None
            }
        }
    }

    fn add(role: &str) -> Result<Self, String> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("lockgate-{}-{number}-{role}", std::process::id());
        try_run(Command::new("ip").args(["netns", "add", &name]))?;
        Ok(Self { name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs `program` inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a line of words inside (no quoting) and gives its stdout.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub fn run(&self, line: &str) -> String {
        run(Command::new("ip").args(["netns", "exec", &self.name]).args(words(line)))
    }

    /// [`run`](Self::run), with what the program said as the error.
    pub fn try_run(&self, line: &str) -> Result<String, String> {
        try_run(Command::new("ip").args(["netns", "exec", &self.name]).args(words(line)))
    }

    /// Runs a program that leaves a daemon behind, and so must not have a pipe of ours.
    ///
    /// # Panics
    /// If it fails.
    pub fn run_quietly(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], last: &str) {
        let mut command = self.command(program);
        command.args(arguments).arg(last).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().expect("ip is there");
        assert!(status.success(), "{command:?}: {status}");
    }

    /// The numbers of the processes that run inside.
    pub fn processes(&self) -> Vec<String> {
        let listed = run(Command::new("ip").args(["netns", "pids", &self.name]));
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// `ip LINE` inside.
    pub fn ip(&self, line: &str) -> String {
        run(Command::new("ip").args(["-n", &self.name]).args(words(line)))
    }

    /// `ip LINE` inside, where it may fail.
    pub fn try_ip(&self, line: &str) -> Result<String, String> {
        try_run(Command::new("ip").args(["-n", &self.name]).args(words(line)))
    }

    /// Sets a kernel parameter inside.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.run(&format!("sysctl -qw {key}={value}"));
    }

    /// Loads a ruleset in nft's own language.
    pub fn nft(&self, ruleset: &str) {
        run(self.command("nft").arg(ruleset));
    }

    /// Does `work` in a thread that is inside; a socket that it opens stays inside wherever it is used later.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/var/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let door = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
                move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap_or_else(|error| panic!("{path}: {error}"));
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A pair of Ethernet devices, both up: `here` in this namespace, `there` in the other.
    pub fn join(&self, here: &str, other: &Self, there: &str, mtu: u32) {
        run(Command::new("ip").args(words(&format!(
            "link add {here} mtu {mtu} netns {} type veth peer name {there} mtu {mtu} netns {}",
            self.name, other.name
        ))));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// Gives a device of this namespace an address, `ADDRESS/LENGTH`.
    pub fn address(&self, device: &str, prefix: &str) {
        let nodad = if prefix.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {prefix} dev {device}{nodad}"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is left of it goes with the machine.
        if let Ok(left) = try_run(Command::new("ip").args(["netns", "pids", &self.name])) {
            for process in left.split_whitespace() {
                let _ = try_run(Command::new("kill").args(["-KILL", process]));
            }
        }
        let _ = try_run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}
