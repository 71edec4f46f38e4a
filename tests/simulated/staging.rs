//! A candidate beside the rules in force: it is asked about everything, and decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_proto::rules::Change;

use crate::world::World;
use crate::world::fixture::{self, EAST, NORTH, POLICY, PUSH, SOUTH, SUB};
use crate::world::host::rules;

const SECOND: Duration = Duration::from_secs(1);

fn stage(world: &mut World, host: usize, policy: &str) {
    let now = world.hosts[host].now(world.now);
    world.hosts[host].node.stage(rules(policy), now);
}

/// What differs at a host: how often each (act, service, change) was noted.
fn noted(world: &World, host: usize) -> BTreeMap<(&'static str, String, &'static str), u64> {
    let comparison = world.hosts[host].node.comparison().expect("a candidate is staged");
    let mut noted = BTreeMap::new();
    for one in comparison.differences {
        let change = if one.change == Change::Denied { "denied" } else { "allowed" };
        *noted.entry((one.act, one.object.to_string(), change)).or_default() += one.count;
    }
    let sum =
        |wanted| noted.iter().filter(|((_, _, change), _)| *change == wanted).map(|(_, count)| count).sum();
    assert_eq!((comparison.newly_denied, comparison.newly_allowed), (sum("denied"), sum("allowed")));
    noted
}

fn narrower() -> String {
    POLICY.replace("to = \"tele\"\ntopics = [\"temp.\"]", "to = \"tele\"\ntopics = [\"temp.2\"]")
}

fn without_jobs() -> String {
    POLICY.replace("role=gw\"\nto = \"jobs\"", "node=east\"\nto = \"jobs\"")
}

#[test]
fn a_staged_candidate_changes_nothing_and_every_difference_is_counted() {
    let mut plain = fixture::trio(31);
    fixture::applications(&mut plain);
    plain.run(20 * SECOND);
    let mut world = fixture::trio(31);
    fixture::applications(&mut world);
    world.run(5 * SECOND);
    let candidate = narrower().replace("role=gw\"\nto = \"jobs\"", "node=east\"\nto = \"jobs\"");
    for host in [NORTH, SOUTH, EAST] {
        stage(&mut world, host, &candidate);
    }
    let jobs_open = ("open", "jobs".to_owned(), "denied");
    assert_eq!(
        noted(&world, NORTH),
        BTreeMap::from([(jobs_open.clone(), 1)]),
        "what is open is judged at once"
    );
    world.run(15 * SECOND);
    for (app, (with, without)) in world.apps.iter().zip(&plain.apps).enumerate() {
        assert_eq!((with.opened, with.lost), (without.opened, without.lost), "application {app}");
        assert_eq!(with.received, without.received, "application {app}");
    }
    let north = noted(&world, NORTH);
    assert_eq!(north.get(&jobs_open), Some(&1), "an opening is noted once: {north:?}");
    let published = north[&("publish", "tele".to_owned(), "denied")];
    assert!(published >= 100, "{north:?}");
    // Half of what arrives is temp.2, of which the candidate is shown enough to know that it may pass.
    let received = world.apps[SUB].received;
    assert!(
        2 * published <= received,
        "{published} noted since the fifth second, {received} received in all"
    );
    assert!(
        noted(&world, SOUTH).contains_key(&("publish", "tele".to_owned(), "denied")),
        "both ends compare"
    );
    world.conclude(10 * SECOND);
}

#[test]
fn a_candidate_that_means_the_same_is_silent() {
    let mut world = fixture::trio(32);
    fixture::applications(&mut world);
    world.run(2 * SECOND);
    for host in [NORTH, SOUTH, EAST] {
        stage(&mut world, host, &format!("# another file, the same meaning\n{POLICY}"));
    }
    world.run(20 * SECOND);
    for host in [NORTH, SOUTH, EAST] {
        assert!(noted(&world, host).is_empty(), "{:?}", noted(&world, host));
    }
    world.conclude(10 * SECOND);
}

#[test]
fn what_only_the_candidate_allows_stays_denied_and_is_counted() {
    let mut world =
        World::new(crate::world::seed_or(33), fixture::plans([&without_jobs(), POLICY, POLICY]), false);
    fixture::applications(&mut world);
    stage(&mut world, NORTH, POLICY);
    world.run(10 * SECOND);
    assert_eq!(world.apps[PUSH].opened, 0, "the rules in force decide");
    assert!(noted(&world, NORTH)[&("open", "jobs".to_owned(), "allowed")] > 0);
    world.conclude(10 * SECOND);
}

