//! A host without IPv6.
//!
//! ```text
//!  left: no IPv6, 10.100.0.1                    right: 10.100.0.2
//!    └── wire 10.99.0.1 ══════════ veth ══════════ wire 10.99.0.2 ──┘
//! ```

use lockgate_tests::network::{Device, Implementation, Lab, Namespace, transfer};

use super::ping;

#[test]
fn a_host_without_ipv6_has_a_tunnel() {
    let Some(lab) = Lab::open(&[]) else { return };
    let hosts = [Namespace::new("left"), Namespace::new("right")];
    for key in ["all", "default", "lo"] {
        hosts[0].sysctl(&format!("net.ipv6.conf.{key}.disable_ipv6"), "1");
    }
    hosts[0].join("wire", &hosts[1], "wire", 1500);
    let ends = [1, 2].map(|number| {
        let host = &hosts[number - 1];
        host.address("wire", &format!("10.99.0.{number}/24"));
        let device = Device::start(&lab, host, Implementation::subject());
        let key = lab.key_pair();
        device.set(&format!("private-key {} listen-port 51820", key.file.display()));
        host.ip(&format!("link set {} mtu 1420 up", device.name()));
        host.address(device.name(), &format!("10.100.0.{number}/24"));
        (device, key)
    });
    for (own, other) in [(0, 1), (1, 0)] {
        ends[own].0.set(&format!(
            "peer {} allowed-ips 10.100.0.{number}/32 endpoint 10.99.0.{number}:51820",
            ends[other].1.public,
            number = other + 1
        ));
    }
    let [left, right] = &hosts;
    ping(left, [10, 100, 0, 2].into());
    ping(right, [10, 100, 0, 1].into());
    transfer(left, right, [10, 100, 0, 2].into(), 2_000_000);
}
