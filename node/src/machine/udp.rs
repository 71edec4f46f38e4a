//! The UDP socket of the tunnel: large buffers, batches in with GRO, runs out with GSO, and the way of each datagram:
//! which of our addresses it came to or leaves from, on which interface, with which outer TOS.

mod control;
mod name;
mod sys;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lockgate_proto::outbox::{Envelope, Path, Source};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use thiserror::Error;

use self::control::{Control, Facts};
use self::name::{Name, canonical};
use self::sys::Slot;
use super::bind::BindError;

/// How many system-level messages one receive takes; with GRO each may hold 64 datagrams.
pub const BATCH: usize = sys::BATCH;
/// The largest thing that the kernel hands over as one message: a whole GRO list, or one datagram.
const MESSAGE: usize = 1 << 16;
/// What is asked for each socket buffer. QUIC's windows (4 MB) must fit.
const SOCKET_BUFFER: usize = 4 << 20;
/// After so many receives in a row that found no memory, the socket waits for the next datagram.
const SHORTAGES: u32 = 16;
/// The part of the TOS byte that is ECN (RFC 3168).
const ECN: u8 = 0b11;

/// What one receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many datagrams were handed over.
    pub datagrams: usize,
    /// The socket was emptied: readiness will be told again. Otherwise there may be more.
    pub drained: bool,
}

/// What a socket, and those before it ([`Udp::with_counters`]), have received. All of them only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// System calls that brought something.
    pub receives: u64,
    /// Datagrams handed over (divided by `receives` it says how well they batch).
    pub datagrams: u64,
    /// Datagrams of no bytes among them.
    pub empty: u64,
    /// Messages thrown away because they were longer than any datagram, or came from no IP address.
    pub malformed: u64,
    /// Receives that reported an error belonging to some peer's address (ICMP), or found no memory.
    pub errors: u64,
}

/// Packets could not be given a firewall mark.
#[derive(Debug, Error)]
#[error(
    "cannot mark packets with {mark:#x}: {source}\n  hint: run with CAP_NET_ADMIN (as root), or leave the mark out"
)]
pub struct MarkError {
    /// The mark that was asked for.
    pub mark: u32,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A bound, nonblocking UDP socket.
pub struct Udp {
    descriptor: OwnedFd,
    local: SocketAddr,
    mark: u32,
    gso: bool,
    gro: bool,
    buffers: Vec<u8>,
    slots: Box<[Slot; BATCH]>,
    counters: ReceiveCounters,
    /// Receives in a row for which there was no memory.
    shortages: u32,
}

impl Udp {
    /// Binds `address`; `[::]` takes both IP versions. Port 0 lets the system choose (see [`Udp::local_addr`]).
    ///
    /// # Errors
    /// Names the address and the mend.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::open(address).map_err(|errno| BindError::new(format!("udp {address}"), errno))
    }

    /// Binds `port` for both IP versions, or for IPv4 alone where this machine has no IPv6.
    ///
    /// # Errors
    /// Names the address and the mend.
    pub fn bind_port(port: u16) -> Result<Self, BindError> {
        bind_either(port, Self::open)
    }

