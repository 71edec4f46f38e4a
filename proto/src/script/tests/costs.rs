//! What a whole script may cost.

use alloc::format;

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
