//! One line of JSON: a packet, and what it is judged by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockgate_proto::program::{Direction, Packet, packet_facts};
use lockgate_proto::script::Script;
use serde::Deserialize;
use serde_json::Value;

use super::Scene;
use super::scripts::Scripts;

/// A line. Keys that are not named here are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    rules: Option<String>,
    script: Option<PathBuf>,
    packet: String,
    direction: Way,
    #[serde(default)]
    local_tags: BTreeMap<String, u32>,
    #[serde(default)]
    remote_tags: BTreeMap<String, u32>,
    #[serde(default)]
    capabilities: Vec<u32>,
    #[serde(default)]
    local: String,
    #[serde(default)]
    remote: String,
    #[serde(default)]
    random: u32,
    #[serde(default)]
    established: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Out,
    In,
}

impl Case {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// Judges it, by its own script or by this one.
    pub(super) fn judge(&self, scripts: &mut Scripts, usual: Option<&Path>) -> Result<Value, String> {
        let script = match (&self.rules, self.script.as_deref(), usual) {
            (Some(_), Some(_), _) => return Err("rules and script: name one of them".to_owned()),
            (Some(text), ..) => scripts.of(text)?,
            (None, Some(path), _) | (None, None, Some(path)) => scripts.at(path)?,
            (None, None, None) => return Err("no rules: write rules or script, or give --rules".to_owned()),
        };
        let bytes = unhex(&self.packet)?;
        let given = |tags: &BTreeMap<String, u32>| -> Vec<(String, u32)> {
            tags.iter().map(|(tag, value)| (tag.clone(), *value)).collect()
        };
        let scene = Scene {
            direction: match self.direction {
                Way::Out => Direction::Out,
                Way::In => Direction::In,
            },
            local: &node(&self.local),
            remote: &node(&self.remote),
            local_tags: &tags(&script, &given(&self.local_tags))?,
            remote_tags: &tags(&script, &given(&self.remote_tags))?,
            held: &self.capabilities,
        };
        let packet = Packet { random: self.random, established: self.established, ..packet_facts(&bytes) };
        Ok(scene.judge(&script, packet))
    }
}

/// Numbers and values by rising number: those given by number or name, and the defaults of the others.
pub(super) fn tags(script: &Script, given: &[(String, u32)]) -> Result<Vec<(u32, u32)>, String> {
    let defaults = script.tags.iter().filter_map(|tag| Some((tag.id, tag.default?)));
    let mut values: BTreeMap<u32, u32> = defaults.collect();
    for (tag, value) in given {
        let by_name = || script.tags.iter().find(|known| *known.name == **tag).map(|known| known.id);
        let id = tag.parse().ok().or_else(by_name).ok_or_else(|| format!("the script has no tag {tag}"))?;
        values.insert(id, *value);
    }
    Ok(values.into_iter().collect())
}

/// An address of ten digits as the rules have it.
fn node(name: &str) -> String {
    let is_address = name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_address { name.to_ascii_lowercase() } else { name.to_owned() }
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    bytes.ok_or_else(|| "packet is not hex: two digits for each byte".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "4500002800010000400600000a0000010a000002c350005000000001000000025002ffff00000000";

    fn judge(line: &str) -> Result<Value, String> {
        Case::parse(line.as_bytes())?.judge(&mut Scripts::default(), None)
    }

    #[test]
    fn a_case_is_judged_by_its_own_rules_tags_and_nodes() {
        let tagged = "tag t id 5 default 1; accept tseq t 1; accept treq t 2;";
        for (rules, more, verdict, line) in [
            ("accept dport 80;", "", "accept", Some(1)),
            ("accept dport 81;", "", "drop", None),
            ("\\n\\ndrop dport 80;\\naccept;", "", "drop", Some(3)),
            ("redirect deadbeef44 dport 80;", "", "redirect", Some(1)),
            ("redirect deadbeef44 dport 80;", r#","remote":"DEADBEEF44""#, "drop", None),
            ("accept ztsrc DEADBEEF-44;", r#","local":"deadbeef44""#, "accept", Some(1)),
            ("accept ztsrc edge-1;", r#","local":"edge-1""#, "accept", Some(1)),
            (tagged, "", "accept", Some(1)),
            (tagged, r#","local_tags":{"5":2}"#, "drop", None),
            (tagged, r#","local_tags":{"t":0},"remote_tags":{"5":2}"#, "accept", Some(1)),
            ("cap c id 9 accept dport 80; ;", "", "drop", None),
            ("cap c id 9 accept dport 80; ;", r#","capabilities":[9]"#, "accept", Some(1)),
            ("accept random 0.5;", r#","random":4294967295"#, "drop", None),
        ] {
            let said =
                judge(&format!(r#"{{"rules":"{rules}","packet":"{TCP}","direction":"out"{more}}}"#)).unwrap();
            assert_eq!(said["verdict"], verdict, "{rules} {more}");
            assert_eq!(said["rule"]["line"].as_u64(), line, "{rules} {more}");
        }
    }

    #[test]
    fn what_is_copied_and_redirected_says_to_whom() {
        let rules = "tee 20 deadbeef22 ipprotocol tcp; redirect deadbeef44 dport 80;";
        let said = judge(&format!(r#"{{"rules":"{rules}","packet":"{TCP}","direction":"out"}}"#)).unwrap();
        assert_eq!(said["tee"], serde_json::json!({ "to": "deadbeef22", "length": 20 }));
        assert_eq!(said["redirect"], "deadbeef44");
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        for (line, word) in [
            ("{", "EOF"),
            ("[]", "expected"),
            (r#"{"rules":"accept;","packet":"4","direction":"out"}"#, "hex"),
            (r#"{"rules":"accept;","packet":"éé","direction":"out"}"#, "hex"),
            (r#"{"rules":"accept;","packet":"45","direction":"up"}"#, "up"),
            (r#"{"packet":"45","direction":"out"}"#, "no rules"),
            (r#"{"rules":"accept;","script":"a","packet":"45","direction":"out"}"#, "one of them"),
            (r#"{"script":"/nowhere/at/all","packet":"45","direction":"out"}"#, "does not exist"),
            (r#"{"rules":"accept dport;","packet":"45","direction":"out"}"#, "rules:1:"),
            (r#"{"rules":"accept;","packet":"45","direction":"out","local_tags":{"t":1}}"#, "no tag t"),
        ] {
            let said = judge(line).unwrap_err();
            assert!(said.contains(word), "{line}: {said}");
        }
    }
}
