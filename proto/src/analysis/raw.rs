//! The flow rules in a policy, as far as the analysis has to know what they ask for.

use alloc::collections::BTreeSet;

use super::named::{Named, cut};
use crate::policy::{Policy, Term};
use crate::program::{Act, Action, List, Test, ZmqTest};
use crate::script::Script;

/// Adds what the flow rules ask for: of each port, protocol and topic that they name, the answer can change.
pub(super) fn add(policy: &Policy, named: &mut Named) {
    let Some(script) = policy.rules.as_ref().map(|raw| &raw.script) else { return };
    for test in lists(script).flat_map(List::tests) {
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

/// The nodes that they name: who sends, who receives, and where packets and copies go.
pub(super) fn nodes(script: &Script) -> BTreeSet<&str> {
    let named = lists(script).flat_map(List::tests).filter_map(|test| match test {
        Test::SourceNode(name) | Test::DestinationNode(name) => Some(&**name),
        Test::From(Term::Node(name)) | Test::To(Term::Node(name)) => Some(&**name),
        _ => None,
    });
    let sent = lists(script).flat_map(List::acts).filter_map(|act: &Act| match &act.action {
        Action::Tee(copy) | Action::Watch(copy) => Some(&*copy.to),
        Action::Redirect(to) => Some(&**to),
        Action::Accept | Action::Drop | Action::Break | Action::Log => None,
    });
    named.chain(sent).collect()
}

fn lists(script: &Script) -> impl Iterator<Item = &List> {
    script.capabilities.iter().map(|capability| &capability.rules).chain([&script.rules])
}

/// They do not say of which protocol.
fn add_ports(named: &mut Named, first: u16, last: u16) {
    cut(&mut named.tcp, &(first..=last));
    cut(&mut named.udp, &(first..=last));
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use crate::analysis::{Reach, diff};
    use crate::policy::Policy;
    use crate::rules::{PacketKind, PacketQuestion, Rules};

    const POLICY: &str = r#"default = "deny"
rules = '''
accept ztsrc \x62 and ipprotocol tcp and dport 22;
'''
[tags]
role = ["gw", "hist"]
[nodes]
a = { role = "gw" }
b = { role = "gw" }
h = { role = "hist" }
"#;

    #[test]
    fn a_node_whose_name_is_escaped_is_told_apart() {
        let policy = Policy::parse("p.toml", POLICY).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let rules = Rules::compile(&policy, 1);
        let reach = Reach::of(&policy, &rules);
        for from in ["a", "b"] {
            let question = PacketQuestion { from, to: "h", kind: PacketKind::Tcp(22), addresses: None };
            let passes = rules.packet(&question).is_ok();
            let shown = reach.between(from, "h").is_some_and(|passes| !passes.is_nothing());
            assert_eq!(shown, passes, "{from}");
        }
    }

    #[test]
    fn a_change_for_a_node_whose_name_is_escaped_is_a_difference() {
        let before = POLICY.replace("accept ztsrc \\x62", "accept ztsrc \\x62 and ztdest \\x61");
        let [before, after] = [&*before, POLICY].map(|text| Policy::parse("p.toml", text).expect("valid"));
        let (was, is) = (Rules::compile(&before, 1), Rules::compile(&after, 2));
        assert!(!diff((&before, &was), (&after, &is)).is_empty(), "b gained tcp:22 of h");
    }

    #[test]
    fn every_way_to_name_a_node_names_it() {
        let rules = r"accept ztsrc a; tee -1 \x62 dport 1; watch 64 h dport 2; redirect c dport 3; accept to node=d or from node=e;
            cap k id 1 default accept ztdest f; ;";
        let nodes = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| format!("{name} = {{}}\n")).concat();
        let text = format!("default = \"deny\"\nrules = '''\n{rules}\n'''\n[nodes]\n{nodes}");
        let policy = Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let script = &policy.rules.as_ref().expect("there are rules").script;
        assert!(super::nodes(script).iter().eq(["a", "b", "c", "d", "e", "f", "h"].iter()));
    }
}
