//! Random walks: minutes of random faults, and at the end everything that may have arrived has.

use std::time::Duration;

use crate::world::World;
use crate::world::fixture::{self, POLICY, SOUTH};
use crate::world::host::rules;
use crate::world::network::Weather;

/// Walks in every run of the tests; `LOCKGATE_WALKS` asks for more.
const WALKS: u64 = 200;
/// Counters that bad weather moves.
const WEATHERED: [&str; 11] = [
    // Of a node, where an application stalls in the middle of its greeting.
    "handshake_timeout",
    "malformed",
    "bad_mac",
    "not_authentic",
    "unknown_index",
    "replayed",
    "expired",
    "stale_initiation",
    "rate_limited",
    "staged_too_long",
    "unexpected_cookie",
];

/// Whether streams may break on this walk, or only wait.
fn may_break(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

fn weather(world: &mut World) -> Weather {
    let random = &mut world.random;
    let mut permille = |most: usize| {
        if random.chance(600) { 0 } else { u32::try_from(random.below(most)).expect("a small number") }
    };
    Weather {
        loss: permille(300),
        duplicate: permille(300),
        reorder: permille(300),
        corrupt: permille(100),
        latency: Duration::from_millis(1 + u64::from(permille(200))),
        jitter: Duration::from_millis(permille(20).into()),
        held: Duration::from_millis(1 + u64::from(permille(2000))),
    }
}

/// One random operation that breaks nothing, and some time.
fn step(world: &mut World, may_break: bool) {
    let host = world.random.below(3);
    let app = world.random.below(world.apps.len());
    match world.random.below(9) {
        0 | 1 => world.network.weather = weather(world),
        2 => {
            let other = (host + 1) % 3;
            world.network.cut.insert((host.min(other), host.max(other)));
        }
        3 | 4 => world.network.cut.clear(),
        // Two ends that move at once find each other never again: that is WireGuard.
        5 => world.roam(SOUTH),
        6 => world.apps[app].stalled ^= true,
        7 => world.apps[app].habits.size = 1 + world.random.below(20_000),
        _ => {
            let jump = world.random.duration(Duration::from_secs(1000));
            let clock = &mut world.hosts[host].wall;
            // Who restarts with a clock that went back is stale to its peers until the clock has caught up.
            *clock =
                if may_break || jump.as_nanos().is_multiple_of(2) { *clock + jump } else { *clock - jump };
        }
    }
    let time = world.random.duration(Duration::from_secs(12));
    world.run(time);
}

/// One random operation after which streams end.
fn break_something(world: &mut World) {
    let host = world.random.below(3);
    let app = world.random.below(world.apps.len());
    match world.random.below(5) {
        0 => world.restart(host),
        1 => world.kill(app),
        2 => world.hosts[host].skew += world.random.duration(Duration::from_secs(600)),
        3 => {
            let other = POLICY.replace("role=gw\"\nto = \"jobs\"", "node=east\"\nto = \"jobs\"");
            replace_rules(world, host, &other);
        }
        _ => {
            world.hosts[host].asleep = true;
            let time = world.random.duration(Duration::from_secs(30));
            world.run(time);
            world.hosts[host].asleep = false;
        }
    }
    for app in 0..world.apps.len() {
        if !world.apps[app].running && world.random.chance(700) {
            world.revive(app);
        }
    }
}

fn replace_rules(world: &mut World, host: usize, policy: &str) {
    let now = world.hosts[host].now(world.now).instant;
    let host = &mut world.hosts[host];
    host.node.broker().replace_rules(rules(policy), now, &mut host.pipes);
}

/// The faults end; everything that still stands is made whole, and everybody is served again.
fn recover(world: &mut World) {
    world.network.weather = Weather::FINE;
    world.network.cut.clear();
    for host in 0..world.hosts.len() {
        replace_rules(world, host, POLICY);
    }
    for app in 0..world.apps.len() {
        world.apps[app].stalled = false;
        if !world.apps[app].running {
            world.revive(app);
        }
    }
    world.run(Duration::from_secs(90));
    let before: Vec<u64> = world.apps.iter().map(|app| app.received).collect();
    world.run(Duration::from_secs(10));
    for (place, app) in world.apps.iter().enumerate() {
        let receives = !matches!(app.habits.socket.name(), "PUSH" | "PUB");
        assert!(!receives || app.received > before[place], "application {place} is not served again");
    }
}

fn walk(seed: u64) {
    let mut world = World::new(seed, fixture::plans([POLICY; 3]), true);
    world.excuse(&WEATHERED);
    fixture::applications(&mut world);
    world.network.weather = weather(&mut world);
    for app in &mut world.apps {
        app.habits.interval = Duration::from_millis(500);
    }
    world.run(Duration::from_secs(5));
    for _ in 0..10 {
        step(&mut world, may_break(seed));
        if may_break(seed) && world.random.chance(400) {
            break_something(&mut world);
        }
    }
    recover(&mut world);
    world.conclude(Duration::from_secs(60));
    if !may_break(seed) {
        fixture::nothing_broke(&world);
    }
    for (place, host) in world.hosts.iter().enumerate() {
        let connections = host.node.broker_report().connections();
        assert!(connections <= 12, "host {place} keeps {connections} connections");
    }
}

#[test]
fn random_walks_hold() {
    if let Ok(seed) = std::env::var("LOCKGATE_SEED") {
        return walk(seed.parse().expect("LOCKGATE_SEED is a number"));
    }
    let walks =
        std::env::var("LOCKGATE_WALKS").map_or(WALKS, |text| text.parse().expect("a number of walks"));
    let failed = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || {
                let seeds = (0..walks).filter(move |seed| seed / 2 % 2 == half);
                seeds.filter(|seed| std::panic::catch_unwind(|| walk(*seed)).is_err()).collect::<Vec<_>>()
            })
        });
        halves.map(|half| half.join().expect("panics are caught")).concat()
    });
    assert_eq!(failed, Vec::<u64>::new(), "seeds that failed");
}
