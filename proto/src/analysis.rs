//! What a policy does, as a whole: who reaches what, what a change of it changes, and which of its rules do nothing.
//!
//! Everything here asks [`Rules::ask`](crate::rules::Rules::ask), the question that `explain` and the tests of a policy ask too, and nothing
//! else decides. What can be asked is cut into [`Pieces`] of which every question has the same answer, and the nodes into
//! [`Class`]es that no rule tells apart: so a few questions stand for all of them, and the result is exact.

mod class;
mod diff;
mod explain;
mod findings;
mod named;
mod passes;
mod pieces;
mod question;
mod raw;
mod reach;
mod topics;

pub use class::{Class, classes};
pub use diff::{Difference, LimitChange, diff, limits_changed};
pub use explain::{Explanation, explain};
pub use findings::{Finding, FindingKind, findings};
pub use passes::{Passes, Ports, Protocols, ServicePass};
pub use pieces::{Piece, Pieces};
pub use question::{Asked, Misunderstood, Question};
pub use reach::{Pair, Reach};
pub use topics::{TopicSet, TopicSpan};

#[cfg(test)]
mod random;
