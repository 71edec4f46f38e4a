//! Findings of small policies, one a row.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::*;

/// Nothing is to be found in it.
const CLEAN: &str = r#"default = "deny"
[tags]
role = ["gw", "hist", "hmi"]
[nodes]
g1 = { role = "gw" }
h1 = { role = "hist" }
h2 = { role = "hist" }
m1 = { role = "hmi" }
[service.tele]
hosted-by = "role=gw"
socket = "pub"
topics = ["temp.", "vib."]
max-message = "64KiB"
[[allow]]
id = "temp"
from = "role=hist"
to = "tele"
topics = ["temp."]
review = 2027-03-31
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw tcp:22-30"
"#;

/// 2026-11-22.
const TODAY: Duration = Duration::from_secs(20_779 * 86_400);

fn found(text: &str) -> Vec<(FindingKind, usize, String)> {
    let policy = Policy::parse("p.toml", text).unwrap_or_else(|mistakes| panic!("{mistakes:?} in\n{text}"));
    let found = findings(&policy, &Rules::compile(&policy, 1), TODAY);
    found.into_iter().map(|finding| (finding.kind, finding.told.line, finding.to_string())).collect()
}

#[test]
fn a_policy_in_which_every_rule_is_needed_has_no_findings() {
    assert_eq!(found(CLEAN), []);
}

#[test]
fn what_is_needless_broad_overdue_or_unused_is_found() {
    use FindingKind::{Broad, Dead, Expired, Overdue, Shadowed, Unused};
    let allow = |rest: &str| format!("[[allow]]\nid = \"x\"\n{rest}\n");
    #[rustfmt::skip]
    let rows: &[(String, FindingKind, usize, &str)] = &[
        (allow("from = \"role=hist\"\nto = \"tele\"\ntopics = [\"temp.a\"]"), Shadowed, 24, "covered by temp (p.toml:14)"),
        (allow("from = \"role=hist\"\nto = \"tele\"\ntopics = [\"temp.\"]"), Shadowed, 24, "covered by temp (p.toml:14)"),
        (allow("from = \"role=hmi\"\nto = \"role=gw tcp:22\""), Shadowed, 24, "covered by ssh (p.toml:20)"),
        (allow("from = \"role=hmi\"\nto = \"node=g1 tcp:25-30\""), Shadowed, 24, "covered by ssh (p.toml:20)"),
        (allow("from = \"role=hmi\"\nto = \"role=gw tcp:1-40\""), Shadowed, 20, "covered by x (p.toml:24)"),
        (allow("from = \"node=g1\"\nto = \"role=gw icmp\""), Dead, 24, "x lets nothing pass"),
        (allow("from = \"node=m1\"\nto = \"role=hmi udp:53\""), Dead, 24, "x lets nothing pass"),
        (allow("from = \"role=hmi\"\nto = \"role=hist tcp:1000-2024\""), Broad, 24, "x opens 1025 ports: tcp:1000-2024"),
        (allow("from = \"role=hmi\"\nto = \"tele\""), Broad, 24, "x lets every topic of tele pass"),
        (allow("from = \"role=hmi\"\nto = \"role=hist icmp\"\nreview = 2026-11-21"), Overdue, 24, "due on 2026-11-21"),
    ];
    for (more, kind, line, words) in rows {
        let found = found(&format!("{CLEAN}{more}"));
        let [(is, at, told)] = &found[..] else { panic!("{more}: {found:?}") };
        assert_eq!((is, at), (kind, line), "{more}: {told}");
        assert!(told.contains(words), "{more}: {told}");
    }
    for (more, kind, words) in [
        (
            "[[allow]]\nid = \"x\"\nfrom = \"role=hist\"\nto = \"role=hist tcp:80\"\nreview = 2026-11-22\n",
            None,
            "",
        ),
        (
            "[[allow]]\nid = \"x\"\nfrom = \"role=hist\"\nto = \"tele\"\ntopics = [\"temp.a\", \"vib.\"]\n",
            None,
            "",
        ),
        (
            "[capability.c]\nto = \"role=hist tcp:9\"\nmax-ttl = \"4h\"\n[[grant]]\ncapability = \"c\"\nnode = \"m1\"\n\
             from = 2026-11-20T08:00:00Z\nuntil = 2026-11-20T10:00:00Z\n",
            Some(Expired),
            "m1 no longer holds c: it ended 38h ago",
        ),
    ] {
        let found = found(&format!("{CLEAN}{more}"));
        assert_eq!(found.first().map(|(kind, ..)| *kind), kind, "{more}: {found:?}");
        assert!(found.iter().all(|(_, _, told)| told.contains(words)), "{found:?}");
    }
    for (old, new, kind, words) in [
        (
            "role = [\"gw\", ",
            "site = [\"a\"]\nrole = [\"gw\", ",
            Unused,
            "note: p.toml: tags.site: no rule asks for the tag site",
        ),
        ("\"hmi\"]", "\"hmi\", \"x\"]", Unused, "no node carries role=x, and no rule asks for it"),
        ("h2 = { role = \"hist\" }", "h2 = {}", Unused, "nothing passes from or to h2"),
    ] {
        let text = CLEAN.replace(old, new);
        let found = found(&text);
        assert!(found.len() == 1 && found[0].0 == kind && found[0].2.contains(words), "{new}: {found:?}");
    }
}

#[test]
fn a_rule_with_wider_limits_is_not_shadowed() {
    let narrow = CLEAN.replace("topics = [\"temp.\"]\n", "topics = [\"temp.\"]\nmax-message = \"1KiB\"\n");
    let wide = "[[allow]]\nid = \"x\"\nfrom = \"role=hist\"\nto = \"tele\"\ntopics = [\"temp.\"]\n";
    let found = found(&format!("{narrow}{wide}"));
    assert_eq!(
        found.iter().map(|(kind, line, _)| (*kind, *line)).collect::<Vec<_>>(),
        [(FindingKind::Shadowed, 14)]
    );
}

#[test]
fn a_service_that_every_node_may_use_by_several_rules_is_broad() {
    let allow = |id: &str, who: &str| {
        format!("[[allow]]\nid = \"{id}\"\nfrom = \"role={who}\"\nto = \"tele\"\ntopics = [\"vib.\"]\n")
    };
    // The only host has nobody to use it of.
    let all = format!("{CLEAN}{}", allow("x", "hmi"));
    let told = found(&all);
    assert!(told.len() == 1 && told[0].0 == FindingKind::Broad && told[0].1 == 9, "{told:?}");
    assert!(told[0].2.contains("every node may use tele"), "{told:?}");
    let two_hosts = all.replace("g1 = ", "g0 = { role = \"gw\" }\ng1 = ");
    assert_eq!(found(&two_hosts), []);
    assert_eq!(found(&format!("{two_hosts}{}", allow("y", "gw"))).len(), 1);
}

#[test]
fn a_finding_reads_as_a_warning_with_its_place_and_its_mend() {
    let more = "[[allow]]\nid = \"x\"\nfrom = \"role=hmi\"\nto = \"role=gw tcp:22\"\n";
    let found = found(&format!("{CLEAN}{more}"));
    assert_eq!(
        found[0].2.to_string(),
        "warning: p.toml:24: allow: x allows nothing that is not allowed without it\n  hint: it is covered by ssh (p.toml:20): \
         remove it, or narrow that"
    );
}
