//! PAIR: one to one, both ways.

use crate::apps::{Bridge, receive_text};

#[test]
fn a_pair_talks_both_ways() {
    let bridge = Bridge::tcp("console", "pair", "");
    let left = bridge.host(zmq::PAIR);
    let right = bridge.user(zmq::PAIR);
    for number in 0..100 {
        right.send_multipart([format!("r{number}").as_str(), ""], 0).expect("sent");
        left.send(format!("l{number}").as_str(), 0).expect("sent");
    }
    for number in 0..100 {
        assert_eq!(receive_text(&left), format!("r{number}|"));
        assert_eq!(receive_text(&right), format!("l{number}"));
    }
    bridge.assert_no_errors();
}
