//! Traffic with verified content: pings, TCP streams, UDP echoes.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Namespace;
use crate::rig::{SOON, eventually};

/// Bytes that a stream writes at once.
const PIECE: usize = 32 * 1024;

/// Errors after which an echo goes on.
const PASSING: [ErrorKind; 3] = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];

/// Pings `to` three times from `from`; every ping must be answered, the first one within a handshake's time.
pub fn ping(from: &Namespace, to: IpAddr) {
    ping_sized(from, to, 56);
}

/// [`ping`] with `payload` bytes after the ICMP header.
pub fn ping_sized(from: &Namespace, to: IpAddr, payload: u32) {
    for _ in 0..3 {
        // The program waits for no more than two round trips once anything was answered; so it is asked for one answer.
        from.try_run(&format!("ping -n -q -c 1 -W 5 -s {payload} {to}")).unwrap_or_else(|said| {
            panic!("{} does not reach {to} with {payload} bytes:\n{said}", from.name())
        });
    }
}

/// Whether one ping to `to` is answered within `seconds`.
pub fn answers(from: &Namespace, to: IpAddr, seconds: u32) -> bool {
    answers_sized(from, to, seconds, 56)
}

/// [`answers`] with `payload` bytes after the ICMP header.
pub fn answers_sized(from: &Namespace, to: IpAddr, seconds: u32, payload: u32) -> bool {
    from.try_run(&format!("ping -n -q -c 1 -W {seconds} -s {payload} {to}")).is_ok()
}

/// Moves `bytes` over TCP from one host to the other's address, and holds every one of them to what was sent.
pub fn transfer(from: &Namespace, to: &Namespace, address: IpAddr, bytes: u64) {
    let flow = Flow::start(from, to, address);
    flow.advance("a transfer", bytes);
    flow.finish();
}

/// A TCP stream that never rests, from one host to another, whose bytes are verified as they come.
pub struct Flow {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<u64>>,
    receiver: Option<JoinHandle<u64>>,
}

impl Flow {
    /// Connects to `address` of `to` and begins to send.
    pub fn start(from: &Namespace, to: &Namespace, address: IpAddr) -> Self {
        Self::start_at(from, to, (address, 0).into())
    }

    /// The same, to a port of the test's choice.
    pub fn start_at(from: &Namespace, to: &Namespace, address: SocketAddr) -> Self {
        let listener = to.enter(|| TcpListener::bind(address)).expect("an address of this host");
        let target = listener.local_addr().expect("it is bound");
        let outgoing = from
            .enter(|| TcpStream::connect_timeout(&target, SOON))
            .unwrap_or_else(|error| panic!("{} does not connect to {target}: {error}", from.name()));
        let (incoming, _) = listener.accept().expect("it is connected");
        for stream in [&outgoing, &incoming] {
            stream.set_read_timeout(Some(SOON)).expect("a valid time");
            stream.set_write_timeout(Some(SOON)).expect("a valid time");
        }
        let received = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let sender = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(outgoing, &stop)
        });
        let receiver = std::thread::spawn({
            let received = Arc::clone(&received);
            move || receive(incoming, &received)
        });
        Self { received, stop, sender: Some(sender), receiver: Some(receiver) }
    }

    /// How many bytes have come and were right.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until `more` bytes have come.
    pub fn advance(&self, when: &str, more: u64) {
        let goal = self.received() + more;
        let alive = eventually(&format!("{when}: {more} more bytes of a stream"), SOON, || {
            let ended = self.receiver.as_ref().is_none_or(JoinHandle::is_finished);
            (ended || self.received() >= goal).then_some(!ended)
        });
        assert!(alive, "{when}: the stream broke after {} bytes", self.received());
    }

    /// Ends the stream; everything that was sent must have come.
    pub fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.take().expect("only taken here").join().expect("the sender");
        let received = self.receiver.take().expect("only taken here").join().expect("the receiver");
        assert_eq!(received, sent, "bytes of a stream");
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // A failed test does not wait for its stream; the threads end with their sockets' timeouts.
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> u64 {
    let mut pattern = Pattern::default();
    let mut piece = vec![0; PIECE];
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        pattern.fill(&mut piece);
        if let Err(error) = stream.write_all(&piece) {
            panic!("the stream broke after {sent} bytes: {error}");
        }
        sent += piece.len() as u64;
    }
    stream.shutdown(Shutdown::Write).expect("an open stream");
    sent
}

