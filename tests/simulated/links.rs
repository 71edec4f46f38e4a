//! Messages over links of every quality.

use std::time::Duration;

use crate::world::network::Weather;
use crate::world::{World, fixture};

const MINUTE: Duration = Duration::from_secs(60);

/// Everything flows for a minute under `weather`; what may move are `excused` counters.
fn flows_under(weather: Weather, excused: &[&'static str]) -> World {
    let mut world = fixture::trio(1);
    world.network.weather = weather;
    world.excuse(excused);
    fixture::applications(&mut world);
    world.run(MINUTE);
    assert!(world.ledger.arrived > 1500, "only {} messages arrived", world.ledger.arrived);
    world.network.weather = Weather::FINE;
    world.conclude(MINUTE);
    fixture::nothing_broke(&world);
    world
}

#[test]
fn messages_cross_a_perfect_link_and_no_counter_moves() {
    let world = flows_under(Weather::FINE, &[]);
    for host in &world.hosts {
        let others = host.discards().into_iter().filter(|(name, _)| *name != "unknown_index");
        assert_eq!(others.count(), 0, "{:?}", host.discards());
    }
}

#[test]
fn messages_cross_a_link_that_loses_a_fifth() {
    flows_under(Weather { loss: 200, ..Weather::FINE }, &["unknown_index", "stale_initiation"]);
}

#[test]
fn messages_cross_a_link_that_reorders_and_duplicates() {
    let weather = Weather { reorder: 200, duplicate: 200, jitter: Duration::from_millis(5), ..Weather::FINE };
    let world = flows_under(weather, &["replayed", "unknown_index", "stale_initiation", "rate_limited"]);
    assert!(world.hosts.iter().any(|host| host.discards().contains_key("replayed")));
}

#[test]
fn corrupted_datagrams_change_nothing_but_counters() {
    let weather = Weather { corrupt: 100, ..Weather::FINE };
    let counters =
        ["malformed", "bad_mac", "not_authentic", "unknown_index", "replayed", "expired", "stale_initiation"];
    let world = flows_under(weather, &counters);
    let counted: u64 = world.hosts.iter().flat_map(|host| host.discards().into_values()).sum();
    assert!(
        counted > 0 && world.network.corrupted + 3 >= counted,
        "{counted} of {}",
        world.network.corrupted
    );
}

#[test]
fn a_packet_that_a_key_update_overtook_ends_no_stream() {
    // QUIC updates its keys after 10 to 1000 packets of a connection, and forgets the old ones three probe times later.
    for seed in 0..12 {
        let mut world = fixture::trio(100 + seed);
        fixture::applications(&mut world);
        world.run(Duration::from_secs(1));
        let slow = Duration::from_millis(300);
        world.network.weather =
            Weather { reorder: 20, held: Duration::from_secs(2), latency: slow, ..Weather::FINE };
        world.excuse(&["unknown_index", "stale_initiation"]);
        world.run(2 * MINUTE);
        fixture::nothing_broke(&world);
    }
}

#[test]
fn a_packet_that_comes_hundreds_of_others_late_ends_no_stream() {
    for seed in 0..4 {
        let mut world = fixture::trio(200 + seed);
        fixture::applications(&mut world);
        world.apps[fixture::PUSH].habits.interval = Duration::from_millis(2);
        world.run(Duration::from_secs(5));
        world.network.weather = Weather { reorder: 10, held: Duration::from_secs(2), ..Weather::FINE };
        world.excuse(&["unknown_index", "stale_initiation", "replayed"]);
        world.run(Duration::from_secs(30));
        world.network.weather = Weather::FINE;
        world.conclude(Duration::from_secs(30));
        fixture::nothing_broke(&world);
    }
}
