//! The applications: real libzmq sockets on threads of their own, which know nothing of Lockgate but an endpoint.

mod denied;
mod receive;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lockgate_proto::now::Moment;
use zmq::{Context, Socket, SocketType};

use super::ledger::Ledger;
use super::message::Canary;
use super::stage::Running;
use super::wiretap::Wiretap;
use crate::commands::{Failure, out_of};
use crate::config::Endpoint;
use crate::machine::clock::Clock;
use crate::machine::poller::Poller;

/// The services, in the order of every report.
pub(super) const SERVICES: [&str; 3] = ["telemetry", "command", "jobs"];
/// Topics of the readings that the policy lets through.
pub(super) const TOPICS: [&str; 2] = ["temp.gearbox-1", "vib.gearbox-1"];
/// The topic that it does not.
pub(super) const RAW: &str = "raw.gearbox-1";
/// How often an application that waits for a message looks whether the play is over.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What every application of a service has.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) clock: Clock,
    pub(super) canary: Canary,
    pub(super) wiretap: Arc<Wiretap>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) curtain: Arc<Curtain>,
}

/// When to end: first those who send, then those who receive.
#[derive(Debug, Default)]
pub(super) struct Curtain {
    sent: AtomicBool,
    over: AtomicBool,
}

impl Curtain {
    /// Nothing more is sent.
    pub(super) fn end_sending(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    /// Nothing more is waited for.
    pub(super) fn fall(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn is_sending_over(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// The sockets of the applications that have a service, bound before the nodes start.
pub(super) struct Hosts {
    publisher: Socket,
    responder: Socket,
    puller: Socket,
    /// Where each has bound, in the order of [`SERVICES`].
    pub(super) endpoints: [Endpoint; 3],
}

impl Hosts {
    /// Binds all three to loopback ports of the system's choice.
    pub(super) fn bind(context: &Context) -> Result<Self, Failure> {
        let (publisher, telemetry) = bound(context, zmq::PUB)?;
        let (responder, command) = bound(context, zmq::REP)?;
        let (puller, jobs) = bound(context, zmq::PULL)?;
        Ok(Self { publisher, responder, puller, endpoints: [telemetry, command, jobs] })
    }
}

/// The running applications.
pub(super) struct Troupe {
    senders: Vec<Player>,
    receivers: Vec<Player>,
}

/// One application.
struct Player {
    name: &'static str,
    thread: JoinHandle<zmq::Result<()>>,
}

impl Troupe {
    /// Starts every application: those of `hosts`, and those that use the services through `north` and `south`.
    /// `roles` are in the order of [`SERVICES`].
    pub(super) fn start(
        context: &Context,
        hosts: Hosts,
        [north, south]: [&Running; 2],
        roles: &[Role; 3],
    ) -> Result<Self, Failure> {
        let [telemetry, command, jobs] = roles;
        let user = |kind, node: &Running, service| connected(context, kind, node, service);
        let subscriber = user(zmq::SUB, south, "telemetry")?;
        let asker = user(zmq::REQ, south, "command")?;
        let pusher = user(zmq::PUSH, north, "jobs")?;
        let snoop = user(zmq::SUB, south, "telemetry")?;
        let intruder = user(zmq::DEALER, south, "command")?;
        let Hosts { publisher, responder, puller, .. } = hosts;
        let senders = vec![
            play("publisher", publisher, telemetry, send::publish)?,
            play("asker", asker, command, send::ask)?,
            play("pusher", pusher, jobs, send::push)?,
        ];
        let receivers = vec![
            play("subscriber", subscriber, telemetry, receive::subscribe)?,
            play("responder", responder, command, receive::respond)?,
            play("puller", puller, jobs, receive::pull)?,
            play("snoop", snoop, telemetry, denied::snoop)?,
            play("intruder", intruder, command, denied::intrude)?,
        ];
        Ok(Self { senders, receivers })
    }

    /// Waits for the end of those who send; what went wrong.
    pub(super) fn join_senders(&mut self) -> Vec<String> {
        self.senders.drain(..).filter_map(Player::join).collect()
    }

    /// Waits for the end of those who receive; what went wrong.
    pub(super) fn join_receivers(&mut self) -> Vec<String> {
        self.receivers.drain(..).filter_map(Player::join).collect()
    }
}

impl Player {
    fn join(self) -> Option<String> {
        match self.thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("application {}: {error}", self.name)),
            Err(_) => Some(format!("application {} broke down", self.name)),
        }
    }
}

fn play(
    name: &'static str,
    socket: Socket,
    role: &Role,
    part: fn(&Socket, &Role) -> zmq::Result<()>,
) -> Result<Player, Failure> {
    let role = role.clone();
    let thread = thread::Builder::new().name(name.into()).spawn(move || part(&socket, &role));
    Ok(Player { name, thread: thread.map_err(out_of)? })
}

fn socket(context: &Context, kind: SocketType) -> zmq::Result<Socket> {
    let socket = context.socket(kind)?;
    let look_up = i32::try_from(LOOK_UP.as_millis()).unwrap_or(i32::MAX);
    socket.set_rcvtimeo(look_up)?;
    socket.set_sndtimeo(look_up)?;
    socket.set_linger(0)?;
    // Gentle towards the listener that keeps refusing.
    socket.set_reconnect_ivl(500)?;
    Ok(socket)
}

fn bound(context: &Context, kind: SocketType) -> Result<(Socket, Endpoint), Failure> {
    let bind = || {
        let socket = socket(context, kind)?;
        socket.bind("tcp://127.0.0.1:*")?;
        let endpoint = socket.get_last_endpoint()?;
        Ok((socket, endpoint))
    };
    let (socket, endpoint) = bind().map_err(|error: zmq::Error| libzmq(&error))?;
    let endpoint = endpoint.unwrap_or_else(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let endpoint = endpoint.parse().map_err(|error| Failure::failed(error, ""))?;
    Ok((socket, endpoint))
}

fn connected(context: &Context, kind: SocketType, node: &Running, service: &str) -> Result<Socket, Failure> {
    let endpoint = node.endpoint(service).expect("the stage has a door for every service that is used");
    let connect = || {
        let socket = socket(context, kind)?;
        socket.connect(&endpoint)?;
        Ok(socket)
    };
    connect().map_err(|error| libzmq(&error))
}

fn libzmq(error: &zmq::Error) -> Failure {
    Failure::failed(format!("libzmq: {error}"), "raise the limits (ulimit -n)")
}

/// What came in time; nothing where it was time to look up.
fn in_time<T>(outcome: zmq::Result<T>) -> zmq::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A beat: so many times a second, and what was missed is made up for.
struct Beat {
    clock: Clock,
    poller: Poller,
    interval: Duration,
    next: Moment,
}

impl Beat {
    fn new(clock: Clock, per_second: u32) -> zmq::Result<Self> {
        let poller = Poller::new().map_err(|_| zmq::Error::EMFILE)?;
        Ok(Self { clock, poller, interval: Duration::from_secs(1) / per_second, next: clock.now().instant })
    }

    /// Waits for the next one; whether sending goes on.
    fn wait(&mut self, curtain: &Curtain) -> bool {
        self.next = self.next + self.interval;
        loop {
            let left = self.next.since(self.clock.now().instant);
            if curtain.is_sending_over() {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            // Nothing is watched, so that this only lets time pass.
            if self.poller.wait(Some(left.min(LOOK_UP))).is_err() {
                return false;
            }
        }
    }
}
