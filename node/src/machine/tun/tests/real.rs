//! Real devices, each in a namespace of its own test.
//!
//! ```text
//!  UDP socket 10.9.0.1 ── kernel ── TUN wg0 (10.9.0.1/24) ── the test, as everything behind it
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use lockgate_proto::outbox::Envelope;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::super::super::netlink::Netlink;
use super::super::super::poller::{Interest, Poller, Ready};
use super::super::super::private_network::{in_private_network, ip, thread_id};
use super::super::super::udp::Udp;
use super::*;

const LONG: Option<Duration> = Some(Duration::from_secs(20));
const NEAR: &str = "10.9.0.1:0";
const FAR: &str = "10.9.0.2:4000";

/// `wg0`, up, with an address, and no IPv6 that would speak unasked.
fn device() -> Tun {
    let tun = Tun::create("wg0").unwrap();
    set_up(&tun);
    tun
}

fn set_up(tun: &Tun) {
    let quiet = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", tun.name());
    std::fs::write(quiet, "1").unwrap();
    ip(&format!("address add 10.9.0.1/24 dev {}", tun.name()));
    ip(&format!("link set {} up", tun.name()));
}

/// The next packet, awaited, with its header.
fn next(tun: &mut Tun) -> ([u8; HEADER], Vec<u8>) {
    let mut poller = Poller::new().unwrap();
    poller.register(&*tun, 1, Interest::Read).unwrap();
    assert!(poller.wait(LONG).unwrap().iter().any(|ready| ready.readable), "a packet came");
    match tun.read().unwrap() {
        TunRead::Frame(frame) => (frame.header, frame.packet.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// UDP from 10.9.0.2:4000 to `to`, with a whole IP checksum and (as IPv4 allows) no UDP one, under a plain header.
fn datagram(to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
    let sum = !folded(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(4000_u16.to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    [&PLAIN[..], &packet].concat()
}

/// The same as one item that the kernel cuts into datagrams of `size`.
fn coalesced(to: SocketAddr, payload: &[u8], size: u16) -> Vec<u8> {
    let mut item = datagram(to, payload);
    item[..2].copy_from_slice(&[1, 5]);
    for (at, value) in [(2, 28), (4, size), (6, 20), (8, 6)] {
        item[at..at + 2].copy_from_slice(&u16::to_ne_bytes(value));
    }
    let udp = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let seed = folded(&[&[10, 9, 0, 2, 10, 9, 0, 1, 0, 17], &udp[..]].concat());
    item[HEADER + 26..HEADER + 28].copy_from_slice(&seed.to_be_bytes());
    item
}

fn folded(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

#[test]
fn packets_of_an_application_come_out_and_answers_go_in() {
    in_private_network(|| {
        let mut tun = device();
        let socket = UdpSocket::bind(NEAR).unwrap();
        assert_eq!(tun.read().unwrap(), TunRead::Drained);
        socket.send_to(b"question", FAR).unwrap();
        let (header, packet) = next(&mut tun);
        assert_eq!(header[1], 0, "one datagram is not cut");
        assert_eq!(&packet[28..], b"question");
        assert_eq!(tun.write(&datagram(socket.local_addr().unwrap(), b"answer")), Written::Sent);
        let mut bytes = [0; 16];
        let (length, from) = socket.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from.to_string().as_str()), (&b"answer"[..], FAR));
    });
}

#[test]
fn a_kernel_with_segmentation_hands_over_and_takes_super_packets() {
    in_private_network(|| {
        let mut tun = device();
        assert!(tun.offloads().tso, "every supported kernel has it");
        let link = std::process::Command::new("ip").args(["-d", "link", "show", "wg0"]).output().unwrap();
        assert!(String::from_utf8_lossy(&link.stdout).contains(" gso_max_size 61612 "), "{link:?}");
        if !tun.offloads().uso {
            eprintln!("skipped: this kernel has no USO (Linux 6.2)");
            return;
        }
        let sender = Udp::bind(NEAR.parse().unwrap()).unwrap();
        sender.send(&Envelope::to(FAR.parse().unwrap()), &[7; 4000], Some(1000)).unwrap();
        let (header, packet) = next(&mut tun);
        assert_eq!((header[0], header[1], u16::from_ne_bytes([header[4], header[5]])), (1, 5, 1000));
        assert_eq!(packet.len(), 28 + 4000, "four datagrams in one read");
        let socket = UdpSocket::bind(NEAR).unwrap();
        let item =
            coalesced(socket.local_addr().unwrap(), &[&[1; 500][..], &[2; 500], &[3; 100]].concat(), 500);
        assert_eq!(tun.write(&item), Written::Sent);
        let mut bytes = [0; 600];
        for (length, value) in [(500, 1), (500, 2), (100, 3)] {
            assert_eq!(socket.recv(&mut bytes).unwrap(), length);
            assert_eq!(bytes[..length], vec![value; length], "the kernel cut and sealed it");
        }
        assert_eq!((tun.counters().super_packets, tun.counters().coalesced), (1, 1));
    });
}

#[test]
fn a_refused_super_packet_and_a_bad_packet_are_told_apart() {
    in_private_network(|| {
        let mut tun = device();
        let to = "10.9.0.1:9".parse().unwrap();
        let mut unknown_type = coalesced(to, &[0; 900], 500);
        unknown_type[1] = 0x3f;
        assert_eq!(tun.write(&unknown_type), Written::Refused);
        assert_eq!(tun.write(&[&PLAIN[..], &[0; 40]].concat()), Written::Failed, "it has no IP version");
        assert_eq!(tun.write(&PLAIN), Written::Failed, "it has no packet");
        assert_eq!((tun.counters().refused, tun.counters().errors, tun.counters().writes), (1, 2, 0));
    });
}

#[test]
fn a_device_that_is_down_drops_and_one_that_is_up_again_carries() {
    in_private_network(|| {
        let mut tun = device();
        let item = datagram("10.9.0.1:9".parse().unwrap(), b"x");
        let mut poller = Poller::new().unwrap();
        poller.register(&tun, 7, Interest::Read).unwrap();
        assert!(tun.state().up);
        ip("link set wg0 down");
        assert!(!tun.state().up);
        assert_eq!(tun.write(&item), Written::Down);
        assert_eq!(tun.read().unwrap(), TunRead::Drained);
        ip("link set wg0 up");
        assert_eq!(tun.write(&item), Written::Sent);
        assert_eq!((tun.counters().down, tun.counters().writes), (1, 1));
        assert!(
            poller.wait(Some(Duration::ZERO)).unwrap().iter().all(|ready| !ready.hangup),
            "only its end is one"
        );
    });
}

#[test]
fn deleting_the_device_is_an_event_and_the_end() {
    in_private_network(|| {
        let mut tun = device();
        let mut poller = Poller::new().unwrap();
        poller.register(&tun, 7, Interest::Read).unwrap();
        while !poller.wait(Some(Duration::ZERO)).unwrap().is_empty() {}
        assert_eq!(tun.read().unwrap(), TunRead::Drained);
        ip("link del wg0");
        let gone = Ready { token: 7, readable: true, writable: true, hangup: true };
        assert_eq!(poller.wait(LONG).unwrap(), [gone]);
        assert_eq!(tun.read().unwrap(), TunRead::Gone);
        assert_eq!(tun.write(&datagram("10.9.0.1:9".parse().unwrap(), b"x")), Written::Gone);
        assert_eq!(tun.state(), State { name: "wg0".into(), up: false, mtu: 1500, exists: false });
    });
}

#[test]
fn the_state_is_known_after_a_change_of_mtu_name_and_namespace() {
    in_private_network(|| {
        let mut tun = device();
        ip("link set wg0 mtu 34736");
        let here = State { name: "wg0".into(), up: true, mtu: 34_736, exists: true };
        assert_eq!(tun.state(), here);
        ip("link set wg0 down");
        ip("link set wg0 name office");
        assert_eq!(tun.state(), State { name: "office".into(), up: false, ..here });
        let mut poller = Poller::new().unwrap();
        poller.register(&tun, 7, Interest::Read).unwrap();
        let (moved, is_moved) = std::sync::mpsc::channel();
        let (tell, there) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                in_private_network(move || {
                    tell.send(thread_id()).unwrap();
                    is_moved.recv().unwrap();
                    ip("link set office mtu 1280 up");
                    tell.send(String::new()).unwrap();
                    is_moved.recv().unwrap();
                });
            });
            ip(&format!("link set office netns {}", there.recv().unwrap()));
            assert_eq!(tun.state(), State { name: "office".into(), up: false, ..here.clone() });
            moved.send(()).unwrap();
            there.recv().unwrap();
            assert_eq!(tun.state(), State { name: "office".into(), mtu: 1280, ..here });
            assert!(
                poller.wait(Some(Duration::ZERO)).unwrap().iter().all(|ready| !ready.hangup),
                "it has not ended"
            );
            moved.send(()).unwrap();
        });
    });
}

