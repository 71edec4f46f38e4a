//! A subscriber that stops reading: the nodes' memory stays bounded, and the other subscriber notices nothing.

use crate::apps::{Bridge, deadline, number_of, receive, socket, until_subscribed, within};

const PAYLOAD: usize = 64 * 1024;
/// Far more than any buffer on the way may hold.
const MESSAGES: u64 = 8_000;
/// What a node may grow by while 500 MiB pass it.
const BOUND: u64 = 64 * 1024 * 1024;

#[test]
fn a_stalled_subscriber_costs_bounded_memory_and_nobody_else() {
    let bridge = Bridge::tcp("telemetry", "pub", "topics = [\"t\"]");
    let publisher = bridge.host(zmq::PUB);
    let stalled = socket(zmq::SUB);
    stalled.set_rcvhwm(1).expect("an option");
    stalled.connect(&bridge.far).expect("the node listens");
    stalled.set_subscribe(b"t").expect("a subscription");
    until_subscribed(&publisher, &stalled, "tsync.");
    let reader = bridge.user(zmq::SUB);
    reader.set_subscribe(b"t").expect("a subscription");
    until_subscribed(&publisher, &reader, "tsync2.");
    let before = [bridge.nodes.alpha.rss(), bridge.nodes.beta.rss()];
    let end = deadline();
    for number in 0..MESSAGES {
        let mut message = b"t".to_vec();
        message.extend(crate::apps::numbered(number, PAYLOAD));
        publisher.send(message, 0).expect("PUB never blocks");
        // In step with the reader, so that only the stalled one makes anything pile up.
        let parts = receive(&reader);
        assert_eq!(number_of(&parts[0][1..]), number);
        assert!(!end.passed(), "the reader was slowed down: {number} of {MESSAGES}");
    }
    for (node, before) in [&bridge.nodes.alpha, &bridge.nodes.beta].iter().zip(before) {
        let grown = node.rss().saturating_sub(before);
        assert!(grown < BOUND, "a node grew by {grown} bytes");
    }
    assert!(within(&stalled, 0).is_some(), "what was delivered before it stalled is still there");
    bridge.assert_no_errors();
}

#[test]
fn a_stalled_pull_stops_its_producer_and_loses_nothing() {
    let bridge = Bridge::tcp("samples", "pull", "");
    let sink = bridge.host(zmq::PULL);
    let source = bridge.user(zmq::PUSH);
    source.set_sndtimeo(1000).expect("an option");
    let before = bridge.nodes.beta.rss() + bridge.nodes.alpha.rss();
    let mut sent = 0;
    while source.send(crate::apps::numbered(sent, PAYLOAD), 0).is_ok() {
        sent += 1;
        assert!(sent < 100_000, "6 GiB without a reader: nothing pushes back");
    }
    let grown = (bridge.nodes.beta.rss() + bridge.nodes.alpha.rss()).saturating_sub(before);
    assert!(grown < 2 * BOUND, "the nodes grew by {grown} bytes");
    crate::apps::receive_numbered(&sink, sent);
    bridge.assert_no_errors();
}
