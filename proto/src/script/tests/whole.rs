//! Review 1: what a script may cost.

use alloc::format;
use alloc::string::String;

use super::super::*;

/// Words that are actions but open no block (`ACCEPT`) cost nothing of what may be read, and each capability may have a
/// list of 65535 of them.
#[test]
fn a_script_makes_no_more_entries_than_may_be_read() {
    let mut text = String::from("macro m ");
    for _ in 0..2_000 {
        text.push_str("ACCEPT ");
    }
    text.push_str("; ");
    for number in 0..500 {
        text.push_str(&format!("cap c{number} id {number} include m ; "));
    }
    let script = match Script::compile(&text, &Options::new("t", Dialect::Lockgate)) {
        Ok(script) => script,
        Err(mistakes) => panic!("{mistakes:?}"),
    };
    let entries: usize = script.capabilities.iter().map(|capability| capability.rules.entries().len()).sum();
    assert!(entries <= 4 * text.len(), "{entries} entries of {} bytes", text.len());
}

/// `rules judge` asks the one, the data path the other: copies of capabilities that do not accept.
#[test]
fn what_tools_and_what_nodes_say_of_capabilities_is_the_same() {
    use crate::program::{Direction, NodeTags, Parties, Subject, packet_facts};
    use crate::rules::Pair;

    let mut bytes = [0; 40];
    (bytes[0], bytes[3], bytes[9], bytes[23], bytes[32]) = (0x45, 40, 6, 22, 0x50);
    let packet = packet_facts(&bytes);
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
        let copied = |tee: Option<crate::program::Tee<'_>>| tee.map(|tee| String::from(&**tee.to));
        assert_eq!((tool.outcome, copied(tool.tee)), (node.outcome, copied(node.tee)), "{text}");
    }
}
