//! The interface of `[tun]`: there after the start, gone after the end, and what goes wrong is said.
//!
//! ```text
//!  alpha: lockgate0 10.77.0.1 fd77::1, MTU as configured, routes to 10.77.0.2 and fd77::2
//!    └ wire 10.99.0.1 ══ veth ══ wire 10.99.0.2 (beta)
//! ```

use std::path::PathBuf;
use std::process::Output;

use lockgate_tests::network::{Flow, Lab, Namespace, SOON, WIRE, ping};
use lockgate_tests::rig::{NodeProcess, lockgate, put};

use super::{Host, Hosts, OPEN, Plan, TUN, configuration, policy_path, policy_text, sites, soon, stderr};

const MTU: u16 = 1384;

fn assert_set_up(host: &Host, peer: &Host) {
    let namespace = &host.namespace;
    let link = namespace.ip(&format!("link show dev {TUN}"));
    assert!(link.contains(&format!("mtu {MTU}")) && link.contains(",UP"), "{link}");
    let addresses = namespace.ip(&format!("address show dev {TUN}"));
    for own in [format!("{}/32", host.v4()), format!("{}/128", host.v6())] {
        assert!(addresses.contains(&own), "{own}: {addresses}");
    }
    for theirs in peer.inner() {
        let route = namespace.ip(&format!("route get {theirs}"));
        assert!(route.contains(&format!("dev {TUN}")), "{route}");
        assert!(host.inner().iter().any(|own| route.contains(&format!("src {own}"))), "{route}");
    }
}

fn assert_gone(host: &Host) {
    assert!(host.namespace.try_ip(&format!("link show dev {TUN}")).is_err(), "{TUN} is still there");
    assert!(!host.namespace.ip("route").contains("10.77."), "routes: {}", host.namespace.ip("route"));
    assert!(!host.namespace.ip("-6 route").contains("fd77:"), "{}", host.namespace.ip("-6 route"));
}

#[test]
fn name_mtu_addresses_and_routes_come_with_the_node_and_go_with_it() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut hosts = Hosts::start(&lab, &Plan { mtu: MTU, ..Plan::default() });
    assert_set_up(&hosts.alpha, &hosts.beta);
    assert_set_up(&hosts.beta, &hosts.alpha);
    let status = hosts.alpha.node.status();
    assert_eq!(status["tun"]["name"], TUN, "{status}");
    ping(&hosts.alpha.namespace, hosts.beta.v4());
    hosts.alpha.node.terminate();
    assert!(hosts.alpha.node.await_exit(SOON).success());
    assert_gone(&hosts.alpha);
    hosts.alpha.node.restart();
    assert_set_up(&hosts.alpha, &hosts.beta);
    assert!(soon(|| lockgate_tests::network::answers(&hosts.alpha.namespace, hosts.beta.v4(), 1)));
    hosts.assert_no_errors();
}

#[test]
fn a_killed_node_leaves_no_interface_and_starts_again() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut hosts = Hosts::start(&lab, &Plan { mtu: MTU, ..Plan::default() });
    ping(&hosts.alpha.namespace, hosts.beta.v6());
    hosts.alpha.node.kill();
    assert_gone(&hosts.alpha);
    hosts.alpha.node.restart();
    assert_set_up(&hosts.alpha, &hosts.beta);
    for address in hosts.beta.inner() {
        assert!(soon(|| lockgate_tests::network::answers(&hosts.alpha.namespace, address, 1)), "{address}");
    }
}

/// A node that has forgotten its flows takes a segment for the first of one, where the rules allow its direction.
#[test]
fn an_established_flow_outlives_a_restart_of_either_node() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut hosts = Hosts::start(&lab, &Plan::default());
    let flow = Flow::start_at(&hosts.alpha.namespace, &hosts.beta.namespace, hosts.beta.at(OPEN));
    flow.advance("before", 1 << 20);
    hosts.beta.node.kill();
    hosts.beta.node.restart();
    flow.advance("after the receiver's restart", 1 << 20);
    hosts.alpha.node.kill();
    hosts.alpha.node.restart();
    flow.advance("after the sender's restart", 1 << 20);
    flow.finish();
    hosts.assert_no_errors();
}

