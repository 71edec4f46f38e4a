//! What the kernel refuses finds another way: over networks of the tests' own, and over sockets that refuse.

use std::net::Ipv6Addr;

use rustix::net::netdevice::name_to_index;

use super::*;
use crate::machine::private_network::{in_private_loopback, ip};

fn from(remote: SocketAddr, ip: [u8; 4], interface: u32) -> Envelope {
    let source = Some(Source { ip: ip.into(), interface });
    Envelope { path: Path { remote, source }, tos: 0 }
}

/// Who sent the next `count` datagrams.
fn senders(udp: &mut Udp, count: usize) -> Vec<SocketAddr> {
    let mut poller = Poller::new().unwrap();
    poller.add(&*udp, 1).unwrap();
    let mut senders = Vec::new();
    while senders.len() < count {
        assert!(!poller.wait(Some(Duration::from_secs(10))).unwrap().is_empty(), "{senders:?} only");
        udp.recv(|path, _, _| senders.push(path.remote)).unwrap();
    }
    senders
}

#[test]
fn an_address_that_was_removed_is_told_and_the_datagrams_leave_from_another() {
    in_private_loopback(|| {
        ip("address add 192.0.2.1/32 dev lo");
        ip("address add 192.0.2.2/32 dev lo");
        let (sender, mut receiver) = (Udp::bind_port(0).unwrap(), bind());
        let to = receiver.local_addr();
        let port = sender.local_addr().port();
        let sticky = from(to, [192, 0, 2, 2], name_to_index(&sender, "lo").unwrap());
        let mut batch = Batch::new();
        let mut send = |batch: &mut Batch| {
            for count in [40, 1] {
                (0..count).for_each(|_| put_in(batch, &sticky, &[1; 1400]));
                put(batch, address(9), &[1]);
            }
            assert_eq!(batch.flush(&sender), Flushed::All);
            senders(&mut receiver, 41)
        };
        assert_eq!(send(&mut batch), [SocketAddr::from(([192, 0, 2, 2], port)); 41]);
        assert_eq!((batch.counters().stale_sources, batch.take_stale()), (0, None));
        ip("address del 192.0.2.2/32 dev lo");
        assert_eq!(send(&mut batch), [SocketAddr::from(([127, 0, 0, 1], port)); 41]);
        let counters = batch.counters();
        assert_eq!((counters.stale_sources, counters.fallbacks, counters.errors), (1, 0, 0));
        assert_eq!((batch.take_stale(), batch.take_stale()), (Some(to), None));
        ip("address add 192.0.2.2/32 dev lo");
        assert_eq!(send(&mut batch), [SocketAddr::from(([192, 0, 2, 2], port)); 41]);
    });
}

#[test]
fn an_ipv6_address_that_was_removed_is_told_too() {
    in_private_loopback(|| {
        ip("address add 2001:db8::2/128 dev lo nodad");
        let sender = Udp::bind_port(0).unwrap();
        let mut receiver = Udp::bind("[::1]:0".parse().unwrap()).unwrap();
        let to = receiver.local_addr();
        let source = Some(Source { ip: "2001:db8::2".parse().unwrap(), interface: 0 });
        let sticky = Envelope { path: Path { remote: to, source }, tos: 2 };
        let mut batch = Batch::new();
        for (expected, stale) in [("2001:db8::2", 0), ("::1", 1)] {
            (0..3).for_each(|_| put_in(&mut batch, &sticky, &[1; 1400]));
            assert_eq!(batch.flush(&sender), Flushed::All);
            let expected = SocketAddr::new(expected.parse().unwrap(), sender.local_addr().port());
            assert_eq!(senders(&mut receiver, 3), [expected; 3]);
            assert_eq!((batch.counters().stale_sources, batch.counters().errors), (stale, 0));
            ip("address replace 2001:db8::3/128 dev lo nodad");
            if stale == 0 {
                ip("address del 2001:db8::2/128 dev lo");
            }
        }
        assert_eq!(batch.take_stale(), Some(to));
    });
}

#[test]
fn an_interface_that_is_gone_or_down_is_told_and_the_routing_table_chooses() {
    in_private_loopback(|| {
        ip("link add left type veth peer name right");
        ip("link set left up");
        ip("link set right up");
        ip("address add fd09::1/64 dev left nodad");
        ip("address add fd09::1/128 dev lo nodad");
        let (sender, mut receiver) =
            (Udp::bind_port(0).unwrap(), Udp::bind("[::1]:0".parse().unwrap()).unwrap());
        let left = name_to_index(&sender, "left").unwrap();
        for (round, loss) in ["link set left down", "link del left"].into_iter().enumerate() {
            ip(loss);
            let mut batch = Batch::new();
            let source = Source { ip: "fd09::1".parse().unwrap(), interface: left };
            let path = Path { remote: receiver.local_addr(), source: Some(source) };
            for _ in 0..3 {
                put_in(&mut batch, &Envelope { path, tos: 0 }, &[1; 100]);
            }
            assert_eq!(batch.flush(&sender), Flushed::All);
            let expected = SocketAddr::from((Ipv6Addr::LOCALHOST, sender.local_addr().port()));
            assert_eq!(senders(&mut receiver, 3), [expected; 3], "{round}");
            assert_eq!((batch.counters().stale_sources, batch.counters().errors), (1, 0), "{loss}");
            assert_eq!(batch.take_stale(), Some(receiver.local_addr()));
        }
    });
}

