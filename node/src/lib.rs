//! The machine of Lockgate: the node itself, its event loop, configuration, control and command line.

pub mod config;
pub mod control;
pub mod machine;