#[test]
fn in_a_namespace_that_is_closed_to_us_the_last_write_says_whether_it_is_up() {
    in_private_network(|| {
        let mut tun = device();
        let item = datagram("10.9.0.1:9".parse().unwrap(), b"x");
        let (tell, there) = std::sync::mpsc::channel();
        let (step, is_time) = std::sync::mpsc::channel::<&str>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                in_private_network(move || {
                    tell.send(thread_id()).unwrap();
                    for words in is_time {
                        ip(words);
                        tell.send(String::new()).unwrap();
                    }
                });
            });
            ip(&format!("link set wg0 netns {}", there.recv().unwrap()));
            drop_capability(CapabilitySet::SYS_ADMIN);
            assert!(tun.state().up, "nothing has been heard");
            assert_eq!(tun.write(&item), Written::Down);
            assert_eq!(tun.state(), State { name: "wg0".into(), up: false, mtu: 1500, exists: true });
            step.send("link set wg0 mtu 1280 up").unwrap();
            there.recv().unwrap();
            assert_eq!(tun.write(&item), Written::Sent);
            assert_eq!(tun.state(), State { name: "wg0".into(), up: true, mtu: 1500, exists: true });
            drop(step);
        });
    });
}

/// From the calling thread alone.
fn drop_capability(capability: CapabilitySet) {
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(capability);
    sets.permitted.remove(capability);
    set_capabilities(None, sets).unwrap();
}

