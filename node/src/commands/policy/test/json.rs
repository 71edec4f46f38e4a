//! What `policy test` found, for programs.

use serde_json::{Value, json};

use lockgate_proto::rules::RuleRef;
use lockgate_proto::trial::{Coverage, Gap, Judged, Missing, Mutation, Remedy, Survivor};

use super::Report;

pub(super) fn document(report: &Report<'_>) -> Value {
    let failed = report.failed();
    let mut document = json!({
        "file": report.policy.file,
        "ok": report.is_fine(),
        "passed": report.judged.len() - failed,
        "failed": failed,
        "claims": report.judged.iter().map(claim).collect::<Vec<_>>(),
    });
    if let Some(found) = &report.coverage {
        document["cover"] = coverage(found);
    }
    if let Some(found) = &report.mutation {
        document["mutants"] = mutation(found);
    }
    document
}

fn claim(judged: &Judged<'_>) -> Value {
    let (rule, reason) = match &judged.answer {
        Ok(rule) => (Some(rule), None),
        Err(denial) => (denial.nearest.as_ref(), Some(denial.to_string())),
    };
    json!({
        "line": judged.claim.line,
        "test": judged.test.line,
        "from": judged.test.from,
        "hold": judged.test.hold.iter().map(|held| held.value.as_str()).collect::<Vec<_>>(),
        "claim": judged.claim.text,
        "expected": judged.expected.to_string(),
        "got": judged.got().to_string(),
        "ok": judged.holds(),
        "rule": rule.map(place),
        "reason": reason,
    })
}

fn place(rule: &RuleRef) -> Value {
    json!({ "id": &*rule.id, "file": &*rule.file, "line": rule.line })
}

fn coverage(coverage: &Coverage) -> Value {
    json!({
        "rules": coverage.rules,
        "covered": coverage.covered(),
        "gaps": coverage.gaps.iter().map(gap).collect::<Vec<_>>(),
    })
}

fn gap(gap: &Gap) -> Value {
    let missing = match gap.missing {
        Missing::Pass => "allow",
        Missing::NearMiss => "near-miss",
        Missing::Decision => "decision",
        Missing::Forbidden => "forbidden",
    };
    json!({ "line": gap.line, "rule": gap.rule, "missing": missing, "test": gap.remedy.as_ref().map(test) })
}

fn mutation(mutation: &Mutation) -> Value {
    json!({
        "mutants": mutation.mutants(),
        "killed": mutation.killed,
        "survived": mutation.survivors.iter().map(survivor).collect::<Vec<_>>(),
        "equivalent": mutation.equivalent,
        "unreachable": mutation.unreachable,
        "refused": mutation.refused,
    })
}

fn survivor(survivor: &Survivor) -> Value {
    json!({
        "line": survivor.line,
        "rule": survivor.rule,
        "change": survivor.change,
        "test": test(&survivor.remedy),
    })
}

/// A test that would fill the gap.
fn test(remedy: &Remedy) -> Value {
    json!({
        "from": remedy.from,
        "hold": remedy.hold,
        "expected": remedy.expected.to_string(),
        "claim": remedy.claim,
    })
}
