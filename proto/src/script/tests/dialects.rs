//! What Lockgate's dialect adds.

use alloc::borrow::ToOwned;
use alloc::format;

use super::*;
use crate::program::{Action, Entry, Join, List, Net, Sense, Term, Test, ZmqTest, ZmtpTest};

fn one(condition: &str) -> Test {
    let rules = script(&format!("accept {condition};")).rules;
    let mut tests = rules.tests();
    let test = tests.next().expect("a test").clone();
    assert_eq!(tests.next(), None, "{condition}");
    test
}

#[test]
fn every_match_of_ours_means_what_it_says() {
    let tag = |tag: &str, value: &str| Term::Tag(tag.to_owned(), value.to_owned());
    for (condition, wanted) in [
        ("zmq service telemetry", Test::Zmq(ZmqTest::Service("telemetry".into()))),
        ("zmq socket sub", Test::Zmq(ZmqTest::Socket(SocketType::Sub))),
        ("zmq socket SUB", Test::Zmq(ZmqTest::Socket(SocketType::Sub))),
        ("zmq topic temp.", Test::Zmq(ZmqTest::Topic((*b"temp.").into()))),
        (r"zmq topic \x00\x5C;", Test::Zmq(ZmqTest::Topic((*b"\0\\").into()))),
        ("zmq topic \"\"", Test::Zmq(ZmqTest::Topic((*b"").into()))),
        ("zmq identity plc", Test::Zmq(ZmqTest::Identity((*b"plc").into()))),
        ("zmq mechanism NULL", Test::Zmq(ZmqTest::Mechanism("NULL".into()))),
        ("zmq size 0-64KiB", Test::Zmq(ZmqTest::Size(0, 65_536))),
        ("zmtp", Test::Zmtp(ZmtpTest::Spoken)),
        ("zmtp socket-type PUB", Test::Zmtp(ZmtpTest::SocketType(SocketType::Pub))),
        ("zmtp mechanism CURVE", Test::Zmtp(ZmtpTest::Mechanism("CURVE".into()))),
        ("established", Test::Established),
        ("from role=historian", Test::From(tag("role", "historian"))),
        ("to node=edge-south", Test::To(Term::Node("edge-south".to_owned()))),
        (r"to \x6eode=edge", Test::To(tag("node", "edge"))),
        ("ztsrc edge-north", Test::SourceNode("edge-north".into())),
        ("chr inbound,multicast,31,0", Test::Characteristics(3 << 62 | 1 << 31 | 1)),
        ("ipsrc 10.0.0.1", Test::Source(Net { address: [10, 0, 0, 1].into(), bits: 32 })),
    ] {
        assert_eq!(one(condition.trim_end_matches(';')), wanted, "{condition}");
    }
}

#[test]
fn lists_and_sets_hold_what_is_in_them() {
    let text = "set plcs 10.7.0.2,10.9.0.0/31;\nset web 80, 443 8000-8010;\nset all @plcs fd00::/8;\n";
    for (condition, port, holds) in [
        ("dport 22,80,8000-8010", 8005, true),
        ("dport 22,80,8000-8010", 8011, false),
        ("dport @web", 443, true),
        ("dport 22,@web", 22, true),
        ("not dport @web", 80, false),
        ("ipdest @plcs", 1, true),
        ("ipsrc @all", 1, false),
        ("ipsrc 10.0.0.0/8,fd00::/8", 1, true),
        ("sport 9,", 1, true),
        ("dport none", 1, false),
    ] {
        let script = script(&format!("{text}accept {condition};"));
        let wanted = if holds { "accept" } else { "nothing" };
        assert_eq!(outcome(&script, &[], Subject::Packet(tcp(port))), wanted, "{condition} {port}");
    }
}

#[test]
fn groups_stand_as_they_read_and_negations_are_pushed_inwards() {
    fn shape(list: &List) -> String {
        let each = list.entries().iter().map(|entry| match entry {
            Entry::Match { join, sense, test: Test::DestinationPort(port, _) } => format!(
                "{}{}{port}",
                if *join == Join::Or { "|" } else { "&" },
                if *sense == Sense::Not { "!" } else { "" }
            ),
            Entry::Open { join, skip } => format!("{}{skip}(", if *join == Join::Or { "|" } else { "&" }),
            Entry::Close => ")".to_owned(),
            _ => String::new(),
        });
        each.collect()
    }
    for (condition, wanted) in [
        ("(dport 1 or dport 2) and dport 3", "&3(&1|2)&3"),
        ("dport 3 or (dport 1 and dport 2)", "&3|3(&1&2)"),
        ("dport 3 and not (dport 1 and dport 2)", "&3&3(&!1|!2)"),
        ("not(dport 1 or not dport 2 and dport 3)", "&4(&!1&2|!3)"),
        ("not ( dport 1 or ( dport 2 and dport 3 ) )", "&6(&!1&3(&!2|!3))"),
        ("not (dport 1 or not (dport 2 and dport 3))", "&6(&!1&3(&2&3))"),
        ("((dport 1))", "&4(&2(&1))"),
    ] {
        assert_eq!(shape(&script(&format!("accept {condition};")).rules), wanted, "{condition}");
    }
    // Neither a group nor its contrary holds for what it does not apply to.
    for condition in ["(ipsrc fd00::/8 and dport 80)", "not (ipsrc fd00::/8 or not dport 80)"] {
        let script = script(&format!("accept {condition};"));
        assert_eq!(outcome(&script, &[], Subject::Packet(tcp(80))), "nothing", "{condition}");
    }
}

