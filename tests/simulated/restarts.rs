//! A node or an application dies and begins anew.

use std::time::Duration;

use crate::world::World;
use crate::world::fixture::{self, NORTH, PULL, PUSH, SOUTH};

const SECOND: Duration = Duration::from_secs(1);

fn begin() -> World {
    let mut world = fixture::trio(5);
    fixture::applications(&mut world);
    world.run(10 * SECOND);
    world
}

/// Messages flow from both gateways again within `patience`.
fn goes_on(world: &mut World, patience: Duration) {
    let before: Vec<u64> = world.apps.iter().map(|app| app.received).collect();
    let receivers = |world: &World| {
        let pairs = world.apps.iter().zip(&before);
        pairs.filter(|(app, before)| app.received > **before + 5).count()
    };
    let all = before.iter().filter(|received| **received > 0).count();
    let resumed = world.run_until(patience, |world| receivers(world) == all);
    println!("everybody gets messages again after {resumed:?}");
    assert!(resumed.is_some(), "{} of {all} get messages after {patience:?}", receivers(world));
    world.conclude(30 * SECOND);
}

#[test]
fn a_restarted_using_node_is_used_again_and_nothing_comes_twice() {
    let mut world = begin();
    world.restart(NORTH);
    goes_on(&mut world, 12 * SECOND);
}

#[test]
fn a_restarted_offering_node_is_used_again_and_nothing_comes_twice() {
    let mut world = begin();
    world.restart(SOUTH);
    goes_on(&mut world, 12 * SECOND);
}

#[test]
fn both_nodes_may_restart_at_once() {
    let mut world = begin();
    world.restart(SOUTH);
    world.restart(NORTH);
    goes_on(&mut world, 12 * SECOND);
}

#[test]
fn a_restarted_sender_gets_a_new_connection_and_the_old_one_ends_at_the_receiver() {
    let mut world = begin();
    let open = world.apps[PULL].conns.len();
    world.kill(PUSH);
    world.run(2 * SECOND);
    assert_eq!(world.apps[PULL].conns.len(), open - 1, "the receiver's connection ends with the sender's");
    world.revive(PUSH);
    goes_on(&mut world, 3 * SECOND);
}

#[test]
fn a_restarted_receiver_is_found_again() {
    let mut world = begin();
    world.kill(PULL);
    world.run(5 * SECOND);
    assert_eq!(world.apps[PUSH].lost, 1, "the sender's connection ends with the receiver's");
    world.revive(PULL);
    goes_on(&mut world, 3 * SECOND);
}

#[test]
fn refusals_without_end_use_nothing_up() {
    let mut world = begin();
    world.kill(PULL);
    // Asked for four times a second: far more refusals than a peer may have streams at a time.
    world.run(600 * SECOND);
    world.revive(PULL);
    goes_on(&mut world, 3 * SECOND);
}

#[test]
fn a_sender_that_leaves_after_its_last_message_has_delivered_everything() {
    let mut world = begin();
    world.kill(PUSH);
    world.revive(PUSH);
    let habits = &mut world.apps[PUSH].habits;
    habits.interval = Duration::ZERO;
    habits.size = 5000;
    (habits.limit, habits.leaves) = (Some(1000), true);
    world.run(20 * SECOND);
    assert!(world.apps[PUSH].conns.is_empty(), "the sender has left");
    let sent: Vec<_> = world.ledger.sent.iter().filter(|(_, sent)| **sent == 1000).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(world.ledger.due.get(sent[0].0), Some(&1000), "of what was sent before leaving");
    world.conclude(30 * SECOND);
}
