//! Either end gets another address while messages flow.

use std::time::Duration;

use crate::world::fixture::{self, NORTH, PULL, SOUTH, SUB};

/// `host` roams three times; `other` finds it by what it sends, be it a keepalive.
fn roaming_is_survived(host: usize, other: usize) {
    let mut world = fixture::trio_with_keepalives(3);
    fixture::applications(&mut world);
    world.run(Duration::from_secs(10));
    for _ in 0..3 {
        world.roam(host);
        let before = world.apps[SUB].received;
        world.run(Duration::from_secs(10));
        let arrived = world.apps[SUB].received - before;
        assert!(arrived > 180, "only {arrived} messages in 10 s: roaming costs more than a second");
        let here = world.hosts[host].address;
        let moved = world.hosts[other].node.peers().any(|peer| peer.tunnel.endpoint == Some(here));
        assert!(moved, "the other node does not know the new address");
        let before = world.apps[PULL].received;
        world.run(Duration::from_secs(40));
        let arrived = world.apps[PULL].received - before;
        // A gateway that only sends learns it from the next keepalive, and then delivers what has waited.
        assert!(arrived > 780, "only {arrived} messages in 40 s");
    }
    world.conclude(Duration::from_secs(30));
    fixture::nothing_broke(&world);
}

#[test]
fn the_using_end_may_roam_mid_stream() {
    roaming_is_survived(NORTH, SOUTH);
}

#[test]
fn the_offering_end_may_roam_mid_stream() {
    roaming_is_survived(SOUTH, NORTH);
}
