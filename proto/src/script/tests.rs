//! What scripts mean, and what is refused.

mod costs;
mod dialects;
mod printed;
mod random;
mod zerotier;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::*;
use crate::program::{Direction, Message, NodeTags, Outcome, Packet, Parties, Recognised, Subject, Topic};
use crate::zmtp::SocketType;

fn compiled(text: &str, dialect: Dialect) -> Result<Script, Vec<ScriptMistake>> {
    Script::compile(text, &Options::new("f.rules", dialect))
}

fn script(text: &str) -> Script {
    compiled(text, Dialect::Lockgate).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:#?}"))
}

/// The first mistake: its line, its column and its text.
fn refused(text: &str, dialect: Dialect) -> (u32, u32, String) {
    let mistakes = compiled(text, dialect).expect_err(text);
    (mistakes[0].line, mistakes[0].column, mistakes[0].to_string())
}

fn parties<'a>(direction: Direction, tags: &'a NodeTags) -> Parties<'a> {
    Parties {
        direction,
        own: "a",
        source: "a",
        destination: "b",
        source_tags: tags,
        destination_tags: tags,
        source_values: &[(1, 1)],
        destination_values: &[(1, 2)],
    }
}

/// TCP from port 9 of 10.7.0.1 to this port of 10.7.0.2.
fn tcp(port: u16) -> Packet {
    Packet {
        ethertype: 0x0800,
        source: Some(IpAddr::from([10, 7, 0, 1])),
        destination: Some(IpAddr::from([10, 7, 0, 2])),
        tos: 0,
        protocol: Some(6),
        icmp: None,
        ports: Some((9, port)),
        tcp_flags: 2,
        size: 60,
        random: 0,
        established: false,
        spoken: Recognised::Undecided,
        asked: false,
        readable: true,
    }
}

fn message(topic: &[u8]) -> Message<'_> {
    Message {
        service: "telemetry",
        socket: SocketType::Sub,
        identity: Some(b"plc-7"),
        mechanism: "NULL",
        topic: Topic::Is(topic),
        size: 100,
    }
}

fn outcome(script: &Script, held: &[u32], subject: Subject<'_>) -> &'static str {
    let tags = NodeTags::new();
    match script.judge(&parties(Direction::Out, &tags), held, &subject).outcome {
        Outcome::Accept => "accept",
        Outcome::Drop => "drop",
        Outcome::Redirect(_) => "redirect",
        Outcome::NoMatch => "nothing",
    }
}

#[test]
fn capabilities_are_asked_by_rising_id_and_only_where_the_base_decides_nothing() {
    let script = script(
        "cap late id 9 redirect edge-south dport 80; accept dport 1; ;\n\
         cap early id 2 drop dport 81; accept dport 80; ;\n\
         cap other id 5 accept dport 81; ;\n\
         drop dport 22; accept dport 443; tee 64 watcher dport 80; break dport 1; log as seen;",
    );
    for (held, port, wanted) in [
        (&[][..], 80, "nothing"),
        (&[9], 80, "redirect"),
        (&[9, 2], 80, "accept"),
        (&[2], 81, "nothing"),
        (&[2, 5], 81, "accept"),
        (&[2, 5, 9], 22, "drop"),
        (&[], 443, "accept"),
        (&[9], 1, "accept"),
        (&[7], 80, "nothing"),
    ] {
        assert_eq!(outcome(&script, held, Subject::Packet(tcp(port))), wanted, "{held:?} {port}");
    }
    let tags = NodeTags::new();
    let judgement = script.judge(&parties(Direction::Out, &tags), &[2], &Subject::Packet(tcp(80)));
    assert_eq!(judgement.tee.map(|tee| (&**tee.to, tee.length)), Some(("watcher", 64)), "the base's copy");
    assert_eq!(judgement.by.map(|act| act.rule.to_string()), Some("rules (f.rules:2)".to_string()));
    assert_eq!(judgement.log.map(|act| &*act.rule.id), Some("seen"));
}

#[test]
fn what_a_capability_cannot_read_refuses_whatever_the_next_would_say() {
    let script = script("cap a id 1 drop dport 22; ; cap b id 2 accept; ; break ipprotocol 99;");
    let base_only = script.judge_unreadable(&[]);
    assert_eq!(base_only, ("drop", true), "the base asks for the protocol");
    let script = self::script("cap a id 1 drop dport 22; ; cap b id 2 accept; ;");
    assert_eq!(script.judge_unreadable(&[1, 2]), ("drop", true));
    assert_eq!(script.judge_unreadable(&[2]), ("accept", false));
}

impl Script {
    fn judge_unreadable(&self, held: &[u32]) -> (&'static str, bool) {
        let tags = NodeTags::new();
        let packet = Packet { readable: false, ports: None, ..tcp(0) };
        let subject = Subject::Packet(packet);
        let unreadable = self.judge(&parties(Direction::Out, &tags), held, &subject).unreadable;
        (outcome(self, held, subject), unreadable)
    }
}

#[test]
fn rules_name_their_file_line_and_id() {
    let options = Options { first_line: 40, ..Options::new("policy.toml", Dialect::Lockgate) };
    let text = "macro m($p)\n accept\n  dport $p as web;\n;\ninclude m(80)\ndrop\n dport 22;\n";
    let script = Script::compile(text, &options).expect("a script");
    let rules: Vec<_> = script.rules.acts().map(|act| act.rule.to_string()).collect();
    assert_eq!(rules, ["web (policy.toml:41)", "rules (policy.toml:45)"]);
    let mistakes = Script::compile("\naccept dprt 1;", &options).expect_err("a slip");
    assert_eq!((mistakes[0].line, mistakes[0].column), (41, 8));
}

#[test]
fn hostile_texts_are_bounded() {
    let nested = "accept ".repeat(10_000);
    let deep = "( ".repeat(10_000);
    let macros: String =
        (0..40).map(|at| alloc::format!("macro m{at} include m{n} include m{n} ;\n", n = at + 1)).collect();
    let sets: String = (1..2_000).map(|at| alloc::format!("set s{at} @s{p},@s{p};\n", p = at - 1)).collect();
    let wide = alloc::format!(
        "macro m accept {} dport 2; ;\n{}",
        "dport 1 or ".repeat(500),
        "include m\n".repeat(900)
    );
    for text in [
        nested,
        alloc::format!("accept {deep}dport 1;"),
        alloc::format!("{macros}macro m40 accept dport 1; ;\ninclude m0\n"),
        "macro m include m ; include m ".into(),
        alloc::format!("set s0 1,2;\n{sets}accept dport @s1999;"),
        wide,
        "x;\n".repeat(100_000),
        alloc::format!("macro m {} ; {}", "include no ".repeat(1_000), "include m ".repeat(10_000)),
        "a".repeat(crate::document::MAX_TEXT + 1),
    ] {
        let mistakes = compiled(&text, Dialect::Lockgate).expect_err("too much");
        assert!((1..=Script::MOST_MISTAKES).contains(&mistakes.len()), "{}", mistakes.len());
    }
}
