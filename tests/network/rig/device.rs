//! A running implementation with its interface, and what `wg` says of it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::command::{run, try_run, words};
use super::{Implementation, Lab, Namespace};
use crate::rig::{SOON, within};

/// How long a program that was asked to end may take over it.
const END: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// How often an implementation that is not ours may be started: one start of gotatun 0.10.2 in a hundred hangs, with
/// an interface and no socket.
const STARTS: u32 = 3;
/// Lines of a program's log that a failed test shows.
const TOLD: usize = 12;

/// One interface of one implementation, run in the foreground; ended when it goes out of scope.
pub struct Device {
    implementation: Implementation,
    namespace: String,
    name: String,
    log: PathBuf,
    child: Child,
    /// Whether the interface stays when the program ends.
    outlives: bool,
}

static MADE: AtomicU32 = AtomicU32::new(0);

impl Device {
    /// Starts `implementation` in a namespace and waits until `wg` can talk to it.
    pub fn start(lab: &Lab, namespace: &Namespace, implementation: Implementation) -> Self {
        Self::start_named(lab, namespace, implementation, &unique_name())
    }

    /// The same, on a persistent TUN device that has its MTU already: boringtun looks at it only when it starts.
    pub fn start_on_tun(lab: &Lab, namespace: &Namespace, implementation: Implementation, mtu: u32) -> Self {
        let name = unique_name();
        namespace.ip(&format!("tuntap add dev {name} mode tun multi_queue"));
        namespace.ip(&format!("link set {name} mtu {mtu}"));
        let mut device = Self::start_named(lab, namespace, implementation, &name);
        device.outlives = true;
        device
    }

    /// The same, with the name that the interface is to have: control sockets share one folder, so it must be one
    /// that no other test takes.
    pub fn start_named(lab: &Lab, namespace: &Namespace, implementation: Implementation, name: &str) -> Self {
        Self::start_with(lab, namespace, implementation, (implementation.arguments(), name))
    }

    /// `lockgate wg` that judges by the flow rules of a file.
    pub fn start_judging(lab: &Lab, namespace: &Namespace, rules: &Path) -> Self {
        let rules = rules.to_str().expect("a temporary path");
        let arguments = ["wg", "-f", "--rules", rules];
        Self::start_with(lab, namespace, Implementation::Lockgate, (&arguments, &unique_name()))
    }

    fn start_with(
        lab: &Lab,
        namespace: &Namespace,
        implementation: Implementation,
        (arguments, name): (&[&str], &str),
    ) -> Self {
        for _ in 0..STARTS {
            let mut device = Self::spawn(lab, namespace, implementation, (arguments, name));
            let began = within(SOON / STARTS, || {
                if let Some(status) = device.child.try_wait().expect("our own child") {
                    panic!("{implementation} ended ({status}):\n{}", device.log());
                }
                device.try_wg("show", "").ok()
            });
            if began.is_some() {
                return device;
            }
            assert!(implementation != Implementation::subject(), "{implementation} never answers for {name}");
        }
        panic!("{implementation} never answers for {name}, in {STARTS} starts");
    }

    fn spawn(
        lab: &Lab,
        namespace: &Namespace,
        implementation: Implementation,
        (arguments, name): (&[&str], &str),
    ) -> Self {
        let log = lab.private_file("");
        let program = implementation.program().expect("`Lab::open` was asked for it");
        let output = File::options().append(true).open(&log).expect("our own file");
        let child = namespace
            .command(program)
            .args(arguments)
            .arg(name)
            .env("WG_LOG_LEVEL", "error")
            .env("WG_LOG_FILE", lab.dir().join(format!("{name}.own-log")))
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("an open file"))
            .stdout(output)
            .spawn()
            .expect("ip is there");
        let namespace = namespace.name().to_owned();
        Self { implementation, namespace, name: name.to_owned(), log, child, outlives: false }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which program it is.
    pub fn implementation(&self) -> Implementation {
        self.implementation
    }

