//! Where local applications come in and are dialled: TCP and Unix sockets, nonblocking, for the reactor.

mod endpoint;
mod listener;
mod stream;

pub use endpoint::{Endpoint, EndpointError};
pub use listener::{AcceptOutcome, Listener};
pub use stream::{Origin, ReadOutcome, Stream};

#[cfg(test)]
mod tests;
