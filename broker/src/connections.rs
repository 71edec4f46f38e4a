//! An application's connection, from the greeting to the end.

pub(crate) mod flow;
pub(crate) mod judge;
pub(crate) mod open;
pub(crate) mod opening;
pub(crate) mod serves;
pub(crate) mod trial;
pub(crate) mod uses;

use std::time::Duration;

use bytes::BytesMut;
use lockgate_proto::now::Moment;
use lockgate_proto::zmtp::{Fault, GREETING_STEP, HANDSHAKE_TOTAL, Handshake, Hello, Progress};

use crate::apps::{AppId, Apps};
use crate::desk::Desk;
use crate::links::LinkId;
use crate::services::Role;
use flow::Flow;
use serves::Meeting;
use uses::Seeking;

/// How long an application may be kept in its handshake: libzmq gives up after 30 s (`ZMQ_HANDSHAKE_IVL`).
pub(crate) const HOLD: Duration = Duration::from_secs(25);
/// How long an application may take to close once nothing more will come.
pub(crate) const LINGER: Duration = Duration::from_secs(10);
/// More than any READY that the nodes pass on to each other.
pub(crate) const MAX_PROPERTIES: usize = 16 * 1024;

/// What a connection has at hand while it is its turn.
pub(crate) struct Turn<'a, A> {
    pub(crate) app: AppId,
    pub(crate) desk: &'a mut Desk,
    pub(crate) now: Moment,
    pub(crate) apps: &'a mut A,
}

/// More than an application sends before it has our READY.
pub(crate) const MAX_EARLY: usize = 64 * 1024;

/// One connection.
pub(crate) struct Connection {
    pub(crate) role: Role,
    pub(crate) link: Option<LinkId>,
    pub(crate) phase: Phase,
    /// When something must have happened.
    pub(crate) deadline: Option<Moment>,
}

/// How far it is.
pub(crate) enum Phase {
    /// It connected to us and says who it is.
    Greeting(Greeting),
    /// It said who it is; we look for a node that has the service.
    Seeking(Box<Seeking>),
    /// It has a service and waits for somebody to use it.
    Waiting(Box<Known>),
    /// We connect to it, or have, on behalf of an application elsewhere.
    Meeting(Box<Meeting>),
    /// Messages pass.
    Open(Box<Flow>),
    /// Nothing: what [`Connection::take_phase`] leaves behind.
    Closed,
}

/// An accepted application that has not said everything.
pub(crate) struct Greeting {
    handshake: Handshake,
    input: BytesMut,
    step: Progress,
    until: Moment,
}

/// An accepted application that has: our READY is due.
pub(crate) struct Known {
    pub(crate) handshake: Handshake,
    /// What it sent after its READY.
    pub(crate) input: BytesMut,
    pub(crate) hello: Hello,
}

impl Connection {
    /// An application connected to us.
    pub(crate) fn accepted(app: AppId, role: Role, now: Moment, apps: &mut impl Apps) -> Option<Self> {
        let mut handshake = Handshake::accepting();
        let mut greeting = BytesMut::new();
        handshake.greet(&mut greeting);
        if !write_whole(app, greeting, apps) {
            return None;
        }
        let step = handshake.progress();
        let until = now + HANDSHAKE_TOTAL;
        let greeting = Greeting { handshake, input: BytesMut::new(), step, until };
        let deadline = Some(now + GREETING_STEP);
        Some(Self { role, link: None, phase: Phase::Greeting(greeting), deadline })
    }

    pub(crate) const fn is_greeting(&self) -> bool {
        matches!(self.phase, Phase::Greeting(_))
    }

    /// The phase, to be replaced by the next one.
    pub(crate) fn take_phase(mut self) -> (Self, Phase) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        (self, phase)
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let held = match &self.phase {
            Phase::Open(flow) => flow.deadline(),
            _ => None,
        };
        [self.deadline, held].into_iter().flatten().min()
    }
}

/// What a greeting led to.
pub(crate) enum Greeted {
    Unfinished(Greeting),
    Known(Known),
    Fault(Fault),
    Gone,
}

impl Greeting {
    /// The application sent `bytes`; `deadline` follows the steps.
    pub(crate) fn app_sent(
        mut self,
        app: AppId,
        bytes: &[u8],
        now: Moment,
        deadline: &mut Option<Moment>,
        apps: &mut impl Apps,
    ) -> Greeted {
        self.input.extend_from_slice(bytes);
        let mut reply = BytesMut::new();
        let hello = match self.handshake.handle(&mut self.input, &mut reply) {
            Ok(hello) => hello,
            Err(fault) => return Greeted::Fault(fault),
        };
        if !write_whole(app, reply, apps) {
            return Greeted::Gone;
        }
        let Some(hello) = hello else {
            if self.handshake.progress() != self.step {
                self.step = self.handshake.progress();
                *deadline = Some((now + GREETING_STEP).min(self.until));
            }
            return Greeted::Unfinished(self);
        };
        if hello.properties.len() > MAX_PROPERTIES {
            return Greeted::Fault(Fault::CommandTooLarge);
        }
        Greeted::Known(Known { handshake: self.handshake, input: self.input, hello })
    }
}

/// Writes a handshake's few bytes; an application that has no room even for those is hostile or gone.
pub(crate) fn write_whole(app: AppId, bytes: BytesMut, apps: &mut impl Apps) -> bool {
    bytes.is_empty() || {
        let length = bytes.len();
        apps.write(app, &[bytes.freeze()]) == Some(length)
    }
}
