//! `lockgate zmq` against libzmq: every verb, connecting and bound, over TCP and Unix sockets.

use std::io::Write;
use std::process::{Child, Output, Stdio};

use lockgate_tests::rig::{Port, SOON, eventually, lockgate_command};
use tempfile::TempDir;

use crate::apps::{bound, connected, deadline, receive_text, socket, within};

/// An endpoint of each transport, free at this moment.
fn endpoints() -> (TempDir, [String; 2]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ipc = format!("ipc://{}", dir.path().join("socket").display());
    (dir, [Port::tcp().release(), ipc])
}

fn client(verb: &str, endpoint: &str, more: &[&str]) -> Child {
    lockgate_command()
        .args(["zmq", verb, endpoint, "--log", "warn"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lockgate runs")
}

/// The client's output; it must have ended well.
fn fine(child: Child) -> String {
    let output = child.wait_with_output().expect("our own child");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn ended(child: Child, code: i32, says: &str) -> Output {
    let output = child.wait_with_output().expect("our own child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(says) && stderr.contains("hint:"), "{stderr}");
    output
}

#[test]
fn push_reaches_a_pull_either_way_round() {
    let (_dir, endpoints) = endpoints();
    for endpoint in &endpoints {
        let pull = bound(zmq::PULL, endpoint);
        let child = client("push", endpoint, &["one", "two", "--count", "5"]);
        for text in ["one", "two", "one", "two", "one"] {
            assert_eq!(receive_text(&pull), text);
        }
        fine(child);
        drop(pull);
        let child = client("push", endpoint, &["--bind", "--parts", "a", "b"]);
        let pull = connected(zmq::PULL, endpoint);
        assert_eq!(receive_text(&pull), "a|b");
        fine(child);
    }
}

#[test]
fn everything_that_was_pushed_is_delivered_before_the_end() {
    let (_dir, endpoints) = endpoints();
    for endpoint in &endpoints {
        let pull = bound(zmq::PULL, endpoint);
        let child = client("push", endpoint, &["--size", "1024", "--count", "20000"]);
        for number in 0..20_000 {
            assert_eq!(pull.recv_bytes(0).expect("a message").len(), 1024, "message {number}");
        }
        fine(child);
    }
}

#[test]
fn push_takes_the_lines_of_stdin() {
    let (_dir, endpoints) = endpoints();
    let pull = bound(zmq::PULL, &endpoints[0]);
    let mut child = client("push", &endpoints[0], &[]);
    child.stdin.take().expect("piped").write_all(b"first\n\nlast").expect("the client reads");
    for line in ["first", "", "last"] {
        assert_eq!(receive_text(&pull), line);
    }
    fine(child);
}

#[test]
fn pull_prints_what_a_push_sends_either_way_round() {
    let (_dir, endpoints) = endpoints();
    for endpoint in &endpoints {
        let push = bound(zmq::PUSH, endpoint);
        let child = client("pull", endpoint, &["--count", "2"]);
        push.send_multipart(["a", "b"], 0).expect("sent");
        push.send(b"\xffbin\n".as_slice(), 0).expect("sent");
        assert_eq!(fine(child), "a | b\n\\xffbin\\n\n");
        drop(push);
        let child = client("pull", endpoint, &["--bind", "--count", "1", "--json"]);
        let push = connected(zmq::PUSH, endpoint);
        push.send_multipart(["a", "b"], 0).expect("sent");
        assert_eq!(fine(child), "{\"bytes\":2,\"parts\":[\"a\",\"b\"]}\n");
    }
}

#[test]
fn pull_connects_again_when_its_peer_restarts() {
    let (_dir, endpoints) = endpoints();
    let push = bound(zmq::PUSH, &endpoints[0]);
    let child = client("pull", &endpoints[0], &["--count", "2"]);
    push.send("before", 0).expect("sent");
    drop(push);
    let push = bound(zmq::PUSH, &endpoints[0]);
    push.send("after", 0).expect("sent");
    assert_eq!(fine(child), "before\nafter\n");
}

#[test]
fn sub_prints_its_topics_either_way_round() {
    let (_dir, endpoints) = endpoints();
    for endpoint in &endpoints {
        for bind in [false, true] {
            let options = ["--topic", "temp.", "--topic", "vib.", "--count", "2", "--bind"];
            let options = &options[..if bind { 7 } else { 6 }];
            let (publisher, child) = if bind {
                let child = client("sub", endpoint, options);
                (connected(zmq::XPUB, endpoint), child)
            } else {
                let publisher = bound(zmq::XPUB, endpoint);
                (publisher, client("sub", endpoint, options))
            };
            // The crate says a bound socket's subscriptions in no particular order.
            let mut topics = [receive_text(&publisher), receive_text(&publisher)];
            topics.sort();
            assert_eq!(topics, ["\u{1}temp.", "\u{1}vib."]);
            for text in ["temp.1", "raw.1", "vib.1"] {
                publisher.send(text, 0).expect("sent");
            }
            assert_eq!(fine(child), "temp.1\nvib.1\n");
        }
    }
}

#[test]
fn pub_reaches_a_sub_either_way_round() {
    let (_dir, endpoints) = endpoints();
    for endpoint in &endpoints {
        for bind in [false, true] {
            let options = ["21.5", "--topic", "temp.1", "--count", "0", "--interval", "20ms", "--bind"];
            let options = &options[..if bind { 8 } else { 7 }];
            let subscriber = if bind { connected(zmq::SUB, endpoint) } else { bound(zmq::SUB, endpoint) };
            subscriber.set_subscribe(b"temp.").expect("a subscription");
            let mut child = client("pub", endpoint, options);
            for _ in 0..3 {
                assert_eq!(receive_text(&subscriber), "temp.1|21.5");
            }
            child.kill().expect("it publishes until it is stopped");
            child.wait().expect("our own child");
        }
    }
}

#[test]
fn a_publication_waits_for_its_subscriber_and_is_delivered_before_the_end() {
    let (_dir, endpoints) = endpoints();
    let subscriber = connected(zmq::SUB, &endpoints[0]);
    subscriber.set_subscribe(b"").expect("a subscription");
    let child =
        client("pub", &endpoints[0], &["--bind", "--size", "2048", "--count", "500", "--settle", "2s"]);
    for _ in 0..500 {
        assert_eq!(subscriber.recv_bytes(0).expect("a message").len(), 2048);
    }
    fine(child);
}

#[test]
fn req_asks_and_rep_answers_either_way_round() {
    let (_dir, endpoints) = endpoints();
    for endpoint in &endpoints {
        for bind in [false, true] {
            let options = ["hello", "again", "--bind"];
            let options = &options[..if bind { 3 } else { 2 }];
            let server = if bind { connected(zmq::REP, endpoint) } else { bound(zmq::REP, endpoint) };
            let child = client("req", endpoint, options);
            for text in ["hello", "again"] {
                assert_eq!(receive_text(&server), text);
                server.send_multipart([text, "!"], 0).expect("sent");
            }
            assert_eq!(fine(child), "hello | !\nagain | !\n");
        }
        for bind in [false, true] {
            let options = ["--echo", "--count", "1", "--bind"];
            let options = &options[..if bind { 4 } else { 3 }];
            let asker = if bind { connected(zmq::REQ, endpoint) } else { bound(zmq::REQ, endpoint) };
            let child = client("rep", endpoint, options);
            asker.send_multipart(["a", "b"], 0).expect("sent");
            assert_eq!(receive_text(&asker), "a|b");
            assert_eq!(fine(child), "a | b\n");
        }
    }
}

#[test]
fn rep_has_a_fixed_reply() {
    let (_dir, endpoints) = endpoints();
    let child = client("rep", &endpoints[0], &["--bind", "done", "--count", "2"]);
    let asker = connected(zmq::REQ, &endpoints[0]);
    for _ in 0..2 {
        asker.send("x", 0).expect("sent");
        assert_eq!(receive_text(&asker), "done");
    }
    fine(child);
}

#[test]
fn a_timeout_is_exit_code_1_and_says_what_was_missing() {
    let (_dir, [tcp, ipc]) = endpoints();
    ended(client("sub", &tcp, &["--timeout", "300ms"]), 1, &tcp);
    ended(client("pull", &ipc, &["--timeout", "300ms", "--bind", "--count", "3"]), 1, "0 of 3 came");
    ended(client("push", &tcp, &["--timeout", "300ms", "--bind", "x"]), 1, "no peer came");
    let silent = bound(zmq::REP, &tcp);
    ended(client("req", &tcp, &["--timeout", "500ms", "x"]), 1, "no reply came");
    drop(silent);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for endpoint in ["inproc://a", "ipc://@abstract", "tcp://127.0.0.1", "nonsense"] {
        ended(client("sub", endpoint, &[]), 2, endpoint);
    }
}

#[test]
fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
    let (_dir, [_, ipc]) = endpoints();
    let mut killed = client("pull", &ipc, &["--bind"]);
    let push = connected(zmq::PUSH, &ipc);
    push.send("x", 0).expect("sent");
    let path = ipc.strip_prefix("ipc://").expect("an ipc endpoint");
    eventually("the first client listens", SOON, || std::fs::metadata(path).ok());
    ended(client("pull", &ipc, &["--bind", "--timeout", "5s"]), 1, &ipc);
    killed.kill().expect("it waits for more");
    killed.wait().expect("our own child");
    drop(push);
    let child = client("pull", &ipc, &["--bind", "--count", "1"]);
    let push = connected(zmq::PUSH, &ipc);
    push.send("y", 0).expect("sent");
    assert_eq!(fine(child), "y\n");
}

#[test]
fn a_reader_that_leaves_ends_the_client_quietly() {
    let (_dir, endpoints) = endpoints();
    let push = bound(zmq::PUSH, &endpoints[0]);
    let mut child = client("pull", &endpoints[0], &[]);
    drop(child.stdout.take());
    let end = deadline();
    while child.try_wait().expect("our own child").is_none() {
        push.send("x", zmq::DONTWAIT).ok();
        assert_eq!(within(&push, 0), None);
        assert!(!end.passed(), "it still writes into a closed pipe");
    }
    assert_eq!(fine(child), "");
}

#[test]
fn a_heartbeating_libzmq_does_not_crash_the_client() {
    let (_dir, endpoints) = endpoints();
    let push = socket(zmq::PUSH);
    push.set_heartbeat_ivl(50).expect("an option");
    push.bind(&endpoints[0]).expect("a free endpoint");
    // The crate drops a peer at its first PING; the client connects again.
    let child = client("pull", &endpoints[0], &["--timeout", "2s"]);
    let output = child.wait_with_output().expect("our own child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(output.status.code(), Some(1), "nothing came in time: {stderr}");
}
