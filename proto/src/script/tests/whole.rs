//! What a whole script may cost, and what its rules and capabilities say together.

use alloc::format;
use alloc::string::String;

use super::super::*;

/// Words that are actions but open no block (`ACCEPT`), and groups of nothing; each capability may have a list of 65535 entries.
#[test]
fn a_small_script_cannot_make_many_entries() {
    for body in ["ACCEPT ".repeat(2_000), format!("accept {};", "( zmtp ) ".repeat(1_500))] {
        let mut text = format!("macro m {body} ; ");
        for number in 0..500 {
            text.push_str(&format!("cap c{number} id {number} include m ; "));
        }
        assert!(text.len() < 32_768);
        let mistakes = Script::compile(&text, &Options::new("t", Dialect::Lockgate)).expect_err("too many");
        let too_many = |mistake: &ScriptMistake| mistake.problem.contains("more of the script than");
        assert!(mistakes.iter().any(too_many), "{mistakes:?}");
    }
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
