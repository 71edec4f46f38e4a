//! What comes from applications: connections, bytes, ends.

use bytes::Bytes;
use lockgate_proto::now::Moment;

use super::{Broker, Door, MAX_CONNECTIONS, MAX_HANDSHAKES};
use crate::apps::{AppId, Apps};
use crate::connections::flow::Outcome;
use crate::connections::uses::Seeking;
use crate::connections::{Connection, Greeted, Greeting, HOLD, Phase, Turn, open, serves, uses};
use crate::services::{OfferId, Role};

impl Broker {
    /// A name for a connection that an application has just made to one of our endpoints; `None` where there
    /// are too many: close it.
    pub fn admit(&mut self) -> Option<AppId> {
        let full = self.connections.len() >= MAX_CONNECTIONS || self.greeting >= MAX_HANDSHAKES;
        (!self.stopping && !full).then(|| self.new_app())
    }

    /// An application has connected as `app` to the endpoint behind `door`.
    pub fn handle_accepted(&mut self, app: AppId, door: Door, now: Moment, apps: &mut impl Apps) {
        let role = match door {
            Door::Use(place) => Role::Uses(place),
            Door::Offer(place) => Role::Serves(place),
        };
        match Connection::accepted(app, role, now, apps) {
            Some(connection) => self.keep(app, connection),
            None => apps.close(app),
        }
    }

    /// An application that was dialled is there.
    pub fn handle_dialed(&mut self, app: AppId, now: Moment, apps: &mut impl Apps) {
        self.with(app, now, apps, |connection, turn| {
            let (connection, phase) = connection.take_phase();
            match phase {
                Phase::Meeting(meeting) => serves::dialed(connection, meeting, turn),
                phase => Some(Connection { phase, ..connection }),
            }
        });
    }

    /// An application sent `bytes`.
    pub fn handle_data(&mut self, app: AppId, bytes: Bytes, now: Moment, apps: &mut impl Apps) {
        let mut waiting = None;
        self.with(app, now, apps, |connection, turn| {
            let connection = from_app(connection, bytes, turn)?;
            if let (Phase::Waiting(_), Role::Serves(offer)) = (&connection.phase, connection.role) {
                waiting = Some(offer);
            }
            Some(connection)
        });
        if let Some(OfferId(place)) = waiting {
            self.waiting[place].insert(app);
        }
    }

    /// An application takes bytes again.
    pub fn handle_writable(&mut self, app: AppId, now: Moment, apps: &mut impl Apps) {
        self.with(app, now, apps, |connection, turn| {
            let (connection, phase) = connection.take_phase();
            match phase {
                Phase::Open(flow) => {
                    open::with_flow(connection, flow, turn, |flow, around| flow.turn(around))
                }
                phase => Some(Connection { phase, ..connection }),
            }
        });
    }

    /// An application will send nothing more.
    pub fn handle_ended(&mut self, app: AppId, now: Moment, apps: &mut impl Apps) {
        self.with(app, now, apps, |connection, turn| {
            let (connection, phase) = connection.take_phase();
            match phase {
                Phase::Open(flow) => {
                    open::with_flow(connection, flow, turn, |flow, around| flow.app_ended(around))
                }
                phase => {
                    gone(&connection, phase, turn);
                    None
                }
            }
        });
    }

    /// An application's connection broke, or could not be made.
    pub fn handle_gone(&mut self, app: AppId, now: Moment, apps: &mut impl Apps) {
        self.with(app, now, apps, |connection, turn| {
            let (connection, phase) = connection.take_phase();
            gone(&connection, phase, turn);
            None
        });
    }

    /// Begins a clean stop: nobody new is let in, connections without a counterpart are closed, and open ones
    /// end as if their application had ended them, after what was read. Over when [`Broker::connections`] is 0.
    pub fn stop(&mut self, now: Moment, apps: &mut impl Apps) {
        self.stopping = true;
        let all: Vec<AppId> = self.connections.keys().copied().collect();
        for app in all {
            self.handle_ended(app, now, apps);
        }
    }
}

fn from_app<A: Apps>(connection: Connection, bytes: Bytes, turn: &mut Turn<'_, A>) -> Option<Connection> {
    let (mut connection, phase) = connection.take_phase();
    match phase {
        Phase::Open(flow) => {
            open::with_flow(connection, flow, turn, |flow, around| flow.app_sent(bytes, around))
        }
        Phase::Greeting(greeting) => greeted(connection, greeting, &bytes, turn),
        Phase::Seeking(mut seeking) => {
            if !seeking.app_sent(&bytes) {
                uses::forget_asked(&mut seeking, turn);
                turn.desk.tally(connection.role).faults += 1;
                return None;
            }
            connection.phase = Phase::Seeking(seeking);
            Some(connection)
        }
        Phase::Waiting(mut known) => {
            known.input.extend_from_slice(&bytes);
            if known.input.len() > crate::connections::MAX_EARLY {
                turn.desk.tally(connection.role).faults += 1;
                return None;
            }
            connection.phase = Phase::Waiting(known);
            Some(connection)
        }
        Phase::Meeting(meeting) => serves::from_app(connection, meeting, &bytes, turn),
        Phase::Closed => None,
    }
}

/// The next step of an application that is saying who it is.
fn greeted<A: Apps>(
    mut connection: Connection,
    greeting: Greeting,
    bytes: &[u8],
    turn: &mut Turn<'_, A>,
) -> Option<Connection> {
    match greeting.app_sent(turn.app, bytes, turn.now, &mut connection.deadline, turn.apps) {
        Greeted::Unfinished(greeting) => {
            connection.phase = Phase::Greeting(greeting);
            Some(connection)
        }
        Greeted::Known(known) => match connection.role {
            Role::Uses(place) => {
                let mut seeking = Box::new(Seeking::new(known, place, turn.now));
                uses::begin_round(&mut seeking, turn.desk);
                uses::compare_refused(&seeking, turn.desk, turn.now);
                uses::ask_next(connection, seeking, turn)
            }
            Role::Serves(_) => {
                connection.deadline = Some(turn.now + HOLD);
                connection.phase = Phase::Waiting(Box::new(known));
                Some(connection)
            }
        },
        Greeted::Fault(fault) => {
            turn.desk.fault(connection.role, fault);
            None
        }
        Greeted::Gone => None,
    }
}

/// An application left: whatever it was part of is over.
fn gone<A: Apps>(connection: &Connection, phase: Phase, turn: &mut Turn<'_, A>) {
    match phase {
        Phase::Open(flow) => open::close(connection, &flow, Outcome::Gone, turn),
        Phase::Seeking(mut seeking) => uses::forget_asked(&mut seeking, turn),
        Phase::Meeting(meeting) => meeting.failed(turn),
        Phase::Greeting(_) | Phase::Waiting(_) | Phase::Closed => {}
    }
}
