//! Strangers on a `[[use]]` listener: whatever they send or announce, they cost a counter and a closed connection.
#![expect(clippy::disallowed_methods, reason = "a stranger opens its connections by itself")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lockgate_tests::rig::{SOON, eventually};

use crate::apps::{Bridge, connected, receive_text, socket};

/// What all the strangers of a test together may cost a node.
const BOUND: u64 = 16 * 1024 * 1024;
/// A greeting and a handshake have 10 s each at most (zeromq.md 1.6); the rest is a busy machine.
const CLEANED: Duration = Duration::from_secs(45);

fn greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    greeting.extend_from_slice(mechanism);
    greeting.resize(64, 0);
    greeting
}

fn ready(socket_type: &[u8], identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [(b"Socket-Type".as_slice(), socket_type), (b"Identity", identity)] {
        body.push(name.len() as u8);
        body.extend_from_slice(name);
        body.extend((value.len() as u32).to_be_bytes());
        body.extend_from_slice(value);
    }
    let mut frame = vec![4, body.len() as u8];
    frame.extend(body);
    frame
}

/// The header of a long frame that claims `len` bytes.
fn announce(flags: u8, len: u64) -> Vec<u8> {
    let mut header = vec![flags | 2];
    header.extend(len.to_be_bytes());
    header
}

fn stranger(bridge: &Bridge) -> TcpStream {
    let address = bridge.far.strip_prefix("tcp://").expect("a TCP endpoint");
    let stream = TcpStream::connect(address).expect("the node listens");
    stream.set_read_timeout(Some(CLEANED)).expect("an option");
    stream
}

/// Reads until the node closes; returns what it said.
fn until_closed(mut stream: TcpStream, case: &str) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{case}: still open after {CLEANED:?}: {error}"),
    }
    assert!(
        !said.windows(6).any(|w| w == b"\x05ERROR"),
        "{case}: closed, not answered: libzmq would give up for ever"
    );
    said
}

/// A round trip of honest applications through the same listener.
fn honest_work(bridge: &Bridge, server: &zmq::Socket) {
    let client = connected(zmq::REQ, &bridge.far);
    client.send("still there?", 0).expect("sent");
    assert_eq!(receive_text(server), "still there?");
    server.send("yes", 0).expect("sent");
    assert_eq!(receive_text(&client), "yes");
}

#[test]
fn what_cannot_be_zmtp_is_closed_and_costs_nothing() {
    let bridge = Bridge::tcp("command", "rep", "max-message = \"64KiB\"");
    let server = bridge.host(zmq::REP);
    honest_work(&bridge, &server);
    let (rss, fds) = (bridge.nodes.beta.rss(), bridge.nodes.beta.fds());
    let null = greeting(b"NULL");
    let with = |tail: &[u8]| [null.as_slice(), tail].concat();
    let joined = |tail: &[u8]| [null.as_slice(), &ready(b"REQ", b""), tail].concat();
    let long_ready = [announce(4, 1 << 20), b"\x05READY".to_vec(), vec![0; 1 << 17]].concat();
    for (case, bytes) in [
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4)),
        ("garbage", (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("2^46 bytes before READY", with(&announce(0, 1 << 46))),
        ("a command of 2^63 bytes", with(&announce(4, 1 << 63))),
        ("a READY of 1 MiB", with(&long_ready)),
        ("a message before READY", with(b"\x00\x02hi")),
        ("reserved flags", with(b"\xf8\x01x")),
        ("a command with MORE", with(b"\x05\x06\x05READY")),
        ("a READY whose property is longer than it", with(b"\x04\x0b\x05READY\x0bSoc")),
        ("an unknown socket type", with(&ready(b"TELEPATHY", b""))),
        ("a denied socket type", with(&ready(b"PUSH", b""))),
        ("a READY that never ends", with(&ready(b"REQ", b"x")[..20])),
        ("2^46 bytes after READY", joined(&announce(0, 1 << 46))),
        ("over the service's limit", joined(&announce(0, 65_537))),
        ("PLAIN", greeting(b"PLAIN")),
        ("no such mechanism", greeting(b"XYZZY")),
        ("a mechanism that is no text", greeting(b"\xff\xfe")),
    ] {
        let mut stream = stranger(&bridge);
        // The node may close while we still write.
        let _ = stream.write_all(&bytes);
        until_closed(stream, case);
    }
    honest_work(&bridge, &server);
    let grown = bridge.nodes.beta.rss().saturating_sub(rss);
    assert!(grown < BOUND, "strangers cost {grown} bytes");
    eventually("the strangers' descriptors are closed", CLEANED, || {
        (bridge.nodes.beta.fds() <= fds + 2).then_some(())
    });
    bridge.assert_no_errors();
}

