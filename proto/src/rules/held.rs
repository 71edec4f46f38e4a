//! Capabilities: what a node may do beside, for a while.

use core::time::Duration;

use super::compile::Compiler;
use super::{Admission, Rules};
use crate::policy::{TagExpr, Target, Term};
use crate::program::List;

impl Rules {
    /// What the policy compiled to: each list with what it is for, in the order in which they are asked.
    pub fn program(&self) -> impl Iterator<Item = (&'static str, &List)> {
        let wings = [("packets", &self.packets), ("messages", &self.messages)];
        wings.into_iter().flat_map(|(wing, lists)| lists.named(wing))
    }

    /// The same rules at this moment (since the Unix epoch), with the capabilities that nodes then hold. Without this call nobody
    /// holds any.
    #[must_use]
    pub fn at(&self, wall: Duration) -> Self {
        let mut rules = self.clone();
        let held = self.grants.iter().filter(|grant| grant.holds_at(wall));
        rules.hold(held.map(|grant| (grant.node.as_str(), grant.capability.as_str())));
        rules
    }

    /// Whether they are the rules of one moment and of the other: nobody came to hold a capability between, or ceased to.
    pub fn are_same_at(&self, one: Duration, other: Duration) -> bool {
        self.grants.iter().all(|grant| grant.holds_at(one) == grant.holds_at(other))
    }

    /// Whether they change with time at all.
    pub fn change_with_time(&self) -> bool {
        !self.grants.is_empty()
    }

    /// The same rules where `node` holds these capabilities too.
    pub(super) fn holding(&self, node: &str, names: &[&str]) -> Self {
        let mut rules = self.clone();
        let (packets, messages) = self.held(names.iter().map(|name| (node, *name)));
        rules.packets.held = rules.packets.held.followed_by(&packets);
        rules.messages.held = rules.messages.held.followed_by(&messages);
        rules
    }

    /// Exactly these nodes hold these capabilities.
    fn hold<'a>(&mut self, held: impl Iterator<Item = (&'a str, &'a str)>) {
        (self.packets.held, self.messages.held) = self.held(held);
    }

    /// What nodes may do beside that hold these capabilities: for packets and for messages.
    pub(super) fn held<'a>(&self, held: impl Iterator<Item = (&'a str, &'a str)>) -> (List, List) {
        let mut compiler = Compiler::default();
        for (node, name) in held {
            let known = self.capabilities.iter().find(|(_, capability)| capability.name == name);
            let (Some((rule, capability)), Some(tags)) = (known, self.nodes.get(node)) else { continue };
            if capability.from.as_ref().is_some_and(|from| !from.matches(node, tags)) {
                continue;
            }
            let from = TagExpr::new([Term::Node(node.into())].into());
            match &capability.to {
                Target::Packets(target) => compiler.allow_packets(rule, &from, target),
                Target::Service(name) => {
                    let Some(service) = self.services.get(name) else { continue };
                    let admission = Admission {
                        rule: rule.clone(),
                        from,
                        sockets: capability.sockets.clone(),
                        topics: capability.topics.clone(),
                        limits: capability.limits,
                    };
                    compiler.allow_messages(name, service, &admission);
                }
            }
        }
        let (packets, messages) = compiler.finish();
        (packets.allows, messages.allows)
    }
}
