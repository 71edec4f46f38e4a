//! Over the loopback of this machine, and of namespaces of the tests' own.

use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::super::poller::Poller;
use super::super::private_network::{Other, in_private_loopback, ip};
use super::*;

fn bind(text: &str) -> Udp {
    Udp::bind(text.parse().unwrap()).unwrap()
}

fn envelope(to: SocketAddr, tos: u8, source: Option<Source>) -> Envelope {
    Envelope { path: Path { remote: to, source }, tos }
}

fn send(udp: &Udp, to: SocketAddr, bytes: &[u8]) {
    udp.send(&Envelope::to(to), bytes, None).unwrap();
}

/// The next datagram: the way it came, its TOS, and its bytes.
fn next_whole(udp: &mut Udp) -> (Path, u8, Vec<u8>) {
    let mut poller = Poller::new().unwrap();
    poller.add(&*udp, 1).unwrap();
    let mut arrived = None;
    while arrived.is_none() {
        assert!(!poller.wait(Some(Duration::from_secs(10))).unwrap().is_empty(), "nothing arrives");
        udp.receive(|path, tos, bytes| arrived = Some((*path, tos, bytes.to_vec()))).unwrap();
    }
    arrived.unwrap()
}

/// The next datagram: who sent it, and its bytes.
fn next(udp: &mut Udp) -> (SocketAddr, Vec<u8>) {
    let (path, _, bytes) = next_whole(udp);
    (path.remote, bytes)
}

fn with_port(ip: &str, udp: &Udp) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), udp.local_addr().port())
}

fn loopback() -> u32 {
    name_to_index(bind("127.0.0.1:0"), "lo").unwrap()
}

#[test]
fn a_datagram_larger_than_the_path_may_be_fragmented() {
    let v4 = bind("127.0.0.1:0");
    assert_eq!(sockopt::ip_mtu_discover(&v4).unwrap(), sockopt::Ipv4PathMtuDiscovery::DONT);
    let v6 = bind("[::1]:0");
    assert_eq!(sockopt::ipv6_mtu_discover(&v6).unwrap(), sockopt::Ipv6PathMtuDiscovery::DONT);
    let dual = bind("[::]:0");
    assert_eq!(sockopt::ip_mtu_discover(&dual).unwrap(), sockopt::Ipv4PathMtuDiscovery::DONT);
    assert_eq!(sockopt::ipv6_mtu_discover(&dual).unwrap(), sockopt::Ipv6PathMtuDiscovery::DONT);
}

#[test]
fn a_port_in_use_is_named_with_its_mend() {
    let held = bind("127.0.0.1:0");
    let error = Udp::bind(held.local_addr()).unwrap_err().to_string();
    assert!(error.contains(&format!("udp {}", held.local_addr())) && error.contains("hint"), "{error}");
    let error = Udp::bind("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("no such address"), "{error}");
    let dual = Udp::bind_port(0).unwrap();
    let error = Udp::bind_port(dual.local_addr().port()).unwrap_err().to_string();
    assert!(error.contains(&format!("udp {}", dual.local_addr())), "{error}");
}

#[test]
fn both_ip_versions_reach_a_dual_stack_socket_under_their_own_addresses() {
    let mut dual = Udp::bind_port(0).unwrap();
    for (own, called) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let (mut peer, to) = (bind(own), with_port(called, &dual));
        send(&peer, to, own.as_bytes());
        let (from, bytes) = next(&mut dual);
        assert_eq!((from, bytes), (peer.local_addr(), own.as_bytes().to_vec()));
        send(&dual, from, b"back");
        assert_eq!(next(&mut peer), (to, b"back".to_vec()));
    }
}

