//! ZeroTier's language, word by word, and where we leave it.

use super::*;
use crate::program::{Entry, Join, List, Net, Sense, TagTest, Test};

fn zerotier(text: &str) -> Script {
    compiled(text, Dialect::ZeroTier).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:#?}"))
}

/// The matches of a rule `accept …;`.
fn matches(condition: &str) -> Vec<(Join, Sense, Test)> {
    let list = zerotier(&alloc::format!("accept {condition};\n")).rules;
    let each = list.entries().iter().filter_map(|entry| match entry {
        Entry::Match { join, sense, test } => Some((*join, *sense, test.clone())),
        _ => None,
    });
    each.collect()
}

fn one(condition: &str) -> Test {
    let mut matches = matches(condition);
    assert_eq!(matches.len(), 1, "{condition}");
    matches.remove(0).2
}

fn net(address: &str, bits: u8) -> Net {
    Net { address: address.parse().expect("an address"), bits }
}

#[test]
fn every_match_means_what_it_says() {
    use Test::*;
    for (condition, wanted) in [
        ("ztsrc 8056c2e21c", SourceNode("8056c2e21c".into())),
        ("ZTDEST 8056C2E21C", DestinationNode("8056c2e21c".into())),
        ("vlan 70000", Vlan(crate::program::Vlan::Id, 70_000)),
        ("vlanpcp 3", Vlan(crate::program::Vlan::Pcp, 3)),
        ("vlandei 1", Vlan(crate::program::Vlan::Dei, 1)),
        ("ethertype arp", EtherType(0x0806)),
        ("ethertype 0X86dd", EtherType(0x86dd)),
        ("ipprotocol icmpv6", IpProtocol(58)),
        ("ipprotocol 0x73", IpProtocol(0x73)),
        ("macsrc 11:22:33:44:55:66", SourceMac([0x11, 0x22, 0x33, 0x44, 0x55, 0x66])),
        ("macdest AABBCCDDEEFF", DestinationMac([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff])),
        ("ipsrc 10.1.2.3/8", Source(net("10.1.2.3", 8))),
        ("ipdest 2001:DB8::/032", Destination(net("2001:db8::", 32))),
        ("iptos 0xfc 0x20-0x38", Tos { mask: 0xfc, start: 0x20, end: 0x38 }),
        ("icmp 8 0", Icmp { kind: 8, code: Some(0) }),
        ("icmp 3 -1", Icmp { kind: 3, code: None }),
        ("sport 1024-65535", SourcePort(1024, 65_535)),
        ("dport 080", DestinationPort(80, 80)),
        ("framesize 0x40-0x5dc", Size(64, 1500)),
        ("chr multicast", Characteristics(1 << 62)),
        ("chr tcp_syn,tcp_ack,7", Characteristics(0x92)),
        ("random 0.25", Random(1_073_741_823)),
        ("random 1", Random(u32::MAX)),
        ("tand 1 3", Tag { how: TagTest::And, tag: 1, value: 3 }),
        ("treq 1 0xffffffff", Tag { how: TagTest::Receiver, tag: 1, value: u32::MAX }),
    ] {
        assert_eq!(one(condition), wanted, "{condition}");
    }
}

#[test]
fn matches_are_joined_from_left_to_right() {
    let shape = |condition: &str| -> Vec<_> {
        matches(condition).into_iter().map(|(join, sense, _)| (join, sense)).collect()
    };
    let (and, or) = ((Join::And, Sense::Plain), (Join::Or, Sense::Plain));
    let (and_not, or_not) = ((Join::And, Sense::Not), (Join::Or, Sense::Not));
    for (condition, wanted) in [
        ("dport 1 dport 2", &[and, and][..]),
        ("and dport 1 and dport 2 or dport 3", &[and, and, or]),
        ("not not dport 1", &[and_not]),
        ("dport 1 or not dport 2 not or dport 3", &[and, or_not, or_not]),
        ("dport 1 AND NOT dport 2 OR dport 3", &[and, and_not, or]),
        ("dport 1 and or dport 2", &[and, or]),
    ] {
        assert_eq!(shape(condition), wanted, "{condition}");
    }
}

