//! Random policies: what the analysis says of them in whole is what each single question says.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::policy::Policy;
use crate::rules::{Ask, PacketKind, Rules, What};
use crate::zmtp::SocketType;

/// A seeded generator; the same seed gives the same policy.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap_or(0) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    fn nodes(&mut self) -> String {
        let first = self.pick(&["x=1", "x=2", "node=n0", "node=n5"]);
        let second = self.pick(&["", "", " y=1", " y=2", " z=1"]);
        format!("{first}{second}")
    }

    fn list(&mut self, key: &str, from: &[&str]) -> String {
        let many = self.roll(3);
        let mut items: Vec<&str> = (0..many).map(|_| self.pick(from)).collect();
        items.dedup();
        if items.is_empty() { String::new() } else { format!("{key} = {items:?}\n") }
    }

    fn packets(&mut self) -> String {
        let first = self.roll(9);
        let last = first + self.roll(4);
        match self.roll(5) {
            0 | 1 => format!("tcp:{first}-{last}"),
            2 => format!("udp:{first}-{last}"),
            3 => "tcp:65535".to_string(),
            _ => "icmp".to_string(),
        }
    }

    /// Flow rules for a third of the policies.
    fn flow_rules(&mut self) -> String {
        if self.roll(3) > 0 {
            return String::new();
        }
        let lines: Vec<&str> = (0..1 + self.roll(3)).map(|_| self.pick(&FLOW_RULES)).collect();
        format!("rules = '''\n{}\n'''\n", lines.join("\n"))
    }

    /// A policy; about half of them are mistaken.
    fn policy(&mut self) -> String {
        let mut text = format!(
            "default = \"deny\"\n{}[tags]\nx = [\"1\", \"2\"]\ny = [\"1\", \"2\"]\nz = [\"1\"]\n[nodes]\n{}",
            self.flow_rules(),
            "n0 = { x = \"1\", y = \"1\" }\nn1 = { x = \"1\", y = \"1\" }\nn2 = { x = \"1\", y = \"2\" }\n\
             n3 = { x = \"2\", y = \"1\" }\nn4 = { x = \"2\", z = \"1\" }\nn5 = { x = \"2\", z = \"1\" }\nn6 = {}\n"
        );
        let hosts = self.nodes();
        text.push_str(&format!("[service.s]\nhosted-by = \"{hosts}\"\nsockets = [\"pub\"]\n"));
        text.push_str(&self.list("topics", &TOPICS[1..6]));
        let hosts = self.nodes();
        text.push_str(&format!("[service.r]\nhosted-by = \"{hosts}\"\nsockets = [\"rep\", \"router\"]\n"));
        for at in 0..2 + self.roll(5) {
            let from = self.nodes();
            let to = match at {
                0 => "s".to_string(),
                1 => "r".to_string(),
                _ => format!("{} {}", self.nodes(), self.packets()),
            };
            let narrow = match at {
                0 => self.list("topics", &TOPICS[1..6]) + &self.list("sockets", &["sub", "xsub"]),
                1 => self.list("sockets", &["req", "dealer"]),
                _ => String::new(),
            };
            text.push_str(&format!("[[allow]]\nid = \"a{at}\"\nfrom = \"{from}\"\nto = \"{to}\"\n{narrow}"));
        }
        text
    }

    fn valid(&mut self) -> (Policy, Rules, String) {
        loop {
            let text = self.policy();
            if let Ok(policy) = Policy::parse("p.toml", &text) {
                let rules = Rules::compile(&policy, 1);
                return (policy, rules, text);
            }
        }
    }
}

const TOPICS: [&str; 9] = ["", "a", "ab", "abc", "b", "ba", "aa", "c", "abca"];
const FLOW_RULES: [&str; 8] = [
    "drop dport 3;",
    "drop ztdest n4 and ipprotocol udp;",
    "accept ztsrc n2 and ipprotocol 47;",
    "accept ipprotocol tcp and dport 6-9 and from x=1;",
    "drop zmq topic ab;",
    "drop from y=2 and dport 5-6;",
    "redirect n3 ipprotocol tcp and dport 4;",
    "break ipprotocol tcp and not dport 2-8;",
];
const PORTS: [u16; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 65_534, 65_535];

/// Everything between two nodes, one question after the other: what is asked, in words, and by which rule it passes.
fn every_question(rules: &Rules, from: &str, to: &str) -> Vec<(String, Option<String>)> {
    let mut answers = Vec::new();
    let mut ask = |told: String, what: What<'_>| {
        let answer = rules.ask(&Ask { from, to, what, hold: &[] });
        answers.push((told, answer.ok().map(|rule| rule.id.to_string())));
    };
    for port in PORTS {
        ask(format!("tcp {port}"), What::Packets(PacketKind::Tcp(port)));
        ask(format!("udp {port}"), What::Packets(PacketKind::Udp(port)));
    }
    ask("icmp".to_string(), What::Packets(PacketKind::Icmp));
    ask("gre".to_string(), What::Packets(PacketKind::Other(47)));
    for name in ["r", "s"] {
        for socket in SocketType::ALL {
            for topic in TOPICS {
                let what = What::Service { name, topic: Some(topic.as_bytes()), socket: Some(socket) };
                ask(format!("{name} {socket:?} {topic:?}"), what);
            }
        }
    }
    answers
}

