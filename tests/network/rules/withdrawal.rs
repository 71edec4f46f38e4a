//! A withdrawn permission ends what it let through within a second, and nothing else; an unusable policy file changes nothing.
//!
//! ```text
//!  alpha (role=edge)                                             beta (role=centre)
//!    ├ tcp:8080, tcp:8081 ── lockgate0 ══╗            ╔══ lockgate0 ──────────────┤
//!    ├ PUSH kept at 5555 ────────────────╣ one tunnel ╠─── 5655 ── PULL ──────────┤
//!    └ PUSH withdrawn at 5556 ───────────╝            ╚─── 5656 ── PULL ──────────┘
//! ```

use lockgate_tests::network::{Flow, Lab, connects};
use lockgate_tests::rig::{offer, one_service, put, uses};

use super::streams::Stream;
use super::{IN_VAIN, Net, PROMISE, Role, end_of, now};

const HEAD: &str = "default = \"deny\"\n[tags]\nrole = [\"edge\", \"centre\"]\n[nodes]\n\
    alpha = { role = \"edge\" }\nbeta = { role = \"centre\" }\n";
/// What stays.
const WEB: &str =
    "[[allow]]\nid = \"web\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8080\"\nwhy = \"the test\"\n";
/// What is withdrawn.
const WEB_TOO: &str =
    "[[allow]]\nid = \"web-too\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:8081\"\nwhy = \"the test\"\n";
/// Of a TCP stream, before and after.
const SOME: u64 = 1 << 20;
/// Of messages.
const MANY: u64 = 200;

#[test]
fn a_withdrawn_allow_ends_its_tcp_flow_and_its_message_stream_within_a_second_and_no_others() {
    let Some(lab) = Lab::open(&[]) else { return };
    let kept = format!("{HEAD}{WEB}{}", one_service("kept", "push", ""));
    let service = one_service("withdrawn", "push", "");
    let offers = offer("kept", "tcp://127.0.0.1:5555") + &offer("withdrawn", "tcp://127.0.0.1:5556");
    let used = uses("kept", "tcp://127.0.0.1:5655") + &uses("withdrawn", "tcp://127.0.0.1:5656");
    let roles = [Role { more: &offers, ..Role::named("alpha") }, Role { more: &used, ..Role::named("beta") }];
    let net = Net::start(&lab, roles, &format!("{kept}{service}{WEB_TOO}"));
    let [alpha, beta] = &net.hosts;
    let flow = |port| Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(port));
    let (flow_kept, flow_cut) = (flow(8080), flow(8081));
    let stream = |ports| Stream::start(&alpha.namespace, &beta.namespace, ports);
    let (stream_kept, stream_cut) = (stream([5555, 5655]), stream([5556, 5656]));
    for flow in [&flow_kept, &flow_cut] {
        flow.advance("while it is allowed", SOME);
    }
    for stream in [&stream_kept, &stream_cut] {
        stream.advance("while it is allowed", MANY);
    }
    // A service that nobody may use would be a mistake.
    let nobody = service.replace("from = \"role=centre\"", "from = \"role=edge\"");
    let asked = now();
    net.put(&format!("{kept}{nobody}"));
    let ends = std::thread::scope(|scope| {
        let flow = scope.spawn(|| end_of("the flow", || flow_cut.received()));
        let stream = scope.spawn(|| end_of("the stream", || stream_cut.received()));
        [flow, stream].map(|end| end.join().expect("an end"))
    });
    for (what, end) in ["a TCP flow", "a stream of messages"].into_iter().zip(ends) {
        let took = end.saturating_duration_since(asked);
        eprintln!("a withdrawn allow has ended {what} after {took:?}");
        assert!(took <= PROMISE, "{what}: it took {took:?}");
    }
    flow_kept.advance("after the other was ended", SOME);
    stream_kept.advance("after the other was ended", MANY);
    flow_kept.finish();
    stream_kept.finish();
    assert!(!connects(&alpha.namespace, beta.at(8081), IN_VAIN), "it cannot begin again");
    net.assert_no_errors();
}

#[test]
fn a_bad_policy_file_and_a_deleted_one_change_nothing_and_are_told_loudly() {
    let Some(lab) = Lab::open(&[]) else { return };
    let net = Net::start(&lab, ["alpha", "beta"].map(Role::named), &format!("{HEAD}{WEB}"));
    let [alpha, beta] = &net.hosts;
    let flow = Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(8080));
    flow.advance("before", SOME);
    let holds = |when: &str| {
        flow.advance(when, SOME);
        assert!(!connects(&alpha.namespace, beta.at(8081), IN_VAIN), "{when}: what was denied stays denied");
        let other = Flow::start_at(&alpha.namespace, &beta.namespace, beta.at(8080));
        other.advance(when, SOME);
        other.finish();
    };
    holds("before");
    #[expect(clippy::disallowed_methods, reason = "the operator's hand")]
    let delete = |path: &std::path::Path| std::fs::remove_file(path).expect("it was there");
    for (when, text, complaint) in [
        ("a file with a mistake", Some("default = \"allow\"\n"), "-policy.toml:1"),
        (
            "a file that wants more and has a mistake",
            Some("default = \"deny\"\nnonsense = 1\n"),
            "-policy.toml:2",
        ),
        ("an empty file", Some(""), "-policy.toml"),
        ("a deleted file", None, "does not exist"),
    ] {
        let skip = net.hosts.each_ref().map(|host| host.node.log().len());
        for host in &net.hosts {
            match text {
                Some(text) => put(&host.policy, text),
                None => delete(&host.policy),
            }
            host.node.hangup();
        }
        for (host, skip) in net.hosts.iter().zip(skip) {
            let loud = "WARN";
            assert!(host.logs_after(skip, "the last good one stays in force"), "{when}: nothing was said");
            assert!(host.logs_after(skip, complaint), "{when}: {:?}", &host.node.log()[skip..]);
            assert!(host.logs_after(skip, loud), "{when}: not loud");
        }
        holds(when);
        assert_eq!(alpha.count("/policy/generation"), 1, "{when}: nothing has changed");
    }
    flow.finish();
    net.assert_no_errors();
}
