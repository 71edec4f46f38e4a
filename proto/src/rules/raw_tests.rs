//! Flow rules in a policy: what they leave open of a connection, and what of them can be asked for.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::*;
use crate::program::{Judgement, Outcome, Packet, Tee, packet_facts};
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

/// A rule that sends says something also where it does not hold, and a pair has no tags to judge it by.
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

/// A message is passed on before its size is known, so that the largest is the one below which nothing is denied.
#[test]
fn no_message_below_the_largest_is_of_a_size_that_is_denied() {
    let window = rules("drop zmq service tele and zmq size 100-200;\naccept zmq service tele;");
    assert_eq!(limit(&open(&window, b"").expect("some pass")), 99);
    let step = rules(
        "accept zmq service tele and zmq size 0-1000;\naccept zmq service tele and zmq size 5000-9000;",
    );
    assert_eq!(limit(&open(&step, b"").expect("some pass")), 1000);
    let above = rules("accept zmq service tele and zmq size 1000-2000;");
    assert!(open(&above, b"").is_err(), "a small one is denied, and nobody knows yet that it is none");
}

/// `reach`, `explain` and `policy test` ask without an identity.
#[test]
fn what_some_identity_may_reach_can_be_reached_and_only_that_identity_reaches_it() {
    let what = What::Service { name: "tele", topic: None, socket: None };
    let ask = Ask { from: "h", to: "g", what, hold: &[] };
    let accept = rules("accept zmq service tele and zmq identity plc;");
    assert!(accept.ask(&ask).is_ok() && accept.permits(&ask).is_some());
    assert!(open(&accept, b"plc-7").is_ok());
    assert!(open(&accept, b"pl").is_err() && open(&accept, b"").is_err());
    let drop = rules("drop zmq identity plc;\naccept zmq service tele and not zmq identity other;");
    assert!(drop.ask(&ask).is_ok() && open(&drop, b"").is_ok());
    assert!(open(&drop, b"plc-7").is_err() && open(&drop, b"other").is_err());
    let nobody = rules("drop zmq service tele;\naccept zmq service tele and zmq identity plc;");
    assert!(nobody.ask(&ask).is_err());
}

/// Flow rules read the ports of SCTP and UDP-Lite, and no question has them.
#[test]
fn what_passes_by_ports_that_no_question_has_can_be_asked_for() {
    for (word, protocol) in [("sctp", 132), ("udplite", 136)] {
        let rules =
            rules(&format!("drop dport 23;\naccept ipprotocol {word} and dport 22,24 and sport 0-9;"));
        let pair = rules.pair(Direction::Out, &"g".into(), &"h".into()).expect("known");
        for (port, passes) in [(22, true), (23, false), (25, false)] {
            let mut bytes = [0; 40];
            (bytes[0], bytes[3], bytes[9], bytes[23]) = (0x45, 40, protocol, port);
            assert_eq!(pair.allows(&packet_facts(&bytes)).is_some(), passes, "{word} {port}");
        }
        let ask = |kind| rules.packet(&PacketQuestion { from: "g", to: "h", kind, addresses: None }).is_ok();
        assert!(ask(PacketKind::Other(protocol)));
        assert!(!ask(PacketKind::Other(133)) && !ask(PacketKind::Tcp(22)));
    }
}

/// Else only the judgement of a sender would stop what nothing allows.
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

/// `rules judge` asks the one, the data path the other: copies of capabilities that do not accept.
#[test]
fn what_tools_and_what_nodes_say_of_capabilities_is_the_same() {
    use crate::script::{Dialect, Options, Script};

    let packet = tcp();
    let tags = NodeTags::default();
    let parties = Parties {
        direction: Direction::Out,
        own: "",
        source: "",
        destination: "",
        source_tags: &tags,
        destination_tags: &tags,
        source_values: &[],
        destination_values: &[],
    };
    for text in [
        "cap one id 1 default tee -1 o dport 22; ; tee -1 p dport 22; break as end;",
        "cap one id 1 default tee -1 o dport 22; accept dport 22; ; tee -1 p dport 22; break as end;",
    ] {
        let script = Script::compile(text, &Options::new("t", Dialect::Lockgate)).expect("a script");
        let tool = script.judge(&parties, &[1], &Subject::Packet(packet));
        let pair = Pair::of_script(Direction::Out, &script);
        let node = pair.each(&packet).expect("there are flow rules");
        let copied = |tee: Option<Tee<'_>>| tee.map(|tee| String::from(&**tee.to));
        assert_eq!((tool.outcome, copied(tool.tee)), (node.outcome, copied(node.tee)), "{text}");
    }
}
