//! A host that forwards is no way around the policy: it speaks for its own addresses, and for networks that it was given.
//!
//! ```text
//!  alpha (role=edge) ══ wire ══ hub (role=centre, forwards) ══ wire2 ══ gamma (role=far)
//!    10.77.0.1                   10.77.0.2                    10.77.0.3
//!                                 └ lan 192.168.7.1 ── veth ── lan 192.168.7.2 of a host without a node
//!  may: edge → centre, centre → far, centre → edge; not: edge → far
//! ```

use std::time::Duration;

use lockgate_tests::network::{KeyPair, Lab, Namespace, PORT, WIRE, answers, ping};
use lockgate_tests::rig::{NodeProcess, put};

const ALLOW: &str = "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\", \"far\"]\n[nodes]\nalpha = { role = \"edge\" }\n\
    hub = { role = \"centre\" }\ngamma = { role = \"far\" }\n\
    [[allow]]\nid = \"in\"\nfrom = \"role=edge\"\nto = \"role=centre icmp\"\nwhy = \"the test\"\n\
    [[allow]]\nid = \"out\"\nfrom = \"role=centre\"\nto = \"role=far icmp\"\nwhy = \"the test\"\n\
    [[allow]]\nid = \"back\"\nfrom = \"role=centre\"\nto = \"role=edge icmp\"\nwhy = \"the test\"\n";
const NAMES: [&str; 3] = ["alpha", "hub", "gamma"];
/// Their places in [`NAMES`].
const ALPHA: usize = 0;
const HUB: usize = 1;
const GAMMA: usize = 2;

struct World {
    nodes: [NodeProcess; 3],
    namespaces: [Namespace; 3],
    lan: Namespace,
}

impl World {
    /// `networks` is what the hub's `[tun]` says of the networks behind it.
    fn start(lab: &Lab, networks: &str) -> Self {
        let namespaces = NAMES.map(Namespace::new);
        let lan = Namespace::new("lan");
        namespaces[ALPHA].join(WIRE, &namespaces[HUB], WIRE, 1500);
        namespaces[GAMMA].join(WIRE, &namespaces[HUB], "wire2", 1500);
        lan.join("lan", &namespaces[HUB], "lan", 1500);
        namespaces[ALPHA].address(WIRE, "10.99.0.1/24");
        namespaces[HUB].address(WIRE, "10.99.0.2/24");
        namespaces[HUB].address("wire2", "10.98.0.2/24");
        namespaces[GAMMA].address(WIRE, "10.98.0.3/24");
        namespaces[HUB].address("lan", "192.168.7.1/24");
        lan.address("lan", "192.168.7.2/24");
        lan.ip("route add default via 192.168.7.1");
        namespaces[HUB].sysctl("net.ipv4.ip_forward", "1");
        put(&lab.dir().join("policy.toml"), ALLOW);
        let keys = NAMES.map(|_| lab.key_pair());
        // Each end lets the hub speak for everything behind it: what stops a packet is the hub's own judgement.
        let hub_for_alpha = peer(HUB, &keys, "10.99.0.2", "\"10.77.0.2\", \"10.77.0.3\", \"192.168.7.0/24\"");
        let hub_for_gamma = peer(HUB, &keys, "10.98.0.2", "\"10.77.0.2\", \"10.77.0.1\"");
        let both = peer(ALPHA, &keys, "10.99.0.1", "\"10.77.0.1\"")
            + &peer(GAMMA, &keys, "10.98.0.3", "\"10.77.0.3\"");
        let texts = [("", hub_for_alpha), (networks, both), ("", hub_for_gamma)];
        let mut at = 0;
        let mut nodes = texts.map(|(networks, peers)| {
            let config = write(lab, at, &keys[at], networks, &peers);
            let node = NodeProcess::spawn(NAMES[at], &config, Some(namespaces[at].name().to_owned()));
            at += 1;
            node
        });
        nodes.iter_mut().for_each(NodeProcess::await_ready);
        for node in [&nodes[ALPHA], &nodes[GAMMA]] {
            node.await_line("tunnel up");
        }
        Self { nodes, namespaces, lan }
    }
}

fn write(lab: &Lab, at: usize, key: &KeyPair, networks: &str, peers: &str) -> std::path::PathBuf {
    let (name, folder) = (NAMES[at], lab.dir().display());
    let path = lab.dir().join(format!("{name}.toml"));
    put(
        &path,
        &format!(
            "[node]\nname = \"{name}\"\nkey = \"{}\"\naddress = [\"10.77.0.{}\"]\nlisten = \"0.0.0.0:{PORT}\"\n\
             control = \"{folder}/{name}.control\"\npolicy = \"{folder}/policy.toml\"\n[tun]\n{networks}\n{peers}",
            key.file.display(),
            at + 1,
        ),
    );
    path
}

fn peer(at: usize, keys: &[KeyPair; 3], wire: &str, addresses: &str) -> String {
    format!(
        "[[peer]]\nname = \"{}\"\npublic_key = \"{}\"\nendpoint = \"{wire}:{PORT}\"\naddresses = [{addresses}]\n",
        NAMES[at], keys[at].public
    )
}

/// Alpha may send to the hub, and the hub to gamma; together that is not from alpha to gamma.
#[test]
fn two_permissions_do_not_add_up_to_a_third_at_a_hub() {
    let Some(lab) = Lab::open(&[]) else { return };
    let world = World::start(&lab, "");
    let [alpha, hub, gamma] = &world.nodes;
    ping(&world.namespaces[ALPHA], "10.77.0.2".parse().expect("an address"));
    ping(&world.namespaces[HUB], "10.77.0.3".parse().expect("an address"));
    assert!(!answers(&world.namespaces[ALPHA], "10.77.0.3".parse().expect("an address"), 1));
    hub.await_denial(&["10.77.0.3 is no address of hub", "alpha", "icmp"]);
    let status = hub.status();
    assert_eq!(status["discards"]["transit"], 1, "{status}");
    for node in [alpha, gamma] {
        assert!(node.status()["denials"].as_array().is_some_and(Vec::is_empty), "{}", node.status());
        node.assert_no_errors();
    }
}

/// The same the other way: what comes from beyond the hub is not the hub's.
#[test]
fn a_host_behind_a_node_is_nobody_until_its_network_is_given_to_the_node() {
    let Some(lab) = Lab::open(&[]) else { return };
    let alpha = "10.77.0.1".parse().expect("an address");
    let world = World::start(&lab, "");
    assert!(!answers(&world.lan, alpha, 1));
    world.nodes[HUB].await_denial(&["192.168.7.2 is no address of hub", "[tun] networks"]);
    drop(world);

    let world = World::start(&lab, "networks = [\"192.168.7.0/24\"]");
    ping(&world.lan, alpha);
    ping(&world.namespaces[ALPHA], "192.168.7.2".parse().expect("an address"));
    let nobody = std::net::SocketAddr::from(([192, 168, 7, 2], 22));
    let patience = Duration::from_millis(500);
    assert!(!lockgate_tests::network::connects(&world.namespaces[ALPHA], nobody, patience));
    world.nodes[ALPHA].await_denial(&["tcp:22", "hub"]);
    world.nodes[HUB].assert_no_errors();
}
