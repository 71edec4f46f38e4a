//! A simulated application: a ZeroMQ socket that speaks ZMTP, sends numbered messages and checks what arrives.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lockgate_broker::broker::Door;
use lockgate_broker::services::OfferId;
use lockgate_proto::zmtp::{Hello, SocketType, Version};

use super::connection::{Conn, Side};
use super::ledger::Ledger;
use super::pipes::Shared;

/// Where an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It connects to an endpoint of its node.
    Connects(Door),
    /// It binds, and its node dials it.
    Binds(OfferId),
}

/// What an application does.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    pub(crate) socket: SocketType,
    /// Between two messages; zero is as fast as the socket takes them.
    pub(crate) interval: Duration,
    /// Least bytes of a message.
    pub(crate) size: usize,
    /// Published, or subscribed to.
    pub(crate) topics: Vec<&'static str>,
    /// Messages on one connection, if there is an end.
    pub(crate) limit: Option<u64>,
    /// Publishes to everybody, subscribed or not.
    pub(crate) wild: bool,
    /// Ends a connection after its last message.
    pub(crate) leaves: bool,
}

impl Habits {
    pub(crate) fn of(socket: SocketType) -> Self {
        let interval = Duration::from_millis(100);
        Self { socket, interval, size: 40, topics: vec!["m"], limit: None, wild: false, leaves: false }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) host: usize,
    pub(crate) place: Place,
    pub(crate) habits: Habits,
    pub(crate) running: bool,
    /// It reads nothing.
    pub(crate) stalled: bool,
    /// It sends nothing new.
    pub(crate) quiet: bool,
    pub(crate) conns: Vec<Conn>,
    next_emission: Duration,
    /// When it connects again.
    pub(crate) connects_at: Option<Duration>,
    /// Connections whose handshake was finished.
    pub(crate) opened: u64,
    /// Of those, how many ended without its own doing.
    pub(crate) lost: u64,
    /// Connections that ended before.
    pub(crate) refused: u64,
    /// Messages that arrived here.
    pub(crate) received: u64,
}

/// Between a lost connection and the next attempt: libzmq's `ZMQ_RECONNECT_IVL`.
const RECONNECT: Duration = Duration::from_millis(100);
/// Messages in one go of an application without an interval.
const BURST: usize = 64;

impl Application {
    pub(crate) fn new(host: usize, place: Place, habits: Habits, now: Duration) -> Self {
        let connects_at = matches!(place, Place::Connects(_)).then_some(now);
        Self {
            host,
            place,
            habits,
            running: true,
            stalled: false,
            quiet: false,
            conns: Vec::new(),
            next_emission: now,
            connects_at,
            opened: 0,
            lost: 0,
            refused: 0,
            received: 0,
        }
    }

    fn hello(&self) -> Hello {
        Hello::new(Version::V3_1, self.habits.socket, Bytes::new()).expect("no identity is short enough")
    }

    /// A connection to its node stands.
    pub(crate) fn join(&mut self, pipe: Shared, side: Side, ledger: &mut Ledger) {
        let serial = ledger.new_serial();
        self.conns.push(Conn::new(serial, pipe, side, self.hello()));
    }

    /// The process dies, and all its connections with it.
    pub(crate) fn kill(&mut self, ledger: &mut Ledger) {
        for conn in self.conns.drain(..) {
            conn.pipe.borrow_mut().gone = true;
            ledger.dead.insert(conn.serial);
        }
        self.running = false;
        self.connects_at = None;
    }

    pub(crate) fn revive(&mut self, now: Duration) {
        self.running = true;
        self.connects_at = matches!(self.place, Place::Connects(_)).then_some(now);
        self.next_emission = now;
    }

    /// Reads, answers, sends; whether anything happened.
    pub(crate) fn turn(&mut self, now: Duration, ledger: &mut Ledger) -> bool {
        if !self.running {
            return false;
        }
        let mut acted = false;
        for conn in &mut self.conns {
            if !self.stalled {
                let before = conn.received;
                acted |= conn.read(&self.habits, ledger);
                self.received += conn.received - before;
                self.opened += u64::from(conn.take_opened());
            }
        }
        acted |= self.emit(now, ledger);
        for conn in &mut self.conns {
            acted |= conn.flush();
        }
        acted | self.bury(now, ledger)
    }

    fn emit(&mut self, now: Duration, ledger: &mut Ledger) -> bool {
        if self.quiet || self.next_emission > now {
            return false;
        }
        let burst = if self.habits.interval.is_zero() { BURST } else { 1 };
        let mut acted = false;
        for conn in &mut self.conns {
            for _ in 0..burst {
                if !conn.emit(&self.habits, ledger) {
                    break;
                }
                acted = true;
            }
        }
        if !self.habits.interval.is_zero() {
            self.next_emission = now + self.habits.interval;
        }
        acted
    }

    /// Removes what is over, and plans to connect again.
    fn bury(&mut self, now: Duration, ledger: &mut Ledger) -> bool {
        let before = self.conns.len();
        let Self { conns, lost, refused, .. } = self;
        conns.retain(|conn| {
            let over = conn.is_over();
            if over {
                ledger.dead.insert(conn.serial);
                let left = conn.has_left();
                *lost += u64::from(conn.is_ready() && !left);
                *refused += u64::from(!conn.is_ready());
                conn.pipe.borrow_mut().ended = true;
                conn.pipe.borrow_mut().gone |= !left;
            }
            !over
        });
        let buried = self.conns.len() < before;
        if buried && matches!(self.place, Place::Connects(_)) && !self.habits.leaves {
            self.connects_at = Some(now + RECONNECT);
        }
        buried
    }

    /// When it wants its turn, unless something arrives before.
    pub(crate) fn next_turn(&self) -> Option<Duration> {
        let waits = self.running && !self.quiet && !self.habits.interval.is_zero();
        let emits = waits && self.conns.iter().any(|conn| conn.can_emit(&self.habits));
        [emits.then_some(self.next_emission), self.connects_at].into_iter().flatten().min()
    }

    /// Bytes that the nodes took from this application's open connections, and gave to them.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let each = self.conns.iter().map(|conn| conn.pipe.borrow());
        each.fold((0, 0), |(taken, given), pipe| (taken + pipe.taken, given + pipe.given))
    }
}

/// Checks that a subscriber wanted what it got.
pub(crate) fn check_topic(habits: &Habits, text: &str) {
    if habits.socket.is_subscriber() {
        let wanted = habits.topics.iter().any(|topic| text.starts_with(topic));
        assert!(wanted, "{text:.60}: not what {:?} subscribed to", habits.topics);
    }
}

/// A message of one text, as this socket type frames it.
pub(crate) fn framed(socket: SocketType, text: String) -> Vec<Bytes> {
    let text = Bytes::from(text);
    if socket == SocketType::Req { vec![Bytes::new(), text] } else { vec![text] }
}

/// The bytes that a connection may hold back before it stops producing: libzmq's high-water mark, in bytes.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

/// Takes at most this from the socket at a time.
pub(crate) fn chunk(buffer: &mut BytesMut) -> BytesMut {
    let length = buffer.len().min(32 * 1024);
    buffer.split_to(length)
}
