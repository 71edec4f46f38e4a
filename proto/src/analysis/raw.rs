//! The flow rules in a policy, as far as the analysis has to know what they ask for.

use super::named::{Named, cut};
use crate::policy::Policy;
use crate::program::{List, Test, ZmqTest};

/// Adds what the flow rules ask for: of each port, protocol and topic that they name, the answer can change.
pub(super) fn add(policy: &Policy, named: &mut Named) {
    let Some(script) = policy.rules.as_ref().map(|raw| &raw.script) else { return };
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