#[test]
fn every_mark_arrives_as_sent_over_ipv4_ipv6_and_mapped_ipv4() {
    let ways = [
        ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"),
        ("[::1]:0", "[::1]:0", "::1"),
        ("[::]:0", "[::]:0", "127.0.0.1"),
        ("[::]:0", "[::]:0", "::1"),
        ("[::]:0", "127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", "[::]:0", "127.0.0.1"),
    ];
    for (from, to, called) in ways {
        let (sender, mut receiver) = (bind(from), bind(to));
        let to = with_port(called, &receiver);
        for tos in 0..=255 {
            sender.send(&envelope(to, tos, None), b"x", None).unwrap();
            assert_eq!(next_whole(&mut receiver).1, tos, "{from} to {to}");
        }
        sender.send(&envelope(to, 0x88 | 3, None), b"x", None).unwrap();
        let mut seen = None;
        while seen.is_none() {
            receiver.recv(|_, ecn, _| seen = Some(ecn)).unwrap();
        }
        assert_eq!(seen, Some(3), "DSCP is nobody's business");
    }
}

#[test]
fn a_datagram_leaves_from_the_source_given() {
    for (own, to, source) in [
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.2"),
        ("[::]:0", "127.0.0.1:0", "127.0.0.2"),
        ("[::]:0", "127.0.0.1:0", "::ffff:127.0.0.2"),
        ("[::]:0", "[::1]:0", "::1"),
    ] {
        let (sender, mut receiver) = (bind(own), bind(to));
        let source: IpAddr = source.parse().unwrap();
        for interface in [0, loopback()] {
            let from = Some(Source { ip: source, interface });
            let envelope = envelope(receiver.local_addr(), 0x88, from);
            sender.send(&envelope, &[7; 300], Some(100)).unwrap();
            let (path, tos, bytes) = next_whole(&mut receiver);
            let expected = SocketAddr::new(source.to_canonical(), sender.local_addr().port());
            assert_eq!((path.remote, tos, bytes), (expected, 0x88, vec![7; 100]), "{own} {interface}");
        }
    }
}

#[test]
fn a_source_of_the_other_ip_version_is_refused_and_never_sent_from() {
    let sender = bind("[::]:0");
    for (to, source) in [("127.0.0.1:9", "::1"), ("[::1]:9", "127.0.0.1")] {
        let source = Source { ip: source.parse().unwrap(), interface: 0 };
        let envelope = envelope(to.parse().unwrap(), 0, Some(source));
        assert_eq!(sender.send(&envelope, b"x", None), Err(Errno::INVAL));
    }
}

#[test]
fn the_address_that_was_called_is_told_and_an_answer_leaves_from_there() {
    for (own, peer, called) in [
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.3"),
        ("[::]:0", "127.0.0.1:0", "127.0.0.3"),
        ("[::]:0", "[::1]:0", "::1"),
        ("127.0.0.3:0", "127.0.0.1:0", "127.0.0.3"),
    ] {
        let (mut udp, mut peer) = (bind(own), bind(peer));
        let to = with_port(called, &udp);
        send(&peer, to, b"you there?");
        let (path, _, _) = next_whole(&mut udp);
        let ip: IpAddr = called.parse().unwrap();
        assert_eq!(path.source, Some(Source { ip, interface: loopback() }), "{own}");
        udp.send(&Envelope { path, tos: 0 }, b"here", None).unwrap();
        assert_eq!(next(&mut peer), (to, b"here".to_vec()));
    }
}

#[test]
fn a_link_local_sender_can_be_answered() {
    in_private_loopback(|| {
        ip("link add left type veth peer name right");
        for name in ["left", "right"] {
            ip(&format!("link set {name} addrgenmode none"));
            ip(&format!("link set {name} up"));
        }
        ip("address add fe80::1/64 dev left nodad");
        let index = name_to_index(bind("127.0.0.1:0"), "left").unwrap();
        let (mut udp, mut peer) = (bind("[::]:0"), bind(&format!("[fe80::1%{index}]:0")));
        let to = format!("[fe80::1%{index}]:{}", udp.local_addr().port()).parse().unwrap();
        // The kernel takes note of a new interface's carrier a moment later, and loses what comes before.
        let mut poller = Poller::new().unwrap();
        poller.add(&udp, 1).unwrap();
        let mut arrives = || {
            send(&peer, to, b"x");
            !poller.wait(Some(Duration::from_millis(100))).unwrap().is_empty()
        };
        assert!((0..100).any(|_| arrives()), "nothing arrives");
        let (path, _, _) = next_whole(&mut udp);
        assert_eq!(path.remote, peer.local_addr(), "with its zone");
        udp.send(&Envelope { path, tos: 0 }, b"back", None).unwrap();
        assert_eq!(next(&mut peer).1, b"back");
    });
}

