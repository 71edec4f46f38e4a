//! Review 1: what should hold of rules, and does not.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::*;
use crate::program::{Judgement, Outcome, Packet, packet_facts};
use crate::zmtp::SocketType as S;

const HEAD: &str = r#"
[tags]
role = ["gw", "hist", "obs"]
[nodes]
g = { role = "gw" }
h = { role = "hist" }
o = { role = "obs" }
[service.tele]
hosted-by = "role=gw"
socket = "pub"
[[allow]]
id = "obs"
from = "role=obs"
to = "tele"
"#;

fn rules(raw: &str) -> Rules {
    let text = format!("default = \"deny\"\nrules = '''\n{raw}\n'''\n{HEAD}");
    Rules::compile(&Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")), 1)
}

fn tcp() -> Packet {
    let mut bytes = [0; 40];
    (bytes[0], bytes[3], bytes[9], bytes[23], bytes[32], bytes[33]) = (0x45, 40, 6, 22, 0x50, 2);
    packet_facts(&bytes)
}

fn outcome(judgement: Option<Judgement<'_>>) -> String {
    match judgement.map(|judgement| (judgement.outcome, judgement.tee)) {
        Some((Outcome::Redirect(to), _)) => format!("redirect {to}"),
        Some((other, tee)) => format!("{other:?} {:?}", tee.map(|tee| tee.to)),
        None => "nothing".into(),
    }
}

/// A rule that sends and is known not to hold is kept unfolded, and the pair has no tags to judge it by.
#[test]
fn a_rule_that_sends_and_does_not_hold_between_two_nodes_sends_nothing() {
    for raw in [
        "redirect o not from role=gw;",
        "tee -1 o not to role=hist;\nbreak as end;",
        "redirect o not to role=hist;",
    ] {
        let rules = rules(raw);
        let (own, peer): (Arc<str>, Arc<str>) = ("g".into(), "h".into());
        let parties = rules.parties(Direction::Out, "g", "h").expect("known");
        let unfolded = rules.packets.each(&parties, &Subject::Packet(tcp()));
        let pair = rules.pair(Direction::Out, &own, &peer).expect("known");
        assert_eq!(outcome(pair.each(&tcp())), outcome(unfolded), "{raw}");
    }
}

/// What the broker does without asking about each message, since no topic is asked for.
fn limit(grant: &Grant) -> u64 {
    assert!(!grant.restricts_topics());
    grant.max_message()
}

fn open<'a>(rules: &'a Rules, identity: &'a [u8]) -> Result<Grant, Denial> {
    rules.open(&Opening { user: "h", host: "g", service: "tele", socket: S::Sub, identity })
}

#[test]
fn a_message_of_a_size_that_is_dropped_does_not_fit_the_largest() {
    let rules = rules("drop zmq service tele and zmq size 100-200;\naccept zmq service tele;");
    let grant = open(&rules, b"").expect("some pass");
    assert!(limit(&grant) < 100, "a message of 150 bytes passes: the limit is {}", limit(&grant));
}

#[test]
fn a_message_of_a_size_that_nothing_accepts_does_not_pass() {
    let rules = rules("accept zmq service tele and zmq size 1000-2000;");
    // Publish says that none passes; the broker, which asks only where topics count, lets all up to 2000 bytes pass.
    if let Ok(grant) = open(&rules, b"") {
        assert!(grant.publish(b"").is_ok(), "nothing passes, but there is a grant up to {}", limit(&grant));
    }
}

/// `reach`, `explain` and `policy test` ask without an identity.
#[test]
fn what_an_identity_may_reach_can_be_reached() {
    let rules = rules("accept zmq service tele and zmq identity plc;");
    assert!(open(&rules, b"plc-7").is_ok());
    let what = What::Service { name: "tele", topic: None, socket: None };
    assert!(rules.ask(&Ask { from: "h", to: "g", what, hold: &[] }).is_ok(), "the data path lets it pass");
}

