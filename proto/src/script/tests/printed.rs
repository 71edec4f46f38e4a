//! What is printed compiles to the same.

use super::random::Dice;
use super::*;
use crate::program::Entry;

/// The entries without the lines of their rules.
fn without_lines(list: &List) -> Vec<Entry> {
    let mut entries = list.entries().to_vec();
    for entry in &mut entries {
        if let Entry::Act(act) = entry {
            act.rule.line = 1;
        }
    }
    entries
}

#[test]
fn a_random_list_printed_compiles_to_the_same() {
    for seed in 0..3_000 {
        let list = Dice(seed).list();
        let printed = list.to_string();
        let again = compiled(&printed, Dialect::Lockgate)
            .unwrap_or_else(|mistakes| panic!("seed {seed}\n{printed}\n{mistakes:#?}"));
        assert_eq!(without_lines(&again.rules), without_lines(&list), "seed {seed}\n{printed}");
    }
}

#[test]
fn a_script_printed_is_the_same_script() {
    let text = "tag role id 1 default 2 enum 2 historian flag 0,31 hi;\n\
                cap none id 9 default ;\n\
                cap one id 3 accept dport 22,80 as \\x61ccept; drop; ;\n\
                set plcs 10.0.0.1,fd00::/8;\n\
                log as all; accept ipsrc @plcs and not (tseq role hi or dport 1);\naccept;";
    let script = script(text);
    let printed = script.to_string();
    assert_eq!(
        printed,
        "tag role id 1 default 2 flag 0,31 hi enum 2 historian;\ncap none id 9 default\n;\n\
         cap one id 3\naccept dport 22,80 as \\x61ccept;\ndrop as rules;\n;\nlog as all;\n\
         accept ipsrc 10.0.0.1,fd00::/8 and ( not tseq 1 2147483649 and not dport 1 );\naccept as rules;\n"
    );
    let again = self::script(&printed);
    assert_eq!(again.to_string(), printed);
    assert_eq!((&again.tags, again.capabilities.len()), (&script.tags, 2));
    assert_eq!(without_lines(&again.rules), without_lines(&script.rules));
}
