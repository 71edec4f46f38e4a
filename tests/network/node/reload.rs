//! SIGHUP: a withdrawn rule ends its flow within a second, and nothing else.
//!
//! ```text
//!  alpha (role=edge) 10.77.0.1                                 beta (role=centre) 10.77.0.2
//!    ├ TCP flows ── lockgate0 ══╗ one tunnel (veth) ╔══ lockgate0 ──── TCP flows ┤
//!    └ REP at 127.0.0.1:5555 ───╝                   ╚─── 127.0.0.1:5556 at REQ ──┘
//! ```

use std::time::{Duration, Instant};

use lockgate_tests::network::{Flow, Lab, Namespace, SOON, eventually, ping};
use lockgate_tests::rig::{offer, one_service, uses};

use super::{CLOSED, Hosts, OPEN, POLICY, Plan};

/// What the product promises.
pub(super) const PROMISE: Duration = Duration::from_secs(1);
/// How long nothing may come after that.
const SILENCE: Duration = Duration::from_secs(1);
/// Of a stream, before and after.
const SOME: u64 = 2 << 20;

const WEB_TOO: &str =
    "[[allow]]\nid = \"web-too\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8081\"\nwhy = \"the test\"\n";

#[expect(clippy::disallowed_methods, reason = "the test times the second that the promise names")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// When the stream last moved, once it has not for [`SILENCE`].
pub(super) fn end_of(flow: &Flow) -> Instant {
    let (mut received, mut since) = (flow.received(), now());
    eventually("the stream has ended", SOON, || {
        let more = flow.received();
        if more != received {
            (received, since) = (more, now());
        }
        (since.elapsed() > SILENCE).then_some(since)
    })
}

/// `withdraw` takes away the rule of a flow while another one runs.
fn assert_withdrawn(withdraw: impl FnOnce(&Hosts, &str)) {
    let Some(lab) = Lab::open(&[]) else { return };
    let both = format!("{POLICY}{WEB_TOO}");
    let hosts = Hosts::start(&lab, &Plan { policy: Some(&both), ..Plan::default() });
    let flow = |port| Flow::start_at(&hosts.alpha.namespace, &hosts.beta.namespace, hosts.beta.at(port));
    let (withdrawn, other) = (flow(CLOSED), flow(OPEN));
    withdrawn.advance("while it is allowed", SOME);
    other.advance("while it is allowed", SOME);
    let asked = now();
    withdraw(&hosts, POLICY);
    let took = end_of(&withdrawn).saturating_duration_since(asked);
    eprintln!("a withdrawn rule ended its flow after {took:?}");
    assert!(took < PROMISE, "it took {took:?}");
    other.advance("after the other was ended", SOME);
    other.finish();
    ping(&hosts.alpha.namespace, hosts.beta.v4());
    for host in [&hosts.alpha, &hosts.beta] {
        let up = host.node.log().iter().filter(|line| line.contains("tunnel up")).count();
        assert_eq!(up, 1, "the tunnel stayed");
    }
    hosts.assert_no_errors();
}

#[test]
fn a_rule_that_the_sender_withdraws_ends_an_established_flow_within_a_second() {
    assert_withdrawn(|hosts, rules| {
        hosts.alpha.put_rules(rules);
        hosts.alpha.node.await_denial(&[
            "\"from\":\"alpha\"",
            "tcp:8081",
            "the rule that let it through is gone",
            "web",
        ]);
        assert_eq!(hosts.alpha.count("/packets/flows/withdrawn"), 1);
    });
}

#[test]
fn a_rule_that_the_receiver_withdraws_ends_an_established_flow_within_a_second() {
    assert_withdrawn(|hosts, rules| {
        hosts.beta.put_rules(rules);
        hosts.beta.node.await_denial(&[
            "\"from\":\"alpha\"",
            "tcp:8081",
            "the rule that let it through is gone",
            "web",
        ]);
        assert_eq!(hosts.beta.count("/packets/flows/withdrawn"), 1);
    });
}

/// A socket whose threads are in the namespace; `place` binds or connects it.
fn socket(
    namespace: &Namespace,
    kind: zmq::SocketType,
    place: impl FnOnce(&zmq::Socket) -> zmq::Result<()> + Send,
) -> zmq::Socket {
    let socket = namespace.enter(|| {
        // libzmq's threads begin with the first socket of their context.
        let socket = zmq::Context::new().socket(kind)?;
        place(&socket).map(|()| socket)
    });
    let socket = socket.expect("a socket at its place");
    let millis = i32::try_from(SOON.as_millis()).expect("half a minute");
    socket.set_rcvtimeo(millis).expect("an option");
    socket.set_sndtimeo(millis).expect("an option");
    socket.set_linger(0).expect("an option");
    socket
}

/// Asks and answers `times`.
fn converse(req: &zmq::Socket, rep: &zmq::Socket, times: u32) {
    for number in 0..times {
        let question = vec![number as u8; 5000];
        req.send(&question, 0).expect("a server is there");
        assert!(rep.recv_bytes(0).expect("the question") == question, "question {number}");
        rep.send(&question, 0).expect("the client waits");
        assert!(req.recv_bytes(0).expect("the answer") == question, "answer {number}");
    }
}

#[test]
fn messages_and_packets_share_a_tunnel_and_a_withdrawn_packet_rule_leaves_the_messages() {
    let Some(lab) = Lab::open(&[]) else { return };
    let service = one_service("command", "rep", "");
    let all = format!("{service}{POLICY}{WEB_TOO}");
    let plan = Plan {
        policy: Some(&all),
        alpha: &offer("command", "tcp://127.0.0.1:5555"),
        beta: &uses("command", "tcp://127.0.0.1:5556"),
        ..Plan::default()
    };
    let hosts = Hosts::start(&lab, &plan);
    let rep = socket(&hosts.alpha.namespace, zmq::REP, |socket| socket.bind("tcp://127.0.0.1:5555"));
    let req = socket(&hosts.beta.namespace, zmq::REQ, |socket| socket.connect("tcp://127.0.0.1:5556"));
    let flow = Flow::start_at(&hosts.alpha.namespace, &hosts.beta.namespace, hosts.beta.at(CLOSED));
    converse(&req, &rep, 200);
    flow.advance("beside the messages", SOME);
    hosts.alpha.put_rules(&format!("{service}{POLICY}"));
    end_of(&flow);
    converse(&req, &rep, 20);
    let status = hosts.beta.node.status();
    assert_eq!(status["services"][0]["counters"]["opened"], 1, "the stream was not opened again: {status}");
    hosts.assert_no_errors();
}
