//! The machine of Lockgate: the node itself, its event loop, configuration, control and command line.

pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
pub mod counters;
pub mod event_loop;
pub mod machine;
pub mod node;
pub mod report;
pub mod uapi;