#[test]
fn a_path_narrower_than_the_segments_heals_and_does_not_end_segmentation() {
    in_private_loopback(|| {
        ip("link set lo mtu 1280");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            cross_a_narrow_path(address.parse().unwrap());
        }
    });
}

fn cross_a_narrow_path(address: SocketAddr) {
    let (sender, mut receiver) = (Udp::bind(address).unwrap(), Udp::bind(address).unwrap());
    let to = receiver.local_addr();
    let mut batch = Batch::new();
    let mut cross = |batch: &mut Batch, len: usize| {
        let before = batch.counters();
        (0..40_u8).for_each(|index| put(batch, to, &vec![index; len]));
        assert_eq!(batch.flush(&sender), Flushed::All);
        assert!(receive(&mut receiver, 40) == (0..40).map(|index| vec![index; len]).collect::<Vec<_>>());
        batch.counters().sends - before.sends
    };
    for round in 1..=2 * PATIENCE {
        assert_eq!(cross(&mut batch, 1400), 40, "fragments, one datagram after the other");
        assert_eq!(cross(&mut batch, 1200), 1, "round {round}");
        assert_eq!(batch.counters().fallbacks, u64::from(round));
    }
    // Even if nothing else is sent meanwhile, something else may be tried soon.
    for _ in 0..REST + 4 * PATIENCE {
        cross(&mut batch, 1400);
    }
    let tries = (0..=REST).position(|_| cross(&mut batch, 1200) == 1);
    assert!(tries.is_some(), "segmentation was given up");
    assert_eq!(batch.counters().errors, 0);
}

#[test]
fn a_refusal_that_was_not_about_the_source_keeps_it() {
    let (mut batch, mut sent) = (Batch::new(), Vec::new());
    let sticky = from(address(1), [127, 0, 0, 2], 1);
    for _ in 0..3 {
        put_in(&mut batch, &sticky, &[1; 100]);
    }
    let mut asked = 0;
    let flushed = batch.flush_through(true, |envelope, contents, segment| {
        asked += 1;
        if segment.is_some() {
            return Err(Errno::INVAL);
        }
        sent.push((*envelope, contents.len()));
        Ok(())
    });
    assert_eq!((flushed, asked), (Flushed::All, 5));
    assert_eq!(sent, [(sticky, 100); 3]);
    let counters = batch.counters();
    assert_eq!((counters.fallbacks, counters.stale_sources, counters.errors), (1, 0, 0));
    assert_eq!(batch.take_stale(), None);
}

#[test]
fn a_peer_that_cannot_be_reached_at_all_is_no_stale_source() {
    let mut batch = Batch::new();
    for _ in 0..3 {
        put_in(&mut batch, &from(address(1), [127, 0, 0, 2], 1), &[1; 100]);
    }
    let flushed = batch.flush_through(true, |_, _, _| Err(Errno::NETUNREACH));
    assert_eq!(flushed, Flushed::All);
    let counters = batch.counters();
    assert_eq!((counters.errors, counters.stale_sources, batch.take_stale()), (3, 0, None));
}

#[test]
fn one_stale_source_is_found_out_once_for_all_that_waits() {
    let (mut batch, mut refused) = (Batch::new(), 0);
    let (sticky, other) = (from(address(1), [127, 0, 0, 2], 1), from(address(2), [127, 0, 0, 2], 1));
    for _ in 0..10 {
        put_in(&mut batch, &sticky, &[1; 100]);
        put_in(&mut batch, &other, &[1; 100]);
    }
    let mut blocked = true;
    while batch.flush_through(true, |envelope, _, _| {
        if envelope.path.source.is_some() {
            refused += 1;
            return Err(Errno::ADDRNOTAVAIL);
        }
        // The doubt outlives a socket that takes no more.
        if std::mem::take(&mut blocked) { Err(Errno::AGAIN) } else { Ok(()) }
    }) != Flushed::All
    {}
    assert_eq!((refused, batch.counters().stale_sources, batch.counters().datagrams), (2, 2, 20));
    assert_eq!(batch.take_stale(), Some(address(1)));
    assert_eq!((batch.take_stale(), batch.take_stale()), (Some(address(2)), None));
}

#[test]
fn stale_sources_that_nobody_asks_for_are_not_remembered_without_end() {
    let mut batch = Batch::new();
    for port in 1..=1000 {
        put_in(&mut batch, &from(address(port), [127, 0, 0, 2], 1), &[1; 100]);
        put_in(&mut batch, &from(address(1), [127, 0, 0, 2], 1), &[1; 100]);
    }
    let flushed = batch.flush_through(true, |envelope, _, _| match envelope.path.source {
        Some(_) => Err(Errno::NODEV),
        None => Ok(()),
    });
    assert_eq!((flushed, batch.counters().stale_sources), (Flushed::All, 1000));
    assert_eq!(batch.stale.len(), STALE);
    assert_eq!(batch.stale.capacity(), STALE, "and none of them cost memory");
}

#[test]
fn bytes_that_had_nowhere_to_go_are_told_once() {
    let mut batch = Batch::new();
    for (to, len) in [(1, 10), (1, 12), (2, 20), (1, 5)] {
        put(&mut batch, address(to), &vec![0; len]);
    }
    let flushed = batch.flush_through(true, |envelope, _, _| match envelope.path.remote == address(2) {
        true => Ok(()),
        false => Err(Errno::NETUNREACH),
    });
    assert_eq!(flushed, Flushed::All);
    assert_eq!([(); 2].map(|()| batch.take_failed()), [Some((address(1), 27)), None]);
    assert_eq!(batch.counters().errors, 3);
}
