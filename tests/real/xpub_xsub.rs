//! XPUB/XSUB: the publisher sees subscriptions come and go.

use crate::apps::{Bridge, receive_text};

#[test]
fn the_xpub_sees_subscriptions_and_unsubscriptions() {
    let bridge = Bridge::tcp("news", "xpub", "topics = [\"a.\", \"b.\"]");
    let publisher = bridge.host(zmq::XPUB);
    let subscriber = bridge.user(zmq::XSUB);
    for (command, seen) in [("\u{1}a.", "\u{1}a."), ("\u{1}b.x", "\u{1}b.x"), ("\0a.", "\0a.")] {
        subscriber.send(command, 0).expect("sent");
        assert_eq!(receive_text(&publisher), seen);
    }
    publisher.send("a.1", 0).expect("sent");
    publisher.send("b.x1", 0).expect("sent");
    assert_eq!(receive_text(&subscriber), "b.x1", "a. was cancelled");
    bridge.assert_no_errors();
}

#[test]
fn a_subscriber_that_leaves_is_unsubscribed() {
    let bridge = Bridge::tcp("news", "xpub", "topics = [\"a.\"]");
    let publisher = bridge.host(zmq::XPUB);
    let subscriber = bridge.user(zmq::SUB);
    subscriber.set_subscribe(b"a.").expect("a subscription");
    assert_eq!(receive_text(&publisher), "\u{1}a.");
    drop(subscriber);
    assert_eq!(receive_text(&publisher), "\0a.");
}
