//! Mistakes of policy files, one a row; and that no text at all makes the parser panic.

use super::*;
use crate::document::Date;
use crate::zmtp::SocketType;

mod sections;

/// A valid policy; tests exchange one line of it.
pub(crate) const VALID: &str = "\
default = \"deny\"
[tags]
role = [\"sensor-gw\", \"historian\", \"hmi\"]
site = [\"north\", \"south\"]
[nodes]
edge-north = { role = \"sensor-gw\", site = \"north\" }
edge-south = { role = \"historian\", site = \"south\" }
[service.telemetry]
hosted-by = \"role=sensor-gw\"
socket = \"pub\"
topics = [\"temp.\", \"vib.\"]
max-message = \"64KiB\"
rate = \"2000/s\"
mode = \"stream\"
[service.command]
hosted-by = \"role=sensor-gw site=north\"
sockets = [\"rep\", \"router\"]
[[allow]]
id = \"telemetry-to-historian\"
from = \"role=historian\"
to = \"telemetry\"
topics = [\"temp.\"]
why = \"OPS-112\"
review = 2027-03-31
[[allow]]
id = \"commands\"
from = \"node=edge-south\"
to = \"command\"
socket = \"req\"
";

fn mistakes(text: &str) -> Vec<Mistake> {
    match Policy::parse("policy.toml", text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes,
    }
}

#[test]
fn a_policy_reads_as_written() {
    let policy = Policy::parse("policy.toml", VALID).expect("it is valid");
    assert_eq!(policy.warnings, []);
    let telemetry = &policy.services["telemetry"];
    assert_eq!((telemetry.line, &telemetry.sockets[..]), (8, &[SocketType::Pub][..]));
    assert_eq!(telemetry.limits.max_message, Some(65_536));
    assert_eq!(telemetry.limits.rate, Some(Rate::per_second(2000)));
    let [first, second] = &policy.allows[..] else { panic!("two rules") };
    assert_eq!((first.line, first.topics.join(" ").as_str()), (18, "temp."));
    assert_eq!(first.review, Some(Date { year: 2027, month: 3, day: 31 }));
    assert_eq!(second.from.to_string(), "node=edge-south");
    assert_eq!(second.sockets, [SocketType::Req]);
    assert_eq!(policy.services["command"].hosted_by.to_string(), "role=sensor-gw site=north");
}

/// Line of [`VALID`] to replace, what stands there instead, then the key, words of the problem and of the mend.
#[rustfmt::skip]
const MISTAKES: [(usize, &str, &str, &str, &str); 49] = [
    (1, "", "default", "missing", "default = \"deny\""),
    (1, "default = \"allow\"", "default", "not accepted", "default = \"deny\""),
    (1, "default = true", "default", "text in quotes is wanted", "text in quotes"),
    (1, "default = \"deny\"\ncolour = 1", "colour", "unknown key", "known keys are"),
    (1, "default = \"deny\"\ntag = 1", "tag", "unknown key", "`tags`"),
    (3, "role = \"sensor-gw\"", "tags.role", "a list of texts", "[\"one\", \"two\"]"),
    (4, "site = [\"north\", \"south\"]\nidle = []", "tags.idle", "without values", "list the values"),
    (4, "site = [\"north\", \"south\", \"north\"]", "tags.site", "listed twice", "keep one"),
    (4, "site = [\"north\", \"south\", \"no such\"]", "tags.site", "cannot name a value", "letters"),
    (4, "site = [\"north\", \"south\"]\nnode = [\"a\"]", "tags.node", "not a tag", "something else"),
    (6, "edge-north = { role = \"sensor-gv\", site = \"north\" }", "nodes.edge-north.role", "unknown value", "\"sensor-gw\""),
    (6, "edge-north = { role = \"sensor-gw\", sit = \"north\" }", "nodes.edge-north.sit", "unknown tag", "\"site\""),
    (6, "edge-north = \"sensor-gw\"", "nodes.edge-north", "braces", "edge-north = {"),
    (6, "edge-north = { role = \"sensor-gw\", site = \"north\" }\n\"a b\" = {}", "nodes.a b", "cannot name a node", "letters"),
    (9, "hosted-by = \"role=historan\"", "service.telemetry.hosted-by", "unknown value", "\"historian\""),
    (9, "hosted-by = \"rule=sensor-gw\"", "service.telemetry.hosted-by", "unknown tag", "\"role\""),
    (9, "hosted-by = \"edge-north\"", "service.telemetry.hosted-by", "no condition", "node=edge-north"),
    (9, "hosted-by = \"\"", "service.telemetry.hosted-by", "names no nodes", "role=historian"),
    (9, "hosted-by = \"node=edge-nort\"", "service.telemetry.hosted-by", "unknown node", "\"edge-north\""),
    (9, "hosted-by = \"role=hmi, role=historian\"", "service.telemetry.hosted-by", "no node can be both", "two rules"),
    (9, "", "service.telemetry.hosted-by", "missing", "role=historian"),
    (9, "hosted_by = \"role=sensor-gw\"\nhosted-by = \"role=sensor-gw\"", "service.telemetry.hosted_by", "unknown key", "`hosted-by`"),
    (10, "socket = \"pubb\"", "service.telemetry.socket", "unknown socket type", "\"pub\""),
    (10, "socket = \"stream\"", "service.telemetry.socket", "unknown socket type", "known are"),
    (10, "socket = \"pub\"\nsockets = [\"pub\"]", "service.telemetry.sockets", "both", "keep one"),
    (10, "sockets = []", "service.telemetry.sockets", "empty", "socket = \"pub\""),
    (10, "", "service.telemetry.socket", "missing", "socket = \"pub\""),
    (11, "topics = []", "service.telemetry.topics", "empty", "leave `topics` out"),
    (11, "topics = [\"\", \"temp.\"]", "service.telemetry.topics", "every topic", "leave `topics` out"),
    (12, "max-message = \"64kb\"", "service.telemetry.max-message", "not a size", "\"64KiB\""),
    (12, "max-message = 0", "service.telemetry.max-message", "out of range", "1B to 1GiB"),
    (12, "max-message = -1", "service.telemetry.max-message", "not a size", "\"64KiB\""),
    (12, "max-message = \"2GiB\"", "service.telemetry.max-message", "out of range", "1GiB"),
    (13, "rate = \"2000\"", "service.telemetry.rate", "is not a rate", "\"2000/s\""),
    (13, "rate = 2000", "service.telemetry.rate", "text in quotes is wanted", "text in quotes"),
    (14, "mode = \"broker\"", "service.telemetry.mode", "not built yet", "\"stream\""),
    (14, "mode = \"steam\"", "service.telemetry.mode", "unknown mode", "\"stream\""),
    (17, "sockets = [\"rep\", \"router\"]\ntopics = [\"a\"]", "service.command.topics", "no topics", "pub or xpub"),
    (17, "sockets = [\"rep\", \"router\"]\n[service.idle]\nhosted-by = \"role=hmi\"\nsocket = \"pub\"", "service.idle", "without a rule", "[[allow]]"),
    (19, "", "allow.id", "missing", "name the rule"),
    (26, "id = \"telemetry-to-historian\"", "allow.id", "taken", "of its own"),
    (20, "from = \"role=boss\"", "allow.from", "unknown value", "historian, hmi, sensor-gw"),
    (20, "from = \"role=historian, site=same\"", "allow.from", "not built yet", "a rule for each value"),
    (20, "form = \"role=historian\"\nfrom = \"role=historian\"", "allow.form", "unknown key", "`from`"),
    (21, "to = \"telemetri\"", "allow.to", "unknown service", "\"telemetry\""),
    (22, "topics = [\"raw.\"]", "allow.topics", "outside the topics", "\"temp.\", \"vib.\""),
    (24, "review = \"2027-03-31\"", "allow.review", "a date", "without quotes"),
    (29, "socket = \"sub\"", "allow.socket", "cannot talk to rep or router sockets", "req"),
    (29, "topics = [\"a\"]", "allow.topics", "has no topics", "remove"),
];

fn with_line(number: usize, instead: &str) -> String {
    let lines: Vec<&str> =
        VALID.lines().enumerate().map(|(at, line)| if at + 1 == number { instead } else { line }).collect();
    lines.join("\n")
}

#[test]
fn every_mistake_names_its_line_its_key_and_the_mend() {
    for (line, instead, key, problem, mend) in MISTAKES {
        let found = mistakes(&with_line(line, instead));
        let Some(hit) = found.iter().find(|mistake| mistake.key == key && mistake.problem.contains(problem))
        else {
            panic!("{instead:?}: no {key}: {problem} in {found:#?}");
        };
        assert!(hit.mend.contains(mend), "{instead:?}: {hit}");
        assert_eq!(hit.file, "policy.toml");
        let last = line + instead.lines().count().max(1) - 1;
        let in_section = instead.is_empty() || hit.line < line;
        assert!(in_section || (line..=last).contains(&hit.line), "{instead:?}: {hit}");
    }
}

#[test]
fn one_mistake_is_told_once() {
    for (line, instead, ..) in MISTAKES {
        // A row may break a rule of another service with it; those that cannot are told exactly once.
        if matches!(line, 1 | 4 | 9 | 12 | 13 | 14 | 22 | 24) && !instead.contains("tag = 1") {
            let found = mistakes(&with_line(line, instead));
            assert_eq!(found.len(), 1, "{instead:?}: {found:#?}");
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    let text = VALID
        .replace("socket = \"pub\"", "socket = \"pug\"")
        .replace("2000/s", "fast")
        .replace("why =", "wy =");
    let found = mistakes(&text);
    let lines: Vec<usize> = found.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [10, 13, 23], "{found:#?}");
}

#[test]
fn an_empty_file_is_no_policy() {
    for text in ["", "\n\n", "# nothing yet\n"] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string().lines().next(),
            Some("error: policy.toml: no policy: nothing passes")
        );
        assert!(found[0].mend.contains("default = \"deny\""));
    }
}

#[test]
fn a_rule_for_packets_names_nodes_and_a_kind_of_packet() {
    let rule = "[[allow]]\nid = \"ssh\"\nfrom = \"role=hmi\"\nto = \"role=sensor-gw, site=north tcp:22\"\n";
    let policy = Policy::parse("policy.toml", &format!("{VALID}{rule}")).expect("it is valid");
    let Some(Target::Packets(target)) = policy.allows.get(2).map(|allow| &allow.to) else {
        panic!("it is kept")
    };
    assert_eq!(target.packets, Packets::Tcp(22..=22));
    assert_eq!(target.to.to_string(), "role=sensor-gw site=north");
    let problems: Vec<&str> = policy.warnings.iter().map(|warning| warning.problem.as_str()).collect();
    assert_eq!(problems, ["no node is role=hmi: the rule lets nobody through"]);
    for (to, words) in [
        ("role=sensor-gw", "no kind of packet"),
        ("role=sensor-gw tcp:0", "no kind of packet"),
        ("role=sensor-gw tcp:9-2", "no kind of packet"),
        ("role=sensor-gw sctp:9", "no kind of packet"),
        ("role=nobody icmp", "unknown value"),
        ("tcp:22", "names no nodes"),
    ] {
        let found = mistakes(&format!("{VALID}{}", rule.replace("role=sensor-gw, site=north tcp:22", to)));
        assert!(found.len() == 1 && found[0].problem.contains(words), "{to}: {found:#?}");
    }
}

#[test]
fn a_rule_wider_than_its_service_is_warned_about() {
    let text = VALID.replace("topics = [\"temp.\"]", "max-message = \"1MiB\"");
    let policy = Policy::parse("policy.toml", &text).expect("it is valid");
    assert!(policy.warnings[0].problem.contains("1MiB is more than telemetry allows: 64KiB holds"));
}

#[test]
fn no_text_makes_the_parser_panic() {
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0)
    };
    let (mut valid, mut mistaken) = (0, 0);
    for round in 0..3000 {
        let bytes = [VALID, sections::FULL][round % 2].as_bytes();
        let mut text = bytes.to_vec();
        for _ in 0..1 + random() % 4 {
            let (at, other) = (random() % text.len(), random() % bytes.len());
            match random() % 4 {
                0 => text[at] = b"\"'[]{}=,.#\n\\ \x00\x1bx9-"[random() % 18],
                1 => drop(text.remove(at)),
                2 => text.truncate(at + 1),
                _ => text.extend_from_within(at.min(other)..at.max(other).min(text.len())),
            }
        }
        match Policy::parse("f", &String::from_utf8_lossy(&text)) {
            Ok(_) => valid += 1,
            Err(found) => {
                assert!(!found.is_empty());
                mistaken += 1;
            }
        }
    }
    assert!(valid > 50 && mistaken > 1000, "{valid} valid, {mistaken} mistaken");
}

/// Each is near a megabyte of one thing; work in proportion to its square would not end while anybody waits.
#[test]
fn a_megabyte_of_one_thing_is_read_in_proportion() {
    let many = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<String>();
    let start = "default = \"deny\"\n";
    for text in [
        format!("{start}{}", many(60_000, &|at| format!("k{at} = 1\n"))),
        format!("{start}[tags]\n{}", many(60_000, &|at| format!("t{at} = []\n"))),
        format!("{start}[tags]\nt = [{}]\n", many(80_000, &|at| format!("\"{at}\","))),
        format!("{start}[nodes]\n{}", many(40_000, &|at| format!("n{at} = {{ x = \"1\" }}\n"))),
        format!(
            "{start}[nodes]\n{}\n{}",
            many(10_000, &|at| format!("n{at} = {{}}\n")),
            many(9_000, &|at| format!("[[allow]]\nid = \"{at}\"\nfrom = \"node=x{at}\"\nto = \"y{at}\"\n"))
        ),
        format!(
            "{start}[tags]\nr = [\"a\", \"b\"]\n[nodes]\nn = {{ r = \"b\" }}\n{}{}",
            many(512, &|at| format!("[[forbid]]\nid = \"f{at}\"\nfrom = \"r=a\"\nto = \"r=a\"\n")),
            many(14_000, &|at| format!("[[allow]]\nid = \"{at}\"\nfrom = \"r=b\"\nto = \"r=a icmp\"\n"))
        ),
        format!(
            "{start}[nodes]\nn = {{}}\n[[test]]\nfrom = \"n\"\nhold = [{}]\ndeny = [{}]\nallow = [{}]\n",
            many(20_000, &|at| format!("\"c{at}\",")),
            many(30_000, &|at| format!("\"n/tcp:{}\",", at % 65_535 + 1)),
            many(30_000, &|at| format!("\"n/tcp:{}\",", at % 65_535 + 1))
        ),
        format!(
            "{start}[capability.c]\nto = \"node=n icmp\"\nmax-ttl = \"1h\"\n[nodes]\nn = {{}}\n{}",
            many(11_000, &|_| {
                "[[grant]]\ncapability = \"c\"\nnode = \"n\"\nfrom = 2026-12-01T08:00:00Z\nuntil = 2026-12-01T09:00:00Z\n".into()
            })
        ),
        format!("{start}[service.a]\nhosted-by = \"{}\"\n", many(90_000, &|at| format!("t{at}=1 "))),
        format!("{start}[service.a]\ntopics = [{}]\n", many(90_000, &|at| format!("\"{at}\","))),
        format!(
            "{start}{}",
            many(15_000, &|at| format!("[service.s{at}]\nhosted-by = \"x=1\"\nsocket = \"pub\"\n"))
        ),
    ] {
        assert!(text.len() <= document::MAX_TEXT, "{} bytes", text.len());
        let found = mistakes(&text);
        assert!(found.len() <= Mistakes::MOST + 1, "{} mistakes", found.len());
    }
}
