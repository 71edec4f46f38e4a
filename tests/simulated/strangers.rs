//! A stranger floods a node with initiations.

use std::net::SocketAddr;
use std::time::Duration;

use lockgate_proto::device::{Device, PeerConfig};
use lockgate_proto::entropy::Randomness;
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::{Moment, Now};

use crate::world::World;
use crate::world::fixture::{self, PULL, SOUTH};
use crate::world::network::{Batch, Datagram};

const SECOND: Duration = Duration::from_secs(1);
const COOKIE_REPLY: usize = 64;

/// An initiation to `SOUTH` by somebody who knows its key and is not its peer.
fn initiation(world: &mut World) -> Vec<u8> {
    let now = Now { instant: Moment::ZERO, wall: Duration::from_secs(1_800_000_000) };
    let identity = PrivateKey::generate(&mut world.random);
    let randomness =
        Randomness { secret: Box::new(world.random.fork()), public: Box::new(world.random.fork()) };
    let mut device = Device::new(Some(identity), randomness, now);
    let host = &world.hosts[SOUTH];
    let config = PeerConfig {
        public_key: host.node.public_key().expect("a host has a key"),
        preshared_key: None,
        endpoint: Some(host.address),
        keepalive: None,
    };
    let peer = device.add_peer(config, now).expect("a peer");
    let mut batch = Batch::new();
    device.begin_handshake(peer, now, &mut batch).expect("it has an endpoint");
    batch.datagrams.pop().expect("an initiation").1
}

/// Three thousand initiations a second from made-up addresses, for `seconds`.
fn flood(world: &mut World, seconds: u32) -> usize {
    let bytes = initiation(world);
    let to = world.hosts[SOUTH].address;
    for number in 0..seconds * 3000 {
        let chance = world.random.next().to_le_bytes();
        let from = SocketAddr::from(([192, chance[0], chance[1], chance[2]], 4000));
        let due = world.now + Duration::from_micros(u64::from(number) * 333);
        world.network.inject(Datagram { from, to, ecn: 0, bytes: bytes.clone() }, due);
    }
    bytes.len()
}

#[test]
fn an_honest_peer_connects_with_a_cookie_while_strangers_flood() {
    let mut world = fixture::trio(7);
    world.excuse(&["cookie_sent", "unknown_peer", "rate_limited", "unknown_index"]);
    let length = flood(&mut world, 12);
    world.run(SECOND);
    world.restart(SOUTH);
    fixture::applications(&mut world);
    let connected = world.run_until(15 * SECOND, |world| world.apps[PULL].received > 5);
    println!("messages {connected:?} after the honest peers began");
    assert!(connected.is_some(), "the flood keeps honest peers out");
    world.run(5 * SECOND);
    let discards = world.hosts[SOUTH].discards();
    assert!(discards.get("cookie_sent").is_some_and(|sent| *sent > 1000), "{discards:?}");
    for (to, size) in &world.strays {
        assert_eq!(*size, COOKIE_REPLY, "an answer to the stranger at {to}");
        assert!(*size < length, "an amplifier");
    }
    world.conclude(40 * SECOND);
    fixture::nothing_broke(&world);
}

#[test]
fn a_flood_does_not_disturb_sessions_that_stand() {
    let mut world = fixture::trio(8);
    world.excuse(&["cookie_sent", "unknown_peer", "rate_limited"]);
    fixture::applications(&mut world);
    world.run(10 * SECOND);
    let before = world.apps[PULL].received;
    flood(&mut world, 5);
    world.run(10 * SECOND);
    let during = world.apps[PULL].received - before;
    assert!(during > 190, "only {during} messages during the flood");
    world.conclude(30 * SECOND);
    fixture::nothing_broke(&world);
}
