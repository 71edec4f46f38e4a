//! Flow rules: any text is compiled or refused with reasons, what is compiled judges anything, and printed it compiles to
//! the same.
//!
//! `[count]`, so many times 8 bytes of a packet, and the text.

use std::collections::BTreeMap;

use lockgate_proto::program::{Direction, Message, Outcome, Parties, Subject, Topic, packet_facts};
use lockgate_proto::script::{Dialect, Options, Script, ScriptMistake};
use lockgate_proto::zmtp::SocketType;

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_script(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let (packet, text) = rest.split_at((usize::from(*count % 16) * 8).min(rest.len()));
    let text = String::from_utf8_lossy(text);
    let foreign = compile(&text, Dialect::ZeroTier);
    let own = compile(&text, Dialect::Lockgate);
    if let Ok(script) = &foreign {
        judge(script, packet);
        reprint(script);
    }
    if let Ok(script) = &own {
        judge(script, packet);
        reprint(script);
    }
}

fn compile(text: &str, dialect: Dialect) -> Result<Script, ()> {
    let options = Options::new("script", dialect);
    let lines = text.matches('\n').count() as u32 + 1;
    let told = |mistakes: &[ScriptMistake]| {
        assert!(mistakes.len() <= Script::MOST_MISTAKES);
        for mistake in mistakes {
            assert!((1..=lines).contains(&mistake.line) && mistake.column >= 1, "{mistake}");
            assert!(!mistake.problem.is_empty() && !mistake.mend.is_empty(), "{mistake}");
        }
    };
    match Script::compile(text, &options) {
        Ok(script) => {
            told(&script.warnings);
            // A last word without anything behind it opens no block.
            if text.ends_with('\n') {
                let with_remark = Script::compile(&format!("{text}\n# nothing\n"), &options);
                assert_eq!(with_remark.as_ref(), Ok(&script), "an empty line and a remark change nothing");
            }
            assert!(script.rules.acts().all(|act| (1..=lines).contains(&act.rule.line)));
            Ok(script)
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "a refusal without a reason");
            told(&mistakes);
            Err(())
        }
    }
}

/// Printed it compiles, and is printed the same again.
fn reprint(script: &Script) {
    let options = Options::new("script", Dialect::Lockgate);
    let printed = script.to_string();
    let again =
        Script::compile(&printed, &options).unwrap_or_else(|mistakes| panic!("{printed}\n{mistakes:?}"));
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.capabilities.len(), script.capabilities.len());
    assert!(again.rules.tests().eq(script.rules.tests()), "{printed}");
}

fn judge(script: &Script, packet: &[u8]) {
    let tags = BTreeMap::new();
    let held: Vec<u32> = script.capabilities.iter().map(|capability| capability.id).collect();
    let message = Message {
        service: "telemetry",
        socket: SocketType::Sub,
        identity: Some(packet),
        mechanism: "NULL",
        topic: Topic::BeginsWith(packet),
        size: packet.len() as u64,
    };
    for direction in [Direction::Out, Direction::In] {
        let parties = Parties {
            direction,
            own: "a",
            source: if direction == Direction::Out { "a" } else { "b" },
            destination: if direction == Direction::Out { "b" } else { "a" },
            source_tags: &tags,
            destination_tags: &tags,
            source_values: &[(1, 1)],
            destination_values: &[(1, 2)],
        };
        let mut unreadable = packet_facts(packet);
        unreadable.readable = false;
        let subjects =
            [Subject::Packet(packet_facts(packet)), Subject::Packet(unreadable), Subject::Message(message)];
        for subject in &subjects {
            let judgement = script.judge(&parties, &held, subject);
            assert_eq!(
                script.judge(&parties, &held, subject).outcome,
                judgement.outcome,
                "there is no state"
            );
            if judgement.unreadable {
                assert_eq!(judgement.outcome, Outcome::Drop);
            }
            if script.judge(&parties, &[], subject).outcome == Outcome::Drop {
                assert_eq!(judgement.outcome, Outcome::Drop, "a capability does not undo a drop");
            }
        }
    }
}
