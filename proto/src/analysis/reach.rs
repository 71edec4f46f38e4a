//! Who reaches what: the whole matrix.

use alloc::vec::Vec;

use super::{Class, Passes, Pieces, classes};
use crate::policy::Policy;
use crate::rules::Rules;

/// Who reaches what under a policy.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The nodes, by what the rules can tell of them.
    pub classes: Vec<Class>,
    /// For each two classes what the nodes of one may begin with those of the other: in the order of `classes`, by who begins, then by
    /// who is reached. A class of one node has no pair with itself.
    pub pairs: Vec<Pair>,
}

/// Two classes, by their places in [`Reach::classes`].
#[derive(Clone, Debug)]
pub struct Pair {
    /// Who begins.
    pub from: usize,
    /// Who is reached.
    pub to: usize,
    /// What passes.
    pub passes: Passes,
}

impl Reach {
    /// Asks `rules`, which `policy` compiled to, about everything.
    pub fn of(policy: &Policy, rules: &Rules) -> Self {
        let classes = classes(&[policy]);
        let pieces = Pieces::of([policy]);
        let mut pairs = Vec::new();
        for (from, begins) in classes.iter().enumerate() {
            for (to, reached) in classes.iter().enumerate() {
                let Some((one, other)) = begins.example_pair(reached) else { continue };
                let passes = Passes::of(&pieces, &pieces.passing(rules, one, other));
                pairs.push(Pair { from, to, passes });
            }
        }
        Self { classes, pairs }
    }

    /// What passes from one node to another; `None` for nodes that the policy does not have, and for a node and itself.
    pub fn between(&self, from: &str, to: &str) -> Option<&Passes> {
        let class =
            |node: &str| self.classes.iter().position(|class| class.nodes.iter().any(|one| one == node));
        let (begins, reached) = (class(from)?, class(to)?);
        let pair = self.pairs.iter().find(|pair| (pair.from, pair.to) == (begins, reached))?;
        (from != to).then_some(&pair.passes)
    }
}