    fn open(address: SocketAddr) -> Result<Self, Errno> {
        let descriptor = socket(address)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&descriptor, !address.ip().is_unspecified())?;
        }
        net::bind(&descriptor, &address)?;
        enlarge(&descriptor);
        let local: SocketAddr = net::getsockname(&descriptor)?.try_into()?;
        ask_for_facts(&descriptor, local)?;
        let fragments = Fragments::Allowed;
        for version in [IpAddr::from(Ipv4Addr::UNSPECIFIED), local.ip()] {
            // A dual-stack socket sends IPv4 too. A system that refuses keeps its own way.
            let _ = fragments.set(&descriptor, version);
        }
        let gso = sys::option(descriptor.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT).is_ok();
        let gro = sys::set_option(descriptor.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        Ok(Self {
            descriptor,
            local,
            mark: 0,
            gso,
            gro,
            buffers: vec![0; BATCH * MESSAGE],
            slots: Box::default(),
            counters: ReceiveCounters::default(),
            shortages: 0,
        })
    }

    /// Receives one batch without blocking and hands each datagram to `take`: the way it came (the sender, and which of
    /// our addresses on which interface was called), the ECN bits that it arrived with (the lower two of the outer TOS or
    /// traffic class), and its bytes (which may be opened in place). Zero-length datagrams are handed over too.
    ///
    /// Errors that belong to an earlier send (ICMP) are counted and cost nothing else.
    ///
    /// # Errors
    /// Only if the socket itself is broken.
    pub fn recv(&mut self, mut take: impl FnMut(&Path, u8, &mut [u8])) -> io::Result<Received> {
        self.receive(|path, tos, datagram| take(path, tos & ECN, datagram))
    }

    /// The same with the whole TOS byte.
    fn receive(&mut self, mut take: impl FnMut(&Path, u8, &mut [u8])) -> io::Result<Received> {
        let messages = match sys::receive(self.descriptor.as_fd(), &mut self.slots, &mut self.buffers) {
            Ok(messages) => messages,
            Err(Errno::AGAIN) => return Ok(Received { datagrams: 0, drained: true }),
            Err(errno) => return self.forgive(errno),
        };
        self.shortages = 0;
        let before = self.counters.datagrams;
        self.counters.receives += 1;
        let share = self.buffers.len() / BATCH;
        for (slot, buffer) in self.slots[..messages].iter().zip(self.buffers.chunks_exact_mut(share)) {
            let Some(remote) = slot.name.address().filter(|_| !slot.truncated) else {
                self.counters.malformed += 1;
                continue;
            };
            let Facts { segment, tos, called } = slot.control.facts();
            let path = Path { remote, source: called };
            let bytes = &mut buffer[..slot.len];
            if bytes.is_empty() {
                take(&path, tos, bytes);
                self.counters.datagrams += 1;
                self.counters.empty += 1;
                continue;
            }
            for datagram in bytes.chunks_mut(segment.unwrap_or(usize::MAX)) {
                take(&path, tos, datagram);
                self.counters.datagrams += 1;
            }
        }
        let datagrams = (self.counters.datagrams - before) as usize;
        Ok(Received { datagrams, drained: messages < BATCH })
    }

    /// What a receive that failed means: a peer's trouble or a shortage of memory ends nothing.
    fn forgive(&mut self, errno: Errno) -> io::Result<Received> {
        let short = is_shortage(errno);
        if !short && !is_about_a_peer(errno) {
            return Err(errno.into());
        }
        self.counters.errors += 1;
        self.shortages = if short { self.shortages + 1 } else { 0 };
        // A shortage that lasts leaves the turn to the others, who may free something.
        let drained = self.shortages >= SHORTAGES;
        if drained {
            self.shortages = 0;
        }
        Ok(Received { datagrams: 0, drained })
    }

    /// Sends `contents` in one system call: as datagrams of `segment` bytes (the last may be shorter), or as one
    /// datagram where there is no `segment`. The caller sees to the kernel's limits (64 segments, 65507 bytes).
    pub(super) fn send(
        &self,
        envelope: &Envelope,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<(), Errno> {
        let remote = canonical(envelope.path.remote);
        let mut control = Control::default();
        if let Some(segment) = segment {
            control.segment(u16::try_from(segment).map_err(|_| Errno::INVAL)?);
        }
        match (envelope.tos, remote) {
            (0, _) => {}
            (tos, SocketAddr::V4(_)) => control.tos(tos),
            (class, SocketAddr::V6(_)) => control.traffic_class(class),
        }
        if let Some(Source { ip, interface }) = envelope.path.source {
            let ip = ip.to_canonical();
            if ip.is_ipv4() != remote.is_ipv4() {
                return Err(Errno::INVAL);
            }
            control.source(Source { ip, interface });
        }
        sys::send(self.descriptor.as_fd(), &Name::new(self.reachable(remote)), &control, contents)
    }

    /// Sends one datagram that no router may fragment and whose size our own routing table does not limit: a question
    /// about the path's MTU.
    ///
    /// # Errors
    /// `EMSGSIZE` where the first link is already too narrow, and whatever else a send meets.
    pub fn probe(&self, envelope: &Envelope, contents: &[u8]) -> io::Result<()> {
        let version = canonical(envelope.path.remote).ip();
        Fragments::Forbidden.set(&self.descriptor, version)?;
        let sent = self.send(envelope, contents, None);
        Fragments::Allowed.set(&self.descriptor, version)?;
        Ok(sent?)
    }

    /// The MTU of the path to `remote` (bytes of an IP packet, at most 65535), as far as the kernel's routing table knows it;
    /// `None` where there is no route.
    pub fn path_mtu(&self, remote: SocketAddr) -> Option<u16> {
        let remote = canonical(remote);
        // Another socket, so that nothing of ours is connected.
        let asking = socket(remote).ok()?;
        if self.mark != 0 {
            mark(&asking, self.mark).ok()?;
        }
        net::connect(&asking, &remote).ok()?;
        let mtu =
            if remote.is_ipv4() { sockopt::ip_mtu(&asking) } else { sockopt::ipv6_mtu(&asking) }.ok()?;
        Some(u16::try_from(mtu).unwrap_or(u16::MAX))
    }

    /// Gives every packet the firewall mark `mark` from now on; 0 is none.
    ///
    /// # Errors
    /// Without the right to do that (`CAP_NET_ADMIN`).
    pub fn set_mark(&mut self, mark: u32) -> Result<(), MarkError> {
        if self.mark != mark {
            self::mark(&self.descriptor, mark).map_err(|errno| MarkError { mark, source: errno.into() })?;
            self.mark = mark;
        }
        Ok(())
    }

    /// `to` in the socket's own address family: a dual-stack socket reaches IPv4 through mapped addresses.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.local.is_ipv6() => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }

    /// The address and port it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether the kernel segments large sends for us.
    pub fn has_gso(&self) -> bool {
        self.gso
    }

    /// Whether the kernel coalesces what arrives.
    pub fn has_gro(&self) -> bool {
        self.gro
    }

    /// The receive buffer that was granted, in bytes (Linux reports twice what one asks for).
    pub fn receive_buffer(&self) -> usize {
        sockopt::socket_recv_buffer_size(&self.descriptor).unwrap_or(0)
    }

    /// The send buffer that was granted, in bytes (Linux reports twice what one asks for).
    pub fn send_buffer(&self) -> usize {
        sockopt::socket_send_buffer_size(&self.descriptor).unwrap_or(0)
    }

    /// Goes on counting from what the socket before this one, on another port, had received.
    pub fn with_counters(mut self, counters: ReceiveCounters) -> Self {
        self.counters = counters;
        self
    }

    /// What was received so far.
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Udp").field("local", &self.local).finish_non_exhaustive()
    }
}

