//! Which packets the rules let pass, and why not.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::program::Outcome;
use PacketKind::{Icmp, Other, Tcp, Udp, Unparsed};

const POLICY: &str = r#"
default = "deny"
[tags]
role = ["gw", "hist", "hmi"]
site = ["north", "south"]
[nodes]
g1 = { role = "gw", site = "north" }
h1 = { role = "hist", site = "south" }
h2 = { role = "hist", site = "north" }
m1 = { role = "hmi", site = "south" }
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw tcp:22"
[[allow]]
id = "media"
from = "role=gw"
to = "role=hist site=south udp:5000-5010"
[[allow]]
id = "ping"
from = "role=hmi"
to = "site=north icmp"
[[allow]]
id = "ssh-again"
from = "node=m1"
to = "node=g1 tcp:1-65535"
"#;

fn rules() -> Rules {
    Rules::compile(&Policy::parse("p.toml", POLICY).expect("it is valid"), 7)
}

fn judge(rules: &Rules, from: &str, to: &str, kind: PacketKind) -> Result<String, Denial> {
    let question = PacketQuestion { from, to, kind, addresses: None };
    let answer = rules.packet(&question);
    for direction in [Direction::Out, Direction::In] {
        let (own, peer) = if direction == Direction::Out { (from, to) } else { (to, from) };
        let pair = rules.pair(direction, &own.into(), &peer.into());
        let folded = question
            .packets()
            .find_map(|packet| pair.as_ref().and_then(|pair| pair.begins(&packet).cloned()));
        assert_eq!(folded.as_ref(), answer.as_ref().ok().copied(), "{question:?}");
    }
    answer.map(ToString::to_string)
}

#[test]
fn a_packet_passes_by_the_first_rule_that_names_it() {
    let rules = rules();
    for (from, to, kind, by) in [
        ("m1", "g1", Tcp(22), Some("ssh (p.toml:11)")),
        ("m1", "g1", Tcp(23), Some("ssh-again (p.toml:23)")),
        ("m1", "g1", Tcp(65535), Some("ssh-again (p.toml:23)")),
        ("m1", "g1", Tcp(0), None),
        ("g1", "m1", Tcp(22), None),
        ("h1", "g1", Tcp(22), None),
        ("m1", "h1", Tcp(22), None),
        ("m1", "g1", Udp(22), None),
        ("g1", "h1", Udp(4999), None),
        ("g1", "h1", Udp(5000), Some("media (p.toml:15)")),
        ("g1", "h1", Udp(5010), Some("media (p.toml:15)")),
        ("g1", "h1", Udp(5011), None),
        ("g1", "h2", Udp(5005), None),
        ("m1", "h2", Icmp, Some("ping (p.toml:19)")),
        ("m1", "h1", Icmp, None),
        ("m1", "g1", Other(6), None),
        ("m1", "g1", Other(132), None),
        ("m1", "g1", Unparsed, None),
        ("m1", "nobody", Tcp(22), None),
        ("nobody", "g1", Tcp(22), None),
        ("", "", Icmp, None),
    ] {
        assert_eq!(judge(&rules, from, to, kind).ok().as_deref(), by, "{from} {to} {kind}");
    }
}

#[test]
fn a_denied_packet_is_told_the_nearest_rule_and_why_it_does_not_match() {
    let rules = rules();
    for (from, to, kind, text) in [
        (
            "h1",
            "g1",
            Tcp(22),
            "no rule lets h1 send tcp:22 to g1; nearest rule ssh (p.toml:11): it is from role=hmi: h1 has role=hist",
        ),
        (
            "g1",
            "h1",
            Udp(53),
            "no rule lets g1 send udp:53 to h1; nearest rule media (p.toml:15): it is for udp:5000-5010",
        ),
        (
            "g1",
            "h2",
            Udp(5000),
            "no rule lets g1 send udp:5000 to h2; nearest rule media (p.toml:15): it is to role=hist site=south: \
             h2 has site=north",
        ),
        (
            "m1",
            "h2",
            Other(47),
            "no rule lets m1 send IP protocol 47 to h2; nearest rule ping (p.toml:19): it is for icmp",
        ),
        (
            "m1",
            "g1",
            Unparsed,
            "no rule lets m1 send an unreadable packet to g1; what cannot be read down to its ports is always denied",
        ),
        ("x", "g1", Icmp, "the policy has no node \"x\"; add it there, or correct the name"),
    ] {
        let denial = judge(&rules, from, to, kind).expect_err("denied");
        assert_eq!(denial.to_string(), text);
    }
    let denial = judge(&Rules::nothing(), "a", "b", Icmp).expect_err("denied");
    assert!(denial.reason.contains("no policy"), "{denial}");
}

#[test]
fn a_policy_without_rules_for_packets_passes_none() {
    let text = "default = \"deny\"\n[tags]\nt = [\"1\"]\n[nodes]\na = { t = \"1\" }\nb = {}\n[service.s]\n\
                hosted-by = \"t=1\"\nsocket = \"rep\"\n[[allow]]\nid = \"s\"\nfrom = \"t=1\"\nto = \"s\"\n";
    let empty = "default = \"deny\"\n[nodes]\na = {}\nb = {}\n";
    for text in [text, empty] {
        let rules = Rules::compile(&Policy::parse("p.toml", text).expect("it is valid"), 1);
        let ports = (0..=u16::MAX).flat_map(|port| [Tcp(port), Udp(port)]);
        let protocols = (0..=u8::MAX).map(Other).chain([Icmp, Unparsed]);
        for kind in ports.chain(protocols) {
            let question = PacketQuestion { from: "a", to: "b", kind, addresses: None };
            assert!(rules.packet(&question).is_err(), "{kind}");
        }
        let denial = judge(&rules, "a", "b", Icmp).expect_err("denied");
        assert_eq!(denial.why_not, "the policy has no rule for packets");
    }
}

