//! Clocks that jump, machines that sleep.

use std::time::Duration;

use crate::world::World;
use crate::world::fixture::{self, NORTH, PULL, SOUTH};

const MINUTE: Duration = Duration::from_secs(60);

/// Messages of the last minute.
fn minute(world: &mut World) -> u64 {
    let before = world.apps[PULL].received;
    world.run(MINUTE);
    world.apps[PULL].received - before
}

fn begin() -> World {
    let mut world = fixture::trio(6);
    fixture::applications(&mut world);
    world.run(MINUTE);
    world
}

#[test]
fn a_wall_clock_that_goes_forward_and_back_stops_nothing() {
    for host in [NORTH, SOUTH] {
        let mut world = begin();
        world.hosts[host].wall += 24 * 60 * MINUTE;
        for _ in 0..4 {
            assert!(minute(&mut world) > 1150);
        }
        world.hosts[host].wall -= 48 * 60 * MINUTE;
        for _ in 0..8 {
            assert!(minute(&mut world) > 1150, "after the clock went back");
        }
        world.conclude(MINUTE);
        fixture::nothing_broke(&world);
    }
}

#[test]
fn a_monotonic_jump_of_ten_minutes_is_survived() {
    for host in [NORTH, SOUTH] {
        let mut world = begin();
        world.excuse(&["expired", "unknown_index", "stale_initiation"]);
        world.hosts[host].skew += 10 * MINUTE;
        assert!(minute(&mut world) > 1000, "a jump costs seconds at most");
        world.conclude(MINUTE);
        fixture::nothing_broke(&world);
    }
}

#[test]
fn resume_after_suspend_starts_fresh() {
    for host in [NORTH, SOUTH] {
        let mut world = begin();
        world.excuse(&["expired", "unknown_index", "stale_initiation", "staged_too_long"]);
        world.hosts[host].asleep = true;
        world.run(10 * MINUTE);
        world.hosts[host].asleep = false;
        let before = world.apps[PULL].received;
        let resumed =
            world.run_until(Duration::from_secs(12), |world| world.apps[PULL].received > before + 5);
        println!("messages {resumed:?} after waking");
        assert!(resumed.is_some(), "nothing after waking");
        world.conclude(MINUTE);
        fixture::nothing_broke(&world);
    }
}
