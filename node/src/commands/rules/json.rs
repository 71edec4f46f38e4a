//! Flow rules as ZeroTier's own compiler prints them.

use std::collections::BTreeMap;

use lockgate_proto::program::{Action, Copy, Entry, Join, List, Net, Sense, TagTest, Test, Vlan};
use lockgate_proto::script::{Script, Spelling};
use serde_json::{Map, Value, json};

/// `config`, `capabilitiesByName` and `tagsByName`.
///
/// # Errors
/// The line of a rule that ZeroTier's language cannot say; no text that compiled in its dialect has one.
pub(super) fn zerotier(script: &Script) -> Result<Value, u32> {
    let spelled = |capability| {
        let of_list = script.spellings.iter().filter(move |spelling| spelling.capability == capability);
        of_list.map(|Spelling { entry, text, .. }| (*entry, &**text)).collect::<BTreeMap<_, _>>()
    };
    let capabilities = script.capabilities.iter().enumerate().map(|(at, capability)| {
        Ok(json!({
            "id": capability.id,
            "default": capability.is_default,
            "rules": rules(&capability.rules, &spelled(Some(at)))?,
        }))
    });
    let tags = script.tags.iter().map(|tag| json!({ "id": tag.id, "default": tag.default.map(signed) }));
    let named = script.capabilities.iter().map(|one| (one.name.to_string(), one.id.into()));
    let tags_by_name = script.tags.iter().map(|tag| {
        let flags = tag.flags.iter().map(|(name, bits)| (name.clone(), signed(*bits).into()));
        let enums = tag.enums.iter().map(|(name, value)| (name.clone(), (*value).into()));
        let tag_json = json!({
            "id": tag.id,
            "default": tag.default.map(signed),
            "flags": flags.collect::<Map<String, Value>>(),
            "enums": enums.collect::<Map<String, Value>>(),
        });
        (tag.name.to_string(), tag_json)
    });
    Ok(json!({
        "config": {
            "rules": rules(&script.rules, &spelled(None))?,
            "capabilities": capabilities.collect::<Result<Vec<Value>, u32>>()?,
            "tags": tags.collect::<Vec<Value>>(),
        },
        "capabilitiesByName": named.collect::<Map<String, Value>>(),
        "tagsByName": tags_by_name.collect::<Map<String, Value>>(),
    }))
}

/// Upstream computes defaults and flags with 32 bits and a sign.
fn signed(value: u32) -> i32 {
    value.cast_signed()
}

fn rules(list: &List, spelled: &BTreeMap<usize, &str>) -> Result<Vec<Value>, u32> {
    let entry = |(at, entry): (usize, &Entry)| {
        let said = match entry {
            Entry::Act(act) => action(&act.action),
            Entry::Match { join, sense, test } => {
                matched(test, spelled.get(&at).copied()).map(|mut fields| {
                    fields["not"] = (*sense == Sense::Not).into();
                    fields["or"] = (*join == Join::Or).into();
                    fields
                })
            }
            Entry::Open { .. } | Entry::Close => None,
        };
        said.ok_or_else(|| line_of(list, at))
    };
    list.entries().iter().enumerate().map(entry).collect()
}

/// The line of the rule that an entry is of.
fn line_of(list: &List, at: usize) -> u32 {
    let end = list.entries()[at..].iter().find_map(|entry| match entry {
        Entry::Act(act) => Some(act.rule.line),
        _ => None,
    });
    end.unwrap_or(0)
}

fn action(action: &Action) -> Option<Value> {
    let copy = |kind: &str, copy: &Copy| json!({ "type": kind, "address": *copy.to, "length": copy.length });
    Some(match action {
        Action::Accept => json!({ "type": "ACTION_ACCEPT" }),
        Action::Drop => json!({ "type": "ACTION_DROP" }),
        Action::Break => json!({ "type": "ACTION_BREAK" }),
        Action::Tee(what) => copy("ACTION_TEE", what),
        Action::Watch(what) => copy("ACTION_WATCH", what),
        Action::Redirect(to) => json!({ "type": "ACTION_REDIRECT", "address": **to }),
        Action::Log => return None,
    })
}

