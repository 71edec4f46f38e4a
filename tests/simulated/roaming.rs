//! Either end gets another address while messages flow.

use std::time::Duration;

use crate::world::fixture::{self, NORTH, PULL, SOUTH};

fn roaming_is_survived(host: usize) {
    let mut world = fixture::trio(3);
    fixture::applications(&mut world);
    world.run(Duration::from_secs(10));
    for _ in 0..3 {
        world.roam(host);
        let before = world.apps[PULL].received;
        world.run(Duration::from_secs(20));
        let arrived = world.apps[PULL].received - before;
        assert!(arrived > 350, "only {arrived} messages in 20 s: roaming costs more than a second");
    }
    let moved = world.hosts.iter().enumerate().filter(|(place, _)| *place != host).all(|(_, other)| {
        let here = world.hosts[host].address;
        other.node.peers().any(|peer| peer.tunnel.endpoint == Some(here))
    });
    assert!(moved, "everybody knows the new address");
    world.conclude(Duration::from_secs(30));
    fixture::nothing_broke(&world);
}

#[test]
fn the_using_end_may_roam_mid_stream() {
    roaming_is_survived(NORTH);
}

#[test]
fn the_offering_end_may_roam_mid_stream() {
    roaming_is_survived(SOUTH);
}
