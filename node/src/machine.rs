//! (being built)

pub mod files;
