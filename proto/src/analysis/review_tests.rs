//! Review 1: nodes that rules tell apart.

use crate::policy::Policy;
use crate::rules::{PacketKind, PacketQuestion, Rules};

use super::{Reach, diff};

const POLICY: &str = r#"default = "deny"
rules = '''
accept ztsrc \x62 and ipprotocol tcp and dport 22;
'''
[tags]
role = ["gw", "hist"]
[nodes]
a = { role = "gw" }
b = { role = "gw" }
h = { role = "hist" }
"#;

/// The names of nodes are looked for in the text, where they may be escaped.
#[test]
fn a_node_whose_name_is_escaped_is_told_apart() {
    let policy = Policy::parse("p.toml", POLICY).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let rules = Rules::compile(&policy, 1);
    let reach = Reach::of(&policy, &rules);
    for from in ["a", "b"] {
        let question = PacketQuestion { from, to: "h", kind: PacketKind::Tcp(22), addresses: None };
        let passes = rules.packet(&question).is_ok();
        let shown = reach.between(from, "h").is_some_and(|passes| !passes.is_nothing());
        assert_eq!(shown, passes, "{from}");
    }
}

#[test]
fn a_change_for_a_node_whose_name_is_escaped_is_a_difference() {
    let before = POLICY.replace("accept ztsrc \\x62", "accept ztsrc \\x62 and ztdest \\x61");
    let [before, after] = [&*before, POLICY].map(|text| Policy::parse("p.toml", text).expect("valid"));
    let (was, is) = (Rules::compile(&before, 1), Rules::compile(&after, 2));
    assert!(!diff((&before, &was), (&after, &is)).is_empty(), "b gained tcp:22 of h");
}
