//! One connection of a simulated application.

use bytes::{Buf, Bytes, BytesMut};
use lockgate_proto::zmtp::{Handshake, Hello, SocketType};

use super::application::{HIGH_WATER, Habits, check_topic, chunk, framed};
use super::frames::{self, Frame};
use super::ledger::{Ledger, Serial};
use super::pipes::{BUFFER, Shared};

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Application,
    Node,
}

/// See the module.
pub(crate) struct Conn {
    pub(crate) serial: Serial,
    pub(crate) pipe: Shared,
    hello: Hello,
    side: Side,
    handshake: Handshake,
    ready: bool,
    newly_open: bool,
    input: BytesMut,
    output: BytesMut,
    parts: Vec<Bytes>,
    subscriptions: Vec<Bytes>,
    /// A REQ waits for its reply.
    waits: bool,
    /// The next reply's number.
    reply: u64,
    emitted: u64,
    left: bool,
    pub(crate) received: u64,
}

impl Conn {
    pub(crate) fn new(serial: Serial, pipe: Shared, side: Side, hello: Hello) -> Self {
        let mut handshake = match side {
            Side::Application => Handshake::dialing(hello.clone()),
            Side::Node => Handshake::accepting(),
        };
        let mut output = BytesMut::new();
        handshake.greet(&mut output);
        Self {
            serial,
            pipe,
            hello,
            side,
            handshake,
            ready: false,
            newly_open: false,
            input: BytesMut::new(),
            output,
            parts: Vec::new(),
            subscriptions: Vec::new(),
            waits: false,
            reply: 0,
            emitted: 0,
            left: false,
            received: 0,
        }
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    pub(crate) const fn has_left(&self) -> bool {
        self.left
    }

    /// Whether the handshake was finished since the last call.
    pub(crate) const fn take_opened(&mut self) -> bool {
        std::mem::replace(&mut self.newly_open, false)
    }

    /// The node gave it up, and there is nothing left to read.
    pub(crate) fn is_over(&self) -> bool {
        let pipe = self.pipe.borrow();
        (pipe.finished || pipe.closed) && pipe.to_app.is_empty()
    }

    /// Takes what has arrived.
    pub(crate) fn read(&mut self, habits: &Habits, ledger: &mut Ledger) -> bool {
        if self.output.len() > HIGH_WATER {
            return false;
        }
        let arrived = chunk(&mut self.pipe.borrow_mut().to_app);
        self.input.extend_from_slice(&arrived);
        if !self.ready && !self.greet(habits) {
            return !arrived.is_empty();
        }
        while let Some(frame) = frames::take(&mut self.input) {
            self.handle(frame, habits, ledger);
        }
        !arrived.is_empty()
    }

    fn greet(&mut self, habits: &Habits) -> bool {
        let known =
            self.handshake.handle(&mut self.input, &mut self.output).expect("a node greets correctly");
        let Some(theirs) = known else { return false };
        assert!(theirs.socket_type.matches(self.hello.socket_type), "{theirs:?}");
        if self.side == Side::Node {
            self.handshake.answer(&self.hello, &mut self.output);
        }
        self.ready = true;
        self.newly_open = true;
        if self.hello.socket_type.is_subscriber() {
            for topic in &habits.topics {
                frames::put_command("SUBSCRIBE", topic.as_bytes(), &mut self.output);
            }
        }
        true
    }

    fn handle(&mut self, frame: Frame, habits: &Habits, ledger: &mut Ledger) {
        if frame.command {
            self.command(&frame.body);
            return;
        }
        self.parts.push(frame.body);
        if !frame.more {
            let parts = std::mem::take(&mut self.parts);
            self.message(parts, habits, ledger);
        }
    }

    fn command(&mut self, body: &[u8]) {
        let (name, argument) = frames::split_command(body);
        match name {
            b"SUBSCRIBE" => self.subscriptions.push(Bytes::copy_from_slice(argument)),
            b"CANCEL" => {
                let place = self.subscriptions.iter().position(|topic| *topic == argument);
                self.subscriptions.remove(place.expect("a subscription to cancel"));
            }
            b"PING" => frames::put_command("PONG", &argument[2..], &mut self.output),
            other => panic!("an unexpected command: {other:?}"),
        }
    }

    fn message(&mut self, parts: Vec<Bytes>, habits: &Habits, ledger: &mut Ledger) {
        let text = std::str::from_utf8(parts.last().expect("a part")).expect("text as it was sent");
        self.received += 1;
        match habits.socket {
            SocketType::Pull | SocketType::Sub => {
                check_topic(habits, text);
                ledger.check(self.serial, text);
            }
            SocketType::Rep | SocketType::Router => {
                ledger.check(self.serial, text);
                frames::put_message(&parts, &mut self.output);
            }
            SocketType::Req | SocketType::Dealer => {
                let expected = format!("{} {} {} ", habits.topics[0], self.serial, self.reply);
                assert!(text.starts_with(&expected), "{text:.60} is not the reply to {expected}");
                self.reply += 1;
                self.waits = false;
            }
            other => panic!("a {other:?} gets no messages"),
        }
    }

    /// Whether it would send something if it were time.
    pub(crate) fn can_emit(&self, habits: &Habits) -> bool {
        let sends = match habits.socket {
            SocketType::Push | SocketType::Dealer => true,
            SocketType::Req => !self.waits,
            SocketType::Pub => habits.wild || !self.subscriptions.is_empty(),
            _ => false,
        };
        let more = habits.limit.is_none_or(|limit| self.emitted < limit);
        sends && self.ready && more && !self.left && self.output.len() < HIGH_WATER
    }

    /// Sends the next message; whether it did.
    pub(crate) fn emit(&mut self, habits: &Habits, ledger: &mut Ledger) -> bool {
        if !self.can_emit(habits) {
            return false;
        }
        for topic in &habits.topics {
            let subscribed = || self.subscriptions.iter().any(|wanted| topic.as_bytes().starts_with(wanted));
            if habits.socket == SocketType::Pub && !habits.wild && !subscribed() {
                continue;
            }
            let text = ledger.compose(self.serial, topic, habits.size);
            frames::put_message(&framed(habits.socket, text), &mut self.output);
        }
        self.waits = habits.socket == SocketType::Req;
        self.emitted += 1;
        self.left = habits.leaves && habits.limit.is_some_and(|limit| self.emitted >= limit);
        true
    }

    /// Writes what fits.
    pub(crate) fn flush(&mut self) -> bool {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.closed || pipe.gone {
            self.output.clear();
            return false;
        }
        let length = self.output.len().min(BUFFER - pipe.to_node.len());
        pipe.to_node.extend_from_slice(&self.output[..length]);
        self.output.advance(length);
        let leaves = self.left && self.output.is_empty() && !pipe.ended;
        pipe.ended |= leaves;
        length > 0 || leaves
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pipe = self.pipe.borrow();
        let (to_app, to_node) = (pipe.to_app.len(), pipe.to_node.len());
        let (wanted, blocked, closed) = (pipe.wanted, pipe.blocked, pipe.closed);
        write!(f, "{} ready {} waits {} ", self.serial, self.ready, self.waits)?;
        write!(
            f,
            "output {} input {} subscriptions {:?} ",
            self.output.len(),
            self.input.len(),
            self.subscriptions
        )?;
        write!(f, "to_app {to_app} to_node {to_node} wanted {wanted} blocked {blocked} closed {closed}")
    }
}
