//! A receiver that stops reading stops its sender, and nobody else.

use std::time::Duration;

use lockgate_broker::links::STREAM_WINDOW;
use lockgate_proto::zmtp::SocketType;

use crate::world::World;
use crate::world::application::Habits;
use crate::world::fixture::{self, NORTH, PULL, SOUTH};

const SECOND: Duration = Duration::from_secs(1);
/// What the two nodes may hold of one stream: its credit, and what one read from the application brought.
const HELD: u64 = STREAM_WINDOW as u64 + 128 * 1024;

/// Bytes that the nodes took from the sender and have not given to the receiver.
fn held(world: &World, sender: usize, receiver: usize) -> u64 {
    world.apps[sender].traffic().0 - world.apps[receiver].traffic().1
}

#[test]
fn a_receiver_that_stops_reading_stops_its_sender_and_no_other_service() {
    let mut world = fixture::trio(9);
    fixture::applications(&mut world);
    world.run(5 * SECOND);
    let (bulk, sink) = (8, 9);
    assert_eq!(world.apps[bulk].habits.socket, SocketType::Push);
    world.apps[sink].stalled = true;
    world.apps[bulk].habits.interval = Duration::ZERO;
    world.apps[bulk].habits.size = 1000;
    world.apps[bulk].habits.limit = Some(10_000);
    world.run(20 * SECOND);
    let stopped = world.apps[bulk].traffic().0;
    let most = held(&world, bulk, sink);
    println!("{most} bytes are held for a stalled receiver");
    assert!(most > u64::from(STREAM_WINDOW) / 2 && most <= HELD, "{most} bytes held");
    let before = world.apps[PULL].received;
    world.run(10 * SECOND);
    assert_eq!(world.apps[bulk].traffic().0, stopped, "the sender has stopped");
    assert!(world.apps[PULL].received - before > 190, "another service is disturbed");
    world.apps[sink].stalled = false;
    let resumed = world.run_until(SECOND, |world| world.apps[bulk].traffic().0 > stopped + 100_000);
    assert!(resumed.is_some(), "the sender does not go on");
    world.run(60 * SECOND);
    world.conclude(30 * SECOND);
    fixture::nothing_broke(&world);
}

#[test]
fn a_stalled_receiver_and_an_outage_together_lose_nothing() {
    let mut world = fixture::trio(10);
    let fast =
        Habits { interval: Duration::ZERO, size: 3000, limit: Some(3000), ..Habits::of(SocketType::Push) };
    let push = world.app(NORTH, "jobs", fast);
    let pull = world.app(SOUTH, "jobs", Habits::of(SocketType::Pull));
    world.run(2 * SECOND);
    world.apps[pull].stalled = true;
    world.run(2 * SECOND);
    world.network.cut.insert((NORTH, SOUTH));
    world.run(60 * SECOND);
    world.apps[pull].stalled = false;
    world.run(60 * SECOND);
    world.network.cut.clear();
    world.run(60 * SECOND);
    assert_eq!(world.apps[pull].received, 3000);
    assert!(held(&world, push, pull) == 0);
    world.excuse(&["staged_too_long"]);
    world.conclude(30 * SECOND);
    assert_eq!(world.apps[push].opened, 1);
}