/// The same, read from the matrix.
fn from_the_matrix(passes: &Passes) -> Vec<(String, Option<String>)> {
    let mut answers = Vec::new();
    let port = |ranges: &[Ports], port: u16| {
        let range = ranges.iter().find(|range| (range.first..=range.last).contains(&port));
        range.map(|range| range.rule.id.to_string())
    };
    for asked in PORTS {
        answers.push((format!("tcp {asked}"), port(&passes.tcp, asked)));
        answers.push((format!("udp {asked}"), port(&passes.udp, asked)));
    }
    answers.push(("icmp".to_string(), passes.icmp.as_ref().map(|rule| rule.id.to_string())));
    let other = passes.protocols.iter().find(|range| (range.first..=range.last).contains(&47));
    answers.push(("gre".to_string(), other.map(|protocols| protocols.rule.id.to_string())));
    for name in ["r", "s"] {
        for socket in SocketType::ALL {
            for topic in TOPICS {
                let holds = |pass: &&ServicePass| {
                    &*pass.name == name
                        && pass.sockets.contains(&socket)
                        && pass.topics.holds(topic.as_bytes())
                };
                let pass = passes.services.iter().find(holds);
                let rule = pass.map(|pass| pass.rule.id.to_string());
                answers.push((format!("{name} {socket:?} {topic:?}"), rule));
            }
        }
    }
    answers
}

#[test]
fn the_matrix_is_what_every_single_question_says() {
    let mut dice = Dice(41);
    let (mut passed, mut pairs, mut with_flow_rules) = (0, 0, 0);
    for _ in 0..60 {
        let (policy, rules, text) = dice.valid();
        let reach = Reach::of(&policy, &rules);
        with_flow_rules += usize::from(policy.rules.is_some());
        assert_eq!(reach.classes.iter().map(|class| class.nodes.len()).sum::<usize>(), policy.nodes.len());
        for from in policy.nodes.keys() {
            for to in policy.nodes.keys().filter(|to| *to != from) {
                let passes = reach.between(from, to).expect("both are nodes of the policy");
                let asked = every_question(&rules, from, to);
                assert_eq!(from_the_matrix(passes), asked, "{from} {to} under\n{text}");
                passed += asked.iter().filter(|(_, rule)| rule.is_some()).count();
                pairs += 1;
            }
        }
    }
    assert!(pairs == 60 * 42 && passed > 1000, "{passed} of {pairs} pairs passed");
    assert!(with_flow_rules > 10, "{with_flow_rules} with flow rules");
}

#[test]
fn a_difference_is_what_every_single_question_says() {
    let mut dice = Dice(42);
    let mut changed = 0;
    for _ in 0..40 {
        let ((before, rules, _), (after, new_rules, text)) = (dice.valid(), dice.valid());
        assert!(diff((&before, &rules), (&before, &rules)).is_empty());
        let found = diff((&before, &rules), (&after, &new_rules));
        let back = diff((&after, &new_rules), (&before, &rules));
        assert_eq!(found.len(), back.len());
        for (there, here) in found.iter().zip(&back) {
            assert_eq!((&there.gained, &there.lost), (&here.lost, &here.gained), "{text}");
        }
        for from in before.nodes.keys() {
            for to in before.nodes.keys().filter(|to| *to != from) {
                let (was, is) = (every_question(&rules, from, to), every_question(&new_rules, from, to));
                let only = |here: &[(String, Option<String>)], there: &[(String, Option<String>)]| {
                    let both = here.iter().zip(there);
                    both.filter(|(here, there)| here.1.is_some() && there.1.is_none())
                        .map(|(here, _)| here.clone())
                        .collect::<Vec<_>>()
                };
                let one = found.iter().find(|difference| {
                    difference.from.nodes.contains(from) && difference.to.nodes.contains(to)
                });
                let told = |passes: Option<&Passes>| {
                    let told = passes.map(from_the_matrix).unwrap_or_default();
                    told.into_iter().filter(|(_, rule)| rule.is_some()).collect::<Vec<_>>()
                };
                assert_eq!(told(one.map(|one| &one.gained)), only(&is, &was), "{from} {to}");
                assert_eq!(told(one.map(|one| &one.lost)), only(&was, &is), "{from} {to}");
                changed += usize::from(one.is_some());
            }
        }
    }
    assert!(changed > 200, "{changed} pairs changed");
}