#[test]
fn a_large_policy_compiles_or_is_refused() {
    let mut text = format!("default = \"deny\"\n{HEAD}");
    for number in 0..16_000 {
        text.push_str(&format!("[[allow]]\nid=\"{number}\"\nfrom=\"role=gw\"\nto=\"role=hist tcp:1\"\n"));
    }
    assert!(text.len() <= 1 << 20);
    if let Ok(policy) = Policy::parse("p.toml", &text) {
        let _ = Rules::compile(&policy, 1);
    }
}

/// The scanner shows the judge 255 bytes at most (`MAX_PEEK`): a `drop` for a longer topic never holds.
#[test]
fn no_topic_is_longer_than_what_is_looked_at() {
    let raw = format!("drop zmq service tele and zmq topic {};\naccept zmq service tele;", "a".repeat(300));
    let grant = open(&rules(&raw), b"").expect("some pass");
    assert!(grant.publish(&[b'a'; 300]).is_err());
    assert!(
        grant.publish(&[b'a'; 255]).is_err() || grant.longest_topic() <= 255,
        "the broker sees 255 bytes and passes it"
    );
}

/// Some kinds of packet have ports that flow rules read, and that no question has.
#[test]
fn what_passes_by_its_ports_can_be_asked_for() {
    let rules = rules("accept ipprotocol sctp and dport 22;");
    let mut bytes = [0; 40];
    (bytes[0], bytes[3], bytes[9], bytes[23]) = (0x45, 40, 132, 22);
    let pair = rules.pair(Direction::Out, &"g".into(), &"h".into()).expect("known");
    assert_eq!(pair.each(&packet_facts(&bytes)).map(|judgement| judgement.outcome), Some(Outcome::Accept));
    let question = PacketQuestion { from: "g", to: "h", kind: PacketKind::Other(132), addresses: None };
    assert!(rules.packet(&question).is_ok());
}

/// What `policy compile` prints is not always in the language.
#[test]
fn a_policy_printed_as_flow_rules_compiles() {
    use crate::script::{Dialect, Options, Script};
    for (what, name) in [("a service", "log"), ("a capability", "a-b")] {
        let text = format!(
            "default = \"deny\"\n{HEAD}[service.{}]\nhosted-by = \"role=gw\"\nsocket = \"pub\"\n[[allow]]\nid = \"s\"\nfrom = \"role=hist\"\nto = \"{}\"\n[capability.{}]\nto = \"tele\"\nmax-ttl = \"1h\"\n",
            if what == "a service" { name } else { "plain" },
            if what == "a service" { name } else { "plain" },
            if what == "a service" { "plain" } else { name },
        );
        let policy = Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let printed = policy_text(&policy);
        let compiled = Script::compile(&printed, &Options::new("t", Dialect::Lockgate));
        assert!(compiled.is_ok(), "{what} called {name}: {printed}\n{:#?}", compiled.err());
    }
}

/// A node that is named as an observer or a detour takes whatever matches, also as the destination: nothing allows it, and only
/// the sender's own judgement stops it. (Upstream has that too, with both ends believed to be honest.)
#[test]
fn an_observer_takes_no_more_than_others_as_a_destination() {
    for raw in ["tee -1 h;", "tee -1 h ipprotocol tcp;\ndrop ipprotocol tcp;", "redirect h ipprotocol tcp;"] {
        let rules = rules(raw);
        let question = PacketQuestion { from: "g", to: "h", kind: PacketKind::Tcp(22), addresses: None };
        assert!(rules.packet(&question).is_err(), "nothing allows it");
        let pair = rules.pair(Direction::In, &"h".into(), &"g".into()).expect("known");
        let judged = pair.each(&tcp()).expect("there are flow rules");
        assert_ne!(judged.outcome, Outcome::Accept, "{raw}: h takes it from a g that does not judge");
    }
}
