//! Devices that share a host, and one whose host is another than that of its sockets.

use std::net::IpAddr;

use lockgate_tests::network::{Begins, Device, Flow, Implementation, Namespace, Plan, transfer};

use super::{ping, subjects};

/// ```text
///  birth [ sockets of the subject ── wire 10.99.0.1 ] ══ veth ══ [ wire 10.99.0.2 ── device ] right
///    └ the interface is moved ─▶ life [ device 10.100.0.1 ], which has no wire at all
/// ```
#[test]
fn an_interface_may_move_to_another_namespace_at_once() {
    let Some((lab, pair)) = subjects(&Plan { begins: Begins::Right, ..Plan::default() }) else { return };
    let (birth, right) = (&pair.left.namespace, &pair.right);
    let life = Namespace::new("life");
    let device = Device::start(&lab, birth, Implementation::subject());
    birth.ip(&format!("link set {} netns {}", device.name(), life.name()));
    let key = lab.key_pair();
    device.set(&format!(
        "private-key {} listen-port 51999 peer {} allowed-ips 10.100.0.2/32 endpoint {}:51820",
        key.file.display(),
        right.key.public,
        right.wire_v4
    ));
    right.device.set(&format!("peer {} allowed-ips 10.100.0.3/32", key.public));
    life.ip(&format!("link set {} mtu 1420 up", device.name()));
    life.address(device.name(), "10.100.0.3/24");
    ping(&life, right.v4.into());
    ping(&right.namespace, [10, 100, 0, 3].into());
    // An MTU that no netlink of the birthplace tells of.
    life.ip(&format!("link set {} mtu 1300", device.name()));
    transfer(&life, &right.namespace, right.v4.into(), 1_000_000);
}

/// ```text
///  left [ device 10.100.0.1 port 51820, device 10.101.0.1 port 51821 ] ══ right [ device 10.100.0.2, device 10.101.0.2 ]
/// ```
#[test]
fn several_devices_share_a_host() {
    let Some((lab, pair)) = subjects(&Plan::default()) else { return };
    let seconds = [&pair.left, &pair.right].map(|end| {
        let device = Device::start(&lab, &end.namespace, Implementation::subject());
        let key = lab.key_pair();
        device.set(&format!("private-key {} listen-port 51821", key.file.display()));
        end.namespace.ip(&format!("link set {} mtu 1420 up", device.name()));
        (device, key)
    });
    for (own, other) in [(0, 1), (1, 0)] {
        let end = [&pair.left, &pair.right][own];
        end.namespace.address(seconds[own].0.name(), &format!("10.101.0.{}/24", own + 1));
        seconds[own].0.set(&format!(
            "peer {} allowed-ips 10.101.0.{number}/32 endpoint 10.99.0.{number}:51821",
            seconds[other].1.public,
            number = other + 1
        ));
    }
    let targets: [IpAddr; 2] = [pair.right.v4.into(), [10, 101, 0, 2].into()];
    for target in targets {
        ping(&pair.left.namespace, target);
    }
    let flows = targets.map(|target| Flow::start(&pair.left.namespace, &pair.right.namespace, target));
    for flow in &flows {
        flow.advance("beside another device", 1_000_000);
    }
    for flow in flows {
        flow.finish();
    }
    // One goes, the other stays.
    let [first, second] = seconds;
    drop(first);
    drop(second);
    ping(&pair.left.namespace, targets[0]);
}
