//! The policy at both ends: what may not pass does not, whoever would let it.

use std::time::Duration;

use lockgate_broker::broker::ServiceReport;
use lockgate_proto::zmtp::SocketType;

use crate::world::application::Habits;
use crate::world::fixture::{self, EAST, NORTH, POLICY, PUB, PULL, PUSH, SOUTH, SUB};
use crate::world::host::rules;
use crate::world::{World, seed_or};

const SECOND: Duration = Duration::from_secs(1);

fn report(world: &World, host: usize, service: &str) -> ServiceReport {
    let all = world.hosts[host].node.broker_report().services();
    all.into_iter().find(|report| &*report.service == service).expect("a service of the host")
}

/// A policy that also allows vibration, and another reader.
fn wider() -> String {
    let vibration = "topics = [\"temp.\", \"vib.\"]";
    let policy = POLICY.replace("topics = [\"temp.\"]", vibration);
    format!("{policy}[[allow]]\nid = \"east\"\nfrom = \"node=east\"\nto = \"tele\"\n{vibration}\n")
}

fn with(policies: [&str; 3], seed: u64) -> World {
    World::new(seed_or(seed), fixture::plans(policies), false)
}

/// A publisher that sends everything to everybody, and a subscriber to everything.
fn wild(world: &mut World) -> (usize, usize) {
    let topics = vec!["temp.1", "vib.1", "raw.1"];
    let publisher = Habits { topics, wild: true, ..Habits::of(SocketType::Pub) };
    let publisher = world.app(NORTH, "tele", publisher);
    let subscriber = Habits { topics: vec!["", "vib.", "raw."], ..Habits::of(SocketType::Sub) };
    (publisher, world.app(SOUTH, "tele", subscriber))
}

#[test]
fn a_forbidden_topic_never_arrives_even_if_one_end_would_let_it() {
    let wider = wider();
    for policies in [[POLICY; 3], [&wider, POLICY, POLICY], [POLICY, &wider, POLICY]] {
        let mut world = with(policies, 11);
        world.ledger.forbidden = vec!["vib.", "raw."];
        let (_, subscriber) = wild(&mut world);
        world.run(20 * SECOND);
        assert!(world.apps[subscriber].received > 150, "what is allowed arrives");
        let refused = report(&world, SOUTH, "tele").tally.subscriptions_refused
            + report(&world, NORTH, "tele").tally.subscriptions_refused;
        assert!(refused >= 2, "{refused} subscriptions refused");
        let dropped =
            report(&world, SOUTH, "tele").tally.dropped + report(&world, NORTH, "tele").tally.dropped;
        assert!(dropped >= 2 * world.apps[subscriber].received - 10, "{dropped} dropped");
        world.conclude(10 * SECOND);
    }
}

#[test]
fn a_service_that_one_end_denies_is_not_opened() {
    let wider = wider();
    for (policies, open) in [
        ([&*wider, POLICY, &*wider], true),
        ([&wider, POLICY, POLICY], false),
        ([POLICY, POLICY, &wider], false),
    ] {
        let mut world = with(policies, 12);
        world.app(NORTH, "tele", Habits { topics: vec!["temp.1"], ..Habits::of(SocketType::Pub) });
        let subscriber = Habits { topics: vec!["temp."], ..Habits::of(SocketType::Sub) };
        let subscriber = world.app(EAST, "tele", subscriber);
        world.run(20 * SECOND);
        assert_eq!(world.apps[subscriber].opened > 0, open, "whether both ends allow it");
        assert_eq!(world.apps[subscriber].received > 0, open);
        let refused =
            report(&world, EAST, "tele").tally.refused + report(&world, NORTH, "tele").tally.refused;
        assert_eq!(refused == 0, open, "{refused} refused");
        world.conclude(10 * SECOND);
    }
}

#[test]
fn a_publisher_above_its_rate_loses_messages_and_a_pusher_is_slowed() {
    let policy = POLICY
        .replace("to = \"jobs\"\n", "to = \"jobs\"\nrate = \"5/s\"\n")
        .replace("topics = [\"temp.\"]\n", "topics = [\"temp.\"]\nrate = \"5/s\"\n");
    let mut world = with([&policy; 3], 13);
    world.ledger.skipping_is_excused = true;
    fixture::applications(&mut world);
    world.apps[PUSH].habits.limit = Some(300);
    world.run(60 * SECOND);
    let dropped = report(&world, NORTH, "tele").tally.dropped + report(&world, SOUTH, "tele").tally.dropped;
    let received = world.apps[SUB].received;
    // Two topics ten times a second, of which five a second and the first burst may pass.
    assert!((280..=310).contains(&received) && dropped > 850, "{received} received, {dropped} dropped");
    world.ledger.skipping_is_excused = false;
    world.apps[PUB].quiet = true;
    world.run(20 * SECOND);
    let pushed = world.apps[PUSH].conns[0].serial;
    assert_eq!(world.ledger.due.get(&(pushed, "m".into())), Some(&300), "slowed, not lost");
    assert_eq!(report(&world, SOUTH, "jobs").tally.dropped, 0);
}

#[test]
fn a_withdrawn_permission_ends_its_flows_at_once_and_no_other() {
    let without_jobs = POLICY.replace("role=gw\"\nto = \"jobs\"", "node=east\"\nto = \"jobs\"");
    for judge in [NORTH, SOUTH] {
        let mut world = fixture::trio(14);
        fixture::applications(&mut world);
        world.run(10 * SECOND);
        let now = world.hosts[judge].now(world.now).instant;
        let host = &mut world.hosts[judge];
        host.node.broker().replace_rules(rules(&without_jobs), now, &mut host.pipes);
        world.run(Duration::from_millis(100));
        assert_eq!(world.apps[PUSH].lost, 1, "the flow has ended");
        world.run(10 * SECOND);
        assert_eq!(world.apps[PUSH].opened, 1, "and does not come back");
        for app in [SUB, 5, 6, 7, 9] {
            assert_eq!(world.apps[app].lost, 0, "application {app} is disturbed");
        }
        let before = world.apps[PULL].received;
        world.run(10 * SECOND);
        assert!(world.apps[PULL].received - before > 95, "the other gateway's work goes on");
        let host = &mut world.hosts[judge];
        host.node.broker().replace_rules(rules(POLICY), now, &mut host.pipes);
        world.run(10 * SECOND);
        assert_eq!(world.apps[PUSH].opened, 2, "the permission is back");
        world.conclude(20 * SECOND);
    }
}
