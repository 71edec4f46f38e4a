//! `lockgate up` with `[tun]`: IP packets under the policy, beside the messages of the broker.
//!
//! ```text
//!  alpha (role=edge) lockgate0 10.77.0.1 fd77::1        beta (role=centre) lockgate0 10.77.0.2 fd77::2
//!    └ wire 10.99.0.1 ═════════════════════ veth ═════════════════════ wire 10.99.0.2 ┘
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Output;

use lockgate_tests::network::{KeyPair, Lab, Namespace, PORT, SOON, WIRE, within};
use lockgate_tests::rig::{NodeProcess, lockgate_command, put};
use serde_json::Value;

mod forwarding;
mod interface;
mod ping;
mod plain;
mod policy;
mod reload;
mod staging;

/// The interface of each node.
const TUN: &str = "lockgate0";
/// The TCP port that [`POLICY`] opens.
const OPEN: u16 = 8080;
/// A TCP port that it does not.
const CLOSED: u16 = 8081;

/// What alpha may: a TCP port, some UDP ports and pings. Beta may nothing.
const POLICY: &str = "[[allow]]\nid = \"web\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8080\"\nwhy = \"the test\"\n\
    [[allow]]\nid = \"voice\"\nfrom = \"role=edge\"\nto = \"role=centre udp:5000-5010\"\nwhy = \"the test\"\n\
    [[allow]]\nid = \"pings\"\nfrom = \"role=edge\"\nto = \"role=centre icmp\"\nwhy = \"the test\"\n";

/// What a test says about its two nodes.
#[derive(Clone)]
struct Plan<'a> {
    /// The rules of the policy; `None` for no policy at all.
    policy: Option<&'a str>,
    /// The MTU of the interface.
    mtu: u16,
    /// Further sections of alpha's configuration.
    alpha: &'a str,
    /// Further sections of beta's.
    beta: &'a str,
    /// Whether each node has an interface.
    tun: [bool; 2],
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self { policy: Some(POLICY), mtu: 1420, alpha: "", beta: "", tun: [true; 2] }
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

/// Both.
struct Hosts {
    alpha: Host,
    beta: Host,
}

/// What a host is before its node runs.
struct Site {
    namespace: Namespace,
    key: KeyPair,
    number: u8,
}

impl Site {
    fn new(lab: &Lab, number: u8) -> Self {
        Self { namespace: Namespace::new(name(number)), key: lab.key_pair(), number }
    }
}

/// Two hosts with a wire between them, and no node yet.
fn sites(lab: &Lab) -> [Site; 2] {
    let sites = [Site::new(lab, 1), Site::new(lab, 2)];
    sites[0].namespace.join(WIRE, &sites[1].namespace, WIRE, 1500);
    for site in &sites {
        site.namespace.address(WIRE, &format!("10.99.0.{}/24", site.number));
    }
    sites
}

impl Hosts {
    /// Both nodes, ready and with a tunnel between them.
    fn start(lab: &Lab, plan: &Plan<'_>) -> Self {
        let hosts = Self::spawn(lab, plan);
        hosts.alpha.await_tunnel();
        hosts.beta.await_tunnel();
        hosts
    }

    fn spawn(lab: &Lab, plan: &Plan<'_>) -> Self {
        let sites = sites(lab);
        let texts = [0, 1].map(|at| configuration(lab, plan, &sites[at], &sites[1 - at]));
        let [(alpha, alpha_text), (beta, beta_text)] = {
            let [alpha, beta] = sites;
            let [a, b] = texts;
            [(alpha, a), (beta, b)]
        };
        Self {
            alpha: Host::start(lab, alpha, plan, &alpha_text),
            beta: Host::start(lab, beta, plan, &beta_text),
        }
    }

    fn assert_no_errors(&self) {
        self.alpha.node.assert_no_errors();
        self.beta.node.assert_no_errors();
    }
}