/// A match without its `not` and `or`.
fn matched(test: &Test, spelling: Option<&str>) -> Option<Value> {
    let address = |family: &str, net: &Net| {
        let version = if net.address.is_ipv4() { 4 } else { 6 };
        let ip = spelling.map_or_else(|| format!("{}/{}", net.address, net.bits), str::to_owned);
        json!({ "type": format!("MATCH_IPV{version}_{family}"), "ip": ip })
    };
    let range = |kind: &str, start: u16, end: u16| json!({ "type": kind, "start": start, "end": end });
    Some(match test {
        Test::SourceNode(node) => json!({ "type": "MATCH_SOURCE_ZEROTIER_ADDRESS", "zt": **node }),
        Test::DestinationNode(node) => json!({ "type": "MATCH_DEST_ZEROTIER_ADDRESS", "zt": **node }),
        Test::Vlan(Vlan::Id, number) => json!({ "type": "MATCH_VLAN_ID", "vlanId": number }),
        Test::Vlan(Vlan::Pcp, number) => json!({ "type": "MATCH_VLAN_PCP", "vlanPcp": number }),
        Test::Vlan(Vlan::Dei, number) => json!({ "type": "MATCH_VLAN_DEI", "vlanDei": number }),
        Test::SourceMac(mac) => json!({ "type": "MATCH_MAC_SOURCE", "mac": colons(mac) }),
        Test::DestinationMac(mac) => json!({ "type": "MATCH_MAC_DEST", "mac": colons(mac) }),
        Test::EtherType(number) => json!({ "type": "MATCH_ETHERTYPE", "etherType": number }),
        Test::IpProtocol(number) => json!({ "type": "MATCH_IP_PROTOCOL", "ipProtocol": number }),
        Test::Source(net) => address("SOURCE", net),
        Test::Destination(net) => address("DEST", net),
        Test::Tos { mask, start, end } => {
            json!({ "type": "MATCH_IP_TOS", "mask": mask, "start": start, "end": end })
        }
        Test::Icmp { kind, code } => json!({ "type": "MATCH_ICMP", "icmpType": kind, "icmpCode": code }),
        Test::SourcePort(start, end) => range("MATCH_IP_SOURCE_PORT_RANGE", *start, *end),
        Test::DestinationPort(start, end) => range("MATCH_IP_DEST_PORT_RANGE", *start, *end),
        Test::Size(start, end) => range("MATCH_FRAME_SIZE_RANGE", *start, *end),
        Test::Characteristics(bits) => {
            json!({ "type": "MATCH_CHARACTERISTICS", "mask": format!("{bits:016x}") })
        }
        Test::Random(most) => json!({ "type": "MATCH_RANDOM", "probability": most }),
        Test::Tag { how, tag, value } => json!({ "type": tag_test(*how), "id": tag, "value": value }),
        Test::From(_)
        | Test::To(_)
        | Test::SourceIn(_)
        | Test::DestinationIn(_)
        | Test::SourcePortIn(_)
        | Test::DestinationPortIn(_)
        | Test::Established
        | Test::Zmq(_)
        | Test::Zmtp(_) => return None,
    })
}

const fn tag_test(how: TagTest) -> &'static str {
    match how {
        TagTest::Difference => "MATCH_TAGS_DIFFERENCE",
        TagTest::And => "MATCH_TAGS_BITWISE_AND",
        TagTest::Or => "MATCH_TAGS_BITWISE_OR",
        TagTest::Xor => "MATCH_TAGS_BITWISE_XOR",
        TagTest::Equal => "MATCH_TAGS_EQUAL",
        TagTest::Sender => "MATCH_TAG_SENDER",
        TagTest::Receiver => "MATCH_TAG_RECEIVER",
    }
}

fn colons(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
