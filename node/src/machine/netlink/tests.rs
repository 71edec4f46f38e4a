//! Real settings, in a namespace of each test's own.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use rustix::net::sockopt;

use super::super::poller::{Interest, Poller};
use super::super::private_network::{in_private_network, ip, thread_id};
use super::super::tun::Tun;
use super::monitor::tell_link;
use super::*;

fn device() -> (Tun, Netlink, Interface) {
    let tun = Tun::create("wg0").unwrap();
    let mut netlink = Netlink::open().unwrap();
    let interface = netlink.interface("wg0").unwrap();
    (tun, netlink, interface)
}

/// What `ip` says to these words.
fn shown(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().expect("iproute2 is installed");
    String::from_utf8(output.stdout).expect("it speaks ASCII")
}

fn prefix(text: &str) -> (IpAddr, u8) {
    let (address, bits) = text.split_once('/').unwrap();
    (address.parse().unwrap(), bits.parse().unwrap())
}

#[test]
fn an_interface_is_found_by_its_name_or_is_absent() {
    in_private_network(|| {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.interface("lo").unwrap().index, 1);
        let error = netlink.interface("wg9").unwrap_err();
        assert!(error.is_absent() && error.to_string().starts_with("cannot find wg9: "), "{error}");
        assert!(netlink.interface("a-name-that-is-too-long").is_err());
    });
}

