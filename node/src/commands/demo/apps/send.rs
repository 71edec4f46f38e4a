//! Those who send: each opens its way first, then numbers what it sends.

use zmq::Socket;

use super::{Beat, RAW, Role, TOPICS, in_time};
use crate::commands::demo::message::Message;

/// Readings in a second.
const READINGS: u32 = 200;
/// Requests in a second.
const REQUESTS: u32 = 100;
/// Jobs in a second.
const JOBS: u32 = 1000;
/// How often the way is tried in a second.
const TRIES: u32 = 50;
/// A reading in so many is on the topic that nobody there may have.
const RAW_EVERY: u64 = 10;

impl Role {
    fn message(&self, number: Option<u64>) -> String {
        Message { number, sent: self.clock.now().instant }.text(&self.canary)
    }

    /// Sends all parts of the message with this number, if it has one; whether they were taken before sending was over.
    fn send(&self, socket: &Socket, number: Option<u64>, parts: &[&[u8]]) -> zmq::Result<bool> {
        self.wiretap.message(parts);
        while !self.curtain.is_sending_over() {
            if in_time(socket.send_multipart(parts, 0))?.is_some() {
                return Ok(true);
            }
        }
        if number.is_some() {
            self.ledger.take_back();
        }
        Ok(false)
    }
}

/// PUB: readings on two topics that are allowed, and on one that is not.
pub(super) fn publish(socket: &Socket, role: &Role) -> zmq::Result<()> {
    let say =
        |topic: &str, number| role.send(socket, number, &[topic.as_bytes(), role.message(number).as_bytes()]);
    // A PUB cannot know who subscribes: it talks until the subscriber has heard every topic.
    let mut tries = Beat::new(role.clock, TRIES)?;
    while !role.ledger.stands() {
        for topic in TOPICS {
            say(topic, None)?;
        }
        if !tries.wait(&role.curtain) {
            return Ok(());
        }
    }
    let mut beat = Beat::new(role.clock, READINGS)?;
    while beat.wait(&role.curtain) {
        let number = role.ledger.send();
        say(TOPICS[number as usize % TOPICS.len()], Some(number))?;
        if number.is_multiple_of(RAW_EVERY) {
            say(RAW, None)?;
        }
    }
    Ok(())
}

/// REQ: one request after the other, each with its reply.
pub(super) fn ask(socket: &Socket, role: &Role) -> zmq::Result<()> {
    if !exchange(socket, role, None)? {
        return Ok(());
    }
    role.ledger.stand();
    let mut beat = Beat::new(role.clock, REQUESTS)?;
    while beat.wait(&role.curtain) {
        let number = role.ledger.send();
        if !exchange(socket, role, Some(number))? {
            return Ok(());
        }
    }
    Ok(())
}

/// A request and its reply; whether it came before the play was over.
fn exchange(socket: &Socket, role: &Role, number: Option<u64>) -> zmq::Result<bool> {
    let request = role.message(number);
    if !role.send(socket, number, &[request.as_bytes()])? {
        return Ok(false);
    }
    let sent = Message::parse(request.as_bytes(), &role.canary).map(|message| message.sent);
    // A request that was sent is given the time for its reply, also when nothing more is to be sent.
    let mut looks = 0;
    loop {
        if let Some(reply) = in_time(socket.recv_bytes(0))? {
            let own = reply == request.as_bytes();
            if let (Some(number), Some(sent), true) = (number, sent, own) {
                role.ledger.deliver(number, role.clock.now().since(sent));
            }
            return Ok(own);
        }
        looks += 1;
        if role.curtain.is_sending_over() && (number.is_none() || looks > LAST_LOOKS) {
            return Ok(false);
        }
    }
}

/// How often the last reply is looked for.
const LAST_LOOKS: u32 = 50;

/// PUSH: jobs, as fast as the beat.
pub(super) fn push(socket: &Socket, role: &Role) -> zmq::Result<()> {
    if !role.send(socket, None, &[role.message(None).as_bytes()])? {
        return Ok(());
    }
    let mut tries = Beat::new(role.clock, TRIES)?;
    while !role.ledger.stands() {
        if !tries.wait(&role.curtain) {
            return Ok(());
        }
    }
    let mut beat = Beat::new(role.clock, JOBS)?;
    while beat.wait(&role.curtain) {
        let number = role.ledger.send();
        role.send(socket, Some(number), &[role.message(Some(number)).as_bytes()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::commands::demo::apps::Curtain;
    use crate::commands::demo::ledger::Ledger;
    use crate::commands::demo::message::Canary;
    use crate::commands::demo::wiretap::Wiretap;
    use crate::machine::clock::Clock;

    #[test]
    fn a_message_that_the_end_overtakes_does_not_count_as_sent() {
        let role = Role {
            clock: Clock::start(),
            canary: Canary::new(),
            wiretap: Arc::new(Wiretap::new(Vec::new())),
            ledger: Arc::new(Ledger::new()),
            curtain: Arc::<Curtain>::default(),
        };
        let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
        let number = role.ledger.send();
        role.curtain.end_sending();
        assert!(!role.send(&socket, Some(number), &[b"late"]).unwrap());
        assert_eq!(role.ledger.figures().sent, 0);
    }
}
