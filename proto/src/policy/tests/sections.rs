//! Forbids, capabilities, grants, raw rules and tests: each as it is written, and its mistakes, one a row.

use core::time::Duration;

use super::*;

/// A valid policy with every section; tests exchange one line of it.
pub(super) const FULL: &str = "\
default = \"deny\"
rules = '''
# copies for the observer
watch 64 edge-south; accept zmq service alarms or zmq service command;
'''
[tags]
role = [\"sensor-gw\", \"historian\", \"jump\"]
[nodes]
edge-north = { role = \"sensor-gw\" }
edge-south = { role = \"historian\" }
jump-1 = { role = \"jump\" }
[service.telemetry]
hosted-by = \"role=sensor-gw\"
socket = \"pub\"
topics = [\"temp.\", \"vib.\"]
[service.command]
hosted-by = \"role=sensor-gw\"
socket = \"pub\"
[service.alarms]
hosted-by = \"role=sensor-gw\"
socket = \"pub\"
[[allow]]
id = \"readings\"
from = \"role=historian\"
to = \"telemetry\"
[[forbid]]
id = \"gateways-never-talk\"
from = \"role=sensor-gw\"
to = \"role=sensor-gw\"
why = \"OPS-1\"
[capability.firmware]
from = \"role=jump\"
to = \"command\"
topics = [\"fw.\"]
max-ttl = \"4h\"
[capability.shell]
to = \"role=sensor-gw tcp:22\"
max-ttl = \"30m\"
why = \"OPS-2\"
[[grant]]
capability = \"firmware\"
node = \"jump-1\"
from = 2026-12-01T08:00:00Z
until = 2026-12-01T13:00:00+01:00
why = \"OPS-3\"
[[test]]
from = \"edge-south\"
allow = [\"edge-north/telemetry#temp.1\"]
deny = [
  \"edge-north/telemetry#raw.1\",
  \"edge-north/tcp:22\",
]
[[test]]
from = \"jump-1\"
hold = [\"firmware\"]
allow = [\"edge-north/command#fw/7#b\", \"edge-north/command\"]
deny = [\"edge-north/udp:53\", \"edge-north/icmp\"]
";

fn parsed(text: &str) -> Policy {
    Policy::parse("policy.toml", text).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn with(number: usize, instead: &str) -> String {
    let lines: Vec<&str> =
        FULL.lines().enumerate().map(|(at, line)| if at + 1 == number { instead } else { line }).collect();
    lines.join("\n")
}

#[test]
fn every_section_reads_as_written() {
    let policy = parsed(FULL);
    assert_eq!(policy.warnings, []);
    let rules = policy.rules.expect("there are flow rules");
    assert_eq!((rules.line, rules.text.lines().next()), (3, Some("# copies for the observer")));
    let [forbid] = &policy.forbids[..] else { panic!("one forbid") };
    assert_eq!(
        (forbid.id.as_str(), forbid.line, forbid.why.as_deref()),
        ("gateways-never-talk", 26, Some("OPS-1"))
    );
    assert_eq!(forbid.from.to_string(), "role=sensor-gw");
    assert!(matches!(&forbid.to, ForbidTarget::Everything(to) if to.to_string() == "role=sensor-gw"));
    let [firmware, shell] = &policy.capabilities[..] else { panic!("two capabilities") };
    assert_eq!((firmware.name.as_str(), firmware.line), ("firmware", 31));
    assert_eq!(firmware.from.as_ref().map(ToString::to_string).as_deref(), Some("role=jump"));
    assert_eq!(
        (&firmware.to, &firmware.topics[..]),
        (&Target::Service("command".into()), &["fw.".to_string()][..])
    );
    assert_eq!((firmware.max_ttl, shell.max_ttl), (Duration::from_secs(4 * 3600), Duration::from_secs(1800)));
    assert_eq!((shell.to.to_string().as_str(), &shell.from), ("role=sensor-gw tcp:22", &None));
    assert_eq!((shell.line, shell.why.as_deref()), (36, Some("OPS-2")));
    let [grant] = &policy.grants[..] else { panic!("one grant") };
    assert_eq!((grant.capability.as_str(), grant.node.as_str(), grant.line), ("firmware", "jump-1", 40));
    assert_eq!((grant.from.as_secs(), grant.until.as_secs()), (1_796_112_000, 1_796_126_400));
}

#[test]
fn tests_read_as_written_with_a_line_for_each_claim() {
    let policy = parsed(FULL);
    let [first, second] = &policy.tests[..] else { panic!("two tests") };
    assert_eq!((first.line, first.from.as_str(), first.hold.len()), (46, "edge-south", 0));
    assert_eq!(second.hold, [document::Spot { value: "firmware".to_string(), line: 55 }]);
    let service = |name: &str, topic: Option<&str>| ClaimWhat::Service {
        name: name.to_string(),
        topic: topic.map(ToString::to_string),
    };
    let claims = |claims: &[Claim]| -> Vec<(usize, ClaimWhat)> {
        assert!(claims.iter().all(|claim| claim.to == "edge-north" && claim.text.starts_with("edge-north/")));
        claims.iter().map(|claim| (claim.line, claim.what.clone())).collect()
    };
    assert_eq!(claims(&first.allow), [(48, service("telemetry", Some("temp.1")))]);
    assert_eq!(claims(&first.deny), [(50, service("telemetry", Some("raw.1"))), (51, ClaimWhat::Tcp(22))]);
    assert_eq!(
        claims(&second.allow),
        [(56, service("command", Some("fw/7#b"))), (56, service("command", None))]
    );
    assert_eq!(claims(&second.deny), [(57, ClaimWhat::Udp(53)), (57, ClaimWhat::Icmp)]);
}

/// Line of [`FULL`] to replace, what stands there instead, then the line of the mistake, its key, words of the problem
/// and of the mend.
type Row = (usize, &'static str, usize, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const ROWS: [Row; 61] = [
    (27, "", 26, "forbid.id", "missing", "gateways-never-talk"),
    (27, "id = \"readings\"", 27, "forbid.id", "taken by the rule in line 23", "of its own"),
    (27, "id = \"a b\"", 27, "forbid.id", "cannot name a rule", "letters"),
    (27, "id = \"rules\"", 27, "forbid.id", "already names something else", "choose another"),
    (27, "id = \"service.telemetry\"", 27, "forbid.id", "already names something else", "choose another"),
    (28, "", 26, "forbid.from", "missing", "role=historian"),
    (28, "from = \"role=gw\"", 28, "forbid.from", "unknown value", "known are"),
    (28, "from = \"role=historian\"", 22, "allow", "overlaps the forbid \"gateways-never-talk\" in line 26", "nothing may go from role=historian to role=sensor-gw"),
    (28, "from = \"node=edge-south\"", 22, "allow", "the rule \"readings\" overlaps", "narrow"),
    (28, "from = \"role=jump\"", 31, "capability.firmware", "the capability \"firmware\" overlaps", "narrow"),
    (29, "", 26, "forbid.to", "missing", "everything of theirs"),
    (29, "to = \"telemetri\"", 29, "forbid.to", "unknown service", "\"telemetry\""),
    (29, "to = \"role=sensor-gw sctp:1\"", 29, "forbid.to", "ends with no kind of packet", "tcp:22"),
    (29, "to = \"role=sensor-gw tcp:0\"", 29, "forbid.to", "ends with no kind of packet", "tcp:22"),
    (29, "to = \"hosted-by role=sensor-gw\"", 29, "forbid.to", "no condition on a node", "role=historian"),
    (29, "to = \"tcp:22\"", 29, "forbid.to", "names no nodes", "role=historian"),
    (30, "wy = \"OPS-1\"", 30, "forbid.wy", "unknown key", "`why`"),
    (30, "topics = [\"x\"]", 30, "forbid.topics", "unknown key", "known keys"),
    (36, "[capability.readings]", 36, "capability.readings", "taken by the rule in line 23", "of its own"),
    (36, "[capability.\"a b\"]", 36, "capability.a b", "cannot name a capability", "letters"),
    (32, "from = \"role=jum\"", 32, "capability.firmware.from", "unknown value", "\"jump\""),
    (32, "from = \"\"", 32, "capability.firmware.from", "names no nodes", "role=historian"),
    (32, "form = \"role=jump\"", 32, "capability.firmware.form", "unknown key", "`from`"),
    (32, "from = \"role=historian\"", 42, "grant.node", "jump-1 may not hold firmware", "line 31"),
    (33, "", 31, "capability.firmware.to", "missing", "write a service"),
    (33, "to = \"comand\"", 33, "capability.firmware.to", "unknown service", "\"command\""),
    (33, "to = \"role=sensor-gw\"", 33, "capability.firmware.to", "no kind of packet", "tcp:22"),
    (33, "to = \"role=sensor-gw icmp\"", 34, "capability.firmware.topics", "packets have none", "remove it"),
    (33, "to = \"telemetry\"", 34, "capability.firmware.topics", "outside the topics", "\"temp.\""),
    (34, "socket = \"req\"", 34, "capability.firmware.socket", "cannot talk to a pub socket", "sub"),
    (35, "", 31, "capability.firmware.max-ttl", "missing", "max-ttl = \"4h\""),
    (35, "max-ttl = \"4 hours\"", 35, "capability.firmware.max-ttl", "not a time", "\"4h\""),
    (35, "max-ttl = \"0s\"", 35, "capability.firmware.max-ttl", "out of range", "\"1s\""),
    (35, "max-ttl = \"400d\"", 35, "capability.firmware.max-ttl", "out of range", "[[allow]]"),
    (35, "max-ttl = \"3h\"", 44, "grant.until", "4h is longer than 3h, the max-ttl of firmware", "at most 3h"),
    (41, "", 40, "grant.capability", "missing", "capability = \"firmware\""),
    (41, "capability = \"firmwar\"", 41, "grant.capability", "unknown capability", "\"firmware\""),
    (41, "capability = \"shell\"", 44, "grant.until", "4h is longer than 30min", "at most 30min"),
    (42, "", 40, "grant.node", "missing", "jump-1"),
    (42, "node = \"jump-2\"", 42, "grant.node", "unknown node", "\"jump-1\""),
    (43, "", 40, "grant.from", "missing", "from = 2026-12-01T08:00:00Z"),
    (43, "from = 2026-12-01", 43, "grant.from", "this is a date", "with an offset"),
    (43, "from = 2026-12-01T08:00:00", 43, "grant.from", "without an offset", "2026-12-01T08:00:00Z"),
    (43, "from = \"2026-12-01T08:00:00Z\"", 43, "grant.from", "this is text", "without quotes"),
    (43, "from = 2026-12-01T12:00:00Z", 44, "grant.until", "ends before it begins", "later"),
    (44, "until = 2026-12-01T07:59:59Z", 44, "grant.until", "ends before it begins", "later"),
    (44, "until = 2026-12-01T12:00:01Z", 44, "grant.until", "longer than 4h", "at most 4h"),
    (47, "", 46, "test.from", "missing", "edge-south"),
    (47, "from = \"edge-suth\"", 47, "test.from", "unknown node", "\"edge-south\""),
    (47, "from = \"edge-south\"\nhold = [\"shel\"]", 48, "test.hold", "unknown capability", "\"shell\""),
    (47, "from = \"edge-south\"\nhold = []", 48, "test.hold", "empty", "leave `hold` out"),
    (48, "allow = [\"edge-north/telemetri\"]", 48, "test.allow", "unknown service", "\"telemetry\""),
    (48, "allow = [\"edge-nort/telemetry\"]", 48, "test.allow", "unknown node", "\"edge-north\""),
    (48, "allow = [\"edge-north\"]", 48, "test.allow", "what of which node", "edge-north/tcp:22"),
    (48, "allow = [\"edge-north/telemetry#raw.1\"]", 50, "test.deny", "also to be allowed, in line 48", "keep one"),
    (48, "alow = [\"edge-north/telemetry\"]", 48, "test.alow", "unknown key", "`allow`"),
    (51, "  \"edge-north/tcp:1-9\",", 51, "test.deny", "one port", "edge-north/tcp:22"),
    (51, "  \"edge-north/sctp:9\",", 51, "test.deny", "one port", "edge-north/tcp:22"),
    (51, "  \"edge-north/tcp:22#x\",", 51, "test.deny", "one port", "edge-north/tcp:22"),
    (51, "  7,", 51, "test.deny", "only text", "quotes"),
    (57, "deny = []", 57, "test.deny", "empty", "leave `deny` out"),
];

#[test]
fn every_mistake_in_a_section_is_told_once_at_its_line() {
    for (at, instead, line, key, problem, mend) in ROWS {
        let found = mistakes(&with(at, instead));
        let [hit] = &found[..] else { panic!("{instead:?}: {found:#?}") };
        assert_eq!((hit.line, hit.key.as_str()), (line, key), "{instead:?}: {hit}");
        assert!(hit.problem.contains(problem) && hit.mend.contains(mend), "{instead:?}: {hit}");
    }
}

#[test]
fn a_section_of_another_shape_is_a_mistake() {
    for (more, key, words) in [
        ("[forbid]\n", "forbid", "a repeated section [[forbid]]"),
        ("[test]\n", "test", "a repeated section [[test]]"),
        ("[grant]\n", "grant", "a repeated section [[grant]]"),
        ("[[capability]]\n", "capability", "a section [capability]"),
        ("[capability]\nx = 1\n", "capability.x", "a capability is a section"),
        ("[[test]]\nfrom = \"edge-north\"\n", "test", "claims nothing"),
        (
            "[service.icmp]\nhosted-by = \"role=hmi\"\nsocket = \"pub\"\n[[allow]]\nid = \"i\"\nfrom = \"role=hmi\"\nto = \"icmp\"\n",
            "service.icmp",
            "means the packets",
        ),
    ] {
        let found = mistakes(&format!("{VALID}{more}"));
        let [hit] = &found[..] else { panic!("{more:?}: {found:#?}") };
        assert!(hit.key == key && hit.problem.contains(words), "{more:?}: {hit}");
    }
}

#[test]
fn a_grant_holds_from_its_first_moment_until_just_before_its_last() {
    let grant = &parsed(FULL).grants[0];
    let tick = Duration::from_nanos(1);
    for (wall, holds) in [
        (grant.from - tick, false),
        (grant.from, true),
        (grant.until - tick, true),
        (grant.until, false),
        (Duration::ZERO, false),
        (Duration::MAX, false),
    ] {
        assert_eq!(grant.holds_at(wall), holds, "{wall:?}");
    }
}

/// Without `from`, a capability is for anybody whom no forbid keeps from it.
#[test]
fn a_capability_for_anybody_is_held_against_the_forbids_grant_by_grant() {
    let grant = "[[grant]]\ncapability = \"shell\"\nnode = \"NODE\"\nfrom = 2026-12-01T08:00:00Z\nuntil = 2026-12-01T08:30:00Z\n";
    for (node, refused) in [("jump-1", false), ("edge-south", false), ("edge-north", true)] {
        let found = mistakes(&format!("{FULL}{}", grant.replace("NODE", node)));
        assert_eq!(found.len(), usize::from(refused), "{node}: {found:#?}");
        if let [hit] = &found[..] {
            assert_eq!((hit.line, hit.key.as_str()), (58, "grant"));
            assert!(hit.problem.contains("edge-north with the capability \"shell\" overlaps"), "{hit}");
        }
    }
}

#[test]
fn a_forbid_meets_only_what_it_is_about() {
    let forbid = |to: &str| {
        format!(
            "{FULL}[[forbid]]\nid = \"f\"\nfrom = \"role=jump\"\nto = \"{to}\"\n[[allow]]\nid = \"a\"\nfrom = \"role=jump\"\nto = \"role=sensor-gw udp:5000-5010\"\n"
        )
    };
    for (to, refused) in [
        ("role=sensor-gw udp:5010-6000", true),
        ("role=sensor-gw, udp:1-5000", true),
        ("role=sensor-gw udp:5011", false),
        ("role=sensor-gw tcp:5000-5010", false),
        ("role=sensor-gw icmp", false),
        ("role=historian udp:5000", false),
        ("node=edge-north udp:5000", true),
        ("node=edge-south udp:5000", false),
        ("telemetry", false),
        ("alarms", false),
        ("role=historian", false),
    ] {
        let found = mistakes(&forbid(to));
        assert_eq!(found.len(), usize::from(refused), "{to}: {found:#?}");
    }
    let found = mistakes(&forbid("command"));
    assert_eq!(found.len(), 1, "the capability uses it: {found:#?}");
}

#[test]
fn flow_rules_know_the_line_of_the_file_in_which_they_begin() {
    for (value, line) in [
        ("'''\ndrop;\n'''", 3),
        ("'''\r\ndrop;\r\n'''", 3),
        ("'''drop dport 1;\n\naccept;'''", 2),
        ("'''\n\n\ndrop;'''", 3),
        ("\"\"\"\ndrop;\n\"\"\"", 3),
        ("'drop;'", 2),
        ("\"drop;\"", 2),
    ] {
        let policy = parsed(&VALID.replacen("\n", &format!("\nrules = {value}\n"), 1));
        assert_eq!(policy.rules.map(|rules| rules.line), Some(line), "{value:?}");
    }
    for blank in ["''", "'''\n\n  '''"] {
        assert_eq!(parsed(&VALID.replacen("\n", &format!("\nrules = {blank}\n"), 1)).rules, None);
    }
    for shifted in ["\"drop;\\naccept;\"", "\"\"\"\ndrop; \\\n accept;\"\"\""] {
        let found = mistakes(&VALID.replacen("\n", &format!("\nrules = {shifted}\n"), 1));
        assert!(found.len() == 1 && found[0].problem.contains("not the lines of the file"), "{found:#?}");
        assert!(found[0].line == 2 && found[0].mend.contains("'''"), "{found:#?}");
    }
}

/// TOML gives a key to the section above it, so that rules at the end of a file are easily lost.
#[test]
fn flow_rules_inside_a_section_are_a_mistake_that_says_where_they_belong() {
    for section in [
        "[tags]",
        "[nodes]",
        "[service.telemetry]",
        "[[allow]]",
        "[[forbid]]",
        "[capability.shell]",
        "[[grant]]",
        "[[test]]",
    ] {
        let text = FULL.replacen(&format!("{section}\n"), &format!("{section}\nrules = 'drop;'\n"), 1);
        let found = mistakes(&text);
        let [hit] = &found[..] else { panic!("{section}: {found:#?}") };
        let line = text.lines().position(|line| line == "rules = 'drop;'").map(|at| at + 1);
        assert_eq!(Some(hit.line), line, "{section}: {hit}");
        assert!(hit.problem.contains("inside a section") && hit.mend.contains("above the first"), "{hit}");
    }
}

/// A capability or flow rules that name a service are rules for it; a forbid or a test is not.
#[test]
fn a_service_is_used_where_a_capability_or_flow_rules_name_it() {
    let unused = |text: &str| -> Vec<String> {
        let without = mistakes(text).into_iter().filter(|mistake| mistake.problem.contains("without a rule"));
        without.map(|mistake| mistake.key).collect()
    };
    assert!(unused(FULL).is_empty());
    assert_eq!(unused(&FULL.replace("zmq service alarms", "zmq service alarms2")), ["service.alarms"]);
    assert_eq!(
        unused(&with(33, "to = \"alarms\"").replace(" or zmq service command", "")),
        ["service.command"]
    );
}
