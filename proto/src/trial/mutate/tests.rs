use super::*;
use crate::trial::judge;
use crate::trial::scope::Scope;
use crate::trial::tests::{GOOD, PLANT, policy};

fn told(mutation: &Mutation) -> Vec<String> {
    let tell = |survivor: &Survivor| {
        let remedy = &survivor.remedy;
        format!(
            "{} {}: {}: {} {} {}",
            survivor.line, survivor.rule, survivor.change, remedy.from, remedy.expected, remedy.claim
        )
    };
    mutation.survivors.iter().map(tell).collect()
}

#[test]
fn what_no_test_notices_is_told_with_the_claim_that_would() {
    assert_eq!(
        told(&mutate(&policy(GOOD))),
        [
            "10 service.telemetry: `hosted-by` is every node, not only role=gw: hist deny hmi/telemetry",
            "19 ssh: tcp:22 becomes tcp:21-22: hmi deny n1/tcp:21",
        ]
    );
    let more =
        "[[test]]\nfrom = 'hmi'\ndeny = ['n1/tcp:21']\n[[test]]\nfrom = 'hist'\ndeny = ['hmi/telemetry']\n";
    let mutation = mutate(&policy(&format!("{GOOD}{more}")));
    assert_eq!(told(&mutation), [""; 0]);
    assert_eq!((mutation.mutants(), mutation.killed), (21, 21));
}

/// Adds each remedy until nothing survives: so each one is a claim that holds, and kills what it was told for.
#[test]
fn the_remedies_alone_make_a_policy_whole() {
    let mut tests = String::new();
    let mut rounds = 0;
    loop {
        let policy = policy(&tests);
        let judged = judge(&policy, &Rules::compile(&policy, 1));
        assert!(judged.iter().all(crate::trial::Judged::holds), "{tests}");
        let mutation = mutate(&policy);
        let Some(survivor) = mutation.survivors.first() else {
            assert!(mutation.killed > 15, "{mutation:?}");
            return;
        };
        let before = mutation.survivors.len();
        tests.push_str(&Remedy::tests([&survivor.remedy]).join("\n"));
        tests.push('\n');
        let after = mutate(&crate::trial::tests::policy(&tests)).survivors.len();
        assert!(after < before, "{survivor:?} was no remedy");
        rounds += 1;
        assert!(rounds < 30);
    }
}

#[test]
fn without_tests_every_mutant_that_changes_an_answer_survives() {
    let mutation = mutate(&policy(""));
    assert_eq!(mutation.killed, 0);
    let told = told(&mutation);
    for one in [
        "14 trend: the rule is gone: hist allow n1/telemetry",
        "14 trend: `from` is every node, not only role=historian: hmi deny n1/telemetry",
        "14 trend: `topics` is gone: every topic: hist deny n1/telemetry#vib.",
    ] {
        assert!(told.iter().any(|told| told == one), "{one} in {told:#?}");
    }
}

#[test]
fn a_slip_that_only_shows_on_nodes_that_are_not_listed_is_unreachable() {
    // Every historian is in the south, so that the condition changes nothing between these nodes.
    let text = PLANT.replace("from = \"role=historian\"", "from = \"role=historian site=south\"");
    let policy = Policy::parse("plant.toml", &text).expect("a policy");
    let mutation = mutate(&policy);
    assert!(mutation.unreachable >= 1, "{mutation:?}");
    assert!(!told(&mutation).iter().any(|told| told.contains("loses site=south")));
}

#[test]
fn a_slip_that_a_forbid_refuses_cannot_come_about() {
    let forbid = "[[forbid]]\nid = 'never'\nfrom = 'role=gw'\nto = 'role=gw'\n";
    let mutation = mutate(&policy(&format!("{forbid}{GOOD}")));
    assert!(mutation.refused > 0, "{mutation:?}");
    assert!(!told(&mutation).iter().any(|told| told.contains("gw instead of role=hmi")));
}

/// A scope that were too narrow would call a survivor equivalent.
#[test]
fn a_slip_changes_nothing_outside_its_scope() {
    let more = "[[allow]]\nid = 'ping'\nfrom = 'role=hmi'\nto = 'role=gw icmp'\n\
                [[allow]]\nid = 'range'\nfrom = 'node=hist'\nto = 'role=gw udp:5000-5010'\n\
                [service.command]\nhosted-by = 'role=gw'\nsocket = 'rep'\n\
                [[allow]]\nid = 'orders'\nfrom = 'role=hmi site=north'\nto = 'command'\n\
                [[forbid]]\nid = 'never'\nfrom = 'role=gw'\nto = 'role=historian'\n";
    let policy = mutants::prepared(&policy(more));
    let points = Points::of(&policy);
    let asked = Table::new(points.questions(&policy), &Rules::compile(&policy, 1));
    let (mut parts, mut whole) = (Vec::new(), Vec::new());
    mutants::each(&policy, &mut |mutant| {
        let found = asked.differing(&mutant.scope, &Rules::compile(&mutant.policy, 1));
        parts.push((mutant.rule, mutant.change, found));
    });
    mutants::each_whole(&policy, &mut |mutant| {
        let found = asked.differing(&Scope::Everything, &Rules::compile(&mutant.policy, 1));
        whole.push((mutant.rule, mutant.change, found));
    });
    assert_eq!(parts, whole);
    assert!(parts.iter().any(|(.., found)| found.is_some()));
    assert_eq!(parts.len(), mutants::count(&policy));
}
