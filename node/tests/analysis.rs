//! What a policy does, as an operator asks for it: `reach`, `explain`, `policy check` and `policy diff`.
#![expect(clippy::disallowed_methods, reason = "the test writes the policies that the command reads")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const POLICY: &str = r#"default = "deny"
[tags]
role = ["gw", "hist", "hmi"]
[nodes]
g1 = { role = "gw" }
h1 = { role = "hist" }
h2 = { role = "hist" }
m1 = { role = "hmi" }
[service.tele]
hosted-by = "role=gw"
sockets = ["pub", "xpub"]
topics = ["temp.", "vib."]
max-message = "64KiB"
rate = "2000/s"
[[allow]]
id = "temp"
from = "role=hist"
to = "tele"
topics = ["temp."]
why = "OPS-112"
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw tcp:22"
[[allow]]
id = "web"
from = "node=h1"
to = "role=hmi tcp:8000-8080"
"#;

/// A folder with the policy in it, and what the command says there with which exit code.
fn run(files: &[(&str, &str)], args: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("our own file");
    }
    run_in(dir.path(), args)
}

fn run_in(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(args)
        .current_dir(dir)
        .output()
        .expect("lockgate runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn says(args: &[&str]) -> (i32, String) {
    let (code, said, wrong) = run(&[("p.toml", POLICY)], args);
    assert_eq!(wrong, "", "{args:?}");
    (code, said)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn reach_is_a_legend_a_picture_and_each_thing_that_passes() {
    let (code, said) = says(&["reach", "--policy", "p.toml"]);
    let expected = "\
p.toml: 4 nodes, 4 tag sets that the rules tell apart

    TAG SET    NODES
 1  node=h1    h1
 2  role=gw    g1
 3  role=hist  h2
 4  role=hmi   m1

FROM \\ TO        1    2    3    4
 1  node=h1           m    .    t
 2  role=gw      .         .    .
 3  role=hist    .    m         .
 4  role=hmi     .    t    .
    (m messages, t TCP, u UDP, i ICMP, o other protocols, . nothing)

node=h1 reaches
  role=gw     tele temp.*    temp (line 15)
  role=hmi    tcp 8000-8080  web (line 25)
  role=hist   nothing
role=gw reaches
  anybody     nothing
role=hist reaches
  role=gw     tele temp.*    temp (line 15)
  all others  nothing
role=hmi reaches
  role=gw     tcp 22         ssh (line 21)
  all others  nothing
";
    assert_eq!((code, said.as_str()), (0, expected));
    assert!(said.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn reach_as_json_has_a_row_for_every_two_nodes() {
    let (code, said) = says(&["reach", "--json", "--policy", "p.toml"]);
    let report = parsed(&said);
    assert_eq!((code, &report["file"]), (0, &json!("p.toml")));
    assert_eq!(report["classes"][2], json!({ "name": "role=hist", "nodes": ["h2"] }));
    let pairs = report["pairs"].as_array().expect("a list");
    assert_eq!(pairs.len(), 12);
    let pair = |from: &str, to: &str| {
        pairs.iter().find(|pair| pair["from"] == from && pair["to"] == to).expect("a row").clone()
    };
    let rule = json!({ "id": "temp", "file": "p.toml", "line": 15 });
    let tele = json!({ "name": "tele", "topics": ["temp."], "not_topics": [], "sockets": ["sub", "xsub"], "rule": rule });
    for (from, to, services, tcp) in [
        ("h2", "g1", json!([tele]), json!([])),
        ("h1", "m1", json!([]), json!([[8000, 8080]])),
        ("m1", "g1", json!([]), json!([[22, 22]])),
        ("g1", "h1", json!([]), json!([])),
    ] {
        let expected = json!({
            "from": from, "to": to, "services": services, "tcp": tcp, "udp": [], "icmp": false, "other": [],
        });
        assert_eq!(pair(from, to), expected);
    }
    assert_eq!(report["reach"].as_array().map(Vec::len), Some(12));
}

#[test]
fn reach_as_csv_has_a_line_for_each_thing_and_for_nothing() {
    let (code, said) = says(&["reach", "--csv", "--policy", "p.toml"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (0, 13));
    assert_eq!(lines[0], "from,from_nodes,to,to_nodes,what,rule,file,line");
    for line in ["node=h1,h1,role=hmi,m1,tcp 8000-8080,web,p.toml,25", "role=gw,g1,role=hmi,m1,nothing,,,"] {
        assert!(lines.contains(&line), "{line} in {said}");
    }
}

#[test]
fn explain_says_what_and_by_which_rule_or_what_would_allow_it() {
    let explain = |more: &[&str]| says(&[&["explain", "--policy", "p.toml"], more].concat());
    for (args, code, expected) in [
        (
            &["h1", "g1/tele#temp.1"][..],
            0,
            "\
ALLOWED   h1 → g1/tele#temp.1
 from     h1 (role=hist)
 to       g1 (role=gw)
 rule     temp (p.toml:15): role=hist to tele, topics temp.
 why      OPS-112
 limits   64KiB a message, 2000 messages a second on a connection
 passes   tele temp.* by temp (line 15)
 hosts    g1 (role=gw)
",
        ),
        (
            &["h2", "m1"],
            1,
            "\
DENIED    h2 → m1
 from     h2 (role=hist)
 to       m1 (role=hmi)
 reason   no rule lets h2 reach anything of m1
",
        ),
        (
            &["h1", "m1"],
            0,
            "\
ALLOWED   h1 → m1
 from     h1 (role=hist)
 to       m1 (role=hmi)
 passes   tcp 8000-8080 by web (line 25)
",
        ),
    ] {
        assert_eq!(explain(args), (code, expected.to_owned()), "{args:?}");
    }
    for form in [&["h1", "g1", "tcp:22"][..], &["h1", "g1/tcp:22"]] {
        let (code, said) = explain(form);
        assert_eq!(code, 1);
        for part in [
            "DENIED    h1 → g1 tcp:22\n",
            "ssh (p.toml:21)",
            " to allow give h1 role=hmi in [nodes]: then ssh (p.toml:21) allows it\n",
            " to allow a new [[allow]] with  from = \"role=hist\"  to = \"role=gw tcp:22\"\n",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
    let (code, said) = explain(&["--json", "m1", "g1/tele#temp.1"]);
    let report = parsed(&said);
    assert_eq!((code, &report["allowed"], &report["hosts"]), (1, &json!(false), &json!(["g1"])));
    assert_eq!((&report["service"], &report["topic"]), (&json!("tele"), &json!("temp.1")));
}

#[test]
fn a_name_that_the_policy_does_not_have_is_wrong_usage_with_the_nearest() {
    for (args, words) in [
        (&["h1", "g11/tele"][..], "did you mean \"g1\"?"),
        (&["h11", "g1/tele"], "did you mean \"h1\"?"),
        (&["h1", "g1/telle"], "did you mean \"tele\"?"),
        (&["h1", "g1", "tcp:x"], "write a service with or without a topic"),
    ] {
        let (code, said, wrong) =
            run(&[("p.toml", POLICY)], &[&["explain", "--policy", "p.toml"], args].concat());
        assert_eq!((code, said.as_str()), (2, ""), "{args:?}");
        assert!(wrong.contains(words), "{args:?}: {wrong}");
    }
}

#[test]
fn a_policy_differs_from_itself_in_nothing() {
    let (code, said) = says(&["policy", "diff", "p.toml", "p.toml"]);
    assert_eq!((code, said.as_str()), (0, "p.toml → p.toml: no difference in what passes\n"));
}

#[test]
fn a_difference_is_told_by_who_gains_and_who_loses() {
    let after = POLICY
        .replace("topics = [\"temp.\"]", "topics = [\"temp.\", \"vib.x\"]")
        .replace("8000-8080", "8010-8080")
        .replace("\"64KiB\"", "\"1MiB\"")
        .replace("h2 = { role = \"hist\" }", "h2 = { role = \"hist\" }\nh3 = { role = \"hist\" }");
    let files = [("a.toml", POLICY), ("b.toml", after.as_str())];
    let (code, said, _) = run(&files, &["policy", "diff", "a.toml", "b.toml"]);
    let expected = "\
a.toml → b.toml

GAINED
node=h1
  role=gw (g1)  tele vib.x*         temp (line 16)
role=hist (h2)
  role=gw (g1)  tele vib.x*         temp (line 16)
role=hist, new (h3)
  role=gw (g1)  tele temp.* vib.x*  temp (line 16)

LOST
node=h1
  role=hmi (m1)  tcp 8000-8009  web (line 25)

LIMITS
  service.tele: max-message 64KiB, rate 2000/s → max-message 1MiB, rate 2000/s
";
    assert_eq!((code, said.as_str()), (1, expected));
    let (code, said, _) = run(&files, &["policy", "diff", "--json", "b.toml", "a.toml"]);
    let report = parsed(&said);
    assert_eq!((code, &report["same"]), (1, &json!(false)));
    assert_eq!(report["lost"].as_array().map(Vec::len), Some(3));
    assert_eq!(report["gained"][0]["tcp"][0]["first"], 8000);
    assert_eq!(report["gained"][0]["from"], json!({ "name": "node=h1", "nodes": ["h1"] }));
}

#[test]
fn check_tells_mistakes_then_warnings_then_notes_by_exit_code() {
    let summary = "p.toml: ok: 4 nodes, 1 service, 3 rules, 0 tests\n";
    assert_eq!(says(&["policy", "check", "p.toml"]), (0, summary.to_owned()));

    let needless = format!("{POLICY}[[allow]]\nid = \"more\"\nfrom = \"node=m1\"\nto = \"role=gw tcp:22\"\n");
    let (code, said, _) = run(&[("p.toml", &needless)], &["policy", "check", "p.toml"]);
    let expected = "\
warning: p.toml:29: allow: more allows nothing that is not allowed without it
  hint: it is covered by ssh (p.toml:21): remove it, or narrow that
p.toml: 1 warning: 4 nodes, 1 service, 4 rules, 0 tests
";
    assert_eq!((code, said.as_str()), (1, expected));
    let (code, said, _) = run(&[("p.toml", &needless)], &["policy", "check", "--json", "p.toml"]);
    let report = parsed(&said);
    assert_eq!((code, &report["ok"], &report["mistakes"]), (1, &json!(false), &json!([])));
    assert_eq!(report["findings"][0]["kind"], "shadowed");

    let idle = POLICY.replace("[tags]", "[tags]\nsite = [\"north\"]");
    let (code, said, _) = run(&[("p.toml", &idle)], &["policy", "check", "p.toml"]);
    assert!(code == 0 && said.contains("note: p.toml: tags.site:") && said.contains("ok, 1 note"), "{said}");

    let wrong = POLICY.replace("role=hmi\"", "role=hmmi\"").replace("socket = \"pub\"", "socket = \"pab\"");
    let (code, said, told) = run(&[("p.toml", &wrong)], &["policy", "check", "p.toml"]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(told.contains("p.toml:23") && told.contains("did you mean \"hmi\"?"), "{told}");
    let (code, said, _) = run(&[("p.toml", &wrong)], &["policy", "check", "--json", "p.toml"]);
    assert!(code == 1 && parsed(&said)["mistakes"][0]["line"] == 23, "{said}");
}

#[test]
fn the_policy_is_the_one_of_the_configuration_unless_it_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(run_in(dir.path(), &["init", "--name", "n1", "--dir", "etc"]).0, 0);
    let policy = dir.path().join("etc/policy.toml");
    let (code, said, wrong) = run_in(dir.path(), &["reach", "-c", "etc/lockgate.toml"]);
    assert!(code == 0 && said.contains(&policy.display().to_string()), "{said} {wrong}");
    let (code, _, wrong) = run_in(dir.path(), &["reach", "--policy", "none.toml"]);
    assert!(code == 1 && wrong.contains("none.toml does not exist") && wrong.contains("hint:"), "{wrong}");
    let (code, _, wrong) = run_in(dir.path(), &["reach", "-c", "none.toml"]);
    assert!(code == 1 && wrong.contains("none.toml") && wrong.contains("lockgate init"), "{wrong}");
}

/// A moment as TOML writes it.
fn moment(when: &str) -> String {
    let output =
        Command::new("date").args(["-u", "-d", when, "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn a_capability_counts_while_it_is_granted() {
    let granted = |from: &str, until: &str| {
        let (from, until) = (moment(from), moment(until));
        format!(
            "{POLICY}[capability.fix]\nto = \"role=gw tcp:443\"\nmax-ttl = \"4h\"\n\
             [[grant]]\ncapability = \"fix\"\nnode = \"h2\"\nfrom = {from}\nuntil = {until}\n"
        )
    };
    let (now, over) = (granted("-1 hour", "+1 hour"), granted("-3 hours", "-90 minutes"));
    let files = [("now.toml", now.as_str()), ("over.toml", over.as_str())];
    let explain =
        |policy: &str, who: &str| run(&files, &["explain", "--policy", policy, who, "g1", "tcp:443"]);
    let (code, said, _) = explain("now.toml", "h2");
    assert!(
        code == 0
            && said.contains(" rule     capability.fix (now.toml:29): a capability to role=gw tcp:443\n"),
        "{said}"
    );
    for (policy, who) in [("over.toml", "h2"), ("now.toml", "h1")] {
        let (code, said, _) = explain(policy, who);
        let mend = format!(" to allow grant {who} the capability fix (line 29)\n");
        assert!(code == 1 && said.contains(&mend), "{said}");
    }
    let (code, said, _) = run(&files, &["policy", "diff", "over.toml", "now.toml"]);
    assert!(code == 1 && said.contains("  role=gw (g1)  tcp 443  capability.fix (line 29)\n"), "{said}");
    let (code, said, _) = run(&files, &["policy", "check", "over.toml"]);
    assert!(code == 1 && said.contains("h2 no longer holds fix: it ended 90min ago"), "{said}");
}

#[test]
fn flow_rules_count_in_the_matrix_and_name_the_nodes_that_they_single_out() {
    let rules = "rules = '''\ndrop ztsrc h1 and ipprotocol tcp and dport 8010-8019;\n'''\n";
    let policy = POLICY.replace("[tags]", &format!("{rules}[tags]"));
    let (code, said, wrong) = run(&[("p.toml", &policy)], &["reach", "--policy", "p.toml"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(said.contains("  role=hmi    tcp 8000-8009, 8020-8080  web (line 28)\n"), "{said}");
    let (code, said, _) =
        run(&[("p.toml", &policy)], &["explain", "--policy", "p.toml", "h1", "m1/tcp:8015"]);
    assert!(code == 1 && said.contains("rules (p.toml:3)"), "{said}");
}
