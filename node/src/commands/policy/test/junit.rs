//! What `policy test` found, as JUnit XML: a suite for each `[[test]]`, a case for each claim.

use std::fmt::Write;

use lockgate_proto::policy::Test;
use lockgate_proto::trial::{Coverage, Mutation, Remedy};

use super::text::counts;
use super::{Report, lack, verdict};

/// A test case: what it is, and why it failed.
struct Case {
    name: String,
    failure: Option<String>,
}

struct Suite {
    name: String,
    cases: Vec<Case>,
}

impl Suite {
    fn failures(&self) -> usize {
        self.cases.iter().filter(|case| case.failure.is_some()).count()
    }
}

pub(super) fn document(report: &Report<'_>) -> String {
    let mut suites: Vec<Suite> = report.policy.tests.iter().map(|test| claims(report, test)).collect();
    suites.extend(report.coverage.as_ref().map(|coverage| cover(report, coverage)));
    suites.extend(report.mutation.as_ref().map(|mutation| mutants(report, mutation)));
    let tests: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    let failures: usize = suites.iter().map(Suite::failures).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let name = escaped(&report.policy.file);
    line(&mut xml, format_args!("<testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">"));
    for suite in &suites {
        write_suite(&mut xml, suite, &name);
    }
    line(&mut xml, format_args!("</testsuites>"));
    xml
}

fn claims(report: &Report<'_>, test: &Test) -> Suite {
    let judged = report.judged.iter().filter(|judged| judged.test.line == test.line);
    let cases = judged.map(|judged| Case {
        name: format!("{} {} (line {})", judged.expected, judged.claim.text, judged.claim.line),
        failure: (!judged.holds()).then(|| verdict(judged)),
    });
    let mut name = format!("{}:{} from {}", report.policy.file, test.line, test.from);
    for (at, held) in test.hold.iter().enumerate() {
        name.push_str(if at == 0 { " with " } else { ", " });
        name.push_str(&held.value);
    }
    Suite { name, cases: cases.collect() }
}

fn cover(report: &Report<'_>, coverage: &Coverage) -> Suite {
    let gaps = coverage.gaps.iter().map(|gap| Case {
        name: format!("{}:{}: {}", report.policy.file, gap.line, gap.rule),
        failure: Some(lack(gap).to_owned()),
    });
    let total = Case { name: format!("{} of {} rules", coverage.covered(), coverage.rules), failure: None };
    Suite { name: "cover".to_owned(), cases: gaps.chain([total]).collect() }
}

fn mutants(report: &Report<'_>, mutation: &Mutation) -> Suite {
    let survivors = mutation.survivors.iter().map(|survivor| Case {
        name: format!("{}:{}: {}: {}", report.policy.file, survivor.line, survivor.rule, survivor.change),
        failure: Some(format!(
            "no test notices; this one would:\n{}",
            Remedy::tests([&survivor.remedy]).join("\n")
        )),
    });
    let total = Case { name: counts(mutation), failure: None };
    Suite { name: "mutants".to_owned(), cases: survivors.chain([total]).collect() }
}

fn write_suite(xml: &mut String, suite: &Suite, class: &str) {
    let (name, tests, failures) = (escaped(&suite.name), suite.cases.len(), suite.failures());
    line(xml, format_args!("  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">"));
    for case in &suite.cases {
        let name = escaped(&case.name);
        let Some(failure) = &case.failure else {
            line(xml, format_args!("    <testcase classname=\"{class}\" name=\"{name}\"/>"));
            continue;
        };
        line(xml, format_args!("    <testcase classname=\"{class}\" name=\"{name}\">"));
        let message = escaped(failure);
        line(xml, format_args!("      <failure message=\"{message}\"/>"));
        line(xml, format_args!("    </testcase>"));
    }
    line(xml, format_args!("  </testsuite>"));
}

fn line(xml: &mut String, text: std::fmt::Arguments<'_>) {
    xml.write_fmt(text).and_then(|()| xml.write_char('\n')).expect("a string takes whatever is written");
}

/// Text for an attribute (XML 1.0, 2.2, 2.4 and 3.3.3): what XML cannot hold at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A line end that stands there plainly would be read as a space.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_what_xml_cannot_hold_is_replaced() {
        for (text, wanted) in [
            ("a&b<c>\"d\" 'e'", "a&amp;b&lt;c&gt;&quot;d&quot; &apos;e&apos;"),
            ("two\nlines\tand\r", "two&#10;lines&#9;and&#13;"),
            ("\u{0}\u{1b}[31m\u{ffff}", "\u{fffd}\u{fffd}[31m\u{fffd}"),
            ("\u{a0}ä\u{1f512}", "\u{a0}ä\u{1f512}"),
        ] {
            assert_eq!(escaped(text), wanted, "{text:?}");
        }
    }
}
