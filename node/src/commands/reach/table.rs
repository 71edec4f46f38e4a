//! The matrix for a person: who is who, the picture of it, then each thing that passes.

use std::collections::BTreeMap;

use lockgate_proto::analysis::{Pair, Passes, Reach};
use lockgate_proto::rules::RuleRef;

/// The whole screen.
pub(super) fn screen(file: &str, matrix: &Reach) -> String {
    let nodes: usize = matrix.classes.iter().map(|class| class.nodes.len()).sum();
    let mut lines = vec![
        format!(
            "{file}: {}, {} that the rules tell apart",
            count(nodes, "node"),
            count(matrix.classes.len(), "tag set")
        ),
        String::new(),
    ];
    lines.extend(legend(matrix));
    if (2..=MOST_IN_A_PICTURE).contains(&matrix.classes.len()) {
        lines.push(String::new());
        lines.extend(picture(matrix));
    }
    lines.push(String::new());
    lines.extend(details(file, matrix));
    lines.join("\n")
}

fn count(many: usize, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}

fn legend(matrix: &Reach) -> Vec<String> {
    let mut rows = vec![vec!["".to_owned(), "TAG SET".to_owned(), "NODES".to_owned()]];
    for (at, class) in matrix.classes.iter().enumerate() {
        let widest = matrix.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
        let room = WIDTH.saturating_sub(widest.max(7) + 8);
        for (line, nodes) in wrapped(&class.nodes, room).into_iter().enumerate() {
            let first = |text: String| if line == 0 { text } else { String::new() };
            rows.push(vec![first(format!("{:>2}", at + 1)), first(class.name.clone()), nodes]);
        }
    }
    columns(&rows)
}

/// Words in lines of at most `room` characters.
pub(in crate::commands) fn wrapped(words: &[String], room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// Who begins down, who is reached across.
fn picture(matrix: &Reach) -> Vec<String> {
    let many = matrix.classes.len();
    let cells: BTreeMap<(usize, usize), String> =
        matrix.pairs.iter().map(|pair| ((pair.from, pair.to), letters(&pair.passes))).collect();
    let widest = matrix.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    let head: String = (1..=many).map(|at| format!("{at:>5}")).collect();
    let mut lines = vec![format!("{:<width$}{head}", "FROM \\ TO", width = widest + 4)];
    for (from, class) in matrix.classes.iter().enumerate() {
        let row: String =
            (0..many).map(|to| format!("{:>5}", cells.get(&(from, to)).map_or("", String::as_str))).collect();
        lines.push(format!("{:>2}  {:<widest$}{row}", from + 1, class.name).trim_end().to_owned());
    }
    lines.push("    (m messages, t TCP, u UDP, i ICMP, o other protocols, . nothing)".to_owned());
    lines
}

fn letters(passes: &Passes) -> String {
    let kinds = [
        (!passes.services.is_empty(), 'm'),
        (!passes.tcp.is_empty(), 't'),
        (!passes.udp.is_empty(), 'u'),
        (passes.icmp.is_some(), 'i'),
        (!passes.protocols.is_empty(), 'o'),
    ];
    let letters: String = kinds.iter().filter(|(passes, _)| *passes).map(|(_, letter)| letter).collect();
    if letters.is_empty() { ".".to_owned() } else { letters }
}

/// Under each that begins, a row for each thing that passes. Those that it reaches with nothing share a row.
fn details(file: &str, matrix: &Reach) -> Vec<String> {
    let mut groups = Vec::new();
    for (at, from) in matrix.classes.iter().enumerate() {
        let mut rows = Vec::new();
        let pairs: Vec<&Pair> = matrix.pairs.iter().filter(|pair| pair.from == at).collect();
        let (nothing, something): (Vec<&Pair>, Vec<&Pair>) =
            pairs.iter().partition(|pair| pair.passes.is_nothing());
        for pair in &something {
            rows.extend(things(&matrix.classes[pair.to].name, file, &pair.passes.told()));
        }
        let others = match (nothing.as_slice(), something.is_empty()) {
            ([], _) => None,
            (_, true) => Some("anybody"),
            ([one], false) => Some(matrix.classes[one.to].name.as_str()),
            _ => Some("all others"),
        };
        rows.extend(others.map(|others| ["", others, "nothing", ""].map(str::to_owned).to_vec()));
        groups.push((format!("{} reaches", from.name), rows));
    }
    grouped(groups)
}

/// What passes to some nodes, as rows: an empty cell for the indent, the nodes, what, and the rule.
pub(in crate::commands) fn things(to: &str, file: &str, told: &[(String, RuleRef)]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (what, rule) in told {
        let words: Vec<String> = what.split(' ').map(str::to_owned).collect();
        for (line, what) in wrapped(&words, WIDEST_WHAT).into_iter().enumerate() {
            let to = if rows.is_empty() { to } else { "" };
            let rule = if line == 0 { place(rule, file) } else { String::new() };
            rows.push(vec![String::new(), to.to_owned(), what, rule]);
        }
    }
    rows
}

/// Rows under headings, all in the same columns.
pub(in crate::commands) fn grouped(groups: Vec<(String, Vec<Vec<String>>)>) -> Vec<String> {
    let all: Vec<Vec<String>> = groups.iter().flat_map(|(_, rows)| rows.clone()).collect();
    let mut lines = columns(&all).into_iter();
    let mut text = Vec::new();
    for (heading, rows) in groups {
        text.push(heading);
        text.extend(lines.by_ref().take(rows.len()));
    }
    text
}

/// A rule and where it stands; the file goes without saying where the report is about it.
pub(in crate::commands) fn place(rule: &RuleRef, file: &str) -> String {
    if *rule.file == *file { format!("{} (line {})", rule.id, rule.line) } else { rule.to_string() }
}

/// Rows in columns that are as wide as they have to be, two spaces between.
pub(in crate::commands) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let many = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..many).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// What a usual terminal shows.
const WIDTH: usize = 100;

/// More would not fit into a hundred columns beside their names.
const MOST_IN_A_PICTURE: usize = 12;

/// Longer lists of topics or ports go on in the next line.
const WIDEST_WHAT: usize = 44;
