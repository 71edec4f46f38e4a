//! What the broker asks of the machine: the local connections of applications.

use bytes::Bytes;

use crate::services::OfferId;

/// Names an application's connection, and no later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppId(pub u64);

/// The local connections, as the machine keeps them.
pub trait Apps {
    /// Connects to the application of `offer`; the answer is `Broker::handle_dialed` or `handle_gone`.
    fn dial(&mut self, app: AppId, offer: OfferId);

    /// Writes as many bytes of `chunks` as the socket takes now, and returns how many: fewer than there are
    /// means that `Broker::handle_writable` will follow. `None`: the connection is gone.
    fn write(&mut self, app: AppId, chunks: &[Bytes]) -> Option<usize>;

    /// Reads the socket, or leaves what arrives to the application's own TCP window.
    fn set_reading(&mut self, app: AppId, reading: bool);

    /// Nothing more will be written: the application reads what was, then the end.
    fn finish(&mut self, app: AppId);

    /// Forgets the connection. What was written is still delivered.
    fn close(&mut self, app: AppId);
}
