//! What `policy test` found, for people.

use lockgate_proto::trial::{Coverage, Mutation};

use super::{Report, lack, verdict};

pub(super) fn lines(report: &Report<'_>) -> Vec<String> {
    let file = &report.policy.file;
    let mut lines = Vec::new();
    for judged in report.judged.iter().filter(|judged| !judged.holds()) {
        let (line, expected, claim) = (judged.claim.line, judged.expected, &judged.claim.text);
        lines.push(format!("FAILED {file}:{line}: {expected} {claim} from {}", judged.test.from));
        lines.push(format!("  {}", verdict(judged)));
    }
    if let Some(coverage) = &report.coverage {
        gaps(file, coverage, &mut lines);
    }
    if let Some(mutation) = &report.mutation {
        survivors(file, mutation, &mut lines);
    }
    summary(report, &mut lines);
    lines
}

fn gaps(file: &str, coverage: &Coverage, lines: &mut Vec<String>) {
    for gap in &coverage.gaps {
        lines.push(format!("NOT COVERED {file}:{}: {}: {}", gap.line, gap.rule, lack(gap.missing)));
    }
}

fn survivors(file: &str, mutation: &Mutation, lines: &mut Vec<String>) {
    for survivor in &mutation.survivors {
        lines.push(format!("SURVIVED {file}:{}: {}: {}", survivor.line, survivor.rule, survivor.change));
        lines.push("  no test notices; this one would:".to_owned());
        lines.extend(survivor.remedy.lines().iter().map(|line| format!("    {line}")));
    }
}

fn summary(report: &Report<'_>, lines: &mut Vec<String>) {
    let (file, failed) = (&report.policy.file, report.failed());
    lines.push(format!("{file}: {} passed, {failed} failed", report.judged.len() - failed));
    if report.judged.is_empty() {
        lines.push(
            "note: there is no [[test]]: nothing says what must pass and what must not; add one, as in".to_owned(),
        );
        lines.push("  [[test]]".to_owned());
        lines.push("  from = \"edge-south\"".to_owned());
        lines.push("  deny = [\"edge-north/tcp:22\"]".to_owned());
    }
    if let Some(coverage) = &report.coverage {
        lines.push(format!("cover: {} of {} rules", coverage.covered(), coverage.rules));
    }
    if let Some(mutation) = &report.mutation {
        lines.push(format!("mutants: {}", counts(mutation)));
    } else if report.wants_mutation {
        lines.push("mutants: not tried while a claim fails".to_owned());
    }
}

/// `34, killed 33, survived 1, equivalent 5`, and where there are some what else there was.
pub(super) fn counts(mutation: &Mutation) -> String {
    let (killed, survived) = (mutation.killed, mutation.survivors.len());
    let mut counts = format!(
        "{}, killed {killed}, survived {survived}, equivalent {}",
        mutation.mutants(),
        mutation.equivalent
    );
    for (count, name) in [(mutation.unreachable, "unreachable"), (mutation.refused, "refused")] {
        if count > 0 {
            counts.push_str(&format!(", {name} {count}"));
        }
    }
    counts
}
