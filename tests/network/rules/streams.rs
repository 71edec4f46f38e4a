//! A stream of ZeroMQ messages between two nodes: PUSH at the one that offers it, PULL at the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lockgate_tests::network::{Namespace, SOON, eventually};

/// How long a socket waits, in milliseconds, before it looks whether the test is over.
const LOOK: i32 = 100;
/// Between two messages: no queue grows, and what arrives has just been sent.
const PACE: Duration = Duration::from_millis(1);

/// Numbered messages that never rest; each must be the next one.
pub(super) struct Stream {
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// Each gives its socket back at the end: what is on its way needs it.
    sender: Option<JoinHandle<zmq::Socket>>,
    receiver: Option<JoinHandle<zmq::Socket>>,
}

impl Stream {
    /// Begins, at these ports of each host's loopback device.
    pub(super) fn start(from: &Namespace, to: &Namespace, ports: [u16; 2]) -> Self {
        let (push, pull) = (socket(from, zmq::PUSH, ports[0]), socket(to, zmq::PULL, ports[1]));
        let [sent, received] = [0; 2].map(|_| Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let sender = std::thread::spawn({
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    one(&sent, |number| push.send(&number.to_be_bytes()[..], 0));
                    std::thread::park_timeout(PACE);
                }
                push
            }
        });
        let receiver = std::thread::spawn({
            let (sent, received, stop) = (Arc::clone(&sent), Arc::clone(&received), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed)
                    || received.load(Ordering::Relaxed) < sent.load(Ordering::Relaxed)
                {
                    one(&received, |number| {
                        let message = pull.recv_bytes(0)?;
                        assert_eq!(message, number.to_be_bytes(), "message {number} is the next one");
                        Ok(())
                    });
                    if Arc::strong_count(&stop) == 1 {
                        break;
                    }
                }
                pull
            }
        });
        Self { sent, received, stop, sender: Some(sender), receiver: Some(receiver) }
    }

    /// How many messages have come, each the next one.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until `more` messages have come.
    pub(super) fn advance(&self, when: &str, more: u64) {
        let goal = self.received() + more;
        eventually(&format!("{when}: {more} more messages"), SOON, || {
            (self.received() >= goal).then_some(())
        });
    }

    /// Ends it; everything that was sent must come.
    pub(super) fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let sender = self.sender.take().expect("only taken here");
        let _push = sender.join().expect("the sender");
        eventually("every message that was sent", SOON, || {
            (self.received() == self.sent.load(Ordering::Relaxed)).then_some(())
        });
        let receiver = self.receiver.take().expect("only taken here");
        let _pull = receiver.join().expect("the receiver");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Of a stream that was cut the receiver waits in vain: it ends when nobody else knows of it.
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The next message, if the socket takes or gives one in time.
fn one(count: &AtomicU64, carry: impl FnOnce(u64) -> zmq::Result<()>) {
    let number = count.load(Ordering::Relaxed);
    match carry(number) {
        Ok(()) => count.store(number + 1, Ordering::Relaxed),
        Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => {}
        Err(error) => panic!("message {number}: {error}"),
    }
}

/// A socket whose threads are in the namespace, bound or connected to a loopback port there.
fn socket(host: &Namespace, kind: zmq::SocketType, port: u16) -> zmq::Socket {
    let socket = host.enter(|| {
        // libzmq's threads begin with the first socket of their context.
        let socket = zmq::Context::new().socket(kind).expect("a socket");
        let endpoint = format!("tcp://127.0.0.1:{port}");
        let placed = if kind == zmq::PUSH { socket.bind(&endpoint) } else { socket.connect(&endpoint) };
        placed.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
        socket
    });
    socket.set_rcvtimeo(LOOK).expect("an option");
    socket.set_sndtimeo(LOOK).expect("an option");
    socket.set_linger(0).expect("an option");
    socket
}
