//! The reactor: one thread that owns the node and its sockets, and waits for all of them at once.
//!
//! Never wait, never time: a turn takes what has arrived, draws the consequences, and flushes. Under load input
//! piles up during a turn and batches grow by themselves; idle, one message is one read and one send.

mod entrance;
mod inside;
mod link;
mod network;
mod news;
mod observers;
mod orders;
mod pings;
mod policy;
mod stopping;
mod study;

use std::io;
use std::time::Duration;

use lockgate_broker::broker::Door;
use lockgate_proto::now::{Moment, Now};

use crate::control::ControlServer;
use crate::machine::apps::Listener;
use crate::machine::clock::Clock;
use crate::machine::locals::{FIRST_TOKEN, Locals, Told};
use crate::machine::netlink::Monitor;
use crate::machine::poller::{Interest, Ready};
use crate::machine::signals::Signals;
use crate::machine::tun::Tun;
use crate::machine::udp::Udp;
use crate::node::{Event, Node};
use crate::report::PolicyFacts;
use crate::uapi::server::UapiServer;
use entrance::Entrance;
use inside::{Inside, TUN};
use link::{Link, MONITOR};
use network::{Network, UDP};
use news::News;
use observers::Observers;
use pings::Ping;
pub use policy::{Fresh, Reader, Reload, Which};
use stopping::Stopping;
use study::Study;

/// The first listener's token.
const LISTENERS: u64 = 8;

/// What a loop is made of.
pub struct Parts {
    /// The node.
    pub node: Node,
    /// Its clock, the one that the node's `base` came from.
    pub clock: Clock,
    /// The bound UDP socket; none yet where it follows the interface.
    pub udp: Option<Udp>,
    /// The TUN device, where IP packets cross.
    pub tun: Option<Interface>,
    /// The applications' connections, none yet.
    pub locals: Locals,
    /// The bound endpoints.
    pub entrances: Vec<(Door, Listener)>,
    /// Requests from the control socket.
    pub control: Option<ControlServer>,
    /// Requests from `wg`.
    pub uapi: Option<UapiServer>,
    /// Signals to the process.
    pub signals: Option<Signals>,
    /// Another way to be stopped: once this is gone or has spoken.
    pub stop: Option<std::sync::mpsc::Receiver<()>>,
    /// How long to look for more before sleeping.
    pub spin: Duration,
    /// Sees every datagram as it is sent.
    pub tap: Option<Tap>,
    /// Reads the policy again, and candidates.
    pub reload: Option<Reload>,
}

/// A TUN device and who watches it.
pub struct Interface {
    /// The device.
    pub tun: Tun,
    /// Tells what becomes of it; `None` where the system gives no such socket.
    pub monitor: Option<Monitor>,
    /// Listen on this port while the interface is up, and only then; `None` leaves the UDP socket alone.
    pub follow: Option<u16>,
    /// Gives it back its addresses and routes, which the kernel takes away while it is down; `None` where they are another's.
    pub restore: Option<Restore>,
}

/// Sets up an interface again; or why that failed.
pub type Restore = Box<dyn FnMut() -> Result<(), String> + Send>;

/// Why a loop has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// The interface of this name was deleted: for `wg` that is a way to stop it, for a node it is a fault.
    InterfaceGone(String),
}

/// Sees the bytes of datagrams on their way to the network.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;

