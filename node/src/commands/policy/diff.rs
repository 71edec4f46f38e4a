//! `policy diff`: who gains and who loses what.

use std::path::Path;

use serde_json::{Value, json};

use lockgate_proto::analysis::{Class, Difference, LimitChange, Passes, diff, limits_changed};
use lockgate_proto::policy::Policy;

use super::super::reach::{report, table};
use super::super::{Failure, print};
use super::file;
use crate::cli::Common;
use crate::cli::policy::PolicyDiff;

/// Prints the differences; none is exit code 0, any is 1.
pub(super) fn run(options: &PolicyDiff, common: &Common) -> Result<(), Failure> {
    let load = |path: &Path| file::load_now(Some(path), common);
    let (before, rules) = load(&options.before)?;
    let (after, new_rules) = load(&options.after)?;
    let differences = diff((&before, &rules), (&after, &new_rules));
    let limits = limits_changed(&before, &after);
    if common.json {
        print(json(&before, &after, &differences, &limits))?;
    } else {
        print(screen(&before, &after, &differences, &limits))?;
    }
    if differences.is_empty() && limits.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

fn json(before: &Policy, after: &Policy, differences: &[Difference], limits: &[LimitChange]) -> Value {
    let side = |which: fn(&Difference) -> &Passes| -> Vec<Value> {
        let some = differences.iter().filter(|difference| !which(difference).is_nothing());
        some.map(|difference| {
            let mut report = report::passes(which(difference));
            report["from"] = json!({ "name": difference.from.name, "nodes": difference.from.nodes });
            report["to"] = json!({ "name": difference.to.name, "nodes": difference.to.nodes });
            report
        })
        .collect()
    };
    json!({
        "before": before.file,
        "after": after.file,
        "same": differences.is_empty() && limits.is_empty(),
        "gained": side(|difference| &difference.gained),
        "lost": side(|difference| &difference.lost),
        "limits": limits.iter()
            .map(|change| json!({ "id": change.id, "before": change.before, "after": change.after }))
            .collect::<Vec<_>>(),
    })
}

fn screen(before: &Policy, after: &Policy, differences: &[Difference], limits: &[LimitChange]) -> String {
    let files = format!("{} → {}", before.file, after.file);
    if differences.is_empty() && limits.is_empty() {
        return format!("{files}: no difference in what passes");
    }
    let mut lines = vec![files, String::new(), "GAINED".to_owned()];
    lines.extend(side(differences, &after.file, |difference| &difference.gained));
    lines.extend([String::new(), "LOST".to_owned()]);
    lines.extend(side(differences, &before.file, |difference| &difference.lost));
    if !limits.is_empty() {
        lines.extend([String::new(), "LIMITS".to_owned()]);
        lines.extend(
            limits.iter().map(|change| format!("  {}: {} → {}", change.id, change.before, change.after)),
        );
    }
    lines.join("\n")
}

/// What is gained, or lost, by who begins.
fn side(differences: &[Difference], file: &str, which: fn(&Difference) -> &Passes) -> Vec<String> {
    let mut groups: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    for difference in differences.iter().filter(|difference| !which(difference).is_nothing()) {
        let from = who(&difference.from);
        let rows = table::things(&who(&difference.to), file, &which(difference).told());
        match groups.last_mut() {
            Some((last, all)) if *last == from => all.extend(rows),
            _ => groups.push((from, rows)),
        }
    }
    if groups.is_empty() { vec!["nothing".to_owned()] } else { table::grouped(groups) }
}

/// A class and its nodes, where they are few.
fn who(class: &Class) -> String {
    match class.nodes.as_slice() {
        [node] if class.name == format!("node={node}") => class.name.clone(),
        few if few.len() <= FEW => format!("{} ({})", class.name, few.join(" ")),
        many => format!("{} ({} nodes)", class.name, many.len()),
    }
}

const FEW: usize = 3;
