//! What a change of the policy changes: who gains and who loses what.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Class, Passes, Piece, Pieces, classes};
use crate::policy::Policy;
use crate::rules::{RuleRef, Rules};

/// Two classes of nodes between which something changes.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Who begins.
    pub from: Class,
    /// Who is reached.
    pub to: Class,
    /// What passes after and did not before, by the rules after.
    pub gained: Passes,
    /// What passed before and does not after, by the rules before.
    pub lost: Passes,
}

/// Compares two policies, each with the rules that it compiled to: for every two nodes of either, everything that can be asked. The
/// classes are those that neither policy tells apart. Empty where the two let the same pass.
pub fn diff(before: (&Policy, &Rules), after: (&Policy, &Rules)) -> Vec<Difference> {
    let classes = classes(&[before.0, after.0]);
    let pieces = Pieces::of([before.0, after.0]);
    let mut differences = Vec::new();
    for from in &classes {
        for to in &classes {
            let Some((one, other)) = from.example_pair(to) else { continue };
            let was = pieces.passing(before.1, one, other);
            let is = pieces.passing(after.1, one, other);
            let only = |here: &[(&Piece, RuleRef)], there: &[(&Piece, RuleRef)]| {
                let there: BTreeSet<&Piece> = there.iter().map(|(piece, _)| *piece).collect();
                let missing = here.iter().filter(|(piece, _)| !there.contains(piece));
                Passes::of(&pieces, &missing.cloned().collect::<Vec<_>>())
            };
            let (gained, lost) = (only(&is, &was), only(&was, &is));
            if !gained.is_nothing() || !lost.is_nothing() {
                differences.push(Difference { from: from.clone(), to: to.clone(), gained, lost });
            }
        }
    }
    differences
}