#[test]
fn a_closed_port_at_the_other_end_does_not_disturb_the_socket() {
    let mut udp = bind("127.0.0.1:0");
    let gone = bind("127.0.0.1:0").local_addr();
    let peer = bind("127.0.0.1:0");
    for _ in 0..3 {
        let _ = udp.send(&Envelope::to(gone), b"anyone?", None);
        udp.recv(|_, _, _| ()).unwrap();
    }
    send(&peer, udp.local_addr(), b"here");
    assert_eq!(next(&mut udp), (peer.local_addr(), b"here".to_vec()));
}

#[test]
fn an_empty_socket_is_drained_and_a_full_batch_is_not() {
    let mut udp = bind("127.0.0.1:0");
    assert_eq!(udp.recv(|_, _, _| ()).unwrap(), Received { datagrams: 0, drained: true });
    // Different senders are never coalesced, so each datagram is a message of its own.
    for _ in 0..=BATCH {
        send(&bind("127.0.0.1:0"), udp.local_addr(), b"x");
    }
    let first = udp.recv(|_, _, _| ()).unwrap();
    assert_eq!(first, Received { datagrams: BATCH, drained: false });
    assert_eq!(udp.recv(|_, _, _| ()).unwrap(), Received { datagrams: 1, drained: true });
}

#[test]
fn datagrams_of_no_bytes_are_handed_over_and_counted() {
    let (sender, mut udp) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    for bytes in [&b""[..], b"between", b""] {
        send(&sender, udp.local_addr(), bytes);
        assert_eq!(next(&mut udp), (sender.local_addr(), bytes.to_vec()));
    }
    let expected = ReceiveCounters { receives: 3, datagrams: 3, empty: 2, ..ReceiveCounters::default() };
    assert_eq!(udp.counters(), expected);
}

#[test]
fn what_is_longer_than_its_buffer_is_thrown_away_and_counted() {
    let (sender, mut udp) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    udp.buffers.truncate(BATCH * 100);
    send(&sender, udp.local_addr(), &[1; 101]);
    send(&sender, udp.local_addr(), &[2; 100]);
    assert_eq!(next(&mut udp), (sender.local_addr(), vec![2; 100]));
    let expected = ReceiveCounters { receives: 1, datagrams: 1, malformed: 1, ..ReceiveCounters::default() };
    assert_eq!(udp.counters(), expected);
}

#[test]
fn a_run_is_segmented_and_coalesced_by_the_kernel() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (sender, mut udp) = (bind(address), bind(address));
        let contents: Vec<u8> = (0..44 * 1452 + 7).map(|index| (index / 1452) as u8).collect();
        sender.send(&Envelope::to(udp.local_addr()), &contents, Some(1452)).unwrap();
        let mut arrived = Vec::new();
        let received = udp.recv(|_, _, bytes| arrived.push(bytes.to_vec())).unwrap();
        assert_eq!(arrived, contents.chunks(1452).map(<[u8]>::to_vec).collect::<Vec<_>>());
        assert_eq!((received.datagrams, udp.counters().receives), (45, 1));
    }
}

#[test]
fn what_the_system_grants_can_be_read() {
    let udp = bind("127.0.0.1:0");
    assert!(udp.receive_buffer() >= 64 << 10 && udp.send_buffer() >= 64 << 10);
    assert!(udp.has_gso() && udp.has_gro(), "every kernel since 5.0 has both");
}

