//! The rig: real `lockgate` processes with their files, ports and logs, under deadlines.
//!
//! ```text
//!  application ── tcp/ipc ── alpha (lockgate up) ══ UDP on loopback ══ beta (lockgate up) ── tcp/ipc ── application
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "the rig is a machine of its own: it opens files and ports and reads the clock"
)]

use std::fmt::Display;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use lockgate_proto::entropy::Entropy;
use lockgate_proto::keys::PrivateKey;
use tempfile::TempDir;

pub use binary::{lockgate, lockgate_command};
pub use process::NodeProcess;

pub use crate::network::Namespace;

#[path = "rig/binary.rs"]
mod binary;
#[path = "rig/process.rs"]
mod process;

/// How long anything that must happen may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Two nodes that know each other: `alpha` (10.77.0.1, tag `role=edge`) and `beta` (10.77.0.2, tag `role=centre`).
pub struct Pair {
    /// The node on the left.
    pub alpha: NodeProcess,
    /// The node on the right.
    pub beta: NodeProcess,
    /// Their files; goes away with the pair.
    pub dir: TempDir,
}

/// What a test says about its two nodes.
#[derive(Default)]
pub struct Plan {
    /// `[service.*]`, `[[allow]]` and the rest of `policy.toml`; tags and nodes are there already.
    pub policy: String,
    /// The same for beta alone, where the two nodes are to disagree; empty where they share one file.
    pub beta_policy: String,
    /// `[[offer]]` and `[[use]]` of alpha.
    pub alpha: String,
    /// `[[offer]]` and `[[use]]` of beta.
    pub beta: String,
    /// The network namespace that both nodes run in, if not the test's own.
    pub namespace: Option<String>,
}

impl Pair {
    /// Writes both configurations, starts both nodes and waits until both are ready.
    ///
    /// Reserved application ports that the plan names must be released before (see [`Port::release`]).
    pub fn start(plan: &Plan) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let [alpha, beta] = write_pair(dir.path(), plan);
        let [mut alpha, mut beta] = [("alpha", alpha), ("beta", beta)]
            .map(|(name, config)| NodeProcess::spawn(name, &config, plan.namespace.clone()));
        alpha.await_ready();
        beta.await_ready();
        Self { alpha, beta, dir }
    }
}

impl Pair {
    /// Replaces the policy file of a node; [`NodeProcess::hangup`] makes it read the file.
    pub fn put_policy(&self, node: &str, text: &str) {
        put(&self.dir.path().join(format!("{node}-policy.toml")), text);
    }
}

/// Writes `alpha.toml`, `beta.toml`, their keys and policies into `dir`; returns the two configurations.
pub fn write_pair(dir: &Path, plan: &Plan) -> [PathBuf; 2] {
    let keys = [new_key(), new_key()];
    let udp = [Port::udp(), Port::udp()];
    put(&dir.join("alpha-policy.toml"), &policy_text(&plan.policy));
    let beta_policy = if plan.beta_policy.is_empty() { &plan.policy } else { &plan.beta_policy };
    put(&dir.join("beta-policy.toml"), &policy_text(beta_policy));
    let names = ["alpha", "beta"];
    let services = [&plan.alpha, &plan.beta];
    [0, 1].map(|own| {
        let peer = 1 - own;
        let name = names[own];
        let key_file = dir.join(format!("{name}.key"));
        put_private(&key_file, &keys[own].to_base64());
        let config = format!(
            "[node]\nname = \"{name}\"\nkey = \"{key}\"\naddress = [\"10.77.0.{own_host}\"]\nlisten = \"127.0.0.1:{own_port}\"\npolicy = \"{policy}\"\ncontrol = \"{control}\"\n\n\
             [[peer]]\nname = \"{peer_name}\"\npublic_key = \"{public}\"\nendpoint = \"127.0.0.1:{peer_port}\"\naddresses = [\"10.77.0.{peer_host}\"]\n\n{services}\n",
            key = key_file.display(),
            own_host = own + 1,
            own_port = udp[own].number(),
            policy = dir.join(format!("{name}-policy.toml")).display(),
            control = dir.join(format!("{name}.control")).display(),
            peer_name = names[peer],
            public = keys[peer].public(),
            peer_port = udp[peer].number(),
            peer_host = peer + 1,
            services = services[own],
        );
        let path = dir.join(format!("{name}.toml"));
        put(&path, &config);
        path
    })
}

