//! PUSH/PULL: every message, once, in order.

use lockgate_tests::rig::SOON;

use crate::apps::{Bridge, assert_silent, receive_numbered, send_numbered};

const MANY: u64 = 100_000;

#[test]
fn a_hundred_thousand_messages_arrive_in_order_and_complete() {
    let bridge = Bridge::tcp("samples", "pull", "");
    let sink = bridge.host(zmq::PULL);
    let source = bridge.user(zmq::PUSH);
    let sending = std::thread::spawn(move || send_numbered(&source, MANY, 64));
    receive_numbered(&sink, MANY);
    sending.join().expect("everything was sent");
    assert_silent(&sink);
    bridge.assert_no_errors();
}

#[test]
fn the_producer_may_be_the_one_that_offers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let bridge = Bridge::ipc("samples", "push", "", dir.path());
    let source = bridge.host(zmq::PUSH);
    let sink = bridge.user(zmq::PULL);
    let sending = std::thread::spawn(move || send_numbered(&source, 10_000, 1024));
    receive_numbered(&sink, 10_000);
    sending.join().expect("everything was sent");
    bridge.assert_no_errors();
}

#[test]
fn a_clean_stop_delivers_what_is_buffered() {
    let mut bridge = Bridge::tcp("samples", "pull", "");
    let sink = bridge.host(zmq::PULL);
    let source = bridge.user(zmq::PUSH);
    source.send("first", 0).expect("sent");
    assert_eq!(sink.recv_bytes(0).expect("the path is up"), b"first");
    // Closed with everything handed to the kernel: whatever is missing now is inside a node.
    send_numbered(&source, 4_000, 1024);
    drop(source);
    bridge.nodes.beta.terminate();
    receive_numbered(&sink, 4_000);
    let status = bridge.nodes.beta.await_exit(SOON);
    assert!(status.success(), "a clean stop is no failure: {status}");
    let log = bridge.nodes.beta.log();
    assert!(!log.iter().any(|line| line.contains("WARN")), "it had the time: {log:#?}");
    bridge.nodes.alpha.terminate();
    assert!(bridge.nodes.alpha.await_exit(SOON).success());
    bridge.assert_no_errors();
}
