//! Applications: libzmq sockets with deadlines, numbered messages, and the check that they came in order and complete.

use lockgate_tests::rig::{Pair, Plan, Port, SOON, offer, one_service, uses};
use zmq::{Context, Error, Socket, SocketType};

/// A bridge with one service: the hosting application binds `near` (alpha), the using one connects to `far` (beta).
pub(crate) struct Bridge {
    pub(crate) nodes: Pair,
    pub(crate) near: String,
    pub(crate) far: String,
}

impl Bridge {
    /// Both endpoints on TCP.
    pub(crate) fn tcp(service: &str, socket: &str, more: &str) -> Self {
        let (mut near, mut far) = (Port::tcp(), Port::tcp());
        Self::between(service, socket, more, near.release(), far.release())
    }

    /// Both endpoints on Unix sockets in `dir`.
    pub(crate) fn ipc(service: &str, socket: &str, more: &str, dir: &std::path::Path) -> Self {
        let [near, far] = ["near", "far"].map(|side| format!("ipc://{}", dir.join(side).display()));
        Self::between(service, socket, more, near, far)
    }

    fn between(service: &str, socket: &str, more: &str, near: String, far: String) -> Self {
        let plan = Plan {
            policy: one_service(service, socket, more),
            alpha: offer(service, &near),
            beta: uses(service, &far),
            ..Plan::default()
        };
        Self { nodes: Pair::start(&plan), near, far }
    }

    /// The hosting application's socket, bound.
    pub(crate) fn host(&self, kind: SocketType) -> Socket {
        bound(kind, &self.near)
    }

    /// A using application's socket, connected.
    pub(crate) fn user(&self, kind: SocketType) -> Socket {
        connected(kind, &self.far)
    }

    /// Nothing went wrong in either node.
    pub(crate) fn assert_no_errors(&self) {
        self.nodes.alpha.assert_no_errors();
        self.nodes.beta.assert_no_errors();
    }
}

/// A socket in a context of its own, so that closing one application never waits for another.
///
/// Sends and receives fail after [`SOON`]; what is queued at the close still goes out for as long.
pub(crate) fn socket(kind: SocketType) -> Socket {
    let socket = Context::new().socket(kind).expect("libzmq makes a socket");
    let millis = i32::try_from(SOON.as_millis()).expect("half a minute");
    socket.set_rcvtimeo(millis).expect("an option");
    socket.set_sndtimeo(millis).expect("an option");
    // A SUB has nothing to deliver but its subscriptions: it would wait to tell them to a peer that is gone.
    socket.set_linger(if kind == zmq::SUB { 0 } else { millis }).expect("an option");
    socket
}

/// A bound socket.
pub(crate) fn bound(kind: SocketType, endpoint: &str) -> Socket {
    let socket = socket(kind);
    socket.bind(endpoint).unwrap_or_else(|error| panic!("bind {endpoint}: {error}"));
    socket
}

/// A connected socket.
pub(crate) fn connected(kind: SocketType, endpoint: &str) -> Socket {
    let socket = socket(kind);
    socket.connect(endpoint).unwrap_or_else(|error| panic!("connect {endpoint}: {error}"));
    socket
}

/// A message that names its place: the number, then filler up to `len`.
pub(crate) fn numbered(number: u64, len: usize) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(len.max(8), (number % 251) as u8);
    message
}

/// The number in a message; checks its filler.
pub(crate) fn number_of(message: &[u8]) -> u64 {
    let (number, filler) = message.split_first_chunk::<8>().expect("a numbered message has 8 bytes or more");
    let number = u64::from_be_bytes(*number);
    assert!(filler.iter().all(|&byte| byte == (number % 251) as u8), "message {number} came damaged");
    number
}

/// Sends messages `0..count` of `len` bytes.
pub(crate) fn send_numbered(socket: &Socket, count: u64, len: usize) {
    for number in 0..count {
        socket
            .send(numbered(number, len), 0)
            .unwrap_or_else(|error| panic!("sending {number} of {count}: {error}"));
    }
}

/// Receives messages `0..count` and nothing else, in order.
pub(crate) fn receive_numbered(socket: &Socket, count: u64) {
    for expected in 0..count {
        let message =
            socket.recv_bytes(0).unwrap_or_else(|error| panic!("receiving {expected} of {count}: {error}"));
        assert_eq!(number_of(&message), expected, "in order and complete");
    }
}

/// A message within [`SOON`].
pub(crate) fn receive(socket: &Socket) -> Vec<Vec<u8>> {
    socket.recv_multipart(0).expect("a message in time")
}

/// A text message within [`SOON`], its parts joined by `|`.
pub(crate) fn receive_text(socket: &Socket) -> String {
    let parts: Vec<String> =
        receive(socket).into_iter().map(|part| String::from_utf8(part).expect("text")).collect();
    parts.join("|")
}

/// What comes within `millis`, or nothing.
pub(crate) fn within(socket: &Socket, millis: i64) -> Option<Vec<Vec<u8>>> {
    match socket.poll(zmq::POLLIN, millis) {
        Ok(0) => None,
        Ok(_) => Some(receive(socket)),
        Err(error) => panic!("poll: {error}"),
    }
}

/// Publishes `beacon` until `subscriber` has it: a PUB has no other way to know that the subscription arrived.
/// Afterwards no beacon is under way.
pub(crate) fn until_subscribed(publisher: &Socket, subscriber: &Socket, beacon: &str) {
    let end = deadline();
    let mut sent = 0_u64;
    loop {
        publisher.send(format!("{beacon}{sent}").as_str(), 0).expect("PUB never blocks");
        sent += 1;
        if let Some(first) = within(subscriber, 50) {
            let mut last = first;
            // The later beacons follow in order: read up to the one sent last.
            while last[0] != format!("{beacon}{}", sent - 1).as_bytes() {
                last = receive(subscriber);
            }
            return;
        }
        assert!(!end.passed(), "no subscription arrived within {SOON:?} ({beacon})");
    }
}

/// A moment [`SOON`] from now.
pub(crate) fn deadline() -> Deadline {
    #[expect(clippy::disallowed_methods, reason = "tests of real processes run on real time")]
    let now = std::time::Instant::now();
    Deadline(now + SOON)
}

/// When a test gives up.
pub(crate) struct Deadline(std::time::Instant);

impl Deadline {
    /// Whether it is over.
    pub(crate) fn passed(&self) -> bool {
        self.0.saturating_duration_since(deadline().0 - SOON).is_zero()
    }
}

/// Asserts that a receive with no wait finds nothing.
pub(crate) fn assert_silent(socket: &Socket) {
    assert_eq!(socket.recv_msg(zmq::DONTWAIT).err(), Some(Error::EAGAIN), "nothing more was to come");
}
