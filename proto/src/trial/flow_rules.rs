//! The raw flow rules of a policy, one by one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::policy::Policy;
use crate::program::{Act, Action, Entry, List, RuleRef, Sense, Test};
use crate::script::Script;

/// A flow rule that can decide something.
#[derive(Clone, Debug)]
pub(super) struct FlowRule {
    pub(super) rule: RuleRef,
    /// Which of the script's capabilities it stands in; `None` for the base rules.
    capability: Option<usize>,
    /// Its entries in that list.
    entries: Range<usize>,
}

/// The flow rules that decide what passes: copies and notes decide nothing. A capability counts where every node holds it.
pub(super) fn deciding(policy: &Policy) -> Vec<FlowRule> {
    let Some(raw) = &policy.rules else { return Vec::new() };
    let mut rules = of_list(&raw.script.rules, None);
    for (at, capability) in raw.script.capabilities.iter().enumerate() {
        if capability.is_default {
            rules.extend(of_list(&capability.rules, Some(at)));
        }
    }
    rules
}

fn of_list(list: &List, capability: Option<usize>) -> Vec<FlowRule> {
    let mut rules = Vec::new();
    let mut start = 0;
    for (at, entry) in list.entries().iter().enumerate() {
        let Entry::Act(Act { action, rule }) = entry else { continue };
        let entries = start..at + 1;
        start = at + 1;
        if !matches!(action, Action::Tee(_) | Action::Watch(_) | Action::Log) {
            rules.push(FlowRule { rule: rule.clone(), capability, entries });
        }
    }
    rules
}

/// What the flow rules ask.
pub(super) fn tests(policy: &Policy) -> Vec<&Test> {
    let Some(raw) = &policy.rules else { return Vec::new() };
    let capabilities = raw.script.capabilities.iter().map(|capability| &capability.rules);
    core::iter::once(&raw.script.rules).chain(capabilities).flat_map(List::tests).collect()
}

impl FlowRule {
    /// Each slip in it: what it is, and the policy's script then.
    pub(super) fn slips(&self, policy: &Policy) -> Vec<(String, Script)> {
        let Some(raw) = &policy.rules else { return Vec::new() };
        let entries = self.list(&raw.script).entries();
        let mut left = entries.to_vec();
        left.drain(self.entries.clone());
        let mut slips = Vec::from([(String::from("the flow rule is gone"), left)]);
        for at in self.entries.clone() {
            let mut changed = entries.to_vec();
            let Entry::Match { sense, .. } = &mut changed[at] else { continue };
            *sense = if *sense == Sense::Plain { Sense::Not } else { Sense::Plain };
            let place = at - self.entries.start + 1;
            slips.push((format!("the opposite of its match {place} is asked"), changed));
        }
        let made = slips.into_iter().filter_map(|(change, entries)| {
            let mut script = raw.script.clone();
            *self.list_mut(&mut script) = List::new(entries).ok()?;
            Some((change, script))
        });
        made.collect()
    }

    fn list<'s>(&self, script: &'s Script) -> &'s List {
        self.capability.map_or(&script.rules, |at| &script.capabilities[at].rules)
    }

    fn list_mut<'s>(&self, script: &'s mut Script) -> &'s mut List {
        match self.capability {
            None => &mut script.rules,
            Some(at) => &mut script.capabilities[at].rules,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;
    use crate::trial::tests::PLANT;
    use crate::trial::{Missing, cover, judge, mutate};
    use alloc::string::ToString;

    const RULES: &str = "rules = '''\ndrop ipprotocol tcp and dport 22 as no-ssh;\ntee 64 hist chr tcp_syn;\n\
                         accept from role=hmi and ipprotocol udp and dport 53 as names;\n\
                         drop not ethertype ipv4 and ethertype arp;\n'''\n";

    fn policy(tests: &str) -> Policy {
        let text = format!("{RULES}{PLANT}{tests}");
        Policy::parse("plant.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
    }

    #[test]
    fn a_flow_rule_needs_a_claim_where_one_can_ask_for_what_it_decides() {
        let missing = |tests: &str| {
            let policy = policy(tests);
            let coverage = cover(&policy, &judge(&policy, &Rules::compile(&policy, 1)));
            let gaps = coverage.gaps.iter().filter(|gap| gap.missing == Missing::Decision);
            gaps.map(|gap| gap.rule.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(missing(""), ["no-ssh", "names"]);
        assert_eq!(missing("[[test]]\nfrom = 'hmi'\ndeny = ['n1/tcp:22']\n"), ["names"]);
        assert_eq!(missing("[[test]]\nfrom = 'hmi'\nallow = ['n1/udp:53']\ndeny = ['n1/tcp:22']\n"), [""; 0]);
    }

    #[test]
    fn a_slip_in_a_flow_rule_is_a_mutant() {
        let survivors = |tests: &str| {
            let survivors = mutate(&policy(tests)).survivors;
            let of_rules = survivors.into_iter().filter(|one| one.rule == "names" || one.rule == "no-ssh");
            of_rules.map(|one| format!("{}: {}", one.rule, one.change)).collect::<Vec<_>>()
        };
        let all = survivors("");
        for change in ["no-ssh: the flow rule is gone", "names: the opposite of its match 3 is asked"] {
            assert!(all.iter().any(|one| one == change), "{change} in {all:#?}");
        }
        let tests = "[[test]]\nfrom = 'hmi'\nallow = ['n1/udp:53']\n\
                     deny = ['n1/tcp:22', 'n1/udp:54', 'n1/tcp:53']\n\
                     [[test]]\nfrom = 'hist'\ndeny = ['n1/udp:53']\n";
        assert_eq!(survivors(tests), [""; 0]);
    }
}