/// A rule as plain values: the value of tag x that it is from and to (0 for any node with the tag y), and what it takes.
type Plain = (u8, u8, u8, u16, u16);

fn carries(node: u8, value: u8) -> bool {
    value == 0 || node == value
}

#[test]
fn random_policies_pass_exactly_the_packets_that_some_rule_names() {
    let mut state = 4711_u64;
    let mut roll = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let (mut passed, mut denied) = (0, 0);
    for _ in 0..400 {
        let mut text = String::from(
            "default = \"deny\"\n[tags]\nx = [\"1\", \"2\", \"3\"]\ny = [\"1\"]\n[nodes]\n\
             n1 = { x = \"1\", y = \"1\" }\nn2 = { x = \"2\", y = \"1\" }\nn3 = { x = \"3\", y = \"1\" }\n",
        );
        let plain: Vec<Plain> = (0..roll(5))
            .map(|_| {
                let first = 1 + roll(8) as u16;
                (roll(4) as u8, roll(4) as u8, roll(3) as u8, first, first + roll(4) as u16)
            })
            .collect();
        let term = |value: u8| if value == 0 { "y=1".to_string() } else { format!("x={value}") };
        for (at, (from, to, kind, first, last)) in plain.iter().enumerate() {
            let kind = match kind {
                0 => format!("tcp:{first}-{last}"),
                1 => format!("udp:{first}-{last}"),
                _ => "icmp".to_string(),
            };
            let (from, to) = (term(*from), term(*to));
            text.push_str(&format!("[[allow]]\nid = \"r{at}\"\nfrom = \"{from}\"\nto = \"{to} {kind}\"\n"));
        }
        let rules = Rules::compile(&Policy::parse("p.toml", &text).expect("it is valid"), 1);
        for _ in 0..200 {
            let (from, to, port) = (1 + roll(3) as u8, 1 + roll(3) as u8, roll(10) as u16);
            let (number, kind) =
                [(0, Tcp(port)), (1, Udp(port)), (2, Icmp), (3, Other(6)), (4, Unparsed)][roll(5) as usize];
            let wanted = plain.iter().any(|rule| {
                carries(from, rule.0)
                    && carries(to, rule.1)
                    && rule.2 == number
                    && (number == 2 || (rule.3..=rule.4).contains(&port))
            });
            let (from, to) = (format!("n{from}"), format!("n{to}"));
            assert_eq!(judge(&rules, &from, &to, kind).is_ok(), wanted, "{from} {to} {kind} under\n{text}");
            *(if wanted { &mut passed } else { &mut denied }) += 1;
        }
    }
    assert!(passed > 3000 && denied > 5000, "{passed} passed, {denied} denied");
}

/// `POLICY` with these flow rules.
fn with_rules(rules: &str) -> Rules {
    let text = POLICY.replacen("[tags]", &format!("rules = '''\n{rules}\n'''\n[tags]"), 1);
    let policy = Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    Rules::compile(&policy, 7)
}

#[test]
fn who_is_named_as_an_observer_or_a_detour_is_reached_by_what_is_allowed_only() {
    let question = PacketQuestion { from: "h1", to: "g1", kind: Tcp(80), addresses: None };
    for action in ["tee -1", "watch -1", "redirect"] {
        let rules = with_rules(&format!("{action} g1 ipprotocol tcp;"));
        assert!(rules.packet(&question).is_err(), "{action}");
        for direction in [Direction::Out, Direction::In] {
            let (own, peer) = if direction == Direction::Out { ("h1", "g1") } else { ("g1", "h1") };
            let pair = rules.pair(direction, &own.into(), &peer.into()).expect("both are in the policy");
            for packet in question.packets() {
                let said = pair.each(&packet).expect("there are flow rules");
                assert!(said.outcome == Outcome::NoMatch && said.tee.is_none(), "{action}: {said:?}");
                assert_eq!(pair.allows(&packet), None, "{action}");
            }
        }
        assert_eq!(judge(&rules, "m1", "g1", Tcp(22)).expect("it is allowed"), "ssh (p.toml:14)");
    }
}

#[test]
fn what_is_excepted_from_a_copy_or_a_detour_is_so_after_folding_too() {
    let rules = with_rules("tee -1 h2 not from role=hmi;\nredirect h2 not to role=gw;");
    let question = PacketQuestion { from: "m1", to: "g1", kind: Tcp(22), addresses: None };
    let pair = rules.pair(Direction::Out, &"m1".into(), &"g1".into()).expect("both are in the policy");
    for packet in question.packets() {
        let said = pair.each(&packet).expect("there are flow rules");
        assert!(said.outcome == Outcome::NoMatch && said.tee.is_none(), "{said:?}");
    }
    let pair = rules.pair(Direction::Out, &"h1".into(), &"m1".into()).expect("both are in the policy");
    for packet in question.packets() {
        let said = pair.each(&packet).expect("there are flow rules");
        assert!(matches!(said.outcome, Outcome::Redirect(to) if **to == *"h2"), "{said:?}");
        assert!(said.tee.is_some());
    }
}
