//! The machine of Lockgate: the node itself, its event loop, configuration, control and command line.

pub mod machine;
pub mod config;
