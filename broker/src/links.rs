//! The link to one other node: QUIC streams inside the tunnel.
//!
//! Each node opens one connection for the streams that its own applications use and accepts one for the
//! streams that the other's applications use, so neither ever has to agree on who calls. A node that
//! restarted answers an old connection with a stateless reset (RFC 9000, 10.3), which ends it at once.
//! An outage of the tunnel ends nothing: the link's clock stands still until the tunnel is back.

mod clock;
mod plain;
mod report;
mod stream;
mod transmit;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use lockgate_proto::device::LinkDatagram;
use lockgate_proto::now::Moment;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, EndpointEvent,
    Event, Incoming, ServerConfig, StreamEvent, TransportConfig, ValidationTokenConfig, VarInt,
};

use clock::LinkClock;
use plain::{Cids, Plain};
pub use report::LinkReport;
pub use stream::{Reading, StreamKey};
pub use transmit::Wire;

/// Which link of this node: its place in the list of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// Whose streams a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// We opened it: the streams of applications here that use services there.
    Uses,
    /// The other node opened it: the streams of applications there that use services here.
    Serves,
}

/// What the streams of a link have to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Streams can be opened (again).
    Ready,
    /// The other node opened streams: [`Link::accept`] them.
    Opened,
    /// There may be bytes, an end or a reset to read.
    Readable(StreamKey),
    /// There may be room to write.
    Writable(StreamKey),
    /// The other node wants no more of what we write.
    Stopped(StreamKey),
    /// Every stream of this side is gone.
    Lost(Side),
}

/// Stream credit: what a stalled application makes either node keep for one stream.
pub const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// Timers that are skipped to after an outage: a connection's first may be another than the one that probes for what was lost,
/// which by then has backed off for as long as the outage was.
const SKIPS: usize = 2;
/// Credit of one connection: what all its stalled streams together make the receiving node keep.
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;
/// Bytes that may wait for an acknowledgement before writing stops.
const SEND_WINDOW: u64 = 8 * 1024 * 1024;
/// Application connections that the other node may have open here at a time.
const MAX_STREAMS: u32 = 1024;
/// The first guess of a round trip: the tunnel's own handshake took about that.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// How often the using side asks while nothing else is sent, so that the tunnel notices a peer that is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Datagrams of one transmission: 64 KiB of segments at an Ethernet's MTU.
const SEGMENTS: usize = 44;
/// Replaced connections that are still being drained, at most.
const MAX_LEAVING: usize = 4;
/// Received datagrams share blocks of this size; a byte that waits in a stalled stream keeps a block alive.
const INTAKE: usize = 16 * 1024;
/// Between two attempts to connect, after a connection that did not last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that lived so long was a good one.
const LASTING: Duration = Duration::from_secs(10);
const NO_ADDRESS: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

struct Half {
    handle: ConnectionHandle,
    connection: Connection,
    since: Moment,
}

/// One link; see the module.
pub struct Link {
    endpoint: Endpoint,
    uses: Option<Half>,
    serves: Option<Half>,
    /// Connections that were replaced and only say goodbye.
    leaving: Vec<Half>,
    client: ClientConfig,
    clock: LinkClock,
    /// Counts the connections of each side, so that a key of an old one names nothing.
    generation: u32,
    serves_generation: u32,
    intake: BytesMut,
    scratch: Vec<u8>,
    replies: VecDeque<Vec<u8>>,
    deadline: Option<Moment>,
    /// Streams whose end the other node has not acknowledged.
    ending: BTreeSet<StreamKey>,
    /// How long to wait before the next attempt to connect, and until when.
    pause: Duration,
    pause_until: Option<Moment>,
    /// Who may send first in the next transmission.
    first: Side,
}

impl Link {
    /// A link with nothing open. `base` is the `Instant` of [`Moment::ZERO`]; `mtu` the largest datagram
    /// that the tunnel takes in bytes (at least 1200); `seed` is random.
    ///
    /// # Panics
    /// Never for an `mtu` of 1200 to 65527.
    pub fn new(base: Instant, mtu: u16, seed: [u8; 32]) -> Self {
        let serving = Arc::new(transport(mtu));
        let mut using = transport(mtu);
        using.keep_alive_interval(Some(KEEP_ALIVE));
        let mut server = ServerConfig::new(Arc::new(Plain), Arc::new(Plain));
        let mut no_tokens = ValidationTokenConfig::default();
        no_tokens.sent(0);
        server
            .transport_config(serving)
            .migration(false)
            .time_source(Arc::new(Plain))
            .validation_token_config(no_tokens)
            .max_incoming(1);
        let cids = u64::from_be_bytes(first_eight(&seed));
        let mut client = ClientConfig::new(Arc::new(Plain));
        client.transport_config(Arc::new(using)).initial_dst_cid_provider(Arc::new(move || {
            use quinn_proto::ConnectionIdGenerator as _;
            Cids(!cids).generate_cid()
        }));
        let mut config = EndpointConfig::new(Arc::new(Plain));
        config
            .cid_generator(move || Box::new(Cids(cids)))
            .grease_quic_bit(false)
            .rng_seed(Some(seed))
            .max_udp_payload_size(mtu)
            .expect("the tunnel's MTU is a QUIC datagram size");
        Self {
            endpoint: Endpoint::new(Arc::new(config), Some(Arc::new(server)), false, None),
            uses: None,
            serves: None,
            leaving: Vec::new(),
            client,
            clock: LinkClock::new(base),
            generation: 0,
            serves_generation: 0,
            intake: BytesMut::new(),
            scratch: Vec::with_capacity(SEGMENTS * usize::from(mtu)),
            replies: VecDeque::new(),
            deadline: None,
            ending: BTreeSet::new(),
            pause: FIRST_PAUSE,
            pause_until: None,
            first: Side::Uses,
        }
    }

