//! Those who receive: they count what is theirs, and serve whoever else joins in.

use zmq::Socket;

use super::{Role, TOPICS, in_time};
use crate::commands::demo::message::Message;

/// SUB: the readings that the policy allows.
pub(super) fn subscribe(socket: &Socket, role: &Role) -> zmq::Result<()> {
    for prefix in ["temp.", "vib."] {
        socket.set_subscribe(prefix.as_bytes())?;
    }
    let mut heard = [false; TOPICS.len()];
    while !role.curtain.is_over() {
        let Some(parts) = in_time(socket.recv_multipart(0))? else { continue };
        let Some((topic, body)) = parts.first().zip(parts.get(1)) else { continue };
        let Some(place) = TOPICS.iter().position(|known| known.as_bytes() == topic) else {
            role.ledger.leak();
            continue;
        };
        heard[place] = true;
        if heard == [true; TOPICS.len()] {
            role.ledger.stand();
        }
        note(role, body);
    }
    Ok(())
}

/// REP: every request comes back as it is.
pub(super) fn respond(socket: &Socket, role: &Role) -> zmq::Result<()> {
    while !role.curtain.is_over() {
        let Some(parts) = in_time(socket.recv_multipart(0))? else { continue };
        let ours = parts.first().and_then(|body| Message::parse(body, &role.canary));
        if ours.is_none() {
            role.ledger.outsider();
        }
        // Who asks and leaves gets no reply, which is its own affair.
        in_time(socket.send_multipart(parts, 0))?;
    }
    Ok(())
}

/// PULL: every job.
pub(super) fn pull(socket: &Socket, role: &Role) -> zmq::Result<()> {
    while !role.curtain.is_over() {
        let Some(body) = in_time(socket.recv_multipart(0))?.and_then(|parts| parts.into_iter().next()) else {
            continue;
        };
        if Message::parse(&body, &role.canary).is_some_and(|message| message.number.is_none()) {
            role.ledger.stand();
        }
        note(role, &body);
    }
    Ok(())
}

fn note(role: &Role, body: &[u8]) {
    match Message::parse(body, &role.canary) {
        Some(Message { number: Some(number), sent }) => {
            role.ledger.deliver(number, role.clock.now().since(sent));
        }
        Some(_) => {}
        None => role.ledger.outsider(),
    }
}