fn policy_text(services: &str) -> String {
    format!(
        "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
         alpha = {{ role = \"edge\" }}\nbeta = {{ role = \"centre\" }}\n{services}"
    )
}

/// A policy for one service that alpha hosts (`role=edge`) and beta may use (`role=centre`).
///
/// `socket` is the hosting application's type, or a TOML array of types; `more` are further keys of the service.
pub fn one_service(service: &str, socket: &str, more: &str) -> String {
    let socket = if socket.starts_with('[') {
        format!("sockets = {socket}")
    } else {
        format!("socket = \"{socket}\"")
    };
    format!(
        "[service.{service}]\nhosted-by = \"role=edge\"\n{socket}\n{more}\n\
         [[allow]]\nid = \"{service}-to-centre\"\nfrom = \"role=centre\"\nto = \"{service}\"\nwhy = \"the test\"\n"
    )
}

/// An `[[offer]]` whose application binds at `endpoint`.
pub fn offer(service: &str, endpoint: impl Display) -> String {
    format!("[[offer]]\nservice = \"{service}\"\nconnect = \"{endpoint}\"\n")
}

/// A `[[use]]` that listens at `endpoint`.
pub fn uses(service: &str, endpoint: impl Display) -> String {
    format!("[[use]]\nservice = \"{service}\"\nlisten = \"{endpoint}\"\n")
}

/// A loopback port that is ours.
///
/// Taken below the range that the kernel hands out by itself: in that range a dialler that tries again and again
/// may be given the very port it dials, and connect to itself.
pub struct Port {
    number: u16,
    held: Option<Held>,
}

enum Held {
    Tcp { _listener: TcpListener },
    Udp { _socket: UdpSocket },
}

const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

impl Port {
    /// A TCP port, held by a listener that never accepts.
    pub fn tcp() -> Self {
        Self::take(|number| Some(Held::Tcp { _listener: TcpListener::bind(("127.0.0.1", number)).ok()? }))
    }

    /// A UDP port, held by a socket until the value is dropped.
    pub fn udp() -> Self {
        Self::take(|number| Some(Held::Udp { _socket: UdpSocket::bind(("127.0.0.1", number)).ok()? }))
    }

    fn take(hold: impl Fn(u16) -> Option<Held>) -> Self {
        // Test processes start at different places, so that they seldom try the same port at the same moment.
        let start = std::process::id().wrapping_mul(7919) as u16;
        for _ in 0..PORTS {
            let step = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST_PORT + start.wrapping_add(step) % PORTS;
            if let Some(held) = hold(number) {
                return Self { number, held: Some(held) };
            }
        }
        panic!("every loopback port from {FIRST_PORT} on is taken");
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `tcp://127.0.0.1:PORT`, still held.
    pub fn endpoint(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.number)
    }

    /// Lets go of the port, for the process that is to bind it next.
    pub fn release(&mut self) -> String {
        self.held = None;
        self.endpoint()
    }
}

/// Looks at `there` until it gives something; for what no event announces (`/proc`, another process's files).
///
/// # Panics
/// After `deadline`, with `what`.
pub fn eventually<T>(what: &str, deadline: Duration, there: impl FnMut() -> Option<T>) -> T {
    within(deadline, there).unwrap_or_else(|| panic!("not within {deadline:?}: {what}"))
}

/// The same, where it may not come: `None` after `deadline`.
pub fn within<T>(deadline: Duration, mut there: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = there() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

struct Urandom;

impl Entropy for Urandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        let mut source = std::fs::File::open("/dev/urandom").expect("a Linux host has /dev/urandom");
        std::io::Read::read_exact(&mut source, bytes).expect("it never ends");
    }
}

pub(crate) fn new_key() -> PrivateKey {
    PrivateKey::generate(&mut Urandom)
}

/// Writes a file of a test.
pub fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

pub(crate) fn put_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    put(path, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}
