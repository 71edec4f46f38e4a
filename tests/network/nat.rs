//! A host behind a NAT that forgets after two seconds.
//!
//! ```text
//!  inside 10.100.0.1                          outside 10.100.0.2
//!    └ wire 10.99.0.1 ══ [ nat: masquerade, conntrack 2 s ] ══ wire 192.0.2.2 ┘
//!                          10.99.0.254       192.0.2.254
//! ```

use lockgate_tests::network::{
    Device, Implementation, KeyPair, Lab, Namespace, PORT, SOON, WIRE, answers, eventually, ping,
};

/// Bytes of a keepalive on the wire.
const KEEPALIVE: u64 = 32;

with_each!(a_persistent_keepalive_keeps_us_reachable, |other| {
    let Some(lab) = open(&[other]) else { return };
    stays_reachable(&World::build(&lab, Implementation::subject(), other, " persistent-keepalive 1"));
});
with_each!(a_persistent_keepalive_keeps_the_other_reachable, |other| {
    let Some(lab) = open(&[other]) else { return };
    stays_reachable(&World::build(&lab, other, Implementation::subject(), " persistent-keepalive 1"));
});

/// Shows that the tests above would notice a keepalive that is not sent.
#[test]
fn without_a_keepalive_the_nat_closes() {
    let Some(lab) = open(&[]) else { return };
    let subject = Implementation::subject();
    let world = World::build(&lab, subject, subject, "");
    ping(&world.inside.namespace, world.outside.address.parse().expect("an address"));
    eventually("the NAT forgets", SOON, || (world.mappings() == 0).then_some(()));
    assert!(!answers(&world.outside.namespace, world.inside.address.parse().expect("an address"), 2));
    ping(&world.inside.namespace, world.outside.address.parse().expect("an address"));
    ping(&world.outside.namespace, world.inside.address.parse().expect("an address"));
}

fn open(others: &[Implementation]) -> Option<Lab> {
    Lab::open(others).filter(|lab| lab.has("conntrack"))
}

/// Longer idle than the NAT remembers, and then reached from outside.
fn stays_reachable(world: &World) {
    ping(&world.inside.namespace, world.outside.address.parse().expect("an address"));
    // gotatun counts no keepalive that comes in: what was sent will do.
    let counted = || world.outside.device.peer().received.max(world.inside.device.peer().sent);
    let before = counted();
    eventually("five keepalives", SOON, || (counted() >= before + 5 * KEEPALIVE).then_some(()));
    assert_eq!(world.mappings(), 1, "one flow crosses the NAT");
    ping(&world.outside.namespace, world.inside.address.parse().expect("an address"));
}

struct World {
    inside: Host,
    outside: Host,
    nat: Namespace,
}

struct Host {
    device: Device,
    namespace: Namespace,
    key: KeyPair,
    address: &'static str,
}

impl World {
    /// The host inside knows the one outside, and has `keepalive` among its words for `wg set`.
    fn build(lab: &Lab, inside: Implementation, outside: Implementation, keepalive: &str) -> Self {
        let nat = Namespace::new("nat");
        let namespaces = [Namespace::new("inside"), Namespace::new("outside")];
        nat.join("inner", &namespaces[0], WIRE, 1500);
        nat.join("outer", &namespaces[1], WIRE, 1500);
        nat.address("inner", "10.99.0.254/24");
        nat.address("outer", "192.0.2.254/24");
        nat.sysctl("net.ipv4.ip_forward", "1");
        nat.nft("table ip nat { chain out { type nat hook postrouting priority srcnat; oifname outer masquerade; }; }");
        // The parameters are there once something tracks connections.
        nat.sysctl("net.netfilter.nf_conntrack_udp_timeout", "2");
        nat.sysctl("net.netfilter.nf_conntrack_udp_timeout_stream", "2");
        let [inner, outer] = namespaces;
        inner.address(WIRE, "10.99.0.1/24");
        inner.ip("route add default via 10.99.0.254");
        outer.address(WIRE, "192.0.2.2/24");
        let inside = Host::start(lab, inner, inside, "10.100.0.1");
        let outside = Host::start(lab, outer, outside, "10.100.0.2");
        // A keepalive begins at once: the host outside must be there.
        outside.knows(&inside, "");
        inside.knows(&outside, &format!(" endpoint 192.0.2.2:{PORT}{keepalive}"));
        Self { inside, outside, nat }
    }

    /// How many UDP flows the NAT remembers.
    fn mappings(&self) -> usize {
        self.nat.run("conntrack -L -p udp").lines().filter(|line| line.contains(&PORT.to_string())).count()
    }
}

impl Host {
    fn start(lab: &Lab, namespace: Namespace, implementation: Implementation, address: &'static str) -> Self {
        let device = Device::start(lab, &namespace, implementation);
        let key = lab.key_pair();
        device.set(&format!("private-key {} listen-port {PORT}", key.file.display()));
        namespace.ip(&format!("link set {} mtu 1420 up", device.name()));
        namespace.address(device.name(), &format!("{address}/24"));
        Self { device, namespace, key, address }
    }

    fn knows(&self, other: &Self, more: &str) {
        self.device.set(&format!("peer {} allowed-ips {}/32{more}", other.key.public, other.address));
    }
}
