//! The policy file: any text is compiled or refused with reasons, and of what is compiled every question has an answer that no
//! forbid and no service speaks against.

use std::sync::Arc;
use std::time::Duration;

use lockgate_proto::policy::{ForbidTarget, NodeTags, Policy, TagExpr};
use lockgate_proto::program::Direction;
use lockgate_proto::rules::{Ask, Opening, PacketKind, PacketQuestion, Rules, What};
use lockgate_proto::script::{Dialect, Options, Script};
use lockgate_proto::zmtp::SocketType;

/// So many of each are asked about.
const MOST: usize = 4;
const KINDS: [PacketKind; 6] = [
    PacketKind::Tcp(22),
    PacketKind::Tcp(443),
    PacketKind::Udp(5000),
    PacketKind::Icmp,
    PacketKind::Other(47),
    PacketKind::Unparsed,
];

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_policy(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let policy = match Policy::parse("policy.toml", &text) {
        Ok(policy) => policy,
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "a refusal without a reason");
            assert!(mistakes.iter().all(|mistake| !mistake.problem.is_empty()), "{mistakes:?}");
            return;
        }
    };
    let rules = Rules::compile(&policy, 1);
    let first = policy.grants.first().map_or(Duration::ZERO, |grant| grant.from);
    for wall in [Duration::ZERO, first, Duration::MAX] {
        let rules = rules.at(wall);
        assert!(rules.are_same_at(wall, wall));
        let nodes = policy.nodes.keys().take(MOST).map(String::as_str).chain(["", "nobody"]);
        let nodes: Vec<&str> = nodes.collect();
        for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))) {
            ask_for_packets(&policy, &rules, from, to);
            ask_for_services(&policy, &rules, from, to);
        }
    }
    print(&policy, &rules);
}

fn ask_for_packets(policy: &Policy, rules: &Rules, from: &str, to: &str) {
    let hold: Vec<&str> = policy.capabilities.iter().map(|held| held.name.as_str()).collect();
    for kind in KINDS {
        for hold in [&[][..], &hold[..hold.len().min(MOST)]] {
            let said = rules.ask(&Ask { from, to, what: What::Packets(kind), hold });
            if said.is_ok() {
                assert!(kind != PacketKind::Unparsed && are_known(policy, from, to));
                assert!(!is_forbidden(policy, from, to, None), "{from} {to} {said:?}");
            }
        }
        let (source, destination): (Arc<str>, Arc<str>) = (from.into(), to.into());
        let question = PacketQuestion { from, to, kind, addresses: None };
        for packet in question.packets() {
            for direction in [Direction::Out, Direction::In] {
                let ends = if direction == Direction::Out {
                    [&source, &destination]
                } else {
                    [&destination, &source]
                };
                let Some(pair) = rules.pair(direction, ends[0], ends[1]) else { continue };
                let passes = pair.allows(&packet).is_some() || pair.begins(&packet).is_some();
                assert!(!(passes && is_forbidden(policy, from, to, None)), "{packet:?}");
                let each = pair.each(&packet);
                assert_eq!(each.is_some(), policy.rules.is_some());
                assert!(
                    !each.is_some_and(|said| said.detoured),
                    "what comes straight was sent here by nobody"
                );
            }
            if rules.admits_detour("nobody", from, to, &packet) {
                assert!(!is_forbidden(policy, from, to, None));
            }
        }
    }
}

fn ask_for_services(policy: &Policy, rules: &Rules, from: &str, to: &str) {
    for (name, service) in policy.services.iter().take(MOST) {
        for socket in SocketType::ALL {
            let opening = Opening { user: from, host: to, service: name, socket, identity: b"" };
            let Ok(grant) = rules.open(&opening) else { continue };
            let hosts = policy.nodes.get(to).is_some_and(|tags| service.hosted_by.matches(to, tags));
            assert!(hosts && are_known(policy, from, to) && !is_forbidden(policy, from, to, Some(name)));
            assert!(service.sockets.iter().any(|offered| offered.matches(socket)));
            assert!(!grant.rules().is_empty() && !grant.host_sockets().is_empty());
            let most = service.limits.max_message.unwrap_or(u64::MAX);
            assert!(grant.max_message() <= most);
            for topic in [&b""[..], b"temp.1", &[0xff; 300]] {
                let Ok(passed) = grant.publish(topic) else { continue };
                assert!(passed.limit <= most && passed.rule < grant.rules().len());
                let fits = |prefix: &String| topic.starts_with(prefix.as_bytes());
                assert!(service.topics.is_empty() || service.topics.iter().any(fits), "{topic:?}");
            }
            let _ = grant.subscribe(b"temp.");
        }
        let what = What::Service { name, topic: None, socket: None };
        let said = rules.ask(&Ask { from, to, what, hold: &[] });
        assert!(said.is_err() || !is_forbidden(policy, from, to, Some(name)));
    }
}

fn are_known(policy: &Policy, from: &str, to: &str) -> bool {
    policy.nodes.contains_key(from) && policy.nodes.contains_key(to)
}

/// Whether a forbid rules out everything between the two, or this service.
fn is_forbidden(policy: &Policy, from: &str, to: &str, service: Option<&str>) -> bool {
    let nobody = NodeTags::new();
    let is_in = |set: &TagExpr, node: &str| set.matches(node, policy.nodes.get(node).unwrap_or(&nobody));
    policy.forbids.iter().any(|forbid| {
        is_in(&forbid.from, from)
            && match &forbid.to {
                ForbidTarget::Everything(target) => is_in(target, to),
                ForbidTarget::Packets(_) => false,
                ForbidTarget::Service(name) => service == Some(name),
            }
    })
}

/// What it compiles to is printed as scripts that compile.
fn print(policy: &Policy, rules: &Rules) {
    let tags = policy.rules.as_ref().map_or(&[][..], |rules| &rules.tags);
    let options = Options { tags, ..Options::new("policy", Dialect::Lockgate) };
    for printed in rules.program().map(|(_, list)| list.to_string()) {
        let script = Script::compile(&printed, &options);
        let script = script.unwrap_or_else(|mistakes| panic!("{printed}\n{mistakes:?}"));
        let again = Script::compile(&script.to_string(), &options).expect("what was printed");
        assert_eq!(again.to_string(), script.to_string());
    }
}