#[test]
fn an_interface_gets_its_mtu_its_limit_and_its_state() {
    in_private_network(|| {
        let (mut tun, mut netlink, interface) = device();
        netlink.set_mtu(&interface, 1420).unwrap();
        netlink.set_gso_max_size(&interface, 40_000).unwrap();
        netlink.set_admin(&interface, Admin::Up).unwrap();
        assert_eq!((tun.state().up, tun.state().mtu), (true, 1420));
        let text = shown("-d link show wg0");
        for words in ["gso_max_size 40000", "qlen 500"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        netlink.set_admin(&interface, Admin::Down).unwrap();
        assert!(!tun.state().up);
        let error = netlink.set_mtu(&interface, 9).unwrap_err().to_string();
        assert!(error.starts_with("cannot set the MTU of wg0 to 9: the kernel does not take"), "{error}");
        ip("link del wg0");
        let error = netlink.set_admin(&interface, Admin::Up).unwrap_err();
        assert!(error.is_absent() && error.to_string().starts_with("cannot set wg0 up: "), "{error}");
    });
}

#[test]
fn addresses_and_routes_may_be_there_already() {
    in_private_network(|| {
        let (_tun, mut netlink, interface) = device();
        netlink.set_admin(&interface, Admin::Up).unwrap();
        let addresses = ["10.9.0.1/24", "10.9.1.1/32", "fd09::1/64"].map(prefix);
        for _ in 0..2 {
            for (address, bits) in addresses {
                netlink.add_address(&interface, address, bits).unwrap();
            }
            // Host bits in a destination are cut, as `ip route` cuts them by hand.
            for route in ["10.66.1.2/16", "10.7.0.1/32", "0.0.0.0/0", "fd66::5/48", "::/0"].map(prefix) {
                netlink.add_route(&interface, route, Some(77)).unwrap();
            }
            netlink.add_route(&interface, prefix("10.88.0.0/16"), None).unwrap();
        }
        let found: BTreeSet<_> = netlink.addresses(&interface).unwrap().into_iter().collect();
        assert!(addresses.iter().all(|address| found.contains(address)), "{found:?}");
        let others: Vec<_> = found.iter().filter(|found| !addresses.contains(found)).collect();
        assert!(
            others.len() <= 1 && others.iter().all(|(_, bits)| *bits == 64),
            "link-local only: {others:?}"
        );
        let (four, six) = (shown("-4 route"), shown("-6 route"));
        for (words, table) in [
            ("10.66.0.0/16 dev wg0 proto static scope link metric 77", &four),
            ("10.7.0.1 dev wg0", &four),
            ("default dev wg0", &four),
            ("10.88.0.0/16 dev wg0 proto static scope link ", &four),
            ("fd66::/48 dev wg0 proto static metric 77", &six),
            ("default dev wg0", &six),
        ] {
            assert_eq!(table.matches(words).count(), 1, "{words} in:\n{table}");
        }
    });
}

#[test]
fn a_route_of_another_interface_stays() {
    in_private_network(|| {
        let (_tun, mut netlink, interface) = device();
        netlink.set_admin(&interface, Admin::Up).unwrap();
        ip("link set lo up");
        for route in ["10.66.0.0/16", "0.0.0.0/0", "fd66::/48"] {
            ip(&format!("route add {route} dev lo"));
            let error = netlink.add_route(&interface, prefix(route), None).unwrap_err();
            assert!(
                error.is_taken() && error.to_string().contains("another interface has a route"),
                "{error}"
            );
        }
        assert!(!(shown("-4 route") + &shown("-6 route")).contains("proto static"));
    });
}

#[test]
fn a_route_needs_an_interface_that_is_up() {
    in_private_network(|| {
        let (_tun, mut netlink, interface) = device();
        let error = netlink.add_route(&interface, prefix("10.66.0.0/16"), None).unwrap_err().to_string();
        assert!(
            error.contains("route 10.66.0.0/16 to wg0: the interface is down\n  hint: set the"),
            "{error}"
        );
    });
}

/// Everything new, once something is.
fn news(poller: &mut Poller, monitor: &mut Monitor) -> Vec<Change> {
    assert!(!poller.wait(Some(Duration::from_secs(20))).unwrap().is_empty(), "news came");
    let mut found = Vec::new();
    monitor.drain(&mut |change| found.push(change)).unwrap();
    found
}

/// Waits for `expected`, among whatever else there is to tell.
fn await_change(poller: &mut Poller, monitor: &mut Monitor, expected: Change) {
    while !news(poller, monitor).contains(&expected) {}
}

#[test]
fn every_change_is_heard_of() {
    in_private_network(|| {
        let (tun, mut netlink, interface) = device();
        let (mut poller, mut monitor) = (Poller::new().unwrap(), Monitor::open().unwrap());
        poller.register(&monitor, 1, Interest::Read).unwrap();
        let index = interface.index;
        netlink.set_mtu(&interface, 1280).unwrap();
        await_change(&mut poller, &mut monitor, Change::Mtu(index, 1280));
        netlink.set_admin(&interface, Admin::Up).unwrap();
        await_change(&mut poller, &mut monitor, Change::LinkUp(index));
        netlink.add_address(&interface, [10, 9, 0, 1].into(), 32).unwrap();
        await_change(&mut poller, &mut monitor, Change::Addresses);
        netlink.add_route(&interface, prefix("10.66.0.0/16"), None).unwrap();
        await_change(&mut poller, &mut monitor, Change::Routes);
        for address in ["10.9.0.1", "fd00::9"] {
            ip(&format!("address replace {address}/128 dev wg0").replace("1/128", "1/32"));
            ip(&format!("address del {address}/128 dev wg0").replace("1/128", "1/32"));
            await_change(&mut poller, &mut monitor, Change::AddressGone(address.parse().unwrap()));
        }
        netlink.set_admin(&interface, Admin::Down).unwrap();
        await_change(&mut poller, &mut monitor, Change::LinkDown(index));
        drop(tun);
        await_change(&mut poller, &mut monitor, Change::Gone(index));
    });
}

#[test]
fn many_routes_are_one_piece_of_news_and_lost_news_are_told() {
    in_private_network(|| {
        let (_tun, mut netlink, interface) = device();
        netlink.set_admin(&interface, Admin::Up).unwrap();
        let (mut poller, mut monitor) = (Poller::new().unwrap(), Monitor::open().unwrap());
        poller.register(&monitor, 1, Interest::Read).unwrap();
        for host in 0..10 {
            netlink.add_route(&interface, ([10, 66, 0, host].into(), 32), None).unwrap();
        }
        let told = news(&mut poller, &mut monitor);
        assert_eq!(told.iter().filter(|change| **change == Change::Routes).count(), 1, "{told:?}");
        sockopt::set_socket_recv_buffer_size(&monitor.socket, 0).unwrap();
        for host in 0..100 {
            netlink.add_route(&interface, ([10, 67, 0, host].into(), 32), None).unwrap();
        }
        let told = news(&mut poller, &mut monitor);
        assert!(told.contains(&Change::Lost) && told.contains(&Change::Routes), "{told:?}");
    });
}

#[test]
fn a_moved_interface_is_gone_here_and_is_found_there() {
    in_private_network(|| {
        let (tun, mut netlink, interface) = device();
        let (mut poller, mut monitor) = (Poller::new().unwrap(), Monitor::open().unwrap());
        poller.register(&monitor, 1, Interest::Read).unwrap();
        let (tell, there) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                in_private_network(move || {
                    tell.send(thread_id()).unwrap();
                    // Ends when the sender is dropped.
                    is_done.recv().unwrap_err();
                });
            });
            ip(&format!("link set wg0 netns {}", there.recv().unwrap()));
            await_change(&mut poller, &mut monitor, Change::Gone(interface.index));
            assert!(netlink.interface("wg0").unwrap_err().is_absent());
            let mut far = Netlink::open_in(tun.namespace().unwrap()).unwrap();
            let moved = far.interface("wg0").unwrap();
            far.add_address(&moved, [10, 9, 0, 1].into(), 24).unwrap();
            assert_eq!(far.addresses(&moved).unwrap(), [([10, 9, 0, 1].into(), 24)]);
            drop(done);
        });
    });
}

