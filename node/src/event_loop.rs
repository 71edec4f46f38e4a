//! The reactor: one thread that owns the node and its sockets, and waits for all of them at once.
//!
//! Never wait, never time: a turn takes what has arrived, draws the consequences, and flushes. Under load input
//! piles up during a turn and batches grow by themselves; idle, one message is one read and one send.

mod stopping;

use std::io;
use std::time::Duration;

use lockgate_broker::broker::Door;
use lockgate_proto::now::{Moment, Now};

use crate::control::{ControlRequest, ControlServer};
use crate::machine::apps::{AcceptOutcome, Listener};
use crate::machine::clock::Clock;
use crate::machine::locals::{FIRST_TOKEN, Locals, Told};
use crate::machine::logging::Quiet;
use crate::machine::outbox::{Batch, Flushed};
use crate::machine::poller::{Interest, Ready};
use crate::machine::signals::{Signal, Signals};
use crate::machine::udp::Udp;
use crate::node::{Event, Node};
use crate::report;
use stopping::Stopping;

/// The UDP socket's token; the listeners' follow.
const UDP: u64 = 0;
/// Datagrams that a turn takes at most, so that the applications get theirs.
const DATAGRAMS: usize = 256;
/// Accepted connections of one endpoint in a turn.
const ACCEPTS: usize = 64;
/// Pause after the system ran out of descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// Pause after the system ran out of memory for a send.
const SHORT_OF_MEMORY: Duration = Duration::from_millis(1);
/// How often the same thing is logged at most.
const REPEAT: Duration = Duration::from_secs(10);

/// An endpoint where applications connect.
struct Entrance {
    door: Door,
    listener: Listener,
    /// There may be somebody waiting.
    ready: bool,
    /// No attempt before.
    pause: Option<Moment>,
}

/// What a loop is made of.
pub struct Parts {
    /// The node.
    pub node: Node,
    /// Its clock, the one that the node's `base` came from.
    pub clock: Clock,
    /// The bound UDP socket.
    pub udp: Udp,
    /// The applications' connections, none yet.
    pub locals: Locals,
    /// The bound endpoints.
    pub entrances: Vec<(Door, Listener)>,
    /// Requests from the control socket.
    pub control: Option<ControlServer>,
    /// Signals to the process.
    pub signals: Option<Signals>,
    /// Another way to be stopped: once this is gone or has spoken.
    pub stop: Option<std::sync::mpsc::Receiver<()>>,
    /// How long to look for more before sleeping.
    pub spin: Duration,
    /// Sees every datagram as it is sent.
    pub tap: Option<Tap>,
    /// Reads the policy again.
    pub reload: Option<Reload>,
}

/// Sees the bytes of datagrams on their way to the network.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;
/// Reads the policy again: the rules, or why they cannot be used.
pub type Reload = Box<dyn FnMut() -> Result<std::sync::Arc<lockgate_proto::rules::Rules>, String> + Send>;

/// See the module.
pub struct EventLoop {
    node: Node,
    clock: Clock,
    udp: Udp,
    batch: Batch,
    locals: Locals,
    entrances: Vec<Entrance>,
    control: Option<ControlServer>,
    signals: Option<Signals>,
    stop: Option<std::sync::mpsc::Receiver<()>>,
    spin: Duration,
    tap: Option<Tap>,
    reload: Option<Reload>,
    quiet: Quiet<String>,
    udp_ready: bool,
    /// The socket took no more; it will tell.
    udp_blocked: bool,
    /// Flush again then.
    flush_at: Option<Moment>,
    /// The batch was full before everything was in it.
    more_to_send: bool,
    active_until: Moment,
    stopping: Option<Stopping>,
    started: Now,
    ready: Vec<Ready>,
}