#[test]
fn texts_are_cut_as_upstream_cuts_them() {
    for (text, rules) in [
        ("", 0),
        ("# accept;\n", 0),
        (" ; ;\n", 0),
        ("accept", 1),
        ("accept\n", 1),
        ("accept;", 1),
        ("accept ;\n# end", 1),
        ("ACCEPT;", 1),
        ("drop dport 1;accept\n", 0),
        ("drop dport 1", 1),
        ("drop dport 1 ;;", 0),
        ("drop dport 1;\r\n#c\raccept;", 2),
        ("accept dport 1; accept dport 2 # c;\n;accept", 0),
        ("accept dport 1; accept dport 2 # c;\n; accept", 3),
        ("include m macro m drop dport 1; ; accept;", 2),
        ("macro m() drop dport 1; ; include m() include m; accept;", 3),
    ] {
        let compiled = compiled(text, Dialect::ZeroTier);
        if rules == 0 && text.contains("drop") || text.contains(";accept") {
            assert!(compiled.is_err(), "{text:?}");
        } else {
            assert_eq!(compiled.map(|script| script.rules.acts().count()), Ok(rules), "{text:?}");
        }
    }
}

#[test]
fn tags_capabilities_and_macros_resolve() {
    let script = zerotier(
        "tag Role id 1 default Historian enum 0 historian flag 31 hi flag 0,2 lo flag hi,lo,4 all;\n\
         tag отдел id 5 enum 0xffffffff все;\n\
         macro both($name,$port) accept ipprotocol $name and tseq role $port; ;\n\
         cap One default id 7 include both(udp,all) accept dport 1; ;\n\
         include both(tcp,historian) accept teq отдел все;",
    );
    let role = &script.tags[0];
    assert_eq!((&*role.name, role.id, role.default), ("role", 1, Some(0)));
    let flags = [("hi", 1 << 31), ("lo", 5), ("all", 1 << 31 | 0x15)];
    assert_eq!(role.flags, flags.map(|(name, value)| (name.to_string(), value)));
    assert_eq!(script.tags[1].default, None);
    let one = &script.capabilities[0];
    assert_eq!((&*one.name, one.id, one.is_default, one.rules.entries().len()), ("one", 7, true, 5));
    let tag = |how, tag, value| Test::Tag { how, tag, value };
    let tests = |list: &List| list.tests().cloned().collect::<Vec<_>>();
    assert_eq!(tests(&one.rules)[1], tag(TagTest::Sender, 1, 1 << 31 | 0x15));
    let base = tests(&script.rules);
    assert_eq!(base[1..], [tag(TagTest::Sender, 1, 0), tag(TagTest::Equal, 5, u32::MAX)]);
}

#[test]
fn addresses_keep_their_spelling_for_the_controller() {
    let script = zerotier(
        "cap c id 1 accept dport 1 or ipsrc 2001:DB8::/32; ; accept ipsrc 10.0.0.1/8 or ipdest FE80::/10;",
    );
    let spelled: Vec<_> =
        script.spellings.iter().map(|each| (each.capability, each.entry, &*each.text)).collect();
    assert_eq!(spelled, [(Some(0), 1, "2001:DB8::/32"), (None, 1, "FE80::/10")]);
}

#[test]
fn what_never_matches_is_told() {
    for (text, part) in [
        ("accept macsrc 112233445566;", "macsrc never matches"),
        ("accept vlan 1;", "vlan never matches"),
        ("accept chr macauth;", "macauth never holds"),
        ("accept ipsrc fd00::1/64;", "bits behind its first 64"),
        ("accept ipprotocol 300;", "asks for 44"),
        ("accept ztsrc xx8056c2e21cyy;", "is read as \"8056c2e21c\""),
    ] {
        let warnings = zerotier(text).warnings;
        assert!(warnings.len() == 1 && warnings[0].problem.contains(part), "{text}: {warnings:?}");
    }
    assert_eq!(zerotier("accept ipsrc fd00::/64;").warnings, []);
}

#[test]
fn divergences_are_refused() {
    for (text, reason) in DIVERGENCES.iter().filter(|(text, _)| text.contains(' ')) {
        let mistakes = compiled(text, Dialect::ZeroTier);
        assert!(mistakes.is_err(), "{text}: {reason}");
    }
}

