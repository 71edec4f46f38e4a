//! SIGTERM while something cannot be delivered: nobody new comes in, and a second signal ends the wait.

#![expect(clippy::disallowed_methods, reason = "an application knocks, and a stop is timed")]

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lockgate_tests::rig::{SOON, eventually};

use crate::apps::{Bridge, receive_text};

/// Beta stops while a message waits for alpha, which is gone.
fn stopping_in_vain() -> Bridge {
    let mut bridge = Bridge::tcp("samples", "pull", "");
    let sink = bridge.host(zmq::PULL);
    let source = bridge.user(zmq::PUSH);
    source.send("first", 0).expect("sent");
    assert_eq!(receive_text(&sink), "first");
    bridge.nodes.alpha.kill();
    source.send("nobody takes this", 0).expect("sent");
    drop(source);
    bridge.nodes.beta.terminate();
    bridge.nodes.beta.await_line("stopping");
    bridge
}

#[test]
fn a_stopping_node_lets_nobody_in_and_sleeps_while_it_waits() {
    let mut bridge = stopping_in_vain();
    let address = bridge.far.strip_prefix("tcp://").expect("it is TCP");
    eventually("its endpoint is closed", Duration::from_secs(2), || {
        TcpStream::connect(address)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    });
    assert_eq!(bridge.nodes.beta.has_exited(), None, "it still waits for alpha");
    let mut ticks = 0;
    eventually("the time of a stop is over", SOON, || {
        ticks = bridge.nodes.beta.cpu_ticks();
        bridge.nodes.beta.has_exited()
    });
    assert!(ticks < 100, "{ticks} ticks of 10 ms in a stop of 5 s");
}

#[test]
fn a_second_signal_ends_a_stop_that_waits() {
    let mut bridge = stopping_in_vain();
    let asked = Instant::now();
    let status = eventually("the node ends", SOON, || {
        bridge.nodes.beta.terminate();
        bridge.nodes.beta.has_exited()
    });
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    assert!(status.success(), "that too is no failure: {status}");
    bridge.nodes.beta.await_line("told to end at once");
}
