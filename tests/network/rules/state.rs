//! Flow rules with state (`established`) and without, as ZeroTier has them: what passes, and what is unsolicited.
//!
//! ```text
//!  alpha (role=edge) ── SYN to tcp:8080 ──▶ beta (role=centre)        by policy.toml, and by  lockgate wg --rules
//!       ◀── ACK from tcp:8080 that nobody asked for ──┘
//! ```

use std::net::{IpAddr, SocketAddr};

use lockgate_tests::network::{
    Device, Echo, End, Flow, Implementation, Lab, Namespace, Outer, WIRE, answers, connects,
};

use super::{IN_VAIN, Net, Role, said};

const REST: &str = "[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\n";

/// Replies by state alone.
const STATEFUL: &str = "accept established;\n\
    accept ipprotocol tcp and dport 8080 and chr tcp_syn and not chr tcp_ack and from role=edge;\n";

/// The TCP whitelist of ZeroTier's manual.
const WHITELIST: &str = "accept ipprotocol tcp and dport 8080;\n\
    break chr tcp_syn and not chr tcp_ack;\naccept;\n";

fn policy(rules: &str) -> String {
    format!("default = \"deny\"\nrules = '''\n{rules}'''\n{REST}")
}

/// Whether an ACK of no connection comes through: then a reset comes back, or may have been sent in vain.
fn is_reached_by_ack(from: &Namespace, source: u16, to: IpAddr, port: u16) -> bool {
    let mut nmap = from.command("nmap");
    nmap.args(["-n", "-Pn", "-sA", "--send-ip", "--max-retries", "1", "--max-rtt-timeout", "400ms"]);
    nmap.args(["-g", &source.to_string(), "-p", &port.to_string(), "-oG", "-", &to.to_string()]);
    let report = said(&mut nmap);
    assert!(report.contains("filtered"), "{report}");
    report.contains("unfiltered")
}

/// Some bytes cross, and as many come back as acknowledge them.
fn carries(from: &Namespace, to: &Namespace, target: SocketAddr) {
    let flow = Flow::start_at(from, to, target);
    flow.advance("an allowed flow", 1 << 20);
    flow.finish();
}

#[test]
fn established_lets_replies_pass_and_nothing_unsolicited() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("nmap") {
        return;
    }
    let net = Net::start(&lab, ["alpha", "beta"].map(Role::named), &policy(STATEFUL));
    let [alpha, beta] = &net.hosts;
    carries(&alpha.namespace, &beta.namespace, beta.at(8080));
    assert!(!connects(&alpha.namespace, beta.at(8081), IN_VAIN), "another port");
    assert!(!connects(&beta.namespace, alpha.at(8080), IN_VAIN), "the other way");
    assert!(!answers(&alpha.namespace, beta.v4(), 1), "another protocol");
    // As a reply would look, from either end.
    assert!(!is_reached_by_ack(&beta.namespace, 8080, alpha.v4(), 40_000), "a reply to nothing");
    assert!(!is_reached_by_ack(&alpha.namespace, 40_000, beta.v4(), 8080), "an ACK opens nothing");
    assert!(beta.count("/discards/denied") >= 1 && alpha.count("/discards/denied") >= 1);
    net.assert_no_errors();
}

/// What the manual's pattern means, seen from both ends.
struct Ends<'a> {
    alpha: &'a Namespace,
    beta: &'a Namespace,
    addresses: [IpAddr; 2],
}

impl Ends<'_> {
    /// Upstream's documented behaviour: a list of ports for what opens, and no state.
    fn assert_whitelist(&self) {
        let Self { alpha, beta, addresses: [a, b] } = *self;
        carries(alpha, beta, (b, 8080).into());
        carries(beta, alpha, (a, 8080).into());
        assert!(!connects(alpha, (b, 8081).into(), IN_VAIN), "a port that is not on the list");
        assert!(!connects(beta, (a, 22).into(), IN_VAIN), "a port that is not on the list");
        assert!(answers(alpha, b, 5), "ICMP is not TCP");
        Echo::start(beta, b).try_sizes(alpha, [1, 1000]);
        assert!(is_reached_by_ack(alpha, 40_000, b, 8081), "any segment that is no SYN passes to any port");
        assert!(is_reached_by_ack(beta, 8081, a, 40_000), "and back");
    }
}

#[test]
fn the_tcp_whitelist_of_zerotiers_manual_means_the_same_in_a_policy() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("nmap") {
        return;
    }
    let net = Net::start(&lab, ["alpha", "beta"].map(Role::named), &policy(WHITELIST));
    let [alpha, beta] = &net.hosts;
    let addresses = [alpha.v4(), beta.v4()];
    Ends { alpha: &alpha.namespace, beta: &beta.namespace, addresses }.assert_whitelist();
    net.assert_no_errors();
}

#[test]
fn the_tcp_whitelist_of_zerotiers_manual_means_the_same_under_wg() {
    let Some(lab) = Lab::open(&[]) else { return };
    if Implementation::subject() != Implementation::Lockgate || !lab.has("nmap") {
        return;
    }
    let rules = lab.private_file(WHITELIST);
    let hosts = [Namespace::new("alpha"), Namespace::new("beta")];
    hosts[0].join(WIRE, &hosts[1], WIRE, 1500);
    let mut number = 0;
    let [alpha, beta] = hosts.map(|namespace| {
        number += 1;
        let device = Device::start_judging(&lab, &namespace, &rules);
        End::with_device(&lab, namespace, device, number, 1420)
    });
    alpha.knows(&beta, Some(beta.endpoint(Outer::V4)), "");
    beta.knows(&alpha, Some(alpha.endpoint(Outer::V4)), "");
    let addresses = [alpha.v4.into(), beta.v4.into()];
    Ends { alpha: &alpha.namespace, beta: &beta.namespace, addresses }.assert_whitelist();
}
