//! A test that would notice what none does.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Expected;
use super::universe::Question;

/// A claim to add to the tests of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remedy {
    /// The node that begins: the test's `from`.
    pub from: String,
    /// The capabilities that it holds: the test's `hold`.
    pub hold: Vec<String>,
    /// Whether the claim belongs under `allow` or under `deny`.
    pub expected: Expected,
    /// The claim: `edge-north/telemetry#temp.`.
    pub claim: String,
}

impl Remedy {
    pub(super) fn new(question: &Question<'_>, expected: Expected) -> Self {
        Self {
            from: question.from.to_string(),
            hold: question.hold.iter().map(ToString::to_string).collect(),
            expected,
            claim: question.claim(),
        }
    }

    /// All of them as lines for the policy file: one `[[test]]` for each node and what it holds.
    pub fn tests<'r>(remedies: impl IntoIterator<Item = &'r Self>) -> Vec<String> {
        let mut tests: BTreeMap<(&str, &[String]), Claims<'_>> = BTreeMap::new();
        for remedy in remedies {
            let test = tests.entry((&remedy.from, &remedy.hold)).or_default();
            test.entry(remedy.expected).or_default().insert(&remedy.claim);
        }
        let mut lines = Vec::new();
        for ((from, hold), claims) in tests {
            lines.push("[[test]]".to_string());
            lines.push(format!("from = {}", toml_text(from)));
            if !hold.is_empty() {
                lines.push(format!("hold = {}", toml_list(hold.iter().map(String::as_str))));
            }
            for (expected, claims) in claims {
                lines.push(format!("{expected} = {}", toml_list(claims.into_iter())));
            }
        }
        lines
    }
}

/// The claims of one test, without doubles.
type Claims<'r> = BTreeMap<Expected, BTreeSet<&'r str>>;

fn toml_list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.map(toml_text).collect();
    format!("[{}]", texts.join(", "))
}

/// Text as TOML writes it.
fn toml_text(text: &str) -> String {
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => written.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::trial::tests::PLANT;

    fn remedy(from: &str, hold: &[&str], expected: Expected, claim: &str) -> Remedy {
        let hold = hold.iter().map(ToString::to_string).collect();
        Remedy { from: from.into(), hold, expected, claim: claim.into() }
    }

    #[test]
    fn remedies_share_a_test_where_they_can() {
        let remedies = [
            remedy("b", &[], Expected::Deny, "a/icmp"),
            remedy("a", &[], Expected::Deny, "b/icmp"),
            remedy("a", &["one", "two"], Expected::Allow, "b/icmp"),
            remedy("a", &[], Expected::Allow, "b/tcp:1"),
            remedy("a", &[], Expected::Deny, "b/icmp"),
            remedy("a", &[], Expected::Deny, "b/tcp:2"),
        ];
        assert_eq!(
            Remedy::tests(&remedies),
            [
                "[[test]]",
                "from = \"a\"",
                "allow = [\"b/tcp:1\"]",
                "deny = [\"b/icmp\", \"b/tcp:2\"]",
                "[[test]]",
                "from = \"a\"",
                "hold = [\"one\", \"two\"]",
                "allow = [\"b/icmp\"]",
                "[[test]]",
                "from = \"b\"",
                "deny = [\"a/icmp\"]",
            ]
        );
    }

    #[test]
    fn a_topic_of_any_characters_reads_back_as_it_was() {
        let claim = "n2/telemetry#\"\\'#/\u{7f}\u{1}\n\u{85}ä";
        let lines = Remedy::tests([&remedy("n1", &[], Expected::Deny, claim)]).join("\n");
        let policy = Policy::parse("plant.toml", &format!("{PLANT}{lines}")).expect("it reads back");
        assert_eq!(policy.tests[0].deny[0].text, claim);
    }
}