#[test]
fn two_hundred_half_open_handshakes_are_cleaned_up() {
    let bridge = Bridge::tcp("command", "rep", "");
    let server = bridge.host(zmq::REP);
    honest_work(&bridge, &server);
    let (rss, fds) = (bridge.nodes.beta.rss(), bridge.nodes.beta.fds());
    let greeting = greeting(b"NULL");
    let strangers: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = stranger(&bridge);
            // Silent, one byte, most of a greeting, all of it: and then nothing.
            let part = [0, 1, 63, 64][number % 4];
            let _ = stream.write_all(&greeting[..part]);
            stream
        })
        .collect();
    honest_work(&bridge, &server);
    for stream in strangers {
        until_closed(stream, "half open");
    }
    eventually("their descriptors are closed", CLEANED, || {
        (bridge.nodes.beta.fds() <= fds + 2).then_some(())
    });
    let grown = bridge.nodes.beta.rss().saturating_sub(rss);
    assert!(grown < BOUND, "200 half-open handshakes cost {grown} bytes");
    honest_work(&bridge, &server);
    bridge.assert_no_errors();
}

#[test]
fn a_handshake_that_arrives_byte_by_byte_works() {
    let bridge = Bridge::tcp("samples", "pull", "");
    let sink = bridge.host(zmq::PULL);
    let mut stream = stranger(&bridge);
    stream.set_nodelay(true).expect("an option");
    let bytes = [greeting(b"NULL"), ready(b"PUSH", b""), b"\x00\x05drops".to_vec()].concat();
    for byte in bytes {
        stream.write_all(&[byte]).expect("an honest peer, if a slow one");
    }
    assert_eq!(receive_text(&sink), "drops");
}

#[test]
fn a_duplicate_identity_does_not_disturb_the_first() {
    let bridge = Bridge::tcp("work", "router", "");
    let router = bridge.host(zmq::ROUTER);
    let first = socket(zmq::DEALER);
    first.set_identity(b"twin").expect("an identity");
    first.connect(&bridge.far).expect("the node listens");
    first.send("one", 0).expect("sent");
    assert_eq!(receive_text(&router), "twin|one");
    let second = socket(zmq::DEALER);
    second.set_identity(b"twin").expect("an identity");
    second.set_linger(0).expect("an option");
    second.connect(&bridge.far).expect("the node listens");
    second.send("impostor", 0).expect("queued");
    for number in 0..200 {
        first.send(format!("{number}").as_str(), 0).expect("sent");
        assert_eq!(receive_text(&router), format!("twin|{number}"));
        router.send_multipart(["twin", "ok"], 0).expect("sent");
        assert_eq!(receive_text(&first), "ok");
    }
    bridge.assert_no_errors();
}

#[test]
fn a_denied_socket_type_keeps_reconnecting_and_is_reported() {
    let bridge = Bridge::tcp("telemetry", "pub", "");
    let monitor = zmq::Context::new();
    let denied = monitor.socket(zmq::PUSH).expect("libzmq makes a socket");
    denied.set_linger(0).expect("an option");
    denied
        .monitor(
            "inproc://denied",
            i32::from(zmq::SocketEvent::DISCONNECTED.to_raw())
                | i32::from(zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL.to_raw()),
        )
        .expect("a monitor");
    let events = monitor.socket(zmq::PAIR).expect("libzmq makes a socket");
    events.set_rcvtimeo(i32::try_from(SOON.as_millis()).expect("half a minute")).expect("an option");
    events.connect("inproc://denied").expect("the monitor listens");
    denied.connect(&bridge.far).expect("the node listens");
    for attempt in 0..3 {
        assert!(events.recv_multipart(0).is_ok(), "closed {attempt} times, then libzmq gave up");
    }
    bridge.nodes.beta.await_denial(&["telemetry", "push"]);
    bridge.assert_no_errors();
}

#[test]
fn the_control_socket_is_for_its_owner_alone() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let bridge = Bridge::tcp("telemetry", "pub", "");
    let path = bridge.nodes.dir.path().join("beta.control");
    let metadata = std::fs::metadata(path).expect("the control socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o600);
}
