//! What scripts mean, and what is refused.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::flows::TcpFlags;

fn script(text: &str) -> Script {
    Script::compile(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

fn packet(source: &str, destination: &str, transport: Transport) -> Subject {
    let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
    Subject { source, destination, transport, fragment: Fragment::Whole }
}

fn tcp(source: u16, destination: u16) -> Transport {
    Transport::Tcp { source, destination, flags: TcpFlags::SYN }
}

fn udp(source: u16, destination: u16) -> Transport {
    Transport::Udp { source, destination }
}

const PING: Transport = Transport::Icmp { kind: 8, code: 0, id: 1, quoted: None };

fn v4(transport: Transport) -> Subject {
    packet("10.7.0.1", "10.7.0.2", transport)
}

fn v6(transport: Transport) -> Subject {
    packet("fd00::1", "fd00::2", transport)
}

fn passes(text: &str, subject: Subject) -> bool {
    script(text).judge(&subject).action == Action::Accept
}

#[test]
fn each_match_means_what_upstream_means() {
    for (condition, subject, wanted) in [
        ("ethertype ipv4", v4(PING), true),
        ("ethertype ipv4", v6(PING), false),
        ("ethertype 0x86DD", v6(PING), true),
        ("ethertype arp", v4(PING), false),
        ("not ethertype arp", v4(PING), true),
        ("ipprotocol tcp", v4(tcp(1, 2)), true),
        ("ipprotocol 6", v6(tcp(1, 2)), true),
        ("ipprotocol tcp", v4(udp(1, 2)), false),
        ("ipprotocol icmp4", v4(PING), true),
        ("ipprotocol icmp4", v6(PING), false),
        ("ipprotocol icmp6", v6(PING), true),
        ("IpProtocol udp", v4(udp(1, 2)), true),
        ("ipprotocol 47", v4(Transport::Other(47)), true),
        ("dport 22", v4(tcp(9, 22)), true),
        ("dport 22", v4(tcp(22, 9)), false),
        ("sport 22", v4(tcp(22, 9)), true),
        ("dport 5000-5010", v4(udp(1, 5000)), true),
        ("dport 5000-5010", v4(udp(1, 5010)), true),
        ("dport 5000-5010", v4(udp(1, 5011)), false),
        ("not dport 80", v4(PING), true),
        ("dport 0-65535", v4(PING), false),
        ("dport 0", v4(udp(1, 0)), true),
        ("dport 0", v6(udp(1, 0)), false),
        ("ipsrc 10.0.0.0/8", v4(PING), true),
        ("ipsrc 10.9.0.0/16", v4(PING), false),
        ("ipsrc 10.7.0.99/24", v4(PING), true),
        ("ipsrc 0.0.0.0/0", v4(PING), true),
        ("ipsrc 0.0.0.0/0", v6(PING), false),
        ("not ipsrc 11.0.0.0/8", v4(PING), true),
        // Does not apply, so neither it nor its contrary holds.
        ("not ipsrc 11.0.0.0/8", v6(PING), false),
        ("ipdest 10.7.0.2/32", v4(PING), true),
        ("ipdest 10.7.0.1/32", v4(PING), false),
        ("ipdest fd00::/8", v6(PING), true),
        ("ipdest fd00::2/128", v6(PING), true),
        ("ipdest fd00::3/128", v6(PING), false),
        ("ipdest ::/0", v6(PING), true),
        ("ipdest ::/0", v4(PING), false),
        // From left to right, without precedence.
        ("ipprotocol tcp and dport 22 or dport 80", v4(udp(1, 80)), true),
        ("ipprotocol tcp and dport 22 or dport 80", v4(udp(1, 22)), false),
        ("dport 80 or dport 22 and ipprotocol tcp", v4(udp(1, 80)), false),
        ("dport 80 or not ipprotocol tcp", v4(udp(1, 22)), true),
        ("dport 80 ipprotocol tcp", v4(udp(1, 80)), false),
    ] {
        assert_eq!(passes(&format!("accept {condition};"), subject), wanted, "{condition}: {subject:?}");
        let dropped = script(&format!("drop {condition};\naccept;")).judge(&subject);
        let by = if wanted { 1 } else { 2 };
        assert_eq!(dropped.by, Decided::Rule(by), "{condition}: {subject:?}");
    }
}

#[test]
fn the_first_rule_that_matches_decides_and_without_one_the_packet_is_dropped() {
    let text = "# ssh, but not from one\r\ndrop ipsrc 10.7.0.1/32\n  and dport 22 ;\n\
                accept ipprotocol tcp # others\n;\n\tdrop\tdport 53;accept-not\n";
    assert!(Script::compile(text).is_err(), "text behind a semicolon is part of the token");
    let text = text.replace(";accept-not", ";");
    let script = script(&text);
    for (subject, action, by) in [
        (v4(tcp(1, 22)), Action::Drop, Decided::Rule(3)),
        (v6(tcp(1, 22)), Action::Accept, Decided::Rule(4)),
        (v4(tcp(1, 53)), Action::Accept, Decided::Rule(4)),
        (v4(udp(1, 53)), Action::Drop, Decided::Rule(6)),
        (v4(udp(1, 54)), Action::Drop, Decided::NoRule),
        (v4(PING), Action::Drop, Decided::NoRule),
    ] {
        assert_eq!(script.judge(&subject), Judgement { action, by }, "{subject:?}");
    }
}

#[test]
fn a_script_without_rules_drops_everything() {
    for text in ["", "\n\n", "# accept;\n", ";", " ; ", "#"] {
        let judgement = script(text).judge(&v4(tcp(1, 22)));
        assert_eq!(judgement, Judgement { action: Action::Drop, by: Decided::NoRule }, "{text:?}");
    }
    assert!(passes("#\raccept;", v4(PING)), "a carriage return ends a comment");
}

#[test]
fn what_a_rule_asks_for_and_a_packet_does_not_say_drops_it() {
    let later = Subject { fragment: Fragment::Later { id: 1, offset: 8 }, ..v4(udp(1, 22)) };
    let first = Subject { fragment: Fragment::First { id: 1, header: 8 }, ..v4(udp(1, 22)) };
    let unread = [later, v4(Transport::Unparsed)];
    for text in
        ["accept dport 22;", "accept not dport 22;", "accept not ipprotocol tcp;", "drop sport 1; accept;"]
    {
        for subject in unread {
            let judgement = script(text).judge(&subject);
            assert_eq!(judgement, Judgement { action: Action::Drop, by: Decided::Unreadable(1) }, "{text}");
        }
    }
    assert!(!passes("accept not dport 22;", v4(Transport::Other(132))), "SCTP has ports that nobody read");
    for subject in unread {
        assert!(passes("accept ipsrc 10.0.0.0/8;", subject));
        assert!(passes("drop ipsrc 11.0.0.0/8 and dport 22; accept;", subject), "it need not ask");
        assert!(passes("accept;", subject));
    }
    assert!(passes("accept dport 22;", first));
}

#[test]
fn mistakes_name_line_column_and_mend() {
    for (text, place, words) in [
        ("acept dport 22;", (1, 1), "did you mean \"accept\"?"),
        ("ACCEPT;", (1, 1), "is no action"),
        ("accept dport 22;\n  drop dprt 5;", (2, 8), "did you mean \"dport\"?"),
        ("accept or dport 22;", (1, 8), "before the first match"),
        ("accept and dport 22;", (1, 8), "before the first match"),
        ("accept dport 22 or;", (1, 17), "\"or\" before nothing"),
        ("accept not;", (1, 8), "\"not\" before nothing"),
        ("accept not not dport 22;", (1, 12), "twice"),
        ("accept dport 1 or and dport 22;", (1, 19), "after another"),
        ("accept dport 80abc;", (1, 14), "\"80abc\" cannot follow dport"),
        ("accept dport 1e3;", (1, 14), "cannot follow"),
        ("accept dport 9-2;", (1, 14), "cannot follow"),
        ("accept dport 65536;", (1, 14), "cannot follow"),
        ("accept dport +5;", (1, 14), "cannot follow"),
        ("accept dport 0x;", (1, 14), "cannot follow"),
        ("accept dport;", (1, 8), "\"dport\" of what?"),
        ("accept ipsrc 10.0.0.0;", (1, 14), "cannot follow ipsrc"),
        ("accept ipsrc 10.0.0.0/;", (1, 14), "cannot follow"),
        ("accept ipsrc 10.0.0.0/abc;", (1, 14), "cannot follow"),
        ("accept ipsrc 10.0.0.0/33;", (1, 14), "cannot follow"),
        ("accept ipsrc 10.0.0.0/0x8;", (1, 14), "cannot follow"),
        ("accept ipsrc fd00::1/64;", (1, 14), "cannot follow"),
        ("accept ipsrc ::/129;", (1, 14), "cannot follow"),
        ("accept ipprotocol icmp;", (1, 19), "write  tcp"),
        ("accept ipprotocol 256;", (1, 19), "write  tcp"),
        ("accept ethertype 0x10000;", (1, 18), "write  ipv4"),
        ("accept dport 22", (1, 14), "the rule has no end"),
        ("accept;\ndrop dport 22;", (1, 1), "without a condition"),
        ("accept dport 22;#c\n;", (1, 14), "cannot follow"),
        ("drop dport 80\naccept;", (2, 1), "is no match"),
        ("tag role id 1;", (1, 1), "\"tag\" is not built yet"),
        ("accept\tünknown 1;", (1, 8), "is no match"),
        ("accept dport 5 and chr tcp_syn;", (1, 20), "\"chr\" is not built yet"),
        ("accept tand 1 1;", (1, 8), "not built yet"),
        ("include ssh", (1, 1), "\"include\" is not built yet"),
        ("accept (dport 22);", (1, 8), "is no match"),
    ] {
        let mistakes = Script::compile(text).expect_err(text);
        let told = mistakes[0].to_string();
        assert_eq!((mistakes[0].line, mistakes[0].column), place, "{text}: {told}");
        assert!(told.contains(words), "{text}: {told}");
    }
    let many = Script::compile("tee 1 2;\nbreak;\naccept icmp 8 0;\naccept;").expect_err("mistakes");
    assert_eq!(many.iter().map(|mistake| mistake.line).collect::<Vec<_>>(), [1, 2, 3]);
    let long = "accept dport 1;\n".repeat(513);
    assert!(Script::compile(&long).expect_err("too long")[0].problem.contains("1024"));
    assert_eq!(Script::compile(&"x;\n".repeat(1000)).expect_err("many").len(), 20);
}

/// The words that random scripts are made of, and what each means here.
fn random_condition(roll: &mut impl FnMut(u64) -> u64) -> (String, Test) {
    let port = roll(4) as u16;
    match roll(6) {
        0 => (format!("dport {port}-{}", port + 1), Test::DestinationPort(port..=port + 1)),
        1 => (format!("sport {port}"), Test::SourcePort(port..=port)),
        2 => ("ipprotocol udp".to_string(), Test::Protocol(17)),
        3 => ("ethertype ipv6".to_string(), Test::EtherType(0x86dd)),
        4 => {
            let address = "10.7.0.0".parse().expect("valid");
            ("ipsrc 10.7.0.0/31".to_string(), Test::Source(Prefix { address, bits: 31 }))
        }
        _ => ("ipprotocol tcp".to_string(), Test::Protocol(6)),
    }
}

/// Whether `or` stands before a test, whether `not` does, and the test.
type Condition = (bool, bool, Test);

/// Upstream's procedure, said backwards: the value of each rule's condition first, then the first that holds.
fn obvious(rules: &[(Action, Vec<Condition>)], subject: &Subject) -> Action {
    let holds = |conditions: &[Condition]| {
        conditions.iter().fold(true, |so_far, (is_or, is_not, test)| {
            let value = match test.ask(subject) {
                Outcome::Is => !is_not,
                Outcome::IsNot => *is_not,
                _ => false,
            };
            if *is_or { so_far || value } else { so_far && value }
        })
    };
    let decided = rules.iter().find(|(_, conditions)| holds(conditions));
    decided.map_or(Action::Drop, |(action, _)| *action)
}

#[test]
fn random_scripts_are_judged_as_they_read() {
    let mut state = 2027_u64;
    let mut roll = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let mut accepted = 0;
    for _ in 0..2_000 {
        let (mut text, mut rules) = (String::new(), Vec::new());
        for _ in 0..roll(5) {
            let action = if roll(2) == 0 { Action::Accept } else { Action::Drop };
            text.push_str(if action == Action::Accept { "accept" } else { "drop" });
            let mut conditions = Vec::new();
            for at in 0..1 + roll(4) {
                let (words, test) = random_condition(&mut roll);
                let (is_or, is_not) = (at > 0 && roll(2) == 0, roll(3) == 0);
                let join = if is_or {
                    " or"
                } else if at > 0 {
                    " and"
                } else {
                    ""
                };
                let sense = if is_not { " not" } else { "" };
                text.push_str(&format!("{join}{sense} {words}"));
                conditions.push((is_or, is_not, test));
            }
            text.push_str(";\n");
            rules.push((action, conditions));
        }
        let script = script(&text);
        for _ in 0..20 {
            let (from, to) = (roll(4) as u16, roll(4) as u16);
            let transport = [tcp(from, to), udp(from, to), PING, Transport::Other(47)][roll(4) as usize];
            let subject =
                [v4(transport), v6(transport), packet("10.7.0.9", "10.7.0.2", transport)][roll(3) as usize];
            let action = script.judge(&subject).action;
            assert_eq!(action, obvious(&rules, &subject), "{subject:?} under\n{text}");
            accepted += u32::from(action == Action::Accept);
        }
    }
    assert!(accepted > 5_000, "{accepted}");
}