    /// The tunnel is silent: time stands still here until [`Link::resume`].
    pub fn suspend(&mut self, now: Moment) {
        self.clock.stop(now);
        self.deadline = None;
    }

    /// The tunnel is back: what is unacknowledged is probed for at once.
    pub fn resume(&mut self, now: Moment) {
        if !self.clock.start(now) {
            return;
        }
        for _ in 0..SKIPS {
            let halves = [&mut self.uses, &mut self.serves];
            // The later of both: the earlier is due then too, and neither side's streams wait for the other's timer.
            let next = halves.into_iter().flatten().filter_map(|half| half.connection.poll_timeout()).max();
            let Some(next) = next else { break };
            self.clock.skip_to(now, next);
            self.handle_timeout(now);
        }
        self.note_deadline();
    }

    /// Asks the other node whether it still knows the connections: one that restarted answers with a reset,
    /// and who only listens would never learn of it otherwise.
    pub fn probe(&mut self) {
        for half in [&mut self.uses, &mut self.serves].into_iter().flatten() {
            half.connection.ping();
        }
    }

    /// Takes a datagram that the tunnel has authenticated as the other node's.
    pub fn handle_datagram(&mut self, datagram: &LinkDatagram<'_>, now: Moment, news: &mut Vec<News>) {
        let at = self.clock.at(now);
        if self.intake.capacity() < datagram.bytes().len() {
            self.intake.reserve(INTAKE);
        }
        self.intake.extend_from_slice(datagram.bytes());
        let data = self.intake.split();
        self.scratch.clear();
        match self.endpoint.handle(at, NO_ADDRESS, None, None, data, &mut self.scratch) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let halves = [&mut self.uses, &mut self.serves];
                let half = halves.into_iter().flatten().chain(&mut self.leaving);
                if let Some(half) = half.into_iter().find(|half| half.handle == handle) {
                    half.connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.admit(incoming, at, now, news),
            Some(DatagramEvent::Response(reply)) if self.replies.len() < MAX_LEAVING => {
                self.replies.push_back(self.scratch[..reply.size].to_vec());
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// The other node begins anew, after a restart perhaps: its old connection is over.
    fn admit(&mut self, incoming: Incoming, at: Instant, now: Moment, news: &mut Vec<News>) {
        self.scratch.clear();
        let Ok((handle, connection)) = self.endpoint.accept(incoming, at, &mut self.scratch, None) else {
            return;
        };
        if let Some(mut old) = self.serves.replace(Half { handle, connection, since: now }) {
            old.connection.close(at, VarInt::from_u32(0), Bytes::new());
            self.leave(old);
            self.ending.retain(|stream| stream.side != Side::Serves);
            news.push(News::Lost(Side::Serves));
        }
        self.serves_generation = self.next_generation();
    }

    /// Keeps a connection until it has said goodbye, or until too many others have something to say.
    fn leave(&mut self, half: Half) {
        if half.connection.is_drained() {
            return;
        }
        if self.leaving.len() == MAX_LEAVING {
            let oldest = self.leaving.remove(0);
            self.endpoint.handle_event(oldest.handle, EndpointEvent::drained());
        }
        self.leaving.push(half);
    }

    /// Makes sure that a connection for our own streams is open or on its way.
    fn connect(&mut self, now: Moment) {
        if self.uses.is_some() || self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        self.pause_until = None;
        let at = self.clock.at(now);
        let client = self.client.clone();
        if let Ok((handle, connection)) = self.endpoint.connect(at, client, NO_ADDRESS, "lockgate") {
            self.generation = self.next_generation();
            self.uses = Some(Half { handle, connection, since: now });
        }
    }

    /// A connection of ours that did not last is not tried again at once.
    fn pause_after(&mut self, lost: &Half, now: Moment) {
        if now.since(lost.since) >= LASTING {
            self.pause = FIRST_PAUSE;
        }
        self.pause_until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn next_generation(&self) -> u32 {
        self.generation.max(self.serves_generation).wrapping_add(1)
    }

    /// A new stream to the other node; `None` until [`News::Ready`].
    pub fn open(&mut self, now: Moment) -> Option<StreamKey> {
        self.connect(now);
        let id = self.uses.as_mut()?.connection.streams().open(Dir::Bi)?;
        Some(StreamKey { side: Side::Uses, generation: self.generation, id })
    }

    /// A stream that the other node opened.
    pub fn accept(&mut self) -> Option<StreamKey> {
        let id = self.serves.as_mut()?.connection.streams().accept(Dir::Bi)?;
        Some(StreamKey { side: Side::Serves, generation: self.serves_generation, id })
    }

    /// Lets time pass: retransmissions, losses.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.clock.is_stopped() {
            return;
        }
        let at = self.clock.at(now);
        let halves = [&mut self.uses, &mut self.serves];
        for half in halves.into_iter().flatten().chain(&mut self.leaving) {
            if half.connection.poll_timeout().is_some_and(|due| due <= at) {
                half.connection.handle_timeout(at);
            }
        }
    }

    /// When [`Link::handle_timeout`] has something to do.
    pub const fn poll_timeout(&self) -> Option<Moment> {
        self.deadline
    }

    /// Whether the other node has acknowledged the end of every stream that we ended.
    pub fn is_flushed(&self) -> bool {
        self.ending.is_empty()
    }

    /// Collects what the connections have to tell.
    pub fn drive(&mut self, now: Moment, news: &mut Vec<News>) {
        if self.pause_until.is_some_and(|until| until <= now) {
            self.pause_until = None;
            news.push(News::Ready);
        }
        for side in [Side::Uses, Side::Serves] {
            self.drive_side(side, now, news);
        }
        let endpoint = &mut self.endpoint;
        self.leaving.retain_mut(|half| {
            while half.connection.poll().is_some() {}
            exchange_events(endpoint, half);
            !half.connection.is_drained()
        });
    }

    fn drive_side(&mut self, side: Side, now: Moment, news: &mut Vec<News>) {
        let generation = self.generation_of(side);
        let slot = match side {
            Side::Uses => &mut self.uses,
            Side::Serves => &mut self.serves,
        };
        let Some(half) = slot else { return };
        exchange_events(&mut self.endpoint, half);
        let mut lost = false;
        while let Some(event) = half.connection.poll() {
            let key = |id| StreamKey { side, generation, id };
            match event {
                Event::Connected | Event::Stream(StreamEvent::Available { dir: Dir::Bi }) => {
                    news.push(News::Ready);
                }
                Event::ConnectionLost { reason } => {
                    tracing::debug!(%reason, ?side, "link connection lost");
                    lost = true;
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => news.push(News::Opened),
                Event::Stream(StreamEvent::Readable { id }) => news.push(News::Readable(key(id))),
                Event::Stream(StreamEvent::Writable { id }) => news.push(News::Writable(key(id))),
                Event::Stream(StreamEvent::Stopped { id, .. }) => {
                    self.ending.remove(&key(id));
                    news.push(News::Stopped(key(id)));
                }
                Event::Stream(StreamEvent::Finished { id }) => {
                    self.ending.remove(&key(id));
                }
                _ => {}
            }
        }
        exchange_events(&mut self.endpoint, half);
        if !lost {
            return;
        }
        let half = slot.take();
        news.push(News::Lost(side));
        self.ending.retain(|stream| stream.side != side);
        if let Some(half) = half {
            if side == Side::Uses {
                self.pause_after(&half, now);
            }
            self.leave(half);
        }
    }

    const fn generation_of(&self, side: Side) -> u32 {
        match side {
            Side::Uses => self.generation,
            Side::Serves => self.serves_generation,
        }
    }

    fn half(&mut self, key: StreamKey) -> Option<&mut Half> {
        if self.generation_of(key.side) != key.generation {
            return None;
        }
        match key.side {
            Side::Uses => self.uses.as_mut(),
            Side::Serves => self.serves.as_mut(),
        }
    }

    fn note_deadline(&mut self) {
        if self.clock.is_stopped() {
            self.deadline = None;
            return;
        }
        let halves = [&mut self.uses, &mut self.serves];
        let all = halves.into_iter().flatten().chain(&mut self.leaving);
        let next = all.filter_map(|half| half.connection.poll_timeout()).min();
        let next = next.map(|due| self.clock.moment(due));
        self.deadline = [next, self.pause_until].into_iter().flatten().min();
    }
}

fn exchange_events(endpoint: &mut Endpoint, half: &mut Half) {
    while let Some(event) = half.connection.poll_endpoint_events() {
        if let Some(answer) = endpoint.handle_event(half.handle, event) {
            half.connection.handle_event(answer);
        }
    }
}

fn first_eight(seed: &[u8; 32]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(&seed[..8]);
    eight
}

fn transport(mtu: u16) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .max_concurrent_uni_streams(0_u32.into())
        .max_idle_timeout(None)
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(mtu)
        .min_mtu(mtu)
        .mtu_discovery_config(None)
        .datagram_receive_buffer_size(None);
    transport
}
