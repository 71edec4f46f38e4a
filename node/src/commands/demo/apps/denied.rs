//! Those whom the policy refuses: they try as long as the play lasts, and must not hear a word.

use zmq::Socket;

use super::{Role, in_time};

/// SUB: wants the raw readings, which stay at the gateway.
pub(super) fn snoop(socket: &Socket, role: &Role) -> zmq::Result<()> {
    socket.set_subscribe(b"raw.")?;
    hear_nothing(socket, role)
}

/// DEALER: wants to command without waiting for replies, where only REQ may.
pub(super) fn intrude(socket: &Socket, role: &Role) -> zmq::Result<()> {
    // With no connection that stands there may be nobody to take it, ever.
    in_time(socket.send_multipart(["", "open the valve"], zmq::DONTWAIT))?;
    hear_nothing(socket, role)
}

fn hear_nothing(socket: &Socket, role: &Role) -> zmq::Result<()> {
    while !role.curtain.is_over() {
        if in_time(socket.recv_multipart(0))?.is_some() {
            role.ledger.leak();
        }
    }
    Ok(())
}