#[test]
fn a_mark_needs_a_privilege_and_its_absence_is_named() {
    let marked = |udp: &Udp| sys::option(udp.as_fd(), libc::SOL_SOCKET, libc::SO_MARK).unwrap();
    let mut udp = Udp::bind_port(0).unwrap();
    if udp.set_mark(0xca6c).is_ok() {
        assert_eq!(marked(&udp), 0xca6c);
        udp.set_mark(u32::MAX).unwrap();
        assert_eq!(marked(&udp), -1);
        udp.set_mark(0).unwrap();
        assert_eq!(marked(&udp), 0);
    }
    let without = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW);
        set_capabilities(None, sets).unwrap();
        let mut udp = Udp::bind_port(0).unwrap();
        udp.set_mark(0).expect("no mark is no privilege");
        udp.set_mark(0xca6c).unwrap_err()
    });
    let error = without.join().unwrap();
    assert_eq!(error.source.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("0xca6c") && error.to_string().contains("CAP_NET_ADMIN"), "{error}");
}

#[test]
fn a_marked_packet_takes_the_route_of_its_mark() {
    in_private_loopback(|| {
        ip("link add left type veth peer name right");
        ip("link set left mtu 1300 up");
        ip("link set right up");
        ip("address add 192.0.2.1/24 dev left");
        ip("route add default dev left table 7");
        ip("rule add fwmark 7 table 7");
        let mut udp = Udp::bind_port(0).unwrap();
        let there = "198.51.100.1:9".parse().unwrap();
        assert_eq!(udp.path_mtu(there), None, "no route");
        udp.set_mark(7).unwrap();
        assert_eq!(udp.path_mtu(there), Some(1300));
    });
}

#[test]
fn a_machine_without_ipv6_gets_an_ipv4_socket() {
    for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
        let open = |address: SocketAddr| if address.is_ipv6() { Err(errno) } else { Udp::open(address) };
        let udp = bind_either(0, open).unwrap();
        assert_eq!(udp.local_addr().ip(), Ipv4Addr::UNSPECIFIED);
    }
    let tried = std::cell::RefCell::new(Vec::new());
    let refuse = |address: SocketAddr| {
        tried.borrow_mut().push(address.to_string());
        Err::<(), _>(Errno::ADDRINUSE)
    };
    assert!(bind_either(7, refuse).unwrap_err().to_string().contains("udp [::]:7"));
    assert_eq!(*tried.borrow(), ["[::]:7"], "a port that is taken is no reason to share it");
}

#[test]
fn ipv4_works_where_ipv6_is_switched_off() {
    in_private_loopback(|| {
        if let Err(error) = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1") {
            eprintln!("skipped: IPv6 cannot be switched off here: {error}");
            return;
        }
        let (mut left, mut right) = (Udp::bind_port(0).unwrap(), Udp::bind_port(0).unwrap());
        send(&left, with_port("127.0.0.1", &right), b"over");
        let (path, _, bytes) = next_whole(&mut right);
        assert_eq!((path.remote, bytes), (with_port("127.0.0.1", &left), b"over".to_vec()));
        right.send(&Envelope { path, tos: 0x88 }, b"back", None).unwrap();
        assert_eq!(next(&mut left), (with_port("127.0.0.1", &right), b"back".to_vec()));
    });
}

#[test]
fn a_probe_is_not_fragmented_and_what_follows_it_is() {
    in_private_loopback(|| {
        ip("link set lo mtu 1400");
        for ip in ["127.0.0.1", "::1"] {
            let (sender, mut udp) = (Udp::bind_port(0).unwrap(), Udp::bind_port(0).unwrap());
            let (to, headers) = (with_port(ip, &udp), if ip == "::1" { 48 } else { 28 });
            assert_eq!(sender.path_mtu(to), Some(1400));
            let whole = [1; 1400];
            sender.probe(&Envelope::to(to), &whole[headers..]).unwrap();
            assert_eq!(next(&mut udp).1.len(), 1400 - headers);
            let refused = sender.probe(&Envelope::to(to), &whole[headers - 1..]).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EMSGSIZE));
            send(&sender, to, &whole[headers - 1..]);
            assert_eq!(next(&mut udp).1.len(), 1400 - headers + 1, "in two fragments");
        }
    });
}