/// An administrator's: it stays when the node goes, and the node takes it over again.
#[test]
fn a_persistent_interface_is_taken_over_and_left_behind() {
    let Some(lab) = Lab::open(&[]) else { return };
    let Lone { namespace, _peer, config, .. } = Lone::new(&lab);
    namespace.ip(&format!("tuntap add dev {TUN} mode tun"));
    let mut node = NodeProcess::spawn("alpha", &config, Some(namespace.name().to_owned()));
    node.await_ready();
    for run in 0..2 {
        assert!(namespace.ip(&format!("address show dev {TUN}")).contains("10.77.0.1/32"), "run {run}");
        assert!(namespace.ip("route get 10.77.0.2").contains(&format!("dev {TUN}")), "run {run}");
        node.terminate();
        assert!(node.await_exit(SOON).success());
        assert!(namespace.try_ip(&format!("link show dev {TUN}")).is_ok(), "it is not ours to delete");
        node.restart();
    }
    node.assert_no_errors();
}

#[test]
fn a_deleted_interface_ends_the_node_with_an_error() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut hosts = Hosts::start(&lab, &Plan::default());
    hosts.alpha.namespace.ip(&format!("link del {TUN}"));
    let status = hosts.alpha.node.await_exit(SOON);
    assert_eq!(status.code(), Some(1));
    hosts.alpha.node.await_line("the interface lockgate0 of [tun] was deleted while the node ran");
    hosts.beta.node.assert_no_errors();
}

/// The kernel takes an interface's routes away with it.
#[test]
fn an_interface_that_was_down_for_a_while_has_its_routes_again() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan { mtu: MTU, ..Plan::default() });
    let namespace = &hosts.alpha.namespace;
    namespace.ip(&format!("link set {TUN} down"));
    assert!(!lockgate_tests::network::answers(namespace, hosts.beta.v4(), 1));
    namespace.ip(&format!("link set {TUN} up"));
    for address in hosts.beta.inner() {
        assert!(soon(|| lockgate_tests::network::answers(namespace, address, 1)), "{address}");
    }
    assert_set_up(&hosts.alpha, &hosts.beta);
    hosts.assert_no_errors();
}

#[test]
fn a_jumbo_interface_carries_a_stream() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan { mtu: 9000, ..Plan::default() });
    let flow = Flow::start_at(&hosts.alpha.namespace, &hosts.beta.namespace, hosts.beta.at(OPEN));
    flow.advance("in outer fragments", 1 << 20);
    flow.finish();
    hosts.assert_no_errors();
}

/// One host, whose node has not run.
struct Lone {
    namespace: Namespace,
    /// The other end of its wire.
    _peer: Namespace,
    config: PathBuf,
    text: String,
}

impl Lone {
    fn new(lab: &Lab) -> Self {
        let [own, peer] = sites(lab);
        let config = lab.dir().join("alone.toml");
        let text = configuration(lab, &Plan::default(), &own, &peer);
        put(&config, &text);
        put(&policy_path(lab, own.number), &policy_text(super::POLICY));
        Self { namespace: own.namespace, _peer: peer.namespace, config, text }
    }

    /// Another word in its configuration.
    fn change(&mut self, from: &str, to: &str) {
        self.text = self.text.replace(from, to);
        put(&self.config, &self.text);
    }

    /// `up`, which is to end by itself; `before` are words before it.
    fn up(&self, before: &[&str]) -> Output {
        let mut command = self.namespace.command("timeout");
        command
            .args(["--signal=KILL", "20"])
            .args(before)
            .arg(lockgate())
            .arg("up")
            .arg("-c")
            .arg(&self.config);
        command.output().expect("ip is there")
    }
}

