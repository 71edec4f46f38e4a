//! PUB/SUB: what the policy's topics allow arrives, all of it; what they do not never does.

use lockgate_tests::rig::{Pair, Plan, Port, offer, one_service, uses};

use crate::apps::{Bridge, bound, connected, receive_text, until_subscribed, within};

const TOPICS: &str = "topics = [\"temp.\", \"vib.\"]";

fn bridge() -> Bridge {
    Bridge::tcp("telemetry", "pub", TOPICS)
}

#[test]
fn allowed_topics_arrive_complete_and_denied_topics_never() {
    let bridge = bridge();
    let publisher = bridge.host(zmq::PUB);
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"temp.").expect("a subscription");
    subscriber.set_subscribe(b"raw.").expect("libzmq does not know that it is denied");
    until_subscribed(&publisher, &subscriber, "temp.sync.");
    for number in 0..500 {
        for topic in ["temp", "raw"] {
            publisher.send(format!("{topic}.{number}").as_str(), 0).expect("PUB never blocks");
        }
    }
    for number in 0..500 {
        assert_eq!(receive_text(&subscriber), format!("temp.{number}"));
    }
    publisher.send("temp.end", 0).expect("PUB never blocks");
    assert_eq!(receive_text(&subscriber), "temp.end", "no raw.* came between");
    bridge.nodes.beta.await_denial(&["telemetry", "subscribe"]);
    bridge.assert_no_errors();
}

#[test]
fn a_subscription_to_everything_does_not_open_the_denied_topics() {
    let bridge = bridge();
    let publisher = bridge.host(zmq::PUB);
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"").expect("a subscription");
    // Refused or narrowed, that is the node's choice; a narrower one beside it must still work.
    subscriber.set_subscribe(b"vib.").expect("a subscription");
    until_subscribed(&publisher, &subscriber, "vib.sync.");
    for number in 0..200 {
        publisher.send(format!("raw.{number}").as_str(), 0).expect("PUB never blocks");
        publisher.send(format!("vib.{number}").as_str(), 0).expect("PUB never blocks");
    }
    let mut next = 0;
    while next < 200 {
        let text = receive_text(&subscriber);
        assert!(!text.starts_with("raw."), "{text} is denied");
        assert_eq!(text, format!("vib.{next}"));
        next += 1;
    }
    bridge.assert_no_errors();
}

#[test]
fn parts_of_a_publication_stay_together() {
    let bridge = bridge();
    let publisher = bridge.host(zmq::PUB);
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"temp.").expect("a subscription");
    until_subscribed(&publisher, &subscriber, "temp.sync.");
    publisher.send_multipart(["raw.1", "secret"], 0).expect("PUB never blocks");
    publisher.send_multipart(["temp.1", "21.5", "", "end"], 0).expect("PUB never blocks");
    assert_eq!(receive_text(&subscriber), "temp.1|21.5||end");
}

#[test]
fn an_unsubscription_is_obeyed() {
    let bridge = Bridge::tcp("telemetry", "[\"pub\", \"xpub\"]", TOPICS);
    let publisher = bridge.host(zmq::XPUB);
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"temp.").expect("a subscription");
    assert_eq!(receive_text(&publisher), "\u{1}temp.");
    publisher.send("temp.1", 0).expect("XPUB sends");
    assert_eq!(receive_text(&subscriber), "temp.1");
    subscriber.set_unsubscribe(b"temp.").expect("an unsubscription");
    assert_eq!(receive_text(&publisher), "\0temp.");
    publisher.send("temp.2", 0).expect("XPUB sends");
    subscriber.set_subscribe(b"vib.").expect("a subscription");
    assert_eq!(receive_text(&publisher), "\u{1}vib.");
    publisher.send("vib.1", 0).expect("XPUB sends");
    assert_eq!(receive_text(&subscriber), "vib.1", "temp.2 went nowhere");
}

#[test]
fn what_only_the_using_end_allows_is_refused_by_the_hosting_end() {
    let (mut near, mut far) = (Port::tcp(), Port::tcp());
    let (near, far) = (near.release(), far.release());
    // The hosting end lets its own kind in, and nobody else.
    let narrow =
        one_service("telemetry", "pub", "").replace("from = \"role=centre\"", "from = \"role=edge\"");
    let nodes = Pair::start(&Plan {
        policy: narrow,
        beta_policy: one_service("telemetry", "pub", ""),
        alpha: offer("telemetry", &near),
        beta: uses("telemetry", &far),
        ..Plan::default()
    });
    let publisher = bound(zmq::PUB, &near);
    let subscriber = connected(zmq::SUB, &far);
    subscriber.set_subscribe(b"").expect("a subscription");
    nodes.alpha.await_denial(&["telemetry"]);
    publisher.send("temp.1", 0).expect("PUB never blocks");
    assert_eq!(within(&subscriber, 500), None);
}
