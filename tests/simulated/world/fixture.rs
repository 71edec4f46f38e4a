//! Worlds that many tests begin with.

use std::time::Duration;

use lockgate_broker::services::Reach;
use lockgate_proto::zmtp::SocketType;

use super::World;
use super::application::Habits;
use super::host::HostPlan;

/// Two gateways and a historian: readings, commands and work between them.
pub(crate) const POLICY: &str = r#"
default = "deny"
[tags]
role = ["gw", "hist"]
[nodes]
north = { role = "gw" }
east = { role = "gw" }
south = { role = "hist" }
[service.tele]
hosted-by = "node=north"
sockets = ["pub", "xpub"]
topics = ["temp.", "vib."]
[service.cmd]
hosted-by = "node=north"
sockets = ["rep", "router"]
[service.jobs]
hosted-by = "role=hist"
socket = "pull"
[service.bulk]
hosted-by = "role=hist"
socket = "pull"
[[allow]]
id = "tele"
from = "node=south"
to = "tele"
topics = ["temp."]
[[allow]]
id = "cmd"
from = "role=hist"
to = "cmd"
sockets = ["req", "dealer"]
[[allow]]
id = "jobs"
from = "role=gw"
to = "jobs"
[[allow]]
id = "bulk"
from = "role=gw"
to = "bulk"
"#;

pub(crate) const NORTH: usize = 0;
pub(crate) const SOUTH: usize = 1;
pub(crate) const EAST: usize = 2;

/// The hosts, every one with a policy of its own.
pub(crate) fn plans(policies: [&str; 3]) -> Vec<HostPlan> {
    let [north, south, east] = policies;
    vec![
        HostPlan {
            name: "north",
            offers: vec![("tele", Reach::Dial), ("cmd", Reach::Dial)],
            uses: vec!["jobs", "bulk"],
            policy: north.into(),
            tun: None,
            udp_payload: 0,
        },
        HostPlan {
            name: "south",
            offers: vec![("jobs", Reach::Dial), ("bulk", Reach::Listen)],
            uses: vec!["tele", "cmd"],
            policy: south.into(),
            tun: None,
            udp_payload: 0,
        },
        HostPlan {
            name: "east",
            offers: vec![],
            uses: vec!["jobs", "tele"],
            policy: east.into(),
            tun: None,
            udp_payload: 0,
        },
    ]
}

/// The three hosts under [`POLICY`].
pub(crate) fn trio(default_seed: u64) -> World {
    World::new(super::seed_or(default_seed), plans([POLICY; 3]), false)
}

/// The same, with persistent keepalives of 25 s on every tunnel (otherwise on half of them, by chance).
pub(crate) fn trio_with_keepalives(default_seed: u64) -> World {
    World::new(super::seed_or(default_seed), plans([POLICY; 3]), true)
}

/// The places of the applications that [`applications`] starts.
pub(crate) const PUSH: usize = 0;
pub(crate) const PULL: usize = 1;
pub(crate) const PUB: usize = 2;
pub(crate) const SUB: usize = 3;

/// One application for each end of each service.
pub(crate) fn applications(world: &mut World) {
    world.app(NORTH, "jobs", Habits::of(SocketType::Push));
    world.app(SOUTH, "jobs", Habits::of(SocketType::Pull));
    let topics = vec!["temp.1", "temp.2", "vib.1"];
    world.app(NORTH, "tele", Habits { topics, ..Habits::of(SocketType::Pub) });
    world.app(SOUTH, "tele", Habits { topics: vec!["temp."], ..Habits::of(SocketType::Sub) });
    world.app(NORTH, "cmd", Habits::of(SocketType::Router));
    world.app(SOUTH, "cmd", Habits::of(SocketType::Req));
    world.app(SOUTH, "cmd", Habits::of(SocketType::Dealer));
    world.app(EAST, "jobs", Habits { size: 3000, ..Habits::of(SocketType::Push) });
    world.app(NORTH, "bulk", Habits { interval: Duration::from_millis(250), ..Habits::of(SocketType::Push) });
    world.app(SOUTH, "bulk", Habits::of(SocketType::Pull));
}

/// Every connection that was opened still stands.
pub(crate) fn nothing_broke(world: &World) {
    for (place, app) in world.apps.iter().enumerate() {
        let socket = app.habits.socket;
        assert!(app.opened > 0, "application {place}, a {socket:?}, never had a connection");
        assert_eq!(app.lost, 0, "application {place}, a {socket:?}, lost connections");
    }
}
