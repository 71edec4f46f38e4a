//! When the program is there, and when it goes.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use lockgate_tests::network::{
    Begins, Device, Implementation, Lab, Namespace, Plan, SOON, eventually, run, socket, unique_name,
};

use super::{ping, subjects};

#[test]
fn it_ends_when_its_interface_is_deleted() {
    let Some((_lab, mut pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    pair.left.namespace.ip(&format!("link del {}", pair.left.device.name()));
    pair.left.device.await_end(SOON);
    assert!(!pair.left.device.socket().exists(), "its socket is gone");
}

#[test]
fn it_ends_when_its_socket_is_removed() {
    let Some((_lab, mut pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    std::fs::remove_file(pair.left.device.socket()).expect("it is there");
    pair.left.device.await_end(SOON);
    let device = pair.left.device.name();
    assert!(pair.left.namespace.try_ip(&format!("link show {device}")).is_err(), "its interface is gone");
}

#[test]
fn a_daemon_has_its_interface_and_its_socket_before_its_parent_ends() {
    let Some(_lab) = Lab::open(&[]) else { return };
    let host = Namespace::new("daemon");
    let subject = Implementation::subject();
    let name = unique_name();
    let arguments = subject.arguments().iter().filter(|argument| **argument != "-f");
    let status = host
        .command(subject.program().expect("the lab is open"))
        .args(arguments)
        .arg(&name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("ip is there");
    // Not a moment later.
    let (interface, there) = (host.try_ip(&format!("link show {name}")), socket(&name).exists());
    assert!(status.success(), "{subject}: {status}");
    assert!(interface.is_ok() && there, "the parent ended before: {interface:?}, socket: {there}");
    assert!(host.run(&format!("wg show {name}")).contains(&format!("interface: {name}")));
    host.ip(&format!("link del {name}"));
    eventually("the daemon ends", SOON, || {
        (!socket(&name).exists() && processes(&host).is_empty()).then_some(())
    });
}

/// The processes that run in a namespace.
fn processes(host: &Namespace) -> String {
    run(Command::new("ip").args(["netns", "pids", host.name()]))
}

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
    lockgate_tests::network::transfer(&life, &right.namespace, right.v4.into(), 1_000_000);
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
    let flows = targets.map(|target| {
        lockgate_tests::network::Flow::start(&pair.left.namespace, &pair.right.namespace, target)
    });
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
