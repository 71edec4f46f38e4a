//! Whether what one rule lets through and what another forbids can be the same: some two nodes that the vocabulary
//! permits, not only those that are listed.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Capability, Forbid, ForbidTarget, Packets, Policy, Service, TagExpr, Target};
use crate::document::{Mistakes, quoted};
use crate::program::{NodeTags, Term};

/// The nodes of a policy, by name.
type Nodes = BTreeMap<String, NodeTags>;

/// Whether a node can be in both sets: one of any tags that the vocabulary has, or, where a set names a node, that node
/// with the tags that it has.
pub fn can_meet(a: &TagExpr, b: &TagExpr, nodes: &Nodes) -> bool {
    if a.terms().is_empty() || b.terms().is_empty() {
        return false;
    }
    let terms = || a.terms().iter().chain(b.terms());
    let named = terms().find_map(|term| if let Term::Node(name) = term { Some(name) } else { None });
    if let Some(name) = named {
        return nodes.get(name).is_some_and(|tags| a.matches(name, tags) && b.matches(name, tags));
    }
    // Within one set no tag stands twice: that is refused where it is read.
    let differs = |one: &Term, other: &Term| match (one, other) {
        (Term::Tag(tag, value), Term::Tag(other, elsewhere)) => tag == other && value != elsewhere,
        _ => false,
    };
    !a.terms().iter().any(|one| b.terms().iter().any(|other| differs(one, other)))
}

/// What a rule is about, with the nodes that are reached written out.
#[derive(Clone, Copy)]
struct Reached<'p> {
    /// Who reaches; `None` for anybody.
    from: Option<&'p TagExpr>,
    to: &'p TagExpr,
    what: What<'p>,
}

#[derive(Clone, Copy)]
enum What<'p> {
    Everything,
    Packets(&'p Packets),
    Service(&'p str),
}

impl What<'_> {
    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => true,
            (Self::Packets(a), Self::Packets(b)) => a.meets(b),
            (Self::Service(a), Self::Service(b)) => a == b,
            (Self::Packets(_), Self::Service(_)) | (Self::Service(_), Self::Packets(_)) => false,
        }
    }
}

impl<'p> Reached<'p> {
    fn permitted(
        from: Option<&'p TagExpr>,
        to: &'p Target,
        services: &'p BTreeMap<String, Service>,
    ) -> Option<Self> {
        let (to, what) = match to {
            Target::Packets(target) => (&target.to, What::Packets(&target.packets)),
            Target::Service(name) => (&services.get(name)?.hosted_by, What::Service(name)),
        };
        Some(Self { from, to, what })
    }

    fn forbidden(forbid: &'p Forbid, services: &'p BTreeMap<String, Service>) -> Option<Self> {
        let (to, what) = match &forbid.to {
            ForbidTarget::Everything(to) => (to, What::Everything),
            ForbidTarget::Packets(target) => (&target.to, What::Packets(&target.packets)),
            ForbidTarget::Service(name) => (&services.get(name)?.hosted_by, What::Service(name)),
        };
        Some(Self { from: Some(&forbid.from), to, what })
    }

    fn overlaps(&self, other: &Self, nodes: &Nodes) -> bool {
        let from = match (self.from, other.from) {
            (Some(a), Some(b)) => can_meet(a, b, nodes),
            // Anybody, and those: whether there can be any.
            (Some(one), None) | (None, Some(one)) => can_meet(one, one, nodes),
            (None, None) => true,
        };
        from && self.what.meets(other.what) && can_meet(self.to, other.to, nodes)
    }
}

impl Forbid {
    /// Whether it can overlap what lets `from` (`None`: anybody) reach `to`: whether the policy's vocabulary permits
    /// two nodes that fall under both.
    pub fn overlaps(&self, policy: &Policy, from: Option<&TagExpr>, to: &Target) -> bool {
        let here = Reached::forbidden(self, &policy.services);
        let there = Reached::permitted(from, to, &policy.services);
        here.zip(there).is_some_and(|(here, there)| here.overlaps(&there, &policy.nodes))
    }
}

/// Notes every allow, capability and grant that a forbid rules out.
pub(super) fn refuse(policy: &Policy, mistakes: &mut Mistakes) {
    let services = &policy.services;
    let forbids = policy.forbids.iter();
    let forbids: Vec<(&Forbid, Reached<'_>)> =
        forbids.filter_map(|forbid| Some((forbid, Reached::forbidden(forbid, services)?))).collect();
    let holders: Vec<TagExpr> =
        policy.grants.iter().map(|grant| TagExpr::new([Term::Node(grant.node.clone())].into())).collect();
    for rule in permissions(policy, &holders) {
        for (forbid, forbidden) in &forbids {
            if !mistakes.is_full() && forbidden.overlaps(&rule.reached, &policy.nodes) {
                note(&rule, forbid, mistakes);
            }
        }
    }
}

fn note(rule: &Permitted<'_>, forbid: &Forbid, mistakes: &mut Mistakes) {
    let (id, line) = (quoted(&forbid.id), forbid.line);
    let problem = format!("{} overlaps the forbid {id} in line {line}", rule.what);
    let mend = format!(
        "nothing may go from {} to {}: narrow {} until no two nodes fall under both, or change the forbid",
        forbid.from, forbid.to, rule.narrow
    );
    mistakes.note(rule.line, &rule.key, problem, mend);
}

/// Something that lets pass, for comparing it with forbids.
struct Permitted<'p> {
    what: String,
    key: String,
    line: usize,
    narrow: &'static str,
    reached: Reached<'p>,
}

/// Everything in a policy that lets pass. A capability that does not say who may hold it counts grant by grant.
fn permissions<'p>(policy: &'p Policy, holders: &'p [TagExpr]) -> Vec<Permitted<'p>> {
    let services = &policy.services;
    let allows = policy.allows.iter().filter_map(|allow| {
        let reached = Reached::permitted(Some(&allow.from), &allow.to, services)?;
        let what = format!("the rule {}", quoted(&allow.id));
        Some(Permitted { what, key: "allow".into(), line: allow.line, narrow: "`from` or `to`", reached })
    });
    let held = policy.capabilities.iter().filter_map(|capability| {
        let from = capability.from.as_ref()?;
        let reached = Reached::permitted(Some(from), &capability.to, services)?;
        let what = format!("the capability {}", quoted(&capability.name));
        let key = format!("capability.{}", capability.name);
        Some(Permitted { what, key, line: capability.line, narrow: "`from` or `to`", reached })
    });
    let open = policy.capabilities.iter().filter(|capability| capability.from.is_none());
    let open: BTreeMap<&str, &Capability> =
        open.map(|capability| (capability.name.as_str(), capability)).collect();
    let given = policy.grants.iter().zip(holders).filter_map(|(grant, holder)| {
        let capability = open.get(grant.capability.as_str())?;
        let reached = Reached::permitted(Some(holder), &capability.to, services)?;
        let what = format!("{} with the capability {}", grant.node, quoted(&grant.capability));
        let narrow = "the capability, or give it to another node,";
        Some(Permitted { what, key: "grant".into(), line: grant.line, narrow, reached })
    });
    allows.chain(held).chain(given).collect()
}

#[cfg(test)]
mod tests;
