//! The flow rules in a policy, as far as the analysis has to know what they ask for.

use alloc::string::String;
use alloc::vec::Vec;

use super::named::{Named, cut};
use crate::policy::Policy;
use crate::program::{List, Test, ZmqTest};
use crate::script::{Dialect, Options, Script, ScriptMistake, Tag};

/// The script of a policy; `None` where there is none, or none that compiles.
fn script(policy: &Policy) -> Option<Script> {
    let raw = policy.rules.as_ref()?;
    let nodes: Vec<&str> = policy.nodes.keys().map(String::as_str).collect();
    let tags = tags(policy);
    let options = Options {
        file: &policy.file,
        first_line: u32::try_from(raw.line).unwrap_or(u32::MAX),
        dialect: Dialect::Lockgate,
        tags: &tags,
        nodes: Some(&nodes),
    };
    Script::compile(&raw.text, &options).ok()
}

/// The policy's tags by any numbers: here they only have to be known.
fn tags(policy: &Policy) -> Vec<Tag> {
    let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
    let tags = policy.tags.iter().enumerate().map(|(at, (name, values))| Tag {
        name: name.as_str().into(),
        id: number(at),
        default: None,
        flags: Vec::new(),
        enums: values.iter().enumerate().map(|(at, value)| (value.clone(), number(at))).collect(),
    });
    tags.collect()
}

/// What compiles in them and is probably not meant.
pub(super) fn warnings(policy: &Policy) -> Vec<ScriptMistake> {
    script(policy).map(|script| script.warnings).unwrap_or_default()
}

/// Adds what the flow rules ask for: of each port, protocol and topic that they name, the answer can change.
pub(super) fn add(policy: &Policy, named: &mut Named) {
    let Some(script) = script(policy) else { return };
    let lists = script.capabilities.iter().map(|capability| &capability.rules);
    for test in lists.chain([&script.rules]).flat_map(List::tests) {
        match test {
            Test::DestinationPort(first, last) => add_ports(named, *first, *last),
            Test::DestinationPortIn(set) => {
                for (first, last) in set.ranges() {
                    add_ports(named, *first, *last);
                }
            }
            // Eight bits count.
            Test::IpProtocol(number) => {
                let number = u16::from(number.to_le_bytes()[0]);
                cut(&mut named.protocols, &(number..=number));
            }
            Test::Zmq(ZmqTest::Topic(start)) => {
                for service in named.services.values_mut() {
                    service.topics.insert(start.to_vec());
                }
            }
            _ => {}
        }
    }
    // To some of them port 0 is no port.
    cut(&mut named.tcp, &(0..=0));
    cut(&mut named.udp, &(0..=0));
}

/// They do not say of which protocol.
fn add_ports(named: &mut Named, first: u16, last: u16) {
    cut(&mut named.tcp, &(first..=last));
    cut(&mut named.udp, &(first..=last));
}
