//! A node with `[tun]` and a plain WireGuard peer, which has no policy and no broker.
//!
//! ```text
//!  alpha (role=edge, lockgate up) 10.77.0.1 fd77::1      beta (role=centre, wireguard-go) 10.77.0.2 fd77::2
//!    └ wire 10.99.0.1 ═════════════════════ veth ═════════════════════ wire 10.99.0.2 ┘
//! ```

use std::time::Duration;

use lockgate_tests::network::{
    Device, Echo, Flow, Implementation, Lab, Namespace, PORT, answers, connects, ping,
};

use super::{CLOSED, Host, OPEN, Plan, configuration, name, sites, soon, stdout, v4, v6};

/// The node, and what is no node.
struct World {
    alpha: Host,
    device: Device,
    beta: Namespace,
}

impl World {
    fn start(lab: &Lab) -> Self {
        let plan = Plan::default();
        let [own, peer] = sites(lab);
        let text = configuration(lab, &plan, &own, &peer);
        let device = Device::start(lab, &peer.namespace, Implementation::WireguardGo);
        device.set(&format!(
            "private-key {} listen-port {PORT} peer {} allowed-ips {}/32,{}/128",
            peer.key.file.display(),
            own.key.public,
            v4(1),
            v6(1),
        ));
        peer.namespace.ip(&format!("link set {} mtu 1420 up", device.name()));
        peer.namespace.address(device.name(), &format!("{}/24", v4(2)));
        peer.namespace.address(device.name(), &format!("{}/64", v6(2)));
        let alpha = Host::start(lab, own, &plan, &text);
        alpha.await_tunnel();
        Self { alpha, device, beta: peer.namespace }
    }
}

#[test]
fn the_policy_holds_with_a_plain_peer_too() {
    let Some(lab) = Lab::open(&[Implementation::WireguardGo]) else { return };
    let World { alpha, device, beta } = World::start(&lab);
    for address in [v4(2), v6(2)] {
        ping(&alpha.namespace, address);
        let flow = Flow::start_at(&alpha.namespace, &beta, (address, OPEN).into());
        flow.advance("to a plain peer", 4 << 20);
        flow.finish();
        let echo = Echo::start_at(&beta, (address, 5005).into());
        echo.try_sizes(&alpha.namespace, [1, 1392, 9000, 30_000]);
    }
    let patience = Duration::from_millis(500);
    assert!(!connects(&alpha.namespace, (v4(2), CLOSED).into(), patience));
    alpha.node.await_denial(&["tcp:8081", "web", "beta"]);
    // The plain peer judges nothing: alone the node stands between it and its host.
    assert!(!answers(&beta, v4(1), 1) && !answers(&beta, v6(1), 1));
    assert!(!connects(&beta, (v4(1), OPEN).into(), patience));
    alpha.node.await_denial(&["icmp", "pings", &format!("\"from\":\"{}\"", name(2))]);
    alpha.node.await_denial(&["tcp:8080", &format!("\"from\":\"{}\"", name(2))]);
    assert!(soon(|| device.peer().latest_handshake > 0));
    alpha.node.assert_no_errors();
}

#[test]
fn a_plain_peer_never_answers_lockgates_own_ping_and_that_is_said() {
    let Some(lab) = Lab::open(&[Implementation::WireguardGo]) else { return };
    let World { alpha, device, beta: _beta } = World::start(&lab);
    let output = alpha.lockgate(&["ping", "beta", "--count", "1", "--timeout", "300ms"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a plain WireGuard peer never does"), "{said}");
    assert_eq!(device.peers().len(), 1);
    alpha.node.assert_no_errors();
}
