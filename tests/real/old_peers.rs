//! An application that speaks ZMTP 3.0 (the `zeromq` crate, which knows no SUBSCRIBE and dies of a PING) behind one node, libzmq
//! with 3.1 and heartbeats behind the other: each sees a peer of its own kind.

use std::process::{Child, Stdio};

use lockgate_tests::rig::lockgate_command;

use crate::apps::{Bridge, receive_text, socket};

struct Client(Child);

impl Client {
    fn start(arguments: &[&str]) -> Self {
        let mut command = lockgate_command();
        command.arg("zmq").args(arguments).args(["--log", "warn"]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("lockgate runs"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A libzmq socket that gives a peer half a second to answer its PING.
fn impatient(kind: zmq::SocketType, endpoint: &str) -> zmq::Socket {
    let socket = socket(kind);
    socket.set_heartbeat_ivl(100).expect("an option");
    socket.set_heartbeat_timeout(500).expect("an option");
    socket.connect(endpoint).expect("connected");
    socket
}

#[test]
fn a_heartbeating_subscriber_hears_a_publisher_that_knows_no_ping() {
    let bridge = Bridge::tcp("telemetry", "pub", "topics = [\"temp.\"]");
    let _publisher =
        Client::start(&["pub", &bridge.near, "--bind", "--count", "0", "--interval", "100ms", "temp.1"]);
    let subscriber = impatient(zmq::SUB, &bridge.far);
    subscriber.set_subscribe(b"temp.").expect("an option");
    // Three seconds of heartbeats; had one gone unanswered or reached the publisher, the connection would be a new one.
    for _ in 0..30 {
        assert_eq!(receive_text(&subscriber), "temp.1");
    }
    let status = bridge.nodes.beta.status();
    assert_eq!(status["services"][0]["counters"]["opened"], 1, "{status}");
    bridge.assert_no_errors();
}

#[test]
fn a_publisher_of_today_understands_a_subscriber_of_3_0() {
    let bridge = Bridge::tcp("telemetry", "xpub", "");
    let publisher = bridge.host(zmq::XPUB);
    let _subscriber = Client::start(&["sub", &bridge.far, "--topic", "temp."]);
    assert_eq!(publisher.recv_bytes(0).expect("a subscription"), b"\x01temp.");
    bridge.assert_no_errors();
}