#[test]
fn a_promotion_holds_at_once_and_an_abort_leaves_everything() {
    let mut world = fixture::trio(34);
    fixture::applications(&mut world);
    world.run(5 * SECOND);
    stage(&mut world, NORTH, &without_jobs());
    world.run(5 * SECOND);
    let now = world.hosts[NORTH].now(world.now);
    assert!(world.hosts[NORTH].node.abort(now) && !world.hosts[NORTH].node.abort(now));
    assert!(world.hosts[NORTH].node.comparison().is_none());
    world.run(5 * SECOND);
    assert_eq!(world.apps[PUSH].lost, 0);
    stage(&mut world, NORTH, &without_jobs());
    let now = world.hosts[NORTH].now(world.now);
    let host = &mut world.hosts[NORTH];
    assert!(host.node.promote(now, &mut host.pipes) && !host.node.promote(now, &mut host.pipes));
    assert!(host.node.comparison().is_none(), "the candidate is a candidate no more");
    world.run(Duration::from_millis(100));
    assert_eq!(world.apps[PUSH].lost, 1, "the flow has ended");
    assert_eq!(world.apps[SUB].lost, 0, "and no other");
    world.conclude(20 * SECOND);
}

#[test]
fn a_reload_keeps_the_candidate_and_compares_it_anew() {
    let mut world = fixture::trio(35);
    fixture::applications(&mut world);
    world.run(5 * SECOND);
    stage(&mut world, NORTH, &without_jobs());
    assert_eq!(noted(&world, NORTH).len(), 1);
    let now = world.hosts[NORTH].now(world.now);
    let host = &mut world.hosts[NORTH];
    host.node.replace_rules(rules(&without_jobs()), now, &mut host.pipes);
    assert!(noted(&world, NORTH).is_empty(), "both say the same now");
    let host = &mut world.hosts[NORTH];
    host.node.replace_rules(rules(POLICY), now, &mut host.pipes);
    world.run(10 * SECOND);
    assert_eq!(
        noted(&world, NORTH)[&("open", "jobs".to_owned(), "denied")],
        1,
        "it came back and was compared"
    );
    world.conclude(20 * SECOND);
}

#[test]
fn a_capability_that_begins_or_ends_keeps_what_was_counted() {
    let mut world = fixture::trio(37);
    fixture::applications(&mut world);
    world.run(5 * SECOND);
    stage(&mut world, NORTH, &without_jobs());
    let jobs_open = ("open", "jobs".to_owned(), "denied");
    for policy in [&*without_jobs(), POLICY] {
        let now = world.hosts[NORTH].now(world.now).instant;
        world.hosts[NORTH].node.broker().update_candidate(rules(policy), now);
        assert_eq!(noted(&world, NORTH)[&jobs_open], 2, "once when staged, once when it changed");
    }
    let now = world.hosts[NORTH].now(world.now).instant;
    let host = &mut world.hosts[NORTH];
    host.node.broker().update_rules(rules(&without_jobs()), now, &mut host.pipes);
    let noted = noted(&world, NORTH);
    assert_eq!(noted[&jobs_open], 2, "{noted:?}");
    assert_eq!(noted[&("open", "jobs".to_owned(), "allowed")], 1, "{noted:?}");
    world.conclude(20 * SECOND);
}

#[test]
fn a_node_that_may_not_host_what_it_offers_is_told_of_and_serves_nobody() {
    let mut world = fixture::trio(36);
    fixture::applications(&mut world);
    world.run(5 * SECOND);
    let moved = POLICY
        .replace("[service.jobs]\nhosted-by = \"role=hist\"", "[service.jobs]\nhosted-by = \"node=east\"");
    for (host, opener) in [(SOUTH, "its own offer"), (NORTH, "a peer's, whose connection was open")] {
        assert_eq!(world.hosts[host].node.broker_report().foreign_offers_noticed(), 0, "{opener}");
        let now = world.hosts[host].now(world.now);
        let host = &mut world.hosts[host];
        host.node.replace_rules(rules(&moved), now, &mut host.pipes);
        let foreign: Vec<_> = host.node.broker_report().foreign_offers().collect();
        assert_eq!(foreign.len(), 1, "{opener}: {foreign:?}");
        assert_eq!((&*foreign[0].node, &*foreign[0].service), ("south", "jobs"), "{opener}");
        let said = foreign[0].denial.to_string();
        assert!(said.contains("south may not host jobs") && said.contains("service.jobs ("), "{said}");
    }
    world.run(SECOND);
    assert_eq!(world.apps[PUSH].lost, 1, "its connection is cut");
    world.run(10 * SECOND);
    assert_eq!(world.apps[PUSH].opened, 1, "and stays so");
}
