//! SIGHUP: the policy is read again, and holds at once for what is open.

use std::time::{Duration, Instant};

use lockgate_tests::rig::{NodeProcess, SOON, eventually};
use zmq::Socket;

use crate::apps::Bridge;

/// A policy of the rig's nodes that allows `service` to nobody but its own kind.
fn withdrawn(service: &str) -> String {
    format!(
        "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
         alpha = {{ role = \"edge\" }}\nbeta = {{ role = \"centre\" }}\n\
         [service.{service}]\nhosted-by = \"role=edge\"\nsocket = \"rep\"\n\
         [service.other]\nhosted-by = \"role=edge\"\nsocket = \"rep\"\n\
         [[allow]]\nid = \"only-edges\"\nfrom = \"role=edge\"\nto = \"{service}\"\nwhy = \"the test\"\n\
         [[allow]]\nid = \"other\"\nfrom = \"role=centre\"\nto = \"other\"\nwhy = \"the test\"\n"
    )
}

fn open(node: &NodeProcess) -> u64 {
    node.status()["services"][0]["counters"]["open"].as_u64().expect("a number")
}

/// A bridge over which one question was asked and answered.
fn in_use() -> (Bridge, Socket, Socket) {
    let bridge = Bridge::tcp("command", "rep", "");
    let rep = bridge.host(zmq::REP);
    let req = bridge.user(zmq::REQ);
    req.send("before", 0).expect("sent");
    assert_eq!(rep.recv_bytes(0).expect("the path is up"), b"before");
    rep.send("answer", 0).expect("sent");
    assert_eq!(req.recv_bytes(0).expect("answered"), b"answer");
    assert_eq!((open(&bridge.nodes.alpha), open(&bridge.nodes.beta)), (1, 1));
    (bridge, rep, req)
}

/// `node` alone withdraws the permission; the other still believes that it holds.
#[expect(clippy::disallowed_methods, reason = "the test times the second that the promise names")]
fn assert_withdrawn_by(node: &NodeProcess) {
    let asked = Instant::now();
    node.hangup();
    eventually("the stream has ended", SOON, || (open(node) == 0).then_some(()));
    assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
    node.await_denial(&["command", "open"]);
}

/// `req` asks again, and `rep` is not asked.
fn assert_cut(rep: &Socket, req: &Socket) {
    req.send("after", 0).expect("queued");
    rep.set_rcvtimeo(1000).expect("an option");
    assert_eq!(rep.recv_bytes(0), Err(zmq::Error::EAGAIN), "nothing arrives any more");
    // Nobody waits for an answer to it.
    req.set_linger(0).expect("an option");
}

#[test]
fn a_withdrawn_permission_ends_the_stream_within_a_second() {
    let (bridge, rep, req) = in_use();
    bridge.nodes.put_policy("alpha", &withdrawn("command"));
    assert_withdrawn_by(&bridge.nodes.alpha);
    assert_cut(&rep, &req);
}

#[test]
fn a_permission_withdrawn_by_the_using_node_ends_its_stream_within_a_second_too() {
    let (bridge, rep, req) = in_use();
    bridge.nodes.put_policy("beta", &withdrawn("command"));
    assert_withdrawn_by(&bridge.nodes.beta);
    // Its own [[use]] has lost its last permission: a mistake at the start, here a warning.
    bridge.nodes.beta.await_line("use.service");
    assert_cut(&rep, &req);
    assert_eq!(bridge.nodes.beta.status()["policy"]["generation"], 2);
}

#[test]
fn an_unusable_policy_leaves_the_last_good_one_in_force() {
    let bridge = Bridge::tcp("command", "rep", "");
    let rep = bridge.host(zmq::REP);
    let req = bridge.user(zmq::REQ);
    bridge.nodes.put_policy("alpha", "default = \"allow\"\n");
    bridge.nodes.alpha.hangup();
    bridge.nodes.alpha.await_line("the last good one stays in force");
    req.send("still", 0).expect("sent");
    assert_eq!(rep.recv_bytes(0).expect("the old policy holds"), b"still");
}