#[test]
fn an_action_with_a_name_needs_no_match_to_end() {
    let script = script("log as all;\ndrop as rest;\naccept dport 80;");
    let acts: Vec<_> = script.rules.acts().map(|act| (&act.action, &*act.rule.id)).collect();
    assert_eq!(acts, [(&Action::Log, "all"), (&Action::Drop, "rest"), (&Action::Accept, "rules")]);
}

#[test]
fn messages_are_judged_by_rules_about_messages() {
    let text = "accept zmq service telemetry and zmq topic temp. and zmq size 0-64KiB;\n\
                drop zmq service telemetry;\naccept dport 80;";
    let script = script(text);
    for (topic, wanted) in [(&b"temp.1"[..], "accept"), (b"raw.1", "drop"), (b"temp", "drop")] {
        assert_eq!(outcome(&script, &[], Subject::Message(message(topic))), wanted, "{topic:?}");
    }
    assert_eq!(outcome(&script, &[], Subject::Packet(tcp(80))), "accept");
}

#[test]
fn predeclared_tags_count_until_the_script_has_its_own() {
    let tag = Tag {
        name: "role".into(),
        id: 900,
        default: None,
        flags: Vec::new(),
        enums: [("historian".to_owned(), 3)].into(),
    };
    let options = Options { tags: &[tag], ..Options::new("f", Dialect::Lockgate) };
    let test = |text: &str| {
        let script = Script::compile(text, &options).expect(text);
        let own = script.tags.len();
        (own, script.rules.tests().next().cloned())
    };
    let wanted = |tag, value| Some(Test::Tag { how: crate::program::TagTest::Sender, tag, value });
    assert_eq!(test("accept tseq role historian;"), (0, wanted(900, 3)));
    assert_eq!(test("tag role id 4 enum 9 historian; accept tseq role historian;"), (1, wanted(4, 9)));
    let mistakes = Script::compile("tag other id 900; accept;", &options).expect_err("its number is taken");
    assert!(mistakes[0].problem.contains("has the id of \"role\""), "{mistakes:?}");
}

#[test]
fn mistakes_name_line_column_and_mend() {
    for (text, place, words) in [
        ("accept (dport 22;", (1, 8), "is not closed"),
        ("accept dport 22);", (1, 16), "closes nothing"),
        ("accept ();", (1, 9), "nothing in this group"),
        ("accept dport 1 and (or dport 22);", (1, 21), "before the first match"),
        ("accept (dport 1 or);", (1, 17), "stands before nothing"),
        ("accept not;", (1, 8), "stands before nothing"),
        ("accept zmq service a and dport 22;", (1, 26), "about packets"),
        ("tee 5 watcher zmq service a;", (1, 15), "neither copied, redirected nor logged"),
        ("log zmq service a;", (1, 5), "neither copied, redirected nor logged"),
        ("accept zmq service;", (1, 12), "of what?"),
        ("accept zmq;", (1, 8), "of what?"),
        ("accept zmq servce a;", (1, 12), "did you mean \"service\"?"),
        ("accept zmq socket pbu;", (1, 19), "did you mean \"PUB\"?"),
        ("accept zmq mechanism null;", (1, 22), "no mechanism"),
        ("accept zmq size 5;", (1, 17), "write two sizes"),
        ("accept zmq service a,b;", (1, 20), "is no name"),
        ("accept zmq topic a(b);", (1, 20), "is no match"),
        ("accept zmq topic \\xg0;", (1, 18), "cannot be read"),
        ("accept from role;", (1, 13), "tag=value"),
        ("accept zmq service zmq topic a;", (1, 20), "word of the language"),
        ("accept dport 22,x;", (1, 14), "\"x\" cannot follow dport"),
        ("accept dport @web;", (1, 14), "is no set"),
        ("set a 10.0.0.1; accept dport @a;", (1, 30), "other kind"),
        ("set a 10.0.0.1,80; accept;", (1, 5), "of addresses and of ports"),
        ("set a 10.0.0.1/8; accept;", (1, 7), "zeros behind"),
        ("accept ipsrc 10.0.0.0/8,fd00::1/8;", (1, 14), "zeros behind"),
        ("accept dport 5 as ssh and dport 6;", (1, 16), "is no match"),
    ] {
        let (line, column, told) = refused(text, Dialect::Lockgate);
        assert_eq!((line, column), place, "{text}: {told}");
        assert!(told.contains(words), "{text}: {told}");
    }
    let options =
        Options { nodes: Some(&["edge-north", "edge-south"]), ..Options::new("f", Dialect::Lockgate) };
    for text in ["accept ztsrc edge-nroth;", "tee 5 edge-nroth dport 1;", "accept to node=edge-nroth;"] {
        let mistakes = Script::compile(text, &options).expect_err(text);
        assert!(mistakes[0].mend.contains("did you mean \"edge-north\"?"), "{text}: {mistakes:?}");
    }
    assert!(Script::compile("redirect edge-south dport 1;", &options).is_ok());
}

/// Nobody looks at more of a message, so that a `drop` for a longer one would never hold.
#[test]
fn a_topic_is_no_longer_than_what_is_looked_at_of_a_message() {
    let rule = |bytes| format!("drop zmq topic {};", "a".repeat(bytes));
    script(&rule(255));
    let (line, _, said) = refused(&rule(256), Dialect::Lockgate);
    assert!(line == 1 && said.contains("a topic of 256 bytes is too long"), "{said}");
}