#[test]
fn mistakes_name_line_and_column() {
    for (text, place, words) in [
        ("allow dport 1;", (1, 1), "is no action"),
        ("acept dport 1;", (1, 1), "did you mean \"accept\"?"),
        ("accept dport 90-80;", (1, 14), "\"90-80\" cannot follow dport"),
        ("accept;\ntag t id 1;", (2, 1), "\"tag\" is no match"),
        ("drop dport 80\naccept;", (2, 1), "end the rule before it"),
        ("accept dport 22;#x\naccept;", (2, 1), "is no match"),
        ("accept dprt 1;", (1, 8), "did you mean \"dport\"?"),
        ("accept ipprotocol icmp;", (1, 8), "of what?"),
        ("accept dport", (1, 8), "of what?"),
        ("accept ipsrc 10.0.0.1;", (1, 14), "10.7.0.1/32"),
        ("tee 65536 deadbeef11;", (1, 5), "no number of bytes"),
        ("tee 10 deadbeef;", (1, 8), "ten digits"),
        ("redirect;", (1, 1), "of what?"),
        ("include nope", (1, 9), "is no macro"),
        ("macro m($a) accept dport $a; ;\ninclude m", (2, 9), "takes 1 values, not 0"),
        ("macro a include b ; macro b include a ;\ninclude a", (1, 37), "deep"),
        ("tag department id 1;\naccept tdiff Department 0;", (2, 14), "did you mean \"department\"?"),
        ("tag t id 1 enum 1 yes;\naccept tseq t Yes;", (2, 15), "did you mean \"yes\"?"),
        ("tag my-tag id 1;", (1, 5), "is no name"),
        ("tag t id 1 enum 1 cap f1; ; accept;", (1, 19), "begins a rule inside of a tag"),
        // What is wrong with a definition comes before what follows from that.
        ("accept tseq t yes;\ntag t id 1 enum 1yes;", (2, 12), "of what?"),
        ("include m\naccept dport x;\nmacro m accept sport y; ;", (3, 22), "cannot follow sport"),
        ("accept dport x;\ncap c id 1 accept sport y; ;", (2, 25), "cannot follow sport"),
        ("tag drop id 1;", (1, 5), "word of the language"),
        ("tag include id 1;", (1, 5), "word of the language"),
        ("TAG t id 1;", (1, 1), "of what name?"),
        ("cap c accept dport 1; ;", (1, 5), "no id"),
        ("cap c id 1 accept dport 1; ;\ncap d id 1 accept dport 1; ;", (2, 5), "same id"),
        ("cap c id 1 break;\naccept dport 80;\n;", (2, 1), "ended before this rule"),
        ("accept (dport 1);", (1, 8), "no word of ZeroTier's"),
        ("accept dport 1 as ssh;", (1, 16), "no word of ZeroTier's"),
        ("accept established;", (1, 8), "no word of ZeroTier's"),
        ("log dport 1;", (1, 1), "no word of ZeroTier's"),
        ("set a 1,2;", (1, 1), "no word of ZeroTier's"),
        ("accept dport 1,2;", (1, 14), "no word of ZeroTier's"),
        ("accept ipsrc @plcs;", (1, 14), "no word of ZeroTier's"),
    ] {
        let (line, column, told) = refused(text, Dialect::ZeroTier);
        assert_eq!((line, column), place, "{text}: {told}");
        assert!(told.contains(words), "{text}: {told}");
    }
}

#[test]
fn zerotiers_limits_count_in_its_dialect_only() {
    let base = "accept dport 1;\n".repeat(513);
    let capability = alloc::format!("cap c id 1 {} ;", "accept dport 1; ".repeat(33));
    let tags: String = (0..129).map(|at| alloc::format!("tag t{at} id {at};\n")).collect();
    for text in [base, capability, tags] {
        assert!(compiled(&text, Dialect::ZeroTier).is_err());
        assert!(compiled(&text, Dialect::Lockgate).is_ok());
    }
    let over = alloc::format!("accept {} dport 1;", "dport 1 ".repeat(List::MOST));
    assert!(refused(&over, Dialect::Lockgate).2.contains("65535"));
}
