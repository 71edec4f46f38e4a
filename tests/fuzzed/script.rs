//! Flow rules: any text is compiled or refused with reasons, and what is compiled judges anything.
//!
//! `[count]`, so many times 8 bytes of a packet's headers, and the text.

use std::net::IpAddr;

use lockgate_proto::flows::{Fragment, Subject, TcpFlags, Transport};
use lockgate_proto::script::{Action, Decided, Script};

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_script(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let (headers, text) = rest.split_at((usize::from(count % 8) * 8).min(rest.len()));
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().count() as u32 + 1;
    let script = match Script::compile(&text) {
        Ok(script) => script,
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "a refusal without a reason");
            for mistake in &mistakes {
                assert!((1..=lines).contains(&mistake.line) && mistake.column >= 1, "{mistake}");
                assert!(!mistake.problem.is_empty() && !mistake.mend.is_empty(), "{mistake}");
            }
            return;
        }
    };
    let with_remark = Script::compile(&format!("{text}\n# nothing\n"));
    assert_eq!(with_remark.as_ref(), Ok(&script), "an empty line and a remark change nothing");
    for subject in headers.chunks_exact(8).map(subject).chain(plain_ones()) {
        let judgement = script.judge(&subject);
        assert_eq!(script.judge(&subject), judgement, "there is no state");
        match judgement.by {
            Decided::Rule(line) => assert!(line <= lines),
            // What no rule decides, and what cannot be read, is dropped.
            Decided::NoRule | Decided::Unreadable(_) => assert_eq!(judgement.action, Action::Drop),
        }
    }
}

fn plain_ones() -> impl Iterator<Item = Subject> {
    (0..7).map(|kind| subject(&[kind, 0, 22, 0x13, 0x88, 1, 2, 0]))
}

fn subject(bytes: &[u8]) -> Subject {
    let &[kind, a, b, c, d, from, to, fragment] = bytes else { unreachable!("eight at a time") };
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let address = |last: u8| match kind & 8 {
        0 => IpAddr::from([10, 7, 0, last]),
        _ => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
    };
    let transport = match kind & 7 {
        0 | 1 => Transport::Tcp { source, destination, flags: TcpFlags(fragment) },
        2 | 3 => Transport::Udp { source, destination },
        4 => Transport::Icmp { kind: a, code: b, id: destination, quoted: None },
        5 => Transport::Other(a),
        _ => Transport::Unparsed,
    };
    let fragment = match fragment % 8 {
        0 => Fragment::First { id: 7, header: 8 },
        1 => Fragment::Later { id: 7, offset: 8 },
        _ => Fragment::Whole,
    };
    Subject { source: address(from), destination: address(to), transport, fragment }
}
