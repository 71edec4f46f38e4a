//! `policy test`: the tests in the file, which rules they need, and which slips they would notice.

mod json;
mod junit;
mod progress;
mod target;
mod text;

use lockgate_proto::policy::Policy;
use lockgate_proto::trial::{self, Coverage, Gap, Judged, Missing, Mutation};

use super::super::{Failure, print, unwritable};
use super::file;
use crate::cli::Common;
use crate::cli::policy::PolicyTest;
use crate::machine::files_write::{Access, Existing, write};
use progress::Progress;

/// Runs the tests and prints what came of them; exit code 1 where something was found.
pub(super) fn run(options: &PolicyTest, common: &Common) -> Result<(), Failure> {
    let path = file::locate(options.file.as_deref(), common)?;
    if let Some(report) = &options.junit {
        target::check(report, &path)?;
    }
    let (policy, rules) = file::load(Some(&path), common)?;
    let judged = trial::judge(&policy, &rules);
    let report = Report::new(&policy, judged, options);
    if let Some(path) = &options.junit {
        let written = write(path, &junit::document(&report), Access::Everyone, Existing::Replace);
        written.map_err(|error| unwritable(path, &error, "name another file"))?;
    }
    if common.json {
        print(json::document(&report))?;
    } else {
        for line in text::lines(&report) {
            print(line)?;
        }
    }
    if report.is_fine() { Ok(()) } else { Err(Failure::Reported) }
}

/// Everything that was found out.
struct Report<'p> {
    policy: &'p Policy,
    judged: Vec<Judged<'p>>,
    /// `None` where it was not asked for.
    coverage: Option<Coverage>,
    /// `None` where it was not asked for, or where claims fail: mutants of a policy that is wrong mean nothing.
    mutation: Option<Mutation>,
    wants_mutation: bool,
}

impl<'p> Report<'p> {
    fn new(policy: &'p Policy, judged: Vec<Judged<'p>>, options: &PolicyTest) -> Self {
        let all_hold = judged.iter().all(Judged::holds);
        Self {
            coverage: options.cover.then(|| trial::cover(policy, &judged)),
            mutation: (options.mutate && all_hold).then(|| mutate(policy)),
            wants_mutation: options.mutate,
            policy,
            judged,
        }
    }

    fn failed(&self) -> usize {
        self.judged.iter().filter(|judged| !judged.holds()).count()
    }

    /// Whether nothing was found. Without a test nothing is known, which is no answer to whoever asks how good they are.
    fn is_fine(&self) -> bool {
        let asked = self.coverage.is_some() || self.wants_mutation;
        self.failed() == 0
            && !(asked && self.judged.is_empty())
            && self.coverage.as_ref().is_none_or(|coverage| coverage.gaps.is_empty())
            && self.mutation.as_ref().is_none_or(|mutation| mutation.survivors.is_empty())
    }
}

/// On a terminal with a word about how far it is.
fn mutate(policy: &Policy) -> Mutation {
    let mut progress = Progress::on_stderr();
    trial::mutate_telling(policy, &mut |done, all| progress.tell(done, all, "mutants tried"))
}

/// What is wrong with a claim that does not hold.
fn verdict(judged: &Judged<'_>) -> String {
    let (expected, got) = (judged.expected, judged.got());
    match &judged.answer {
        Ok(rule) => format!("expected {expected}, got {got} by {rule}"),
        Err(denial) => format!("expected {expected}, got {got}: {denial}"),
    }
}

/// What the tests lack, as a sentence.
fn lack(gap: &Gap) -> &'static str {
    match (gap.missing, &gap.remedy) {
        (Missing::Pass, Some(_)) => "no claim under `allow` passes by it",
        (Missing::Pass, None) => {
            "nothing passes by it between these nodes, or other rules let it pass before"
        }
        (Missing::NearMiss, _) => "no claim under `deny` fails by one of its conditions alone",
        (Missing::Forbidden, Some(_)) => "no claim under `deny` is what it forbids",
        (Missing::Decision, _) => "it decides no claim",
        (Missing::Forbidden, None) => "there is nothing between these nodes that it forbids",
    }
}
