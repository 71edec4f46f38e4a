//! The tunnel is cut for a while: streams stall, and nothing is lost.

use std::time::Duration;

use crate::world::World;
use crate::world::fixture::{self, EAST, NORTH, PULL, SOUTH};

/// From the first handshake after an outage to the first message; the most that is legitimate.
const RESUME: Duration = Duration::from_secs(2);
/// WireGuard tries again every 5 s and up to 333 ms, and both ends do.
const RETRY: Duration = Duration::from_millis(5333 + 100);

fn latest_handshake(world: &World) -> Duration {
    let peers = world.hosts[SOUTH].node.peers();
    let handshakes =
        peers.filter(|peer| &*peer.name == "north").filter_map(|peer| peer.tunnel.last_handshake);
    handshakes.map(|now| now.instant.since_epoch()).max().unwrap_or_default()
}

fn an_outage_loses_nothing(length: Duration, rehandshakes: bool) {
    let mut world = fixture::trio(2);
    fixture::applications(&mut world);
    world.run(Duration::from_secs(20));
    let before = world.apps[PULL].received;
    assert!(before > 100, "{before} messages in 20 s");
    // Both ends call again at once: their handshakes may cross.
    world.excuse(&["staged_too_long", "unknown_index"]);
    world.network.cut = [(NORTH, SOUTH), (SOUTH, EAST)].into();
    world.run(length);
    let stalled = world.apps[PULL].received;
    world.network.cut.clear();
    let back = world.now;
    let session = world.run_until(RETRY, |world| latest_handshake(world) > back);
    assert!(session.is_some() || !rehandshakes, "no session within {RETRY:?}");
    let resumed = world.run_until(RESUME, |world| world.apps[PULL].received > stalled + 2);
    println!("outage {length:?}: session after {session:?}, messages {resumed:?} later");
    assert!(resumed.is_some(), "no message within {RESUME:?}");
    world.run(Duration::from_secs(20));
    world.conclude(Duration::from_secs(30));
    fixture::nothing_broke(&world);
    for app in &world.apps {
        assert!(app.opened <= 3, "the same connections as before");
    }
}

#[test]
fn an_outage_of_12_seconds_stalls_and_loses_nothing() {
    an_outage_loses_nothing(Duration::from_secs(12), false);
}

#[test]
fn an_outage_of_40_seconds_stalls_and_loses_nothing() {
    an_outage_loses_nothing(Duration::from_secs(40), true);
}

#[test]
fn an_outage_of_10_minutes_stalls_and_loses_nothing() {
    an_outage_loses_nothing(Duration::from_secs(600), true);
}