/// See the module.
pub struct EventLoop {
    node: Node,
    clock: Clock,
    network: Network,
    inside: Option<Inside>,
    link: Option<Link>,
    locals: Locals,
    entrances: Vec<Entrance>,
    control: Option<ControlServer>,
    uapi: Option<UapiServer>,
    pings: Vec<Ping>,
    observers: Observers,
    signals: Option<Signals>,
    stop: Option<std::sync::mpsc::Receiver<()>>,
    spin: Duration,
    study: Option<Study>,
    policy: PolicyFacts,
    news: News,
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
        let Parts { mut node, clock, udp, tun, mut locals, entrances, control, uapi, .. } = parts;
        let Parts { signals, stop, spin, tap, reload, .. } = parts;
        let started = clock.now();
        let file = reload.as_ref().and_then(|reload| reload.file.clone());
        let policy = PolicyFacts { file, since: started.instant, ..PolicyFacts::default() };
        let study = reload.map(|reload| Study::begin(reload, locals.poller().waker())).transpose()?;
        let network = Network::new(udp, tap, locals.poller())?;
        node.set_listen_port(network.port());
        let (mut inside, mut link) = (None, None);
        if let Some(Interface { tun, monitor, follow, restore }) = tun {
            if let Some(monitor) = &monitor {
                locals.poller().register(monitor, MONITOR, Interest::Read)?;
            }
            inside = Some(Inside::new(tun, locals.poller())?);
            link = Some(Link::new(monitor, follow, restore, started.instant));
            if follow.is_some() {
                // Until the interface is up nothing is to be sent, and no handshake to be begun.
                node.rest();
            }
        }
        for (token, (_, listener)) in (LISTENERS..FIRST_TOKEN).zip(&entrances) {
            locals.poller().register(listener, token, Interest::Read)?;
        }
        let entrances = entrances.into_iter().map(|(door, listener)| Entrance::new(door, listener));
        Ok(Self {
            node,
            clock,
            network,
            inside,
            link,
            locals,
            entrances: entrances.collect(),
            control,
            uapi,
            pings: Vec::new(),
            observers: Observers::default(),
            signals,
            stop,
            spin,
            policy,
            study,
            news: News::default(),
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
    pub fn run(mut self) -> io::Result<End> {
        self.node.start(self.started, &mut self.network.batch);
        loop {
            let now = self.clock.now();
            self.turn(now)?;
            if let Some(inside) = self.inside.as_ref().filter(|inside| inside.gone)
                && self.stopping.is_none()
            {
                return Ok(End::InterfaceGone(inside.tun.name().to_owned()));
            }
            if self.is_over(now) {
                return Ok(End::Stopped);
            }
            self.wait()?;
        }
    }

    /// Takes what has arrived, draws the consequences, flushes.
    fn turn(&mut self, now: Now) -> io::Result<()> {
        self.look_at_link(now);
        self.network.receive(&mut self.node, self.inside.as_mut(), now)?;
        if let Some(inside) = &mut self.inside {
            inside.read(&mut self.node, &mut self.network, now, self.locals.poller())?;
        }
        if self.node.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.node.handle_timeout(now, &mut self.network.batch, &mut self.locals);
        }
        self.node.settle(now, &mut self.network.batch, &mut self.locals);
        for entrance in &mut self.entrances {
            entrance.accept(&mut self.node, &mut self.locals, now);
        }
        self.hear(now);
        self.obey(now);
        self.end_connections(now);
        self.more_to_send = !self.node.settle(now, &mut self.network.batch, &mut self.locals);
        self.network.flush(&mut self.node, now.instant, self.locals.poller())?;
        while let Some(event) = self.node.poll_event() {
            if let Event::Echo(peer, echo) = event {
                self.answer_ping(peer, echo, now);
            } else {
                self.news.tell(event, now);
            }
        }
        self.end_pings(now);
        self.observers.show(&mut self.node);
        Ok(())
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
        broker.connections() == 0 && broker.is_flushed() && self.network.batch.is_empty()
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
        self.network.is_busy()
            || self.inside.as_ref().is_some_and(|inside| inside.is_busy() && self.network.has_room())
            || self.locals.is_busy()
            || (self.more_to_send && !self.network.is_waiting())
            || self.entrances.iter().any(Entrance::is_busy)
    }

    fn next_deadline(&self) -> Option<Moment> {
        let pauses = self.entrances.iter().filter_map(Entrance::poll_timeout);
        let stopping = self.stopping.as_ref().map(Stopping::poll_timeout);
        let link = self.link.as_ref().map(Link::poll_timeout);
        let own = [self.node.poll_timeout(), self.network.poll_timeout(), stopping, link, self.next_ping()];
        own.into_iter().flatten().chain(pauses).min()
    }

    fn note(&mut self, ready: Ready) {
        if ready.token >= FIRST_TOKEN {
            self.locals.note(ready);
            return;
        }
        match ready.token {
            UDP => self.network.note(ready, self.locals.poller()),
            TUN => {
                self.inside.iter_mut().for_each(|inside| inside.note(ready));
                self.note_packets();
            }
            MONITOR => self.note_link(),
            other => {
                let place = other.checked_sub(LISTENERS).and_then(|place| usize::try_from(place).ok());
                if let Some(entrance) = place.and_then(|place| self.entrances.get_mut(place)) {
                    entrance.note();
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