#[test]
fn what_is_no_netlink_message_ends_the_list_and_is_no_panic() {
    let mut whole = vec![20, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(messages(&whole).count(), 1);
    for (length, count) in [(0, 0), (15, 0), (19, 1), (21, 0), (255, 0)] {
        whole[0] = length;
        assert_eq!(messages(&whole).count(), count, "length {length}");
    }
    assert_eq!(messages(&[]).count(), 0);
    let mut told = Vec::new();
    tell_link(&[16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut |change| told.push(change));
    assert_eq!(told, [Change::Lost], "a link without a header");
}

#[test]
fn the_way_out_depends_on_the_source_and_the_mark() {
    in_private_network(|| {
        for line in [
            "link set lo up",
            "link add left type veth peer name right",
            "link set left up",
            "link set right up",
            "address add 192.0.2.1/24 dev left",
            "address add 198.51.100.1/24 dev right",
            "route add 203.0.113.0/24 via 198.51.100.2",
            "route add 203.0.113.0/24 via 192.0.2.2 table 7",
            "rule add fwmark 7 table 7",
        ] {
            ip(line);
        }
        let mut netlink = Netlink::open().unwrap();
        let [left, right] = ["left", "right"].map(|name| netlink.interface(name).unwrap().index);
        let mut way = |source: &str, mark| {
            let way = netlink.way_out("203.0.113.9".parse().unwrap(), source.parse().unwrap(), mark);
            way.map_err(|error| error.to_string())
        };
        assert_eq!(way("192.0.2.1", 0), Ok(right));
        assert_eq!(way("192.0.2.1", 7), Ok(left));
        let gone = way("192.0.2.77", 0).unwrap_err();
        assert!(gone.starts_with("cannot ask for the way from 192.0.2.77 to 203.0.113.9: "), "{gone}");
        ip("route del 203.0.113.0/24 via 198.51.100.2");
        assert!(netlink.way_out("203.0.113.9".parse().unwrap(), "192.0.2.1".parse().unwrap(), 0).is_err());
    });
}
