//! Sessions are replaced under traffic, for hours.

use std::time::Duration;

use crate::world::fixture::{self, NORTH, SOUTH};

#[test]
fn sessions_are_replaced_every_two_minutes_for_three_hours_and_no_message_is_lost() {
    let mut world = fixture::trio(4);
    fixture::applications(&mut world);
    for app in &mut world.apps {
        app.habits.interval = Duration::from_secs(2);
    }
    let mut handshakes = Vec::new();
    for _ in 0..3 * 60 * 12 {
        world.run(Duration::from_secs(5));
        let status = world.hosts[NORTH].node.peers().next().expect("a peer").tunnel;
        assert!(status.sessions <= 3 && status.staged <= 8, "{status:?}");
        let latest = status.last_handshake.expect("a handshake").instant;
        if handshakes.last() != Some(&latest) {
            handshakes.push(latest);
        }
        for app in &world.apps {
            assert!(app.conns.len() <= 2, "connections pile up");
        }
    }
    let gaps: Vec<Duration> = handshakes.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps.len() >= 85, "{} handshakes in three hours", gaps.len());
    for gap in gaps {
        assert!(
            gap > Duration::from_secs(110) && gap < Duration::from_secs(128),
            "{gap:?} between handshakes"
        );
    }
    assert!(world.hosts[SOUTH].node.broker_report().connections() <= 8);
    world.conclude(Duration::from_secs(30));
    fixture::nothing_broke(&world);
}
