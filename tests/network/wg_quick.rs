//! wg-quick with Lockgate as the implementation that it starts.
//!
//! ```text
//!  left: wg-quick up, subject  10.100.0.1 fd00:100::1     right: wireguard-go  10.100.0.2 fd00:100::2
//!    └── wire 10.99.0.1 fd00:99::1 ═════════ veth ═════════ wire 10.99.0.2 fd00:99::2 ──┘ lo 10.200.0.1 fd00:200::1
//! ```

use std::net::IpAddr;

use lockgate_tests::network::{
    End, Implementation, KeyPair, Lab, Namespace, Outer, PORT, Quick, SOON, WIRE, eventually, ping,
    preshared_key, transfer,
};

/// Bytes of each TCP transfer.
const TRANSFER: u64 = 1_000_000;
/// What lies behind the host on the right, and is reached by a default route only.
const FAR: [&str; 2] = ["10.200.0.1", "fd00:200::1"];

#[test]
fn up_carries_traffic_and_down_leaves_nothing() {
    let Some(world) = World::build() else { return };
    let config = world.config("10.100.0.0/24, fd00:100::/64");
    let Some(mut quick) = world.quick(&config) else { return };
    quick.up();
    let link = world.left.ip(&format!("link show {}", quick.name()));
    assert!(link.contains("mtu 1400"), "{link}");
    for address in world.right.inner() {
        ping(&world.left, address);
        transfer(&world.left, &world.right.namespace, address, TRANSFER);
    }
    assert_ends(&world, &mut quick);
}

#[test]
fn everything_goes_by_the_tunnel_except_the_tunnel() {
    let Some(world) = World::build() else { return };
    let Some(mut quick) = world.quick(&world.config("0.0.0.0/0, ::/0")) else { return };
    for (address, length) in FAR.into_iter().zip([32, 128]) {
        world.right.namespace.address("lo", &format!("{address}/{length}"));
    }
    quick.up();
    let mark = world.left.run(&format!("wg show {} fwmark", quick.name()));
    assert_eq!(mark.trim(), "0xca6c", "wg-quick marks the tunnel's own datagrams");
    for address in FAR {
        let address: IpAddr = address.parse().expect("an address");
        ping(&world.left, address);
        transfer(&world.left, &world.right.namespace, address, TRANSFER);
    }
    assert_ends(&world, &mut quick);
    let rules = world.left.ip("rule show");
    assert!(!rules.contains("0xca6c"), "{rules}");
}

#[test]
fn syncconf_changes_what_differs_and_keeps_the_session() {
    let Some(world) = World::build() else { return };
    let config = world.config("10.100.0.0/24, fd00:100::/64");
    let Some(mut quick) = world.quick(&config) else { return };
    quick.up();
    ping(&world.left, world.right.v4.into());
    let shown = |what: &str| world.left.run(&format!("wg show {} {what}", quick.name()));
    let before = shown("latest-handshakes");
    let more = world.lab.key_pair();
    let stripped = format!(
        "{}\n[Peer]\nPublicKey = {}\nAllowedIPs = 10.101.0.0/16\nPersistentKeepalive = 25\n",
        quick.strip(),
        more.public
    );
    let file = world.lab.private_file(&stripped);
    world.left.run(&format!("wg syncconf {} {}", quick.name(), file.display()));
    assert!(shown("allowed-ips").contains(&format!("{}\t10.101.0.0/16", more.public)));
    assert!(shown("persistent-keepalive").contains(&format!("{}\t25", more.public)));
    assert!(shown("latest-handshakes").contains(before.trim()), "the session was kept");
    ping(&world.left, world.right.v6.into());
    let file = world.lab.private_file(&quick.strip());
    world.left.run(&format!("wg syncconf {} {}", quick.name(), file.display()));
    assert_eq!(shown("peers").trim(), world.right.key.public);
    assert_eq!(shown("latest-handshakes"), before, "the session was kept");
    assert_ends(&world, &mut quick);
}

/// After `down`, the interface, the control socket and the process are gone.
fn assert_ends(world: &World, quick: &mut Quick) {
    quick.down();
    eventually("interface, socket and process are gone", SOON, || {
        let left = world.left.try_ip(&format!("link show {}", quick.name())).is_ok()
            || quick.socket().exists()
            || !world.left.processes().is_empty();
        (!left).then_some(())
    });
}

/// The host on the right has its tunnel; the one on the left waits for wg-quick.
struct World {
    right: End,
    left: Namespace,
    left_key: KeyPair,
    preshared: String,
    lab: Lab,
}

impl World {
    fn build() -> Option<Self> {
        let lab = Lab::open(&[Implementation::WireguardGo])?;
        let left = Namespace::new("left");
        let host = Namespace::new("right");
        left.join(WIRE, &host, WIRE, 1500);
        left.address(WIRE, "10.99.0.1/24");
        left.address(WIRE, "fd00:99::1/64");
        let right = End::start(&lab, host, Implementation::WireguardGo, 2, 1400);
        let left_key = lab.key_pair();
        let file = preshared_key(&lab);
        right.device.set(&format!(
            "peer {} preshared-key {} allowed-ips 10.100.0.1/32,fd00:100::1/128",
            left_key.public,
            file.display()
        ));
        let preshared = right.device.peer().preshared_key.expect("it was just set");
        Some(Self { right, left, left_key, preshared, lab })
    }

    /// The file of the host on the left.
    fn config(&self, allowed_ips: &str) -> String {
        format!(
            "[Interface]\nAddress = 10.100.0.1/24, fd00:100::1/64\nPrivateKey = {}\nListenPort = {PORT}\n\
             MTU = 1400\n\n[Peer]\nPublicKey = {}\nPresharedKey = {}\nAllowedIPs = {allowed_ips}\nEndpoint = {}\n",
            self.left_key.private,
            self.right.key.public,
            self.preshared,
            self.right.endpoint(Outer::V4),
        )
    }

    fn quick(&self, config: &str) -> Option<Quick<'_>> {
        Quick::prepare(&self.lab, &self.left, Implementation::subject(), config)
    }
}
