//! Where applications connect.

use std::time::Duration;

use lockgate_broker::broker::Door;
use lockgate_proto::now::{Moment, Now};

use crate::machine::apps::{AcceptOutcome, Listener};
use crate::machine::locals::Locals;
use crate::node::Node;

/// Accepted connections of one endpoint in a turn.
const ACCEPTS: usize = 64;
/// Pause after the system ran out of descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// An endpoint where applications connect.
pub(super) struct Entrance {
    pub(super) door: Door,
    pub(super) listener: Listener,
    /// There may be somebody waiting.
    ready: bool,
    /// No attempt before.
    pause: Option<Moment>,
}

impl Entrance {
    pub(super) const fn new(door: Door, listener: Listener) -> Self {
        Self { door, listener, ready: true, pause: None }
    }

    /// Lets in who waits, up to a turn's share.
    pub(super) fn accept(&mut self, node: &mut Node, locals: &mut Locals, now: Now) {
        if self.pause.is_some_and(|until| until > now.instant) {
            return;
        }
        self.pause = None;
        for _ in 0..ACCEPTS {
            if !self.ready {
                return;
            }
            match self.listener.accept() {
                AcceptOutcome::Stream(stream) => {
                    let Some(app) = node.broker().admit() else { continue };
                    tracing::debug!(origin = %stream.origin(), endpoint = %self.listener.endpoint(), "application connected");
                    if locals.add(app, stream).is_ok() {
                        node.broker().handle_accepted(app, self.door, now.instant, locals);
                    }
                }
                AcceptOutcome::Empty => self.ready = false,
                AcceptOutcome::Exhausted => {
                    self.pause = Some(now.instant + EXHAUSTED);
                    return;
                }
            }
        }
    }

    /// When to try again though nothing happened.
    pub(super) const fn poll_timeout(&self) -> Option<Moment> {
        self.pause
    }

    /// Whether somebody may wait whom waiting would not tell.
    pub(super) const fn is_busy(&self) -> bool {
        self.ready && self.pause.is_none()
    }

    /// The listener has something to tell.
    pub(super) const fn note(&mut self) {
        self.ready = true;
    }
}
