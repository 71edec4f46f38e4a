//! A path with a temper: UDP datagrams between two hosts, some of them lost, doubled or delayed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockgate_tests::network::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Datagrams of one socket before the others have their turn.
const TURN: usize = 64;
const LONGEST_DELAY: Duration = Duration::from_millis(10);

/// How many in a hundred datagrams meet what.
#[derive(Clone, Copy, Default)]
pub(super) struct Temper {
    pub(super) loses: u32,
    pub(super) doubles: u32,
    pub(super) delays: u32,
}

/// Ends with its value.
pub(super) struct Relay {
    address: SocketAddr,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Orders {
    stop: AtomicBool,
    rebinds: AtomicU32,
    temper: Mutex<Temper>,
}

impl Relay {
    /// Between the two `sides`, of which the first one is called by its host and the second one calls `right`.
    pub(super) fn start(router: &Namespace, sides: [IpAddr; 2], right: SocketAddr, seed: u64) -> Self {
        let orders = Arc::new(Orders::default());
        let sockets = router.enter(|| sides.map(|side| vec![bind(side)]));
        let address = sockets[0][0].local_addr().expect("it is bound");
        // New ports are taken by the thread itself, so it has to live inside.
        let path = Path {
            sides,
            sockets,
            hosts: [None, Some(right)],
            state: seed | 1,
            waiting: BTreeMap::new(),
            number: 0,
        };
        let thread = std::thread::spawn({
            let (orders, name) = (Arc::clone(&orders), router.name().to_owned());
            move || {
                enter(&name);
                path.run(&orders);
            }
        });
        Self { address, orders, thread: Some(thread) }
    }

    /// Where the first host finds it.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(super) fn set(&self, temper: Temper) {
        *self.orders.temper.lock().expect("nobody panics with it") = temper;
    }

    /// It speaks from new ports on both sides, as a NAT that restarted; it still hears the last ones.
    pub(super) fn rebind(&self) {
        self.orders.rebinds.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.orders.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic would have shown as a path that carries nothing.
            let _ = thread.join();
        }
    }
}

struct Path {
    sides: [IpAddr; 2],
    /// The newest last.
    sockets: [Vec<UdpSocket>; 2],
    hosts: [Option<SocketAddr>; 2],
    state: u64,
    waiting: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    number: u64,
}

impl Path {
    fn run(mut self, orders: &Orders) {
        let mut rebinds = 0;
        while !orders.stop.load(Ordering::Relaxed) {
            if orders.rebinds.load(Ordering::Relaxed) != rebinds {
                rebinds += 1;
                for side in 0..2 {
                    self.sockets[side].push(bind(self.sides[side]));
                    // The first one stays, for it is where the first host was told to call.
                    if self.sockets[side].len() > 3 {
                        self.sockets[side].remove(1);
                    }
                }
            }
            self.wait();
            let temper = *orders.temper.lock().expect("nobody panics with it");
            for side in 0..2 {
                self.take(side, temper);
            }
            self.send();
        }
    }

    fn wait(&self) {
        let mut ready: Vec<PollFd<'_>> =
            self.sockets.iter().flatten().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let due =
            self.waiting.first_key_value().map(|((due, _), _)| due.saturating_duration_since(Instant::now()));
        let time = due.unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY);
        match poll(&mut ready, Some(&Timespec::try_from(time).expect("a short time"))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("open sockets: {error}"),
        }
    }

    fn take(&mut self, side: usize, temper: Temper) {
        let mut datagram = vec![0; 65_536];
        for socket in 0..self.sockets[side].len() {
            for _ in 0..TURN {
                let Ok((length, from)) = self.sockets[side][socket].recv_from(&mut datagram) else { break };
                self.hosts[side] = Some(from);
                if self.meets(temper.loses) {
                    continue;
                }
                let copies = if self.meets(temper.doubles) { 2 } else { 1 };
                for _ in 0..copies {
                    let delay = if self.meets(temper.delays) {
                        LONGEST_DELAY * (self.next() % 100) / 100
                    } else {
                        Duration::ZERO
                    };
                    self.number += 1;
                    let due = (Instant::now() + delay, self.number);
                    self.waiting.insert(due, (1 - side, datagram[..length].to_vec()));
                }
            }
        }
    }

    fn send(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= now) {
            let (side, datagram) = first.remove();
            let socket = self.sockets[side].last().expect("there is always one");
            if let Some(host) = self.hosts[side] {
                // A host that is gone for a moment loses it, which is what happens on a path.
                let _ = socket.send_to(&datagram, host);
            }
        }
    }

    fn meets(&mut self, percent: u32) -> bool {
        self.next() % 100 < percent
    }

    /// Xorshift64*.
    fn next(&mut self) -> u32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

fn bind(side: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((side, 0)).expect("an address of the router");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// Moves this thread into a namespace for good.
fn enter(name: &str) {
    use std::os::fd::AsFd;
    let path = format!("/var/run/netns/{name}");
    let door = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    rustix::thread::move_into_link_name_space(door.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
        .unwrap_or_else(|error| panic!("{path}: {error}"));
}
