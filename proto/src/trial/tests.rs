use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;

/// Two gateways, one historian, one screen.
pub(super) const PLANT: &str = r#"default = "deny"
[tags]
role = ["gw", "historian", "hmi"]
site = ["north", "south"]
[nodes]
n1 = { role = "gw", site = "north" }
n2 = { role = "gw", site = "south" }
hist = { role = "historian", site = "south" }
hmi = { role = "hmi", site = "north" }
[service.telemetry]
hosted-by = "role=gw"
socket = "pub"
topics = ["temp.", "vib."]
[[allow]]
id = "trend"
from = "role=historian"
to = "telemetry"
topics = ["temp."]
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw site=north tcp:22"
"#;

pub(super) fn policy(tests: &str) -> Policy {
    let text = format!("{PLANT}{tests}");
    Policy::parse("plant.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

pub(super) const GOOD: &str = r#"
[[test]]
from = "hist"
allow = ["n1/telemetry#temp.1", "n2/telemetry"]
deny = ["n1/telemetry#vib.1", "n1/tcp:22"]
[[test]]
from = "hmi"
allow = ["n1/tcp:22"]
deny = ["n1/tcp:23", "n2/tcp:22", "n1/icmp", "n1/telemetry"]
"#;

#[test]
fn a_claim_names_the_rule_that_decides_it_or_the_nearest() {
    let policy = policy(GOOD);
    let judged = judge(&policy, &Rules::compile(&policy, 1));
    let seen: Vec<String> = judged
        .iter()
        .map(|judged| {
            let rule = match &judged.answer {
                Ok(rule) => rule.id.to_string(),
                Err(denial) => denial.nearest.as_ref().map_or("none".into(), |rule| rule.id.to_string()),
            };
            format!("{}: {} {}: {rule}", judged.claim.line, judged.got(), judged.claim.text)
        })
        .collect();
    assert_eq!(
        seen,
        [
            "26: allow n1/telemetry#temp.1: trend",
            "26: allow n2/telemetry: trend",
            "27: deny n1/telemetry#vib.1: trend",
            "27: deny n1/tcp:22: ssh",
            "30: allow n1/tcp:22: ssh",
            "31: deny n1/tcp:23: ssh",
            "31: deny n2/tcp:22: ssh",
            "31: deny n1/icmp: ssh",
            "31: deny n1/telemetry: trend",
        ]
    );
    assert!(judged.iter().all(Judged::holds));
}

#[test]
fn a_wrong_claim_does_not_hold() {
    let policy = policy("[[test]]\nfrom = 'hist'\nallow = ['n1/icmp']\ndeny = ['n1/telemetry']\n");
    let judged = judge(&policy, &Rules::compile(&policy, 1));
    let held: Vec<_> = judged.iter().map(|judged| (judged.expected, judged.got(), judged.holds())).collect();
    assert_eq!(held, [(Expected::Allow, Expected::Deny, false), (Expected::Deny, Expected::Allow, false)]);
}

#[test]
fn a_rule_without_a_pass_or_a_near_miss_is_not_covered() {
    let gaps = |tests: &str| {
        let policy = policy(tests);
        let coverage = cover(&policy, &judge(&policy, &Rules::compile(&policy, 1)));
        let gaps: Vec<String> =
            coverage.gaps.iter().map(|gap| format!("{} {:?}", gap.rule, gap.missing)).collect();
        (coverage.covered(), coverage.rules, gaps.join(", "))
    };
    assert_eq!(gaps(GOOD), (2, 2, String::new()));
    assert_eq!(gaps(""), (0, 2, "trend Pass, trend NearMiss, ssh Pass, ssh NearMiss".into()));
    let pass = "[[test]]\nfrom = 'hmi'\nallow = ['n1/tcp:22']\n";
    assert_eq!(gaps(pass), (0, 2, "trend Pass, trend NearMiss, ssh NearMiss".into()));
    let both = format!("{pass}deny = ['n1/udp:22']\n");
    assert_eq!(gaps(&both), (1, 2, "trend Pass, trend NearMiss".into()));
    // A claim that fails proves nothing.
    let wrong = "[[test]]\nfrom = 'hist'\nallow = ['n1/tcp:22']\ndeny = ['n1/telemetry']\n";
    assert_eq!(gaps(wrong).0, 0);
}

#[test]
fn a_forbid_is_covered_by_a_denied_claim_that_it_is_about() {
    let with = |to: &str, claim: &str| {
        let tests = format!(
            "[[forbid]]\nid = 'never'\nfrom = 'role=gw'\nto = '{to}'\n[[test]]\nfrom = 'n1'\ndeny = ['{claim}']\n"
        );
        let policy = policy(&tests);
        let coverage = cover(&policy, &judge(&policy, &Rules::compile(&policy, 1)));
        !coverage.gaps.iter().any(|gap| gap.missing == Missing::Forbidden)
    };
    for (to, claim, covered) in [
        ("role=gw", "n2/icmp", true),
        ("role=gw", "n2/telemetry#temp.1", true),
        ("role=gw", "hist/icmp", false),
        ("telemetry", "n2/telemetry", true),
        ("telemetry", "n2/tcp:22", false),
        ("role=hmi tcp:80-90", "hmi/tcp:90", true),
        ("role=hmi tcp:80-90", "hmi/tcp:91", false),
        ("role=hmi tcp:80-90", "hmi/udp:80", false),
        ("role=hmi icmp", "hmi/icmp", true),
    ] {
        assert_eq!(with(to, claim), covered, "{to} {claim}");
    }
}
