//! Why a datagram went no further: a name and a counter, never an error to anyone.

/// A named reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// Shorter or longer than any message of its type, or of no known type.
    Malformed,
    /// The machine's outgoing batch is full: the socket has taken nothing for a while.
    OutboxFull,
}
