//! The machine of Lockgate: the node itself, its event loop, configuration, control and command line.

pub mod cli;
pub mod commands;
pub mod config;
pub mod machine;