impl EventLoop {
    /// Puts the parts together and begins to watch them.
    ///
    /// # Errors
    /// When a socket cannot be watched.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let Parts { node, clock, udp, mut locals, entrances, control, signals, stop, spin, tap, reload } =
            parts;
        locals.poller().register(&udp, UDP, Interest::Read)?;
        for (token, (_, listener)) in (UDP + 1..).zip(&entrances) {
            locals.poller().register(listener, token, Interest::Read)?;
        }
        let entrances = entrances.into_iter().map(|(door, listener)| Entrance {
            door,
            listener,
            ready: true,
            pause: None,
        });
        let started = clock.now();
        Ok(Self {
            node,
            clock,
            udp,
            batch: Batch::new(),
            locals,
            entrances: entrances.collect(),
            control,
            signals,
            stop,
            spin,
            tap,
            reload,
            quiet: Quiet::new(REPEAT),
            udp_ready: true,
            udp_blocked: false,
            flush_at: None,
            more_to_send: false,
            active_until: started.instant,
            stopping: None,
            started,
            ready: Vec::new(),
        })
    }

    /// Runs until it is told to stop, and then until what was under way has arrived.
    ///
    /// # Errors
    /// When the operating system fails underneath.
    pub fn run(mut self) -> io::Result<()> {
        self.node.start(self.started, &mut self.batch);
        loop {
            let now = self.clock.now();
            self.turn(now)?;
            if self.is_over(now) {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// Takes what has arrived, draws the consequences, flushes.
    fn turn(&mut self, now: Now) -> io::Result<()> {
        self.receive(now)?;
        if self.node.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.node.handle_timeout(now, &mut self.batch, &mut self.locals);
        }
        self.node.settle(now, &mut self.batch, &mut self.locals);
        self.accept(now);
        self.hear(now);
        self.obey(now);
        self.end_connections(now);
        self.more_to_send = !self.node.settle(now, &mut self.batch, &mut self.locals);
        self.flush(now)?;
        self.log_events(now);
        Ok(())
    }

    fn receive(&mut self, now: Now) -> io::Result<()> {
        let mut taken = 0;
        while self.udp_ready && taken < DATAGRAMS {
            let Self { udp, node, batch, .. } = self;
            let received =
                udp.recv(|path, _ecn, datagram| node.handle_udp(path.remote, datagram, now, batch))?;
            taken += received.datagrams;
            self.udp_ready = !received.drained;
        }
        Ok(())
    }

    fn accept(&mut self, now: Now) {
        let Self { entrances, node, locals, .. } = self;
        for entrance in entrances {
            if entrance.pause.is_some_and(|until| until > now.instant) {
                continue;
            }
            entrance.pause = None;
            for _ in 0..ACCEPTS {
                if !entrance.ready {
                    break;
                }
                match entrance.listener.accept() {
                    AcceptOutcome::Stream(stream) => {
                        let Some(app) = node.broker().admit() else { continue };
                        tracing::debug!(origin = %stream.origin(), endpoint = %entrance.listener.endpoint(), "application connected");
                        if locals.add(app, stream).is_ok() {
                            node.broker().handle_accepted(app, entrance.door, now.instant, locals);
                        }
                    }
                    AcceptOutcome::Empty => entrance.ready = false,
                    AcceptOutcome::Exhausted => {
                        entrance.pause = Some(now.instant + EXHAUSTED);
                        break;
                    }
                }
            }
        }
    }

    /// What the applications have to say.
    fn hear(&mut self, now: Now) {
        let Self { node, locals, stopping, .. } = self;
        let mut heard = false;
        locals.turn(&mut |locals, app, told| {
            heard |= matches!(told, Told::Data(_));
            tell(node, locals, app, told, now);
        });
        if let Some(stopping) = stopping
            && (heard || !locals.is_drained())
        {
            stopping.heard(now.instant);
        }
    }

    fn flush(&mut self, now: Now) -> io::Result<()> {
        if self.udp_blocked || self.flush_at.is_some_and(|at| at > now.instant) {
            return Ok(());
        }
        self.flush_at = None;
        if let Some(tap) = &mut self.tap {
            self.batch.peek(tap);
        }
        match self.batch.flush(&self.udp) {
            Flushed::All => {}
            Flushed::Blocked => {
                self.udp_blocked = true;
                self.locals.poller().set_interest(&self.udp, UDP, Interest::Both)?;
            }
            Flushed::Later => self.flush_at = Some(now.instant + SHORT_OF_MEMORY),
        }
        Ok(())
    }

    /// Signals, the control socket, and whoever else may stop this loop.
    fn obey(&mut self, now: Now) {
        while let Some(signal) = self.signals.as_ref().and_then(Signals::take) {
            match signal {
                Signal::Stop => match &mut self.stopping {
                    Some(stopping) => stopping.hurry(now.instant),
                    None => self.begin_stop(now),
                },
                Signal::Reload => self.reload_policy(now),
            }
        }
        if let Some(stop) = &self.stop
            && !matches!(stop.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
        {
            self.begin_stop(now);
        }
        while let Some(request) = self.control.as_ref().and_then(|control| control.requests.try_recv().ok()) {
            self.answer(request, now);
        }
    }

    fn answer(&mut self, request: ControlRequest, now: Now) {
        let answer = match request.command.as_str() {
            "status" => report::status(&self.node, &self.facts(), now),
            other => serde_json::json!({ "error": format!("no such command: {other}") }),
        };
        // A client that has gone away needs no answer.
        let _ = request.reply.send(answer);
    }

    fn facts(&self) -> report::Facts {
        report::Facts {
            started: self.started,
            listen: self.udp.local_addr(),
            sends: self.batch.counters(),
            segmenting: self.batch.is_segmenting(&self.udp),
            endpoints: self
                .entrances
                .iter()
                .map(|entrance| (entrance.door, entrance.listener.endpoint().to_string()))
                .collect(),
        }
    }

    fn reload_policy(&mut self, now: Now) {
        let Some(reload) = &mut self.reload else { return };
        match reload() {
            Ok(rules) => {
                self.node.broker().replace_rules(rules, now.instant, &mut self.locals);
                tracing::info!("policy reloaded");
            }
            Err(mistakes) => {
                tracing::warn!("the policy is unusable; the last good one stays in force\n{mistakes}");
            }
        }
    }

    /// Lets nobody in any more, and reads what has arrived from those who are.
    fn begin_stop(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        tracing::info!("stopping: delivering what is under way");
        self.stopping = Some(Stopping::begin(now.instant));
        self.entrances.clear();
        self.locals.read_all();
    }

    /// Ends every connection in order, once what its application had sent is on its way.
    fn end_connections(&mut self, now: Now) {
        if self.stopping.as_mut().is_some_and(|stopping| stopping.is_time_to_end(now.instant)) {
            self.node.broker().stop(now.instant, &mut self.locals);
        }
    }

    fn is_over(&self, now: Now) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        let quiet = stopping.is_ending() && self.is_quiet();
        let late = stopping.is_late(now.instant);
        if !quiet && late {
            tracing::warn!("stopped before everything was delivered: {}", stopping.why_late());
        }
        quiet || late
    }

    /// Whether everything that applications have sent has reached the other nodes, and what came from there has
    /// been handed over.
    fn is_quiet(&self) -> bool {
        let broker = self.node.broker_report();
        broker.connections() == 0 && broker.is_flushed() && self.batch.is_empty()
    }

    /// Looks for more for a while after something happened, then sleeps until something does.
    fn wait(&mut self) -> io::Result<()> {
        let now = self.clock.now().instant;
        let due = self.next_deadline();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        if self.is_busy() || due.is_some_and(|due| due <= now) {
            ready.extend_from_slice(self.locals.poller().wait(Some(Duration::ZERO))?);
        } else if now < self.active_until {
            let deadline = due.map_or(self.active_until, |due| due.min(self.active_until));
            ready.extend_from_slice(self.locals.poller().spin(&self.clock, deadline)?);
        } else {
            ready.extend_from_slice(self.locals.poller().wait(due.map(|due| due.since(now)))?);
        }
        if !ready.is_empty() {
            self.active_until = self.clock.now().instant + self.spin;
        }
        for item in &ready {
            self.note(*item);
        }
        self.ready = ready;
        Ok(())
    }

    /// Whether there is more to do than waiting would tell.
    fn is_busy(&self) -> bool {
        self.udp_ready
            || self.locals.is_busy()
            || (self.more_to_send && !self.udp_blocked)
            || self.entrances.iter().any(|entrance| entrance.ready && entrance.pause.is_none())
    }

    fn next_deadline(&self) -> Option<Moment> {
        let pauses = self.entrances.iter().filter_map(|entrance| entrance.pause);
        let stopping = self.stopping.as_ref().map(Stopping::poll_timeout);
        let own = [self.node.poll_timeout(), self.flush_at, stopping];
        own.into_iter().flatten().chain(pauses).min()
    }

    fn note(&mut self, ready: Ready) {
        if ready.token >= FIRST_TOKEN {
            self.locals.note(ready);
            return;
        }
        if ready.token == UDP {
            self.udp_ready |= ready.readable;
            if ready.writable && self.udp_blocked {
                self.udp_blocked = false;
                // If this fails, the loop only wakes more often than it must.
                let _ = self.locals.poller().set_interest(&self.udp, UDP, Interest::Read);
            }
            return;
        }
        if let Some(entrance) = self.entrances.get_mut((ready.token - UDP - 1) as usize) {
            entrance.ready = true;
        }
    }

    fn log_events(&mut self, now: Now) {
        while let Some(event) = self.node.poll_event() {
            match event {
                Event::PeerUp(peer, endpoint) => match endpoint {
                    Some(endpoint) => tracing::info!(%peer, %endpoint, "tunnel up"),
                    None => tracing::info!(%peer, "tunnel up"),
                },
                Event::PeerSilent(peer) => {
                    tracing::warn!(%peer, "peer does not answer; its streams wait for it");
                }
                Event::PeerMoved(peer, from, to) => match from {
                    Some(from) => tracing::info!(%peer, %from, %to, "peer moved"),
                    None => tracing::debug!(%peer, %to, "peer found"),
                },
                Event::Denied(denial) => {
                    let key = format!("{}/{}", denial.from, denial.service);
                    if let Some(suppressed) = self.quiet.admit(&key, now.instant) {
                        let (from, service, socket) = (&denial.from, &denial.service, denial.socket);
                        let (what, reason) = (denial.what.name(), &denial.reason);
                        tracing::info!(%from, %service, socket, what, %reason, suppressed, "denied");
                    }
                }
            }
        }
    }
}

fn tell(node: &mut Node, locals: &mut Locals, app: lockgate_broker::apps::AppId, told: Told, now: Now) {
    let broker = node.broker();
    match told {
        Told::Dialed => broker.handle_dialed(app, now.instant, locals),
        Told::Data(bytes) => broker.handle_data(app, bytes, now.instant, locals),
        Told::Writable => broker.handle_writable(app, now.instant, locals),
        Told::Ended => broker.handle_ended(app, now.instant, locals),
        Told::Gone => broker.handle_gone(app, now.instant, locals),
    }
}
