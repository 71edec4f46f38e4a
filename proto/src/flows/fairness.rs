//! Who loses what when there is no room.

use super::tests::{ACK, SYN, SYN_ACK, World, at, between, world};
use super::*;
use Direction::{In, Out};

/// Opens a connection from `peer` to our port 22, all three steps or only the first.
fn connect(world: &mut World, peer: u32, port: u16, steps: usize) -> bool {
    let steps = &[(In, SYN), (Out, SYN_ACK), (In, ACK)][..steps];
    steps.iter().all(|(direction, flags)| {
        let (source, destination) = if *direction == In { (port, 22) } else { (22, port) };
        let segment = between(*direction, Transport::Tcp { source, destination, flags: *flags });
        let allow = |_: &Question| Answer::Allow;
        world.flows.judge(*direction, peer, &segment, at(world.millis), allow).passes()
    })
}

fn is_known(world: &mut World, peer: u32, port: u16) -> bool {
    let answer = between(Out, Transport::Tcp { source: 22, destination: port, flags: ACK });
    world.flows.judge(Out, peer, &answer, at(world.millis), |_| Answer::Deny).passes()
}

#[test]
fn a_flood_of_one_peer_costs_that_peer_alone() {
    let mut world = world(|_| true);
    for peer in 1..=3 {
        assert!((0..20).all(|port| connect(&mut world, peer, port, 3)));
    }
    assert!((0..5).all(|port| connect(&mut world, 9, port, 3)));
    for port in 100..20_000 {
        world.millis += 1;
        assert!(connect(&mut world, 9, port, 1));
        assert!(world.flows.len() <= 100);
    }
    world.flows.table.check();
    assert_eq!(world.flows.held_by(9), 40);
    for (peer, many) in [(1, 20), (2, 20), (3, 20), (9, 5)] {
        assert!((0..many).all(|port| is_known(&mut world, peer, port)), "established ones of {peer}");
    }
    // A newcomer is given its share by the one that holds more than its own.
    assert!((0..20).all(|port| connect(&mut world, 4, port, 3)));
    assert!((0..20).all(|port| is_known(&mut world, 4, port)));
    for (peer, many) in [(1, 20), (2, 20), (3, 20), (9, 20)] {
        assert_eq!(world.flows.held_by(peer), many);
    }
    assert!((0..5).all(|port| is_known(&mut world, 9, port)), "half-open ones went first");
    assert_eq!(world.flows.counters().evicted, 20_000 - 100 - 35 + 20);
    world.flows.table.check();
}

#[test]
fn whoever_fills_the_table_with_connections_gives_back_to_others_what_is_beyond_its_share() {
    let mut world = world(|_| true);
    for port in 0..500 {
        world.millis += 10;
        assert!(connect(&mut world, 1, port, 3));
        assert!(is_known(&mut world, 1, 0), "the busy one outlives those that rest");
    }
    assert_eq!(world.flows.held_by(1), 100);
    for (peer, share) in [(2, 50), (3, 33), (4, 25)] {
        assert!((0..200).all(|port| connect(&mut world, peer, port, 3)));
        assert_eq!(world.flows.held_by(peer), share, "peer {peer}");
    }
    assert_eq!(world.flows.len(), 100);
    assert!((1..=4).all(|peer| world.flows.held_by(peer) >= 25));
    assert_eq!(world.flows.forget_peer(4), 25);
    assert_eq!((world.flows.held_by(4), world.flows.len()), (0, 75));
    world.flows.table.check();
}

#[test]
fn more_peers_than_flows_are_refused_not_a_panic() {
    let mut world = world(|_| true);
    for peer in 0..100 {
        assert!(connect(&mut world, peer, 1, 3));
    }
    assert!(!connect(&mut world, 100, 1, 1));
    assert_eq!(world.flows.len(), 100);
    assert!(connect(&mut world, 5, 2, 1), "its own flow makes room");
    assert!(!is_known(&mut world, 5, 1));
}

#[test]
fn sweeping_forgets_what_rested_for_too_long() {
    let mut world = world(|_| true);
    assert!((0..50).all(|port| connect(&mut world, 1, port, 1)));
    world.millis += 29_999;
    world.flows.sweep(50, at(world.millis));
    assert_eq!(world.flows.len(), 50);
    world.millis += 1;
    world.flows.sweep(20, at(world.millis));
    assert_eq!(world.flows.len(), 30);
    world.flows.sweep(1_000, at(world.millis));
    assert!(world.flows.is_empty());
    assert_eq!(world.flows.counters().expired, 50);
    world.flows.table.check();
}
