//! What the tests share.

#[path = "real/rig.rs"]
pub mod rig;