#[test]
fn the_loopback_has_the_largest_mtu_that_can_be_told() {
    in_private_loopback(|| {
        let udp = Udp::bind_port(0).unwrap();
        for to in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert_eq!(udp.path_mtu(to.parse().unwrap()), Some(u16::MAX), "{to}");
        }
    });
}

/// ```text
///      this thread's namespace          a router's namespace
///   192.0.2.1 left ────────────── right 192.0.2.2    near (MTU 1300) ── far     198.51.100.0/24
/// ```
#[test]
fn what_a_probe_finds_out_about_a_narrow_hop_is_known_afterwards() {
    in_private_loopback(|| {
        let router = Other::new();
        ip("link add left type veth peer name right");
        ip(&format!("link set right netns {}", router.process()));
        ip("address add 192.0.2.1/24 dev left");
        ip("link set left up");
        ip("route add 198.51.100.0/24 via 192.0.2.2");
        router.ip("link add near type veth peer name far");
        for device in ["lo", "right", "near", "far"] {
            router.ip(&format!("link set {device} up"));
        }
        router.ip("link set near mtu 1300");
        router.ip("address add 192.0.2.2/24 dev right");
        router.ip("address add 198.51.100.2/24 dev near");
        router.run("sysctl -qw net.ipv4.ip_forward=1");
        let udp = Udp::bind_port(0).unwrap();
        let there = "198.51.100.1:9".parse().unwrap();
        assert_eq!(udp.path_mtu(there), Some(1500));
        // The router's answer comes when it comes, and no event tells: asked until it is known.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while udp.path_mtu(there) == Some(1500) && std::time::Instant::now() < deadline {
            udp.probe(&Envelope::to(there), &[1; 1400]).unwrap();
            std::thread::yield_now();
        }
        assert_eq!(udp.path_mtu(there), Some(1300));
        udp.probe(&Envelope::to(there), &[1; 1400]).expect("a probe heeds only the first link");
        send(&udp, there, &[1; 1400]);
    });
}

#[test]
fn a_receive_without_memory_is_counted_and_only_a_broken_socket_is_an_error() {
    let mut udp = Udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    for _ in 1..SHORTAGES {
        assert_eq!(udp.forgive(Errno::NOMEM).unwrap(), Received { datagrams: 0, drained: false });
    }
    let patience_ends = udp.forgive(Errno::NOBUFS).unwrap();
    assert_eq!(patience_ends, Received { datagrams: 0, drained: true }, "the others get their turn");
    assert_eq!(udp.forgive(Errno::NOMEM).unwrap(), Received { datagrams: 0, drained: false });
    assert_eq!(udp.counters().errors, u64::from(SHORTAGES) + 1);
    assert!(udp.forgive(Errno::BADF).is_err());
}

#[test]
fn a_socket_goes_on_counting_where_the_one_before_it_stopped() {
    let before = ReceiveCounters { receives: 3, datagrams: 40, empty: 1, malformed: 2, errors: 5 };
    let address = "127.0.0.1:0".parse().unwrap();
    let mut udp = Udp::bind(address).unwrap().with_counters(before);
    assert_eq!(udp.counters(), before);
    std::net::UdpSocket::bind(address).unwrap().send_to(b"one", udp.local_addr()).unwrap();
    while udp.recv(|_, _, _| {}).unwrap().datagrams == 0 {}
    assert_eq!(udp.counters(), ReceiveCounters { receives: 4, datagrams: 41, ..before });
}
