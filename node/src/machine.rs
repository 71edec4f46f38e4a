//! (being built)

pub mod entropy;
pub mod files_write;
pub mod host;
