//! What `policy test` found, for people.

use lockgate_proto::trial::{Coverage, Mutation, Remedy};

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
    remedies(report, &mut lines);
    summary(report, &mut lines);
    lines
}

fn gaps(file: &str, coverage: &Coverage, lines: &mut Vec<String>) {
    for gap in &coverage.gaps {
        lines.push(format!("NOT COVERED {file}:{}: {}: {}", gap.line, gap.rule, lack(gap)));
        lines.extend(gap.remedy.as_ref().map(|remedy| format!("  such as  {}", claim(remedy))));
    }
}

fn survivors(file: &str, mutation: &Mutation, lines: &mut Vec<String>) {
    for survivor in &mutation.survivors {
        lines.push(format!("SURVIVED {file}:{}: {}: {}", survivor.line, survivor.rule, survivor.change));
        lines.push(format!("  noticed by  {}", claim(&survivor.remedy)));
    }
}

/// `from = "edge-south"  deny = ["edge-north/tcp:22"]`.
fn claim(remedy: &Remedy) -> String {
    Remedy::tests([remedy])[1..].join("  ")
}

/// Every claim that is missing, as a piece of the policy file.
fn remedies(report: &Report<'_>, lines: &mut Vec<String>) {
    let gaps = report.coverage.iter().flat_map(|coverage| &coverage.gaps);
    let survivors = report.mutation.iter().flat_map(|mutation| &mutation.survivors);
    let remedies = gaps.filter_map(|gap| gap.remedy.as_ref()).chain(survivors.map(|one| &one.remedy));
    let tests = Remedy::tests(remedies);
    if !tests.is_empty() {
        lines.push(
            "What is missing; add what says what you mean, and mend the rule where it does not:".to_owned(),
        );
        lines.extend(tests.iter().map(|line| format!("  {line}")));
    }
}

fn summary(report: &Report<'_>, lines: &mut Vec<String>) {
    let (file, failed) = (&report.policy.file, report.failed());
    lines.push(format!("{file}: {} passed, {failed} failed", report.judged.len() - failed));
    if report.judged.is_empty() {
        lines.push(format!("note: {NO_TESTS}"));
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

/// `34, killed 33, survived 1, equivalent 5`, and what else there was.
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

const NO_TESTS: &str = "there is no [[test]]: nothing says what must pass and what must not; add one, as in\n  \
                        [[test]]\n  from = \"edge-south\"\n  deny = [\"edge-north/tcp:22\"]";