/// `port` of all addresses: of both IP versions if `open` can, else of IPv4.
fn bind_either<T>(port: u16, mut open: impl FnMut(SocketAddr) -> Result<T, Errno>) -> Result<T, BindError> {
    let address = (Ipv6Addr::UNSPECIFIED, port).into();
    let (address, outcome) = match open(address) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
            let address = (Ipv4Addr::UNSPECIFIED, port).into();
            (address, open(address))
        }
        outcome => (address, outcome),
    };
    outcome.map_err(|errno| BindError::new(format!("udp {address}"), errno))
}

/// A nonblocking socket of `address`'s family.
fn socket(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// Has the kernel say of every message which of our addresses was called, and how it was marked.
fn ask_for_facts(descriptor: &OwnedFd, local: SocketAddr) -> Result<(), Errno> {
    let socket = descriptor.as_fd();
    if local.is_ipv6() {
        sys::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        sockopt::set_ipv6_recvtclass(socket, true)?;
    }
    // A dual-stack socket receives IPv4 too.
    sys::set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    sockopt::set_ip_recvtos(socket, true)
}

fn mark(descriptor: &OwnedFd, mark: u32) -> Result<(), Errno> {
    sys::set_option(descriptor.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed())
}

/// Whether a datagram that is too large for its path is cut into fragments.
#[derive(Clone, Copy)]
enum Fragments {
    /// As WireGuard leaves it: on a path narrower than an Ethernet every full datagram would be lost without a sign.
    Allowed,
    /// Nowhere, and no MTU that the kernel has learnt is heeded.
    Forbidden,
}

impl Fragments {
    fn set(self, descriptor: &OwnedFd, version: IpAddr) -> Result<(), Errno> {
        use sockopt::{Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6};
        match (self, version) {
            (Self::Allowed, IpAddr::V4(_)) => sockopt::set_ip_mtu_discover(descriptor, V4::DONT),
            (Self::Allowed, IpAddr::V6(_)) => sockopt::set_ipv6_mtu_discover(descriptor, V6::DONT),
            (Self::Forbidden, IpAddr::V4(_)) => sockopt::set_ip_mtu_discover(descriptor, V4::PROBE),
            (Self::Forbidden, IpAddr::V6(_)) => sockopt::set_ipv6_mtu_discover(descriptor, V6::PROBE),
        }
    }
}

/// Asks for large buffers: past the system's limit where we may, else up to it. Failing is not an error; the
/// status shows what was granted.
fn enlarge(socket: &OwnedFd) {
    if sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER);
    }
    if sockopt::set_socket_send_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(socket, SOCKET_BUFFER);
    }
}

/// The system has no memory for it now.
fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::NOMEM | Errno::NOBUFS)
}

/// An error that some destination caused (an ICMP message), as opposed to a broken socket.
fn is_about_a_peer(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::NETDOWN
            | Errno::MSGSIZE
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::ACCESS
            | Errno::PERM
            | Errno::TIMEDOUT
    )
}

#[cfg(test)]
mod tests;
