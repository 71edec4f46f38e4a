//! Waiting: edge-triggered readiness of many descriptors, nanosecond timeouts, and wake-ups from other threads.
//!
//! Edge-triggered means that readiness is told once per change. Whoever takes a token's readiness must read (or write)
//! until the system says `EAGAIN`, or remember that there is more.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use lockgate_proto::now::Moment;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;

use super::clock::Clock;

/// How many events one wait takes at most; the rest stay for the next.
const EVENTS: usize = 256;
/// The token that the poller keeps for its own wakers.
const WAKE: u64 = u64::MAX;
/// Waits longer than this are cut to it: a day, well inside every integer on the way.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What has become possible for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token that [`Poller::add`] was given.
    pub token: u64,
    /// There is something to read, or an end or error to find by reading.
    pub readable: bool,
    /// There is room to write, or an error to find by writing.
    pub writable: bool,
    /// The other side has closed both directions, or the socket has failed.
    pub hangup: bool,
}

/// Which directions of a descriptor are watched. Its end and its failure always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Reading.
    Read,
    /// Reading and writing.
    Both,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        use epoll::EventFlags as Flags;
        let read = Flags::IN | Flags::RDHUP | Flags::ET;
        match self {
            Self::Read => read,
            Self::Both => read | Flags::OUT,
        }
    }
}

/// An epoll instance and the events of its last wait.
pub struct Poller {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    ready: Vec<Ready>,
    woken: bool,
}

