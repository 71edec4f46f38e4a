//! Numbered UDP datagrams with a checksum of their own, from one host to another.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lockgate_tests::network::Namespace;

const HEADER: usize = 16;
const LONGEST: usize = 1420 - 40 - 8;
/// Errors after which a socket is asked again.
const PASSING: [ErrorKind; 3] = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];
/// Between two datagrams.
const PACE: Duration = Duration::from_millis(2);

/// What came of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) sent: u64,
    pub(super) arrived: u64,
    /// Not as they were sent.
    pub(super) corrupt: u64,
    /// Came more than once.
    pub(super) twice: u64,
    /// Came behind a later one, while order was expected.
    pub(super) late: u64,
}

/// Goes on until it is finished.
pub(super) struct Datagrams {
    stop: Arc<AtomicBool>,
    quiet: Arc<AtomicBool>,
    ordered: Arc<AtomicBool>,
    sender: Option<JoinHandle<u64>>,
    receiver: Option<JoinHandle<Seen>>,
}

impl Datagrams {
    pub(super) fn start(from: &Namespace, to: &Namespace, address: IpAddr, seed: u64) -> Self {
        let inlet = to.enter(|| UdpSocket::bind((address, 0))).expect("an address of this host");
        inlet.set_read_timeout(Some(Duration::from_millis(200))).expect("a valid time");
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let outlet = from.enter(|| UdpSocket::bind(any)).expect("any port");
        outlet.connect(inlet.local_addr().expect("it is bound")).expect("a route");
        let [stop, quiet, ordered] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let sender = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(&outlet, &stop, seed)
        });
        let receiver = std::thread::spawn({
            let (quiet, ordered) = (Arc::clone(&quiet), Arc::clone(&ordered));
            move || receive(&inlet, &quiet, &ordered)
        });
        Self { stop, quiet, ordered, sender: Some(sender), receiver: Some(receiver) }
    }

    /// From now on the path keeps the order.
    pub(super) fn expect_order(&self) {
        self.ordered.store(true, Ordering::Relaxed);
    }

    /// Ends when the last of them has come.
    pub(super) fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.take().expect("only taken here").join().expect("the sender");
        self.quiet.store(true, Ordering::Relaxed);
        let seen = self.receiver.take().expect("only taken here").join().expect("the receiver");
        Seen { sent, ..seen }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.quiet.store(true, Ordering::Relaxed);
    }
}

fn send(outlet: &UdpSocket, stop: &AtomicBool, seed: u64) -> u64 {
    let mut datagram = vec![0; LONGEST];
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let random = mix(seed ^ number);
        let length = HEADER + (random as usize) % (LONGEST - HEADER);
        for (at, byte) in datagram[HEADER..length].iter_mut().enumerate() {
            *byte = (random >> (at % 8 * 8)) as u8 ^ at as u8;
        }
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        let sum = checksum(&datagram[..length]);
        datagram[8..HEADER].copy_from_slice(&sum.to_be_bytes());
        // A host may have no room or no way for a moment; that is a lost datagram.
        let _ = outlet.send(&datagram[..length]);
        number += 1;
        std::thread::park_timeout(PACE);
    }
    number
}

fn receive(inlet: &UdpSocket, quiet: &AtomicBool, ordered: &AtomicBool) -> Seen {
    let mut datagram = vec![0; 65_536];
    let mut seen = Seen::default();
    let mut came: Vec<bool> = Vec::new();
    loop {
        let length = match inlet.recv(&mut datagram) {
            Ok(length) => length,
            Err(error) if PASSING.contains(&error.kind()) => {
                if quiet.load(Ordering::Relaxed) {
                    return seen;
                }
                continue;
            }
            Err(error) => panic!("a socket of our own: {error}"),
        };
        let datagram = &datagram[..length];
        let [number, sum] = [0, 8].map(|at| {
            datagram.get(at..at + 8).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
        });
        let (Some(number), true) = (number, sum == Some(checksum(datagram))) else {
            seen.corrupt += 1;
            continue;
        };
        seen.arrived += 1;
        let at = usize::try_from(number).expect("fewer than memory has bytes");
        seen.late += u64::from(at < came.len() && ordered.load(Ordering::Relaxed));
        came.resize(came.len().max(at + 1), false);
        seen.twice += u64::from(std::mem::replace(&mut came[at], true));
    }
}

/// FNV-1a over all but the field that holds it.
fn checksum(datagram: &[u8]) -> u64 {
    let covered = datagram.iter().take(8).chain(datagram.iter().skip(HEADER));
    covered.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
