//! A policy without what some questions have nothing to do with.

use alloc::vec::Vec;

use super::{Policy, Service, Target};

impl Policy {
    /// The same policy with these services and what `keep` keeps of the rules that let something pass, without its tests and
    /// warnings. Rules stay in their order; forbids and flow rules stay.
    pub(crate) fn part(&self, service: impl Fn(&Service) -> bool, keep: impl Fn(&Target) -> bool) -> Self {
        Self {
            file: self.file.clone(),
            tags: self.tags.clone(),
            nodes: self.nodes.clone(),
            services: self.services.iter().filter(|(_, one)| service(one)).map(cloned).collect(),
            allows: self.allows.iter().filter(|allow| keep(&allow.to)).cloned().collect(),
            forbids: self.forbids.clone(),
            capabilities: self.capabilities.iter().filter(|held| keep(&held.to)).cloned().collect(),
            grants: self.grants.clone(),
            rules: self.rules.clone(),
            tests: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

fn cloned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}