#[test]
fn a_device_that_cannot_be_had_says_why_and_what_to_do() {
    in_private_network(|| {
        let first = Tun::create("wg%d").unwrap();
        assert_eq!(first.name(), "wg0");
        ip("tuntap add mode tap name ether");
        ip("tuntap add mode tun multi_queue name many");
        for (name, reason) in [
            ("wg0", "another program has it"),
            ("lo", "not a TUN device"),
            ("ether", "a TAP device of this name"),
            ("many", "several queues"),
        ] {
            let error = Tun::create(name).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}: ")) && error.contains(reason), "{error}");
            assert!(error.contains("\n  hint: "), "{error}");
        }
    });
}

#[test]
fn without_the_right_to_it_there_is_no_device() {
    in_private_network(|| {
        drop_capability(CapabilitySet::NET_ADMIN);
        let error = Tun::create("wg0").unwrap_err().to_string();
        assert!(
            error.starts_with(
                "cannot open the TUN device \"wg0\": creating one needs CAP_NET_ADMIN\n  hint: run"
            ),
            "{error}"
        );
        let mut netlink = Netlink::open().unwrap();
        let loopback = netlink.interface("lo").unwrap();
        let error = netlink.set_mtu(&loopback, 9000).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot set the MTU of lo to 9000: it needs CAP_NET_ADMIN\n  hint: run"),
            "{error}"
        );
    });
}

#[test]
fn a_persistent_device_is_attached_to_and_stays() {
    in_private_network(|| {
        ip("tuntap add mode tun name wg0");
        let tun = Tun::create("wg0").unwrap();
        assert_eq!((tun.name(), tun.offloads().tso), ("wg0", true));
        drop(tun);
        ip("link show wg0");
    });
}

/// `/dev/net/tun` as another program opens it.
fn opened_elsewhere(flags: u16) -> OwnedFd {
    let descriptor = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
    ioctl::set_interface(&descriptor, &mut ioctl::IfReq::new(b"wg0", flags)).unwrap();
    descriptor
}

#[test]
fn a_descriptor_that_was_handed_over_serves_with_and_without_a_header() {
    use ioctl::{IFF_NO_PI, IFF_TUN, IFF_VNET_HDR};
    for (flags, header) in [(IFF_TUN | IFF_NO_PI, false), (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, true)] {
        in_private_network(|| {
            let mut tun = Tun::from_fd(opened_elsewhere(flags)).unwrap();
            assert_eq!((tun.name(), tun.offloads().header, tun.offloads().tso), ("wg0", header, header));
            set_up(&tun);
            let socket = UdpSocket::bind(NEAR).unwrap();
            assert_eq!(tun.read().unwrap(), TunRead::Drained, "it was made nonblocking");
            socket.send_to(b"question", FAR).unwrap();
            assert_eq!(next(&mut tun).1[28..], *b"question");
            assert_eq!(tun.write(&datagram(socket.local_addr().unwrap(), b"answer")), Written::Sent);
            assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 6);
        });
    }
}

#[test]
fn a_descriptor_of_another_kind_is_refused() {
    use ioctl::{IFF_NO_PI, IFF_TAP, IFF_TUN};
    for (flags, reason) in [(IFF_TUN, "IFF_NO_PI"), (IFF_TAP | IFF_NO_PI, "IFF_TAP")] {
        in_private_network(|| {
            let error = Tun::from_fd(opened_elsewhere(flags)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        });
    }
    in_private_network(|| {
        let idle = rustix::fs::open("/dev/net/tun", OFlags::RDWR, Mode::empty()).unwrap();
        assert!(idle.as_raw_fd() > 0);
        let error = Tun::from_fd(idle).unwrap_err().to_string();
        assert!(error.contains("has no device attached"), "{error}");
    });
}
