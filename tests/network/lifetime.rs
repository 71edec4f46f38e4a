//! A userspace implementation lives as long as its interface and its control socket.
//!
//! ```text
//!  one namespace: subject ── interface, /var/run/wireguard/IFNAME.sock
//! ```

use lockgate_tests::network::{
    Device, Implementation, Lab, Namespace, SOON, eventually, socket, unique_name,
};

#[test]
fn it_ends_when_its_interface_is_deleted() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = Namespace::new("host");
    let mut device = Device::start(&lab, &host, Implementation::subject());
    host.ip(&format!("link del {}", device.name()));
    device.await_end(SOON);
    assert!(!device.socket().exists(), "its socket is gone");
}

#[test]
fn it_ends_when_its_socket_is_removed() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = Namespace::new("host");
    let mut device = Device::start(&lab, &host, Implementation::subject());
    host.run(&format!("rm {}", device.socket().display()));
    device.await_end(SOON);
    assert!(host.try_ip(&format!("link show {}", device.name())).is_err(), "its interface is gone");
}

#[test]
fn it_starts_over_a_socket_that_a_crash_left() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = Namespace::new("host");
    let mut device = Device::start(&lab, &host, Implementation::subject());
    device.kill();
    assert!(device.socket().exists(), "nobody took it away");
    let again = Device::start_named(&lab, &host, Implementation::subject(), device.name());
    assert!(again.peers().is_empty());
}

#[test]
fn two_devices_live_on_one_host() {
    let Some(lab) = Lab::open(&[]) else { return };
    let host = Namespace::new("host");
    let subject = Implementation::subject();
    let devices = [Device::start(&lab, &host, subject), Device::start(&lab, &host, subject)];
    for (device, port) in devices.iter().zip([4001, 4002]) {
        device.set(&format!("private-key {} listen-port {port}", lab.key_pair().file.display()));
        host.ip(&format!("link set {} up", device.name()));
    }
    assert_eq!(devices.each_ref().map(Device::port), [4001, 4002]);
}

#[test]
fn a_daemon_is_left_alone_only_once_interface_and_socket_are_there() {
    let Some(_lab) = Lab::open(&[]) else { return };
    let host = Namespace::new("host");
    let name = unique_name();
    let subject = Implementation::subject();
    host.run_quietly(subject.program().expect("looked for"), subject.daemon_arguments(), &name);
    host.ip(&format!("link show {name}"));
    assert!(socket(&name).exists());
    let running = host.processes();
    assert_eq!(running.len(), 1, "one daemon: {running:?}");
    host.ip(&format!("link del {name}"));
    eventually("the daemon ends", SOON, || host.processes().is_empty().then_some(()));
    assert!(!socket(&name).exists());
}
