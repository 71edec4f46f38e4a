//! Random policies and random packets through one gate: nothing that is forbidden ever begins anything.

use std::collections::{BTreeMap, BTreeSet};

use super::attacked::{Attacked, HEAD, IN, MORE, OUT, policy, tcp, udp, v4};
use super::*;

/// A seeded generator (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 33) as usize % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// A forbid: from whom to whom, and which packets.
#[derive(Clone, Copy, Debug)]
struct Never {
    direction: Direction,
    kind: Option<(u8, u16)>,
}

impl Never {
    fn text(self, at: usize) -> String {
        let [from, to] = if self.direction == Direction::Out { ["alpha", "beta"] } else { ["beta", "alpha"] };
        let kind = self.kind.map_or(String::new(), |(protocol, port)| {
            format!(" {}:{port}", if protocol == 6 { "tcp" } else { "udp" })
        });
        format!("[[forbid]]\nid = \"f{at}\"\nfrom = \"node={from}\"\nto = \"node={to}{kind}\"\n")
    }

    fn rules_out(self, packet: &Sent) -> bool {
        self.direction == packet.direction
            && self.kind.is_none_or(|kind| kind == (packet.protocol, packet.ports.1))
    }
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sent {
    direction: Direction,
    protocol: u8,
    ports: (u16, u16),
    flags: u8,
    /// Identification and place, where it is a fragment.
    fragment: (u16, u16),
}

impl Sent {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            direction: dice.pick(&[Direction::Out, Direction::In]),
            protocol: dice.pick(&[6, 17, 17]),
            ports: (dice.pick(&PORTS), dice.pick(&PORTS)),
            flags: dice.pick(&[0x02, 0x12, 0x10, 0x11]),
            fragment: dice.pick(&[(0, 0), (0, 0), (0, 0), (1, MORE), (1, 3), (2, MORE), (2, 3)]),
        }
    }

    fn is_later(&self) -> bool {
        self.fragment.1 == 3
    }

    fn bytes(&self) -> Vec<u8> {
        let ends = if self.direction == Direction::Out { OUT } else { IN };
        let (from, to) = self.ports;
        let behind = match self.protocol {
            _ if self.is_later() => vec![0; 16],
            6 => tcp(from, to, 5, self.flags, &[]),
            _ => udp(from, to),
        };
        v4(ends, self.protocol, self.fragment, &behind)
    }

    /// The same for both directions of a flow: the ports of alpha and of beta.
    fn flow(&self) -> (u8, u16, u16) {
        let (from, to) = self.ports;
        if self.direction == Direction::Out { (self.protocol, from, to) } else { (self.protocol, to, from) }
    }
}

const PORTS: [u16; 3] = [7, 9, 22];
const FLOW_RULES: [&str; 12] = [
    "accept established;",
    "accept dport 7;",
    "accept ipprotocol udp;",
    "accept chr inbound;",
    "accept sport 9 and not ipprotocol tcp;",
    "drop chr tcp_syn and not chr tcp_ack;",
    "drop dport 22 and not established;",
    "break dport 9;",
    "redirect gamma dport 22;",
    "tee -1 gamma ipprotocol tcp;",
    "accept framesize 0-45;",
    "accept random 0.7;",
];
const ALLOWS: [&str; 3] = ["beta udp:7-9", "alpha tcp:22", "beta tcp:7"];

/// A policy whose allows do not overlap its forbids, which is for the parser to see to.
fn draw(dice: &mut Dice) -> (Arc<Rules>, Vec<Never>) {
    loop {
        let mut rules = String::new();
        for _ in 0..dice.roll(5) {
            rules += dice.pick(&FLOW_RULES);
            rules.push('\n');
        }
        let nevers: Vec<Never> = (0..1 + dice.roll(2))
            .map(|_| Never {
                direction: dice.pick(&[Direction::Out, Direction::In]),
                kind: dice.pick(&[None, Some((6, 22)), Some((17, 7)), Some((17, 9)), Some((6, 7))]),
            })
            .collect();
        let mut rest: String = nevers.iter().enumerate().map(|(at, never)| never.text(at)).collect();
        for at in 0..dice.roll(3) {
            let to = dice.pick(&ALLOWS);
            let from = if to.starts_with("beta") { "alpha" } else { "beta" };
            rest += &format!("[[allow]]\nid = \"a{at}\"\nfrom = \"node={from}\"\nto = \"node={to}\"\n");
        }
        if let Some(rules) = policy_if_valid(&rules, &rest) {
            return (rules, nevers);
        }
    }
}

fn policy_if_valid(rules: &str, rest: &str) -> Option<Arc<Rules>> {
    let text = format!("default = \"deny\"\nrules = '''\n{rules}\n'''\n{HEAD}{rest}");
    Some(Arc::new(Rules::compile(&Policy::parse("policy.toml", &text).ok()?, 1)))
}

#[test]
fn what_is_forbidden_passes_only_as_an_answer_to_what_is_not() {
    let seed = std::env::var("LOCKGATE_SEED").map_or(4, |text| text.parse().expect("it is a number"));
    println!("rerun with LOCKGATE_SEED={seed}");
    let mut dice = Dice(seed);
    let (mut forbidden, mut answers, mut passed, mut fragments) = (0, 0, 0, 0);
    for _ in 0..300 {
        let mut gate = Attacked::by(policy("", ""));
        // What passed, by flow; and first fragments that did under the rules of now.
        let (mut history, mut firsts) = (BTreeMap::<_, BTreeSet<Sent>>::new(), BTreeSet::new());
        for _ in 0..3 {
            let (rules, nevers) = draw(&mut dice);
            gate.replace_rules(rules);
            firsts.clear();
            for _ in 0..60 {
                let sent = Sent::draw(&mut dice);
                let passes = gate.judge(sent.direction, &sent.bytes()).is_ok();
                // As the table knows them: by addresses and identification, whatever the protocol.
                let first = (sent.direction, sent.fragment.0);
                if sent.is_later() {
                    assert!(!passes || firsts.contains(&first), "{sent:?} follows nothing under {nevers:?}");
                    fragments += usize::from(passes);
                    continue;
                }
                let is_forbidden = |sent: &Sent| nevers.iter().any(|never| never.rules_out(sent));
                let before = history.entry(sent.flow()).or_default();
                if is_forbidden(&sent) {
                    forbidden += 1;
                    let asked = |before: &Sent| before.direction != sent.direction && !is_forbidden(before);
                    assert!(!passes || before.iter().any(asked), "{sent:?} under {nevers:?}: {before:?}");
                    answers += usize::from(passes);
                }
                if passes {
                    passed += 1;
                    before.insert(sent);
                }
                if sent.fragment.1 == MORE {
                    if passes {
                        firsts.insert(first)
                    } else {
                        firsts.remove(&first)
                    };
                }
            }
        }
    }
    let seen = [forbidden, answers, passed, fragments];
    println!("{seen:?}");
    assert!(seen.iter().all(|many| *many > 100), "the test is blind: {seen:?}");
}