fn assert_refused(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words.iter().chain(&["error: ", "hint: "]) {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
}

#[test]
fn a_name_that_is_taken_is_said_with_its_place_in_the_configuration() {
    let Some(lab) = Lab::open(&[]) else { return };
    let lone = Lone::new(&lab);
    lone.namespace.ip(&format!("link add {TUN} type veth peer name other"));
    assert_refused(&lone.up(&[]), &["alone.toml:", "tun.name", TUN, "exists"]);
    lone.namespace.ip(&format!("link del {TUN}"));
    lone.namespace.ip(&format!("tuntap add dev {TUN} mode tap"));
    assert_refused(&lone.up(&[]), &["alone.toml:", "tun.name", TUN, "TAP"]);
}

#[test]
fn another_node_with_the_interface_is_said() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan::default());
    let mut lone = Lone::new(&lab);
    lone.change(":51820\"\ncontrol", ":51999\"\ncontrol");
    lone.change("alpha.control", "other.control");
    let output = hosts.alpha.namespace.command(lockgate()).arg("up").arg("-c").arg(&lone.config).output();
    assert_refused(&output.expect("ip is there"), &["alone.toml:", "tun.name", "another program has it"]);
    ping(&hosts.alpha.namespace, hosts.beta.v4());
}

#[test]
fn without_cap_net_admin_the_mend_is_said() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("setpriv") {
        return;
    }
    let lone = Lone::new(&lab);
    let output = lone.up(&["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]);
    assert_refused(&output, &["CAP_NET_ADMIN", TUN]);
}

#[test]
fn without_the_driver_the_mend_is_said() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("unshare") {
        return;
    }
    let lone = Lone::new(&lab);
    // An empty /dev/net, in a mount namespace of its own.
    let script = "mount -t tmpfs none /dev/net && exec \"$@\"";
    let output = lone.up(&["unshare", "--mount", "sh", "-c", script, "sh"]);
    assert_refused(&output, &["/dev/net/tun", "modprobe tun"]);
}

#[test]
fn an_mtu_that_no_tunnel_has_is_a_mistake_of_the_file() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut lone = Lone::new(&lab);
    lone.change("mtu = 1420", "mtu = 1279");
    assert_refused(&lone.up(&[]), &["alone.toml:", "mtu"]);
}

/// It may be the way to the peer.
#[test]
fn a_route_of_another_interface_is_not_taken_over() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut lone = Lone::new(&lab);
    lone.change("[\"10.77.0.2\", ", "[\"10.77.0.2\", \"10.99.0.0/24\", ");
    assert_refused(&lone.up(&[]), &["alone.toml:", "peer.addresses", "10.99.0.0/24", "another interface"]);
    assert!(lone.namespace.ip("route").contains(&format!("10.99.0.0/24 dev {WIRE}")));
}

#[test]
fn the_default_route_stays_with_a_peer_that_has_every_address() {
    let Some(lab) = Lab::open(&[]) else { return };
    let mut lone = Lone::new(&lab);
    lone.change("[\"10.77.0.2\", ", "[\"10.77.0.2\", \"0.0.0.0/0\", ");
    let mut node = NodeProcess::spawn("alpha", &lone.config, Some(lone.namespace.name().to_owned()));
    node.await_ready();
    node.await_line("the default route stays as it is");
    assert!(!lone.namespace.ip("route").contains("default"));
}

/// A node without privileges and without `[tun]` is none the worse for this.
#[test]
fn a_node_without_tun_makes_no_interface_and_drops_packets() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = Hosts::start(&lab, &Plan { tun: [true, false], ..Plan::default() });
    assert_gone(&hosts.beta);
    assert!(!lockgate_tests::network::answers(&hosts.alpha.namespace, hosts.beta.v4(), 1));
    assert!(soon(|| hosts.beta.count("/discards/no_tun") > 0), "{}", hosts.beta.node.status());
    hosts.assert_no_errors();
}
