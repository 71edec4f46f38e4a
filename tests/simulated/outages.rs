//! The tunnel is cut for a while: streams stall, and nothing is lost.

use std::time::Duration;

use crate::world::World;
use crate::world::fixture::{self, EAST, NORTH, SOUTH, SUB};

/// From the first handshake after an outage (or from its end, if the session survived it) to the first messages.
const RESUME: Duration = Duration::from_secs(2);
/// The tunnel notices no shorter outage: streams go on with QUIC's next probe, which has backed off for as long as the
/// outage was.
const UNNOTICED: Duration = Duration::from_secs(15);
/// WireGuard tries again every 5 s and up to 333 ms, and both ends do.
const RETRY: Duration = Duration::from_millis(5333 + 100);
const SEEDS: u64 = 12;

fn latest_handshake(world: &World) -> Duration {
    let peers = world.hosts[SOUTH].node.peers();
    let handshakes =
        peers.filter(|peer| &*peer.name == "north").filter_map(|peer| peer.tunnel.last_handshake);
    handshakes.map(|now| now.instant.since_epoch()).max().unwrap_or_default()
}

/// Cuts the tunnel under traffic; how long the readings from north took to go on.
fn resumes_after(length: Duration, seed: u64) -> (Option<Duration>, Duration) {
    let mut world = fixture::trio(seed);
    fixture::applications(&mut world);
    let early = world.random.duration(Duration::from_secs(200));
    world.run(Duration::from_secs(20) + early);
    // Both ends call again at once: their handshakes may cross.
    world.excuse(&["staged_too_long", "unknown_index"]);
    world.network.cut = [(NORTH, SOUTH), (SOUTH, EAST)].into();
    world.run(length);
    let stalled = world.apps[SUB].received;
    world.network.cut.clear();
    let back = world.now;
    let news = |world: &World| latest_handshake(world) > back || world.apps[SUB].received > stalled + 2;
    let (patience, limit) =
        if length < UNNOTICED { (length + RESUME, length + RESUME) } else { (RETRY, RESUME) };
    let session = world.run_until(patience, news);
    assert!(session.is_some(), "neither a session nor messages within {patience:?}");
    let resumed = world.run_until(limit, |world| world.apps[SUB].received > stalled + 2);
    let resumed = resumed.unwrap_or_else(|| panic!("no message within {limit:?} of the session"));
    let (session, resumed) = match session {
        Some(waited) if latest_handshake(&world) <= back => (None, waited + resumed),
        session => (session, resumed),
    };
    assert!(resumed <= limit, "messages only {resumed:?} after the link was back");
    world.run(Duration::from_secs(20));
    world.conclude(Duration::from_secs(30));
    fixture::nothing_broke(&world);
    for app in &world.apps {
        assert!(app.opened <= 3, "the same connections as before");
    }
    (session, resumed)
}

fn an_outage_loses_nothing(length: Duration) {
    let all = (0..SEEDS).map(|seed| resumes_after(length, 20 + seed)).collect::<Vec<_>>();
    let session = all.iter().filter_map(|(session, _)| *session).max();
    let resumed = all.iter().map(|(_, resumed)| *resumed).max();
    println!("outage of {length:?}: a session after {session:?} at most, messages {resumed:?} later at most");
}

#[test]
fn an_outage_of_12_seconds_stalls_and_loses_nothing() {
    an_outage_loses_nothing(Duration::from_secs(12));
}

#[test]
fn an_outage_of_40_seconds_stalls_and_loses_nothing() {
    an_outage_loses_nothing(Duration::from_secs(40));
}

#[test]
fn an_outage_of_10_minutes_stalls_and_loses_nothing() {
    an_outage_loses_nothing(Duration::from_secs(600));
}
