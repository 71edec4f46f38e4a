//! Applications and nodes that restart: the rest carries on.

use lockgate_tests::rig::{Pair, Plan, Port, SOON, offer, one_service, uses};
use zmq::Socket;

use crate::apps::{Bridge, bound, connected, deadline, receive_text, until_subscribed};

/// Asks until there is an answer, each time with a new socket: a REQ whose peer left stays stuck.
fn ask(endpoint: &str, server: &Socket) {
    let end = deadline();
    loop {
        let client = connected(zmq::REQ, endpoint);
        client.set_linger(0).expect("an option");
        client.set_rcvtimeo(500).expect("an option");
        client.send("ping", 0).expect("queued");
        if crate::apps::within(server, 500).is_some() {
            // The client may have given up in this moment; then the next round answers.
            let _ = server.send("pong", 0);
            if client.recv_bytes(0).is_ok_and(|reply| reply == b"pong") {
                return;
            }
        }
        assert!(!end.passed(), "no answer within {SOON:?}");
    }
}

#[test]
fn the_offering_application_may_restart() {
    let bridge = Bridge::tcp("command", "rep", "");
    for _ in 0..3 {
        let server = bridge.host(zmq::REP);
        ask(&bridge.far, &server);
    }
    bridge.assert_no_errors();
}

#[test]
fn the_using_application_may_restart_and_subscribes_anew() {
    let bridge = Bridge::tcp("telemetry", "pub", "topics = [\"temp.\"]");
    let publisher = bridge.host(zmq::PUB);
    for round in 0..3 {
        let subscriber = bridge.user(zmq::SUB);
        subscriber.set_subscribe(b"temp.").expect("a subscription");
        until_subscribed(&publisher, &subscriber, &format!("temp.sync{round}."));
        publisher.send("temp.1", 0).expect("sent");
        assert_eq!(receive_text(&subscriber), "temp.1");
    }
    bridge.assert_no_errors();
}

#[test]
fn a_subscriber_survives_the_restart_of_its_publisher() {
    let bridge = Bridge::tcp("telemetry", "pub", "topics = [\"temp.\"]");
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"temp.").expect("a subscription");
    for round in 0..3 {
        let publisher = bridge.host(zmq::PUB);
        until_subscribed(&publisher, &subscriber, &format!("temp.{round}."));
    }
}

#[test]
fn an_application_that_is_there_before_its_service_waits() {
    let (mut near, mut far) = (Port::tcp(), Port::tcp());
    let (near, far) = (near.release(), far.release());
    let early = connected(zmq::PUSH, &far);
    early.send("queued before anything ran", 0).expect("queued");
    let _nodes = Pair::start(&Plan {
        policy: one_service("samples", "pull", ""),
        alpha: offer("samples", &near),
        beta: uses("samples", &far),
        ..Plan::default()
    });
    let sink = bound(zmq::PULL, &near);
    assert_eq!(receive_text(&sink), "queued before anything ran");
}

#[test]
fn either_node_may_be_killed_and_started_again() {
    let mut bridge = Bridge::tcp("command", "rep", "");
    let server = bridge.host(zmq::REP);
    ask(&bridge.far, &server);
    bridge.nodes.alpha.kill();
    bridge.nodes.alpha.restart();
    ask(&bridge.far, &server);
    bridge.nodes.beta.kill();
    bridge.nodes.beta.restart();
    ask(&bridge.far, &server);
    bridge.assert_no_errors();
}

#[test]
fn a_subscriber_that_only_listens_hears_again_after_the_offering_node_was_killed() {
    let mut bridge = Bridge::tcp("telemetry", "pub", "topics = [\"temp.\"]");
    let publisher = bridge.host(zmq::PUB);
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"temp.").expect("a subscription");
    until_subscribed(&publisher, &subscriber, "temp.first.");
    bridge.nodes.alpha.kill();
    bridge.nodes.alpha.restart();
    // The subscriber sends nothing: its node alone can find out that the stream has no other end any more.
    until_subscribed(&publisher, &subscriber, "temp.second.");
    bridge.assert_no_errors();
}