impl Host {
    fn start(lab: &Lab, site: Site, plan: &Plan<'_>, text: &str) -> Self {
        let Site { namespace, number, .. } = site;
        let config = lab.dir().join(format!("{}.toml", name(number)));
        let policy = policy_path(lab, number);
        put(&config, text);
        if let Some(rules) = plan.policy {
            put(&policy, &policy_text(rules));
        }
        let mut node = NodeProcess::spawn(name(number), &config, Some(namespace.name().to_owned()));
        node.await_ready();
        Self { node, namespace, config, policy, number }
    }

    fn await_tunnel(&self) {
        self.node.await_line("tunnel up");
    }

    fn v4(&self) -> IpAddr {
        v4(self.number)
    }

    fn v6(&self) -> IpAddr {
        v6(self.number)
    }

    /// Both overlay addresses.
    fn inner(&self) -> [IpAddr; 2] {
        [self.v4(), self.v6()]
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.v4(), port).into()
    }

    /// Replaces the rules and has them read.
    fn put_rules(&self, rules: &str) {
        put(&self.policy, &policy_text(rules));
        self.node.hangup();
    }

    /// `lockgate VERB ... -c CONFIG`.
    fn lockgate(&self, arguments: &[&str]) -> Output {
        lockgate_command().args(arguments).arg("-c").arg(&self.config).output().expect("lockgate runs")
    }

    /// The same with `--json`.
    fn lockgate_json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.lockgate(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}{}", stderr(&output)));
        (output.status.code(), value)
    }

    /// A number of `status --json`.
    fn count(&self, path: &str) -> u64 {
        self.node.status().pointer(path).and_then(Value::as_u64).unwrap_or(0)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const fn name(number: u8) -> &'static str {
    if number == 1 { "alpha" } else { "beta" }
}

const fn v4(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, number))
}

const fn v6(number: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number as u16))
}

fn policy_path(lab: &Lab, number: u8) -> PathBuf {
    lab.dir().join(format!("{}-policy.toml", name(number)))
}

fn policy_text(rules: &str) -> String {
    format!(
        "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
         alpha = {{ role = \"edge\" }}\nbeta = {{ role = \"centre\" }}\n{rules}"
    )
}

fn configuration(lab: &Lab, plan: &Plan<'_>, own: &Site, peer: &Site) -> String {
    let more = if own.number == 1 { plan.alpha } else { plan.beta };
    format!(
        "{}{}{}{more}",
        node_section(lab, own, plan.policy.is_some()),
        if plan.tun[usize::from(own.number) - 1] { tun_section(plan.mtu) } else { String::new() },
        peer_section(name(peer.number), &peer.key.public, peer.number),
    )
}

fn node_section(lab: &Lab, own: &Site, policed: bool) -> String {
    let (name, number) = (name(own.number), own.number);
    let policy = if policed {
        format!("policy = \"{}\"\n", policy_path(lab, number).display())
    } else {
        String::new()
    };
    format!(
        "[node]\nname = \"{name}\"\nkey = \"{}\"\naddress = [\"{}\", \"{}\"]\nlisten = \"0.0.0.0:{PORT}\"\n\
         control = \"{}\"\n{policy}\n",
        own.key.file.display(),
        v4(number),
        v6(number),
        lab.dir().join(format!("{name}.control")).display(),
    )
}

fn tun_section(mtu: u16) -> String {
    format!("[tun]\nname = \"{TUN}\"\nmtu = {mtu}\n\n")
}

fn peer_section(name: &str, public_key: &str, number: u8) -> String {
    format!(
        "[[peer]]\nname = \"{name}\"\npublic_key = \"{public_key}\"\nendpoint = \"10.99.0.{number}:{PORT}\"\n\
         addresses = [\"{}\", \"{}\"]\n\n",
        v4(number),
        v6(number),
    )
}

/// What holds at once or soon.
fn soon(mut holds: impl FnMut() -> bool) -> bool {
    within(SOON, || holds().then_some(())).is_some()
}
