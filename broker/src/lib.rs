//! The messages of Lockgate: local applications, the services they offer and use, and the links to other nodes.
//!
//! No IO, no clock, no randomness: an application's bytes and the tunnel's datagrams come in with the present
//! ([`broker::Broker`]); what is to be written goes out through [`apps::Apps`] and [`broker::Broker::transmit`].
#![forbid(unsafe_code)]

pub mod apps;
pub mod broker;
mod connections;
pub mod denials;
mod desk;
pub mod links;
mod queues;
mod rates;
pub mod services;
