//! What rules grant, what they deny, and why.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::zmtp::SocketType as S;

const POLICY: &str = r#"
default = "deny"
[tags]
role = ["gw", "hist", "hmi"]
site = ["north", "south"]
[nodes]
g1 = { role = "gw", site = "north" }
h1 = { role = "hist", site = "south" }
h2 = { role = "hist", site = "north" }
m1 = { role = "hmi", site = "south" }
[service.tele]
hosted-by = "role=gw"
sockets = ["pub", "xpub"]
topics = ["temp.", "vib."]
max-message = "64KiB"
rate = "2000/s"
[service.cmd]
hosted-by = "role=gw"
socket = "rep"
[[allow]]
id = "temp"
from = "role=hist"
to = "tele"
topics = ["temp."]
max-message = "1KiB"
rate = "10/s"
[[allow]]
id = "all-south"
from = "role=hist site=south"
to = "tele"
topics = ["temp.a.", "v"]
[[allow]]
id = "cmd"
from = "role=hist"
to = "cmd"
sockets = ["req"]
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw tcp:22"
"#;

fn rules() -> Rules {
    Rules::compile(&Policy::parse("p.toml", POLICY).expect("it is valid"), 7)
}

fn opening<'a>(user: &'a str, host: &'a str, service: &'a str, socket: S) -> Opening<'a> {
    Opening { user, host, service, socket, identity: &[] }
}

#[test]
fn a_grant_is_the_union_of_its_rules_within_the_service() {
    let rules = rules();
    assert_eq!(rules.generation(), 7);
    let one = rules.open(&opening("h2", "g1", "tele", S::Sub)).expect("allowed");
    assert_eq!(one.rules().iter().map(ToString::to_string).collect::<Vec<_>>(), ["temp (p.toml:20)"]);
    assert_eq!(one.host_sockets(), [S::Pub, S::Xpub]);
    assert_eq!((one.max_message(), one.rate()), (1024, Some(Rate::per_second(10))));
    assert_eq!((one.restricts_topics(), one.longest_topic()), (true, 5));

    let both = rules.open(&opening("h1", "g1", "tele", S::Xsub)).expect("allowed");
    let ids: Vec<&str> = both.rules().iter().map(|rule| &*rule.id).collect();
    assert_eq!(ids, ["all-south", "temp"]);
    assert_eq!((both.max_message(), both.rate()), (65_536, Some(Rate::per_second(2000))));
    for (message, rule, most) in [
        ("temp.a.1", Ok(0), 65_536),
        ("temp.b", Ok(1), 1024),
        ("vib.x", Ok(0), 65_536),
        ("v", Err(()), 0),
        ("temp", Err(()), 0),
        ("", Err(()), 0),
        ("raw.", Err(()), 0),
    ] {
        let wanted = rule.map(|rule| Passed { rule, limit: most });
        assert_eq!(both.publish(message.as_bytes()), wanted, "{message}");
    }
}

#[test]
fn a_subscription_may_be_wider_than_a_rule_but_not_beside_it() {
    let grant = rules().open(&opening("h2", "g1", "tele", S::Sub)).expect("allowed");
    for (topic, passes) in [
        ("", true),
        ("t", true),
        ("temp.", true),
        ("temp.9", true),
        ("temp/", false),
        ("vib.", false),
        ("x", false),
    ] {
        assert_eq!(grant.subscribe(topic.as_bytes()).is_ok(), passes, "{topic}");
    }
    assert!(grant.publish(b"vib.1").is_err(), "SUBSCRIBE \"\" does not let through what the topics forbid");
}

#[test]
fn without_topics_and_limits_everything_fits_up_to_64_mib() {
    let grant = rules().open(&opening("h1", "g1", "cmd", S::Req)).expect("allowed");
    assert_eq!((grant.max_message(), grant.rate()), (64 << 20, None));
    assert_eq!((grant.restricts_topics(), grant.longest_topic()), (false, 0));
    let passed = Passed { rule: 0, limit: 64 << 20 };
    assert_eq!((grant.publish(b""), grant.subscribe(b"x")), (Ok(passed), Ok(0)));
}

#[test]
fn a_denial_names_the_nearest_rule_and_why_it_does_not_match() {
    let rules = rules();
    for (asked, told) in [
        (
            ("m1", "g1", "tele", S::Sub),
            "no rule lets a SUB socket of m1 use tele; nearest rule temp (p.toml:20): it is for role=hist: m1 has role=hmi",
        ),
        (
            ("h1", "g1", "cmd", S::Dealer),
            "no rule lets a DEALER socket of h1 use cmd; nearest rule cmd (p.toml:32): it is for REQ sockets",
        ),
        (
            ("h1", "g1", "cmd", S::Sub),
            "a SUB socket of h1 cannot talk to cmd; nearest rule service.cmd (p.toml:17): it is offered by REP",
        ),
        (
            ("h1", "h2", "tele", S::Sub),
            "node h2 may not host tele; nearest rule service.tele (p.toml:11): it is hosted by role=gw: h2 has role=hist",
        ),
        (("h1", "g1", "tel", S::Sub), "the policy has no service \"tel\"; add it there, or correct the name"),
        (("h9x", "g1", "tele", S::Sub), "the policy has no node \"h9x\"; add it there, or correct the name"),
        (
            ("h1", "zzzzz", "tele", S::Sub),
            "the policy has no node \"zzzzz\"; add it there, or correct the name",
        ),
    ] {
        let (user, host, service, socket) = asked;
        let denial = rules.open(&opening(user, host, service, socket)).expect_err(told);
        assert_eq!(denial.to_string(), told);
    }
}

#[test]
fn no_policy_denies_all_and_says_so() {
    let rules = Rules::nothing();
    assert!(rules.is_nothing() && rules.generation() == 0);
    assert_eq!(rules.renumbered(3).generation(), 0);
    assert_eq!(rules.hosts("tele").count(), 0);
    assert!(rules.may_host("g1", "tele").is_err());
    let denial = rules.open(&opening("h1", "g1", "tele", S::Sub)).expect_err("denied");
    assert!(denial.reason.contains("no policy"), "{denial}");
}

#[test]
fn a_policy_without_rules_grants_nothing() {
    let policy =
        Policy::parse("p.toml", "default = \"deny\"\n[nodes]\na = {}\nb = {}\n").expect("it is valid");
    let rules = Rules::compile(&policy, 1);
    for socket in S::ALL {
        assert!(rules.open(&opening("a", "b", "any", socket)).is_err());
    }
}

#[test]
fn hosts_are_sorted_and_an_unknown_service_has_none() {
    let rules = rules();
    assert_eq!(rules.hosts("tele").collect::<Vec<_>>(), ["g1"]);
    assert_eq!(rules.hosts("none").count(), 0);
    assert!(rules.may_host("g1", "cmd").is_ok() && rules.may_host("h1", "cmd").is_err());
}