    /// The program's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        socket(&self.name)
    }

    /// What the program wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `wg set IFNAME LINE`.
    ///
    /// # Panics
    /// If it fails, with what `wg` and the program said.
    pub fn set(&self, line: &str) {
        self.try_wg("set", line).unwrap_or_else(|why| panic!("wg set {line}: {why}\n{}", self.log()));
    }

    /// `wg VERB IFNAME LINE`, with its stdout.
    pub fn wg(&self, verb: &str, line: &str) -> String {
        run(&mut self.wg_command(verb, line))
    }

    /// `wg VERB IFNAME LINE`, where it may fail.
    pub fn try_wg(&self, verb: &str, line: &str) -> Result<String, String> {
        try_run(&mut self.wg_command(verb, line))
    }

    fn wg_command(&self, verb: &str, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "wg", verb, &self.name]).args(words(line));
        command
    }

    /// Its peers, as `wg show IFNAME dump` has them.
    pub fn peers(&self) -> Vec<Peer> {
        self.wg("show", "dump").lines().skip(1).map(Peer::parse).collect()
    }

    /// Its only peer.
    pub fn peer(&self) -> Peer {
        let mut peers = self.peers();
        assert_eq!(peers.len(), 1, "{} has one peer", self.name);
        peers.remove(0)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.wg("show", "listen-port").trim().parse().expect("a port")
    }

    /// Ends the program; its interface goes with it.
    pub fn stop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(self.process(), Signal::TERM);
        }
        if !self.has_ended_within(END) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::mem::take(&mut self.outlives) {
            let _ = try_run(Command::new("ip").args(["-n", &self.namespace, "link", "del", &self.name]));
        }
        // Not every implementation takes its socket away.
        let _ = std::fs::remove_file(self.socket());
    }

    /// Kills the program, which then takes nothing away.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Waits until the program has ended by itself.
    pub fn await_end(&mut self, deadline: Duration) {
        let timeout = Timespec::try_from(deadline).expect("a short time");
        assert!(self.has_ended_within(timeout), "{} still runs after {deadline:?}", self.implementation);
    }

    fn has_ended_within(&mut self, timeout: Timespec) -> bool {
        if let Ok(Some(_)) = self.child.try_wait() {
            return true;
        }
        let process = pidfd_open(self.process(), PidfdFlags::empty()).expect("our own child");
        let ended =
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0);
        ended && self.child.wait().is_ok()
    }

    fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).expect("a child has a number")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(TOLD)..];
            eprintln!(
                "--- the end of what {} said as {}:\n{}",
                self.implementation,
                self.name,
                end.join("\n")
            );
        }
    }
}

/// Where the UAPI socket of an interface is.
pub fn socket(name: &str) -> PathBuf {
    Path::new("/var/run/wireguard").join(format!("{name}.sock"))
}

/// An interface name that no other test on this machine has.
pub fn unique_name() -> String {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("w{}x{number}", std::process::id())
}

/// One peer of `wg show IFNAME dump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its public key, in base64.
    pub public_key: String,
    /// The preshared key, in base64.
    pub preshared_key: Option<String>,
    /// Where it was last heard, or was said to be.
    pub endpoint: Option<SocketAddr>,
    /// Its prefixes, as `wg` orders them.
    pub allowed_ips: Vec<String>,
    /// When the last handshake was, in seconds since 1970; 0 where none was.
    pub latest_handshake: u64,
    /// Bytes of its datagrams, of whatever type, that came in.
    pub received: u64,
    /// Bytes of datagrams that went out to it.
    pub sent: u64,
    /// Seconds between persistent keepalives.
    pub keepalive: Option<u16>,
}

impl Peer {
    fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let [public_key, preshared_key, endpoint, allowed_ips, handshake, received, sent, keepalive] =
            fields[..]
        else {
            panic!("{line:?} is no peer of `wg show dump`");
        };
        Self {
            public_key: public_key.to_owned(),
            preshared_key: given(preshared_key).map(str::to_owned),
            endpoint: given(endpoint).map(|endpoint| endpoint.parse().expect("an endpoint")),
            allowed_ips: given(allowed_ips)
                .map(|list| list.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
            latest_handshake: handshake.parse().expect("seconds"),
            received: received.parse().expect("bytes"),
            sent: sent.parse().expect("bytes"),
            keepalive: given(keepalive).map(|seconds| seconds.parse().expect("seconds")),
        }
    }
}

fn given(field: &str) -> Option<&str> {
    Some(field).filter(|field| !["(none)", "off"].contains(field))
}
