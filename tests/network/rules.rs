//! Flow rules end to end: nodes on one wire, a policy, and what real tools and applications see of it.
//!
//! ```text
//!  north 10.77.0.1 fd77::1    south 10.77.0.2 fd77::2    ...   each with lockgate0, or with messages alone
//!    └ wire 10.99.0.1          └ wire 10.99.0.2
//!  ══════╧═══════════ bridge ════════╧═════════════════════    every node is a peer of every other
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lockgate_tests::network::{KeyPair, Lab, Namespace, PORT, SOON, WIRE, eventually, within};
use lockgate_tests::rig::{NodeProcess, lockgate_command, put};
use serde_json::Value;

mod capture;
mod copies;
mod detours;
mod grants;
mod matrix;
mod speech;
mod staging;
mod state;
mod streams;
mod withdrawal;

/// The interface of each node.
const TUN: &str = "lockgate0";
/// How long to wait for what must not happen.
const IN_VAIN: Duration = Duration::from_millis(500);
/// What the product promises of a permission that ends.
const PROMISE: Duration = Duration::from_secs(1);

/// What a test says about a node.
#[derive(Clone, Copy)]
struct Role<'a> {
    name: &'static str,
    /// Whether it has an interface.
    tun: bool,
    /// Further sections of its configuration.
    more: &'a str,
}

impl Role<'_> {
    const fn named(name: &'static str) -> Self {
        Self { name, tun: true, more: "" }
    }
}

/// A host with a node. The node ends before its namespace does.
struct Host {
    node: NodeProcess,
    namespace: Namespace,
    config: PathBuf,
    policy: PathBuf,
    number: u8,
}

/// All of them, numbered from 1 in the order of their roles.
struct Net<const N: usize> {
    hosts: [Host; N],
    _bridge: Namespace,
}

impl<const N: usize> Net<N> {
    /// Nodes with one policy and a tunnel between each two.
    fn start(lab: &Lab, roles: [Role<'_>; N], policy: &str) -> Self {
        let bridge = Namespace::new("bridge");
        bridge.ip("link add bridge type bridge");
        bridge.ip("link set bridge up");
        let keys = roles.map(|_| lab.key_pair());
        let mut number = 0;
        let hosts = roles.map(|role| {
            number += 1;
            let namespace = Namespace::new(role.name);
            let port = format!("port{number}");
            namespace.join(WIRE, &bridge, &port, 1500);
            bridge.ip(&format!("link set {port} master bridge"));
            namespace.address(WIRE, &format!("10.99.0.{number}/24"));
            let policy_file = lab.dir().join(format!("{}-policy.toml", role.name));
            put(&policy_file, policy);
            let config = lab.dir().join(format!("{}.toml", role.name));
            put(&config, &configuration(lab, &roles, &keys, usize::from(number - 1)));
            let node = NodeProcess::spawn(role.name, &config, Some(namespace.name().to_owned()));
            Host { node, namespace, config, policy: policy_file, number }
        });
        let mut net = Self { hosts, _bridge: bridge };
        net.hosts.iter_mut().for_each(|host| host.node.await_ready());
        for host in &net.hosts {
            eventually("tunnels to all", SOON, || {
                let log = host.node.log();
                (log.iter().filter(|line| line.contains("tunnel up")).count() >= N - 1).then_some(())
            });
        }
        net
    }

    /// Replaces the policy of every node and has it read.
    fn put(&self, policy: &str) {
        self.hosts.iter().for_each(|host| put(&host.policy, policy));
        self.hosts.iter().for_each(|host| host.node.hangup());
    }

    fn assert_no_errors(&self) {
        self.hosts.iter().for_each(|host| host.node.assert_no_errors());
    }
}

impl Host {
    fn v4(&self) -> IpAddr {
        v4(self.number)
    }

    /// A port of its IPv4 address in the overlay.
    fn at(&self, port: u16) -> SocketAddr {
        (self.v4(), port).into()
    }

    /// `lockgate VERB ... -c CONFIG`.
    fn lockgate(&self, arguments: &[&str]) -> Output {
        lockgate_command().args(arguments).arg("-c").arg(&self.config).output().expect("lockgate runs")
    }

    /// The same, which must be fine; its stdout.
    fn fine(&self, arguments: &[&str]) -> String {
        let output = self.lockgate(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A number of `status --json`.
    fn count(&self, path: &str) -> u64 {
        self.node.status().pointer(path).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Whether such a line comes after the first `skipped` lines of its log.
    fn logs_after(&self, skipped: usize, needle: &str) -> bool {
        within(SOON, || self.node.log().iter().skip(skipped).any(|line| line.contains(needle)).then_some(()))
            .is_some()
    }
}

const fn v4(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, number))
}

fn configuration(lab: &Lab, roles: &[Role<'_>], keys: &[KeyPair], own: usize) -> String {
    let (role, number, folder) = (roles[own], own + 1, lab.dir().display());
    let name = role.name;
    let mut text = format!(
        "[node]\nname = \"{name}\"\nkey = \"{}\"\naddress = [\"10.77.0.{number}\", \"fd77::{number}\"]\n\
         listen = \"0.0.0.0:{PORT}\"\ncontrol = \"{folder}/{name}.control\"\n\
         policy = \"{folder}/{name}-policy.toml\"\n",
        keys[own].file.display(),
    );
    if role.tun {
        text += &format!("[tun]\nname = \"{TUN}\"\n");
    }
    for (at, peer) in roles.iter().enumerate().filter(|(at, _)| *at != own) {
        let number = at + 1;
        text += &format!(
            "[[peer]]\nname = \"{}\"\npublic_key = \"{}\"\nendpoint = \"10.99.0.{number}:{PORT}\"\n\
             addresses = [\"10.77.0.{number}\", \"fd77::{number}\"]\n",
            peer.name, keys[at].public,
        );
    }
    text + role.more
}

#[expect(clippy::disallowed_methods, reason = "the tests time the second that the promise names")]
fn now() -> Instant {
    Instant::now()
}

/// When a count last moved, once it has not for a second.
fn end_of(what: &str, counted: impl Fn() -> u64) -> Instant {
    let (mut count, mut since) = (counted(), now());
    eventually(&format!("the end of {what}"), SOON, || {
        let more = counted();
        if more != count {
            (count, since) = (more, now());
        }
        (since.elapsed() > Duration::from_secs(1)).then_some(since)
    })
}

/// What a program says that must be there and end well.
fn said(command: &mut Command) -> String {
    lockgate_tests::network::run(command)
}
