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
