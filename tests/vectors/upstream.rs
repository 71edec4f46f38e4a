//! Rules as ZeroTier's own compiler prints them, as lists: so that its verdicts hold our engine alone, without our compiler.

use std::net::IpAddr;
use std::sync::Arc;

use lockgate_proto::program::{
    Act, Action, Copy, Entry, Join, List, Net, RuleRef, Sense, TagTest, Test, Vlan,
};
use serde_json::Value;

/// The entries of a JSON list.
pub(crate) fn list(rules: &Value) -> List {
    let entries = rules.as_array().expect("rules are a list").iter().map(entry).collect();
    List::new(entries).expect("what upstream compiles is a list")
}

fn entry(rule: &Value) -> Entry {
    let kind = rule["type"].as_str().expect("an entry has a type");
    if let Some(action) = kind.strip_prefix("ACTION_") {
        let rule_ref = RuleRef { id: "rules".into(), file: "vector".into(), line: 1 };
        return Entry::Act(Act { action: act(action, rule), rule: rule_ref });
    }
    let flag = |name: &str| rule[name].as_bool().expect("a match has not and or");
    Entry::Match {
        join: if flag("or") { Join::Or } else { Join::And },
        sense: if flag("not") { Sense::Not } else { Sense::Plain },
        test: test(kind.strip_prefix("MATCH_").expect("a match"), rule),
    }
}

fn act(name: &str, rule: &Value) -> Action {
    let to: Arc<str> = rule["address"].as_str().unwrap_or_default().into();
    let copy = || Copy {
        length: rule["length"].as_i64().and_then(|length| i32::try_from(length).ok()).expect("a length"),
        to: to.clone(),
    };
    match name {
        "ACCEPT" => Action::Accept,
        "DROP" => Action::Drop,
        "BREAK" => Action::Break,
        "TEE" => Action::Tee(copy()),
        "WATCH" => Action::Watch(copy()),
        "REDIRECT" => Action::Redirect(to),
        other => panic!("no action {other}"),
    }
}

fn test(name: &str, rule: &Value) -> Test {
    let number = |key: &str| {
        let number = rule[key].as_u64().unwrap_or_else(|| panic!("{key} of {rule}"));
        u32::try_from(number).expect("32 bits")
    };
    let byte = |key: &str| u8::try_from(number(key)).expect("a byte");
    let port = |key: &str| u16::try_from(number(key)).expect("16 bits");
    let node = || rule["zt"].as_str().expect("an address").into();
    let tag = |how| Test::Tag { how, tag: number("id"), value: number("value") };
    match name {
        "SOURCE_ZEROTIER_ADDRESS" => Test::SourceNode(node()),
        "DEST_ZEROTIER_ADDRESS" => Test::DestinationNode(node()),
        "VLAN_ID" => Test::Vlan(Vlan::Id, number("vlanId")),
        "VLAN_PCP" => Test::Vlan(Vlan::Pcp, number("vlanPcp")),
        "VLAN_DEI" => Test::Vlan(Vlan::Dei, number("vlanDei")),
        "ETHERTYPE" => Test::EtherType(number("etherType")),
        "IP_PROTOCOL" => Test::IpProtocol(number("ipProtocol")),
        "IPV4_SOURCE" | "IPV6_SOURCE" => Test::Source(net(rule)),
        "IPV4_DEST" | "IPV6_DEST" => Test::Destination(net(rule)),
        "IP_TOS" => Test::Tos { mask: byte("mask"), start: byte("start"), end: byte("end") },
        "ICMP" => Test::Icmp {
            kind: byte("icmpType"),
            code: (!rule["icmpCode"].is_null()).then(|| byte("icmpCode")),
        },
        "IP_SOURCE_PORT_RANGE" => Test::SourcePort(port("start"), port("end")),
        "IP_DEST_PORT_RANGE" => Test::DestinationPort(port("start"), port("end")),
        "FRAME_SIZE_RANGE" => Test::Size(port("start"), port("end")),
        "CHARACTERISTICS" => {
            let mask = rule["mask"].as_str().expect("a mask");
            Test::Characteristics(u64::from_str_radix(mask, 16).expect("hex"))
        }
        "RANDOM" => Test::Random(number("probability")),
        "TAGS_DIFFERENCE" => tag(TagTest::Difference),
        "TAGS_BITWISE_AND" => tag(TagTest::And),
        "TAGS_BITWISE_OR" => tag(TagTest::Or),
        "TAGS_BITWISE_XOR" => tag(TagTest::Xor),
        "TAGS_EQUAL" => tag(TagTest::Equal),
        "TAG_SENDER" => tag(TagTest::Sender),
        "TAG_RECEIVER" => tag(TagTest::Receiver),
        other => panic!("no match {other}"),
    }
}

/// As the controller reads it: what is no address is 0.0.0.0, what is no number of bits is 0, what is too many is all.
fn net(rule: &Value) -> Net {
    let text = rule["ip"].as_str().expect("an address");
    let (address, bits) = text.split_once('/').expect("with its bits");
    let address: IpAddr = address.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let most = if address.is_ipv4() { 32 } else { 128 };
    Net { address, bits: bits.parse().unwrap_or(0).min(most) }
}