fn receive(mut stream: TcpStream, received: &AtomicU64) -> u64 {
    let mut pattern = Pattern::default();
    let mut expected = vec![0; PIECE];
    let mut piece = vec![0; PIECE];
    loop {
        let length = uninterrupted(|| stream.read(&mut piece)).expect("a stream that goes on");
        if length == 0 {
            return received.load(Ordering::Relaxed);
        }
        pattern.fill(&mut expected[..length]);
        assert!(
            piece[..length] == expected[..length],
            "a byte near {} is wrong",
            received.load(Ordering::Relaxed)
        );
        received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Bytes that do not repeat within any size that a test moves (xorshift64*).
struct Pattern {
    state: u64,
    left: [u8; 8],
    taken: usize,
}

impl Default for Pattern {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, left: [0; 8], taken: 8 }
    }
}

impl Pattern {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.taken == self.left.len() {
                self.state ^= self.state >> 12;
                self.state ^= self.state << 25;
                self.state ^= self.state >> 27;
                self.left = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
                self.taken = 0;
            }
            *byte = self.left[self.taken];
            self.taken += 1;
        }
    }
}

/// Whether `from` can open a TCP connection to `target` within `patience`; somebody may have to listen there.
pub fn connects(from: &Namespace, target: SocketAddr, patience: Duration) -> bool {
    from.enter(|| TcpStream::connect_timeout(&target, patience)).is_ok()
}

/// A UDP socket of `from` that talks to `target` only; it waits for an answer as long as `patience`.
pub fn dial(from: &Namespace, target: SocketAddr, patience: Duration) -> UdpSocket {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = from.enter(|| UdpSocket::bind(any)).expect("any port");
    socket.connect(target).expect("a route");
    socket.set_read_timeout(Some(patience)).expect("a valid time");
    socket
}

/// A UDP port of a host that sends back what it gets, until it goes out of scope.
pub struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Begins to answer at a free port of `address`.
    pub fn start(host: &Namespace, address: IpAddr) -> Self {
        Self::start_at(host, (address, 0).into())
    }

    /// The same, at a port of the test's choice.
    pub fn start_at(host: &Namespace, address: SocketAddr) -> Self {
        let socket = host.enter(|| UdpSocket::bind(address)).expect("an address of this host");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a valid time");
        let address = socket.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || echo(&socket, &stop)
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends one datagram of each size from `from`; each must come back whole.
    pub fn try_sizes(&self, from: &Namespace, sizes: impl IntoIterator<Item = usize>) {
        let any = if self.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = from.enter(|| UdpSocket::bind(any)).expect("any port");
        socket.connect(self.address).expect("a route");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a valid time");
        let (mut pattern, mut answer) = (Pattern::default(), vec![0; 65_536]);
        for size in sizes {
            let mut datagram = vec![0; size];
            pattern.fill(&mut datagram);
            socket.send(&datagram).unwrap_or_else(|error| panic!("{size} bytes: {error}"));
            let length = uninterrupted(|| socket.recv(&mut answer))
                .unwrap_or_else(|error| panic!("{size} bytes to {} do not come back: {error}", self.address));
            assert!(answer[..length] == datagram, "{size} bytes came back as {length}, or changed");
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it asserts is the caller's to see: a datagram that does not come back.
            let _ = thread.join();
        }
    }
}

fn echo(socket: &UdpSocket, stop: &AtomicBool) {
    let mut datagram = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut datagram) {
            Ok((length, from)) => {
                // A lost answer is what the other side tests for.
                let _ = socket.send_to(&datagram[..length], from);
            }
            Err(error) if PASSING.contains(&error.kind()) => {}
            Err(error) => panic!("an echo at {:?}: {error}", socket.local_addr()),
        }
    }
}

/// A call that waits, again where a signal ended it.
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