impl Poller {
    /// An empty poller with its waker.
    ///
    /// # Errors
    /// When the process is out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        // Edge-triggered: each write to an eventfd is an edge, so its count need never be read.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), flags)?;
        Ok(Self { epoll, wake, ready: Vec::with_capacity(EVENTS), woken: false })
    }

    /// Watches `source` in both directions under `token`. Closing the descriptor ends the watch.
    ///
    /// Right for TCP, whose room to write is told only after it was full. UDP and Unix sockets tell it whenever
    /// anything that was sent is done with: register them for
    /// reading, and for both only while they are blocked.
    ///
    /// # Errors
    /// When the descriptor cannot be watched, is watched already, or memory is out.
    ///
    /// # Panics
    /// If `token` is `u64::MAX`, which the wakers have.
    pub fn add(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        self.register(source, token, Interest::Both)
    }

    /// Watches `source` under `token` for what `interest` says; [`Poller::set_interest`] changes it.
    ///
    /// # Errors
    /// As [`Poller::add`].
    ///
    /// # Panics
    /// As [`Poller::add`].
    pub fn register(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        assert_ne!(token, WAKE, "u64::MAX is the wakers' token");
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, source, data, interest.flags())?)
    }

    /// Changes what a watched `source` is watched for. What is possible at this moment is told again, so that nothing is
    /// missed between a write that blocked and this call.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn set_interest(&self, source: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, source, data, interest.flags())?)
    }

    /// Ends the watch on `source` while it stays open.
    ///
    /// # Errors
    /// When it is not watched.
    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// A handle that ends a wait from any thread.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Waits until something is ready, somebody wakes, or `timeout` is over (`None`: for ever; zero: does not block).
    ///
    /// An empty answer means timeout, wake-up or a signal: look at the clock and at whatever the wakers feed.
    ///
    /// # Errors
    /// Only if the epoll instance itself is broken.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<&[Ready]> {
        self.gather(timeout)?;
        Ok(&self.ready)
    }

    /// The same without sleeping: asks again and again, yielding the core in between, until `deadline`.
    ///
    /// To be called after activity and for some 100 us: an answer that comes soon saves the cost of falling asleep and
    /// being woken (2.6 times the round trip where that was measured), at the price of the core's idle time.
    ///
    /// # Errors
    /// As [`Poller::wait`].
    pub fn spin(&mut self, clock: &Clock, deadline: Moment) -> io::Result<&[Ready]> {
        loop {
            self.gather(Some(Duration::ZERO))?;
            if self.woken || !self.ready.is_empty() || clock.now().instant >= deadline {
                return Ok(&self.ready);
            }
            // Without it the applications on the same core starve.
            std::thread::yield_now();
        }
    }

    fn gather(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        self.woken = false;
        let timeout = match timeout.map(|timeout| timeout.min(LONGEST)) {
            // epoll_wait counts whole milliseconds and rounds up. ppoll on the epoll descriptor takes nanoseconds, on
            // every kernel and under every system call filter (epoll_pwait2 needs Linux 5.11).
            Some(timeout) if timeout.subsec_nanos() % 1_000_000 != 0 => {
                self.sleep(timeout)?;
                Some(Duration::ZERO)
            }
            whole => whole,
        };
        let timeout = timeout.map(to_timespec);
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => {
                self.woken = events.iter().any(|event| event.data.u64() == WAKE);
                let told = events.iter().filter(|event| event.data.u64() != WAKE);
                self.ready.extend(told.map(to_ready));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sleep(&self, timeout: Duration) -> io::Result<()> {
        let mut descriptors = [PollFd::new(&self.epoll, PollFlags::IN)];
        match poll(&mut descriptors, Some(&to_timespec(timeout))) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Poller").field("ready", &self.ready).finish_non_exhaustive()
    }
}

fn to_timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

fn to_ready(event: &epoll::Event) -> Ready {
    use epoll::EventFlags as Flags;
    let flags = event.flags;
    let hangup = flags.intersects(Flags::HUP | Flags::ERR);
    Ready {
        token: event.data.u64(),
        readable: hangup || flags.intersects(Flags::IN | Flags::RDHUP),
        writable: hangup || flags.contains(Flags::OUT),
        hangup,
    }
}

/// Ends the wait of the [`Poller`] it came from; a wake before the wait ends the next one at once.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Wakes. Never blocks, never fails: a full count means that a wake-up is on its way already.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use lockgate_proto::outbox::Envelope;

    use super::super::udp::Udp;
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn a_waker_ends_the_wait_of_a_blocked_poller() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        let (blocked, is_blocked) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            blocked.send(()).unwrap();
            let started = Instant::now();
            assert_eq!(poller.wait(LONG).unwrap(), []);
            started.elapsed()
        });
        is_blocked.recv().unwrap();
        waker.wake();
        assert!(waiter.join().unwrap() < Duration::from_secs(10));
    }

    #[test]
    fn a_wake_before_the_wait_is_not_lost_and_many_are_one() {
        let mut poller = Poller::new().unwrap();
        for _ in 0..3 {
            poller.waker().wake();
        }
        let started = Instant::now();
        assert_eq!(poller.wait(LONG).unwrap(), []);
        assert!(started.elapsed() < Duration::from_secs(10));
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert!(!poller.woken, "the wake-up was used up");
    }

    #[test]
    fn a_timeout_is_kept_to_the_nanosecond_and_never_cut_short() {
        let mut poller = Poller::new().unwrap();
        let mut shortest = Duration::MAX;
        for _ in 0..20 {
            let mut measure = || {
                let started = Instant::now();
                assert_eq!(poller.wait(Some(Duration::from_nanos(100_001))).unwrap(), []);
                started.elapsed()
            };
            let first = measure();
            // A signal for the test of signals, in this process, may end a wait: hardly two in a row.
            let took = if first < Duration::from_nanos(100_001) { measure() } else { first };
            assert!(took >= Duration::from_nanos(100_001), "{took:?}");
            shortest = shortest.min(took);
        }
        assert!(shortest < Duration::from_millis(1), "{shortest:?}: rounded up to a millisecond");
        let started = Instant::now();
        poller.wait(Some(Duration::ZERO)).unwrap();
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn readiness_is_told_once_per_change() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&near, 7).unwrap();
        let writable = Ready { token: 7, readable: false, writable: true, hangup: false };
        assert_eq!(poller.wait(LONG).unwrap(), [writable]);
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), []);
        far.write_all(b"x").unwrap();
        assert_eq!(poller.wait(LONG).unwrap(), [Ready { readable: true, ..writable }]);
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), [], "unread, and yet no second edge");
        far.write_all(b"y").unwrap();
        assert!(poller.wait(LONG).unwrap()[0].readable);
        let mut bytes = [0; 2];
        near.read_exact(&mut bytes).unwrap();
        drop(far);
        assert_eq!(poller.wait(LONG).unwrap(), [Ready { readable: true, hangup: true, ..writable }]);
    }

    #[test]
    fn a_reader_is_not_disturbed_by_its_own_sends_until_it_asks() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let (udp, sink) = (Udp::bind(loopback).unwrap(), Udp::bind(loopback).unwrap());
        let mut poller = Poller::new().unwrap();
        poller.register(&udp, 7, Interest::Read).unwrap();
        udp.send(&Envelope::to(sink.local_addr()), b"x", None).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), []);
        poller.set_interest(&udp, 7, Interest::Both).unwrap();
        let writable = Ready { token: 7, readable: false, writable: true, hangup: false };
        assert_eq!(poller.wait(LONG).unwrap(), [writable], "room that is there already is told");
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), []);
        udp.send(&Envelope::to(sink.local_addr()), b"x", None).unwrap();
        // This is why a socket that is not blocked is watched for reading only.
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), [writable]);
        poller.set_interest(&udp, 7, Interest::Read).unwrap();
        udp.send(&Envelope::to(udp.local_addr()), b"x", None).unwrap();
        assert!(poller.wait(LONG).unwrap()[0].readable);
    }

    #[test]
    fn a_removed_descriptor_says_no_more() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&near, 7).unwrap();
        poller.remove(&near).unwrap();
        far.write_all(b"x").unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), []);
        assert!(poller.remove(&near).is_err());
    }

    #[test]
    fn spinning_ends_at_an_event_a_wake_or_the_deadline() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (mut poller, clock) = (Poller::new().unwrap(), Clock::start());
        let in_long = || clock.now().instant + Duration::from_secs(10);
        poller.add(&near, 7).unwrap();
        assert_eq!(poller.spin(&clock, in_long()).unwrap().len(), 1);
        poller.waker().wake();
        assert_eq!(poller.spin(&clock, in_long()).unwrap(), []);
        far.write_all(b"x").unwrap();
        assert!(poller.spin(&clock, in_long()).unwrap()[0].readable);
        assert!(clock.now().instant.since_epoch() < Duration::from_secs(10), "no deadline was needed");
        let soon = clock.now().instant + Duration::from_micros(100);
        assert_eq!(poller.spin(&clock, soon).unwrap(), []);
        assert!(clock.now().instant >= soon);
    }
}
