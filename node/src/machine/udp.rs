//! The UDP socket of the tunnel: large buffers, batches in with GRO, runs out with GSO.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use super::bind::BindError;

pub use quinn_udp::EcnCodepoint as Ecn;

/// How many system-level messages one receive takes; with GRO each may hold 64 datagrams.
pub const BATCH: usize = 16;
/// The largest thing that the kernel hands over as one message: a whole GRO list, or one datagram.
const MESSAGE: usize = 1 << 16;
/// What is asked for each socket buffer. QUIC's windows (4 MB) must fit.
const SOCKET_BUFFER: usize = 4 << 20;

/// What one receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many datagrams were handed over.
    pub datagrams: usize,
    /// The socket was emptied: readiness will be told again. Otherwise there may be more.
    pub drained: bool,
}

/// A bound, nonblocking UDP socket.
pub struct Udp {
    descriptor: OwnedFd,
    state: UdpSocketState,
    local: SocketAddr,
    gso: bool,
    buffers: Vec<u8>,
    errors: u64,
}

impl Udp {
    /// Binds `address`; `[::]` takes both IP versions. Port 0 lets the system choose (see [`Udp::local_addr`]).
    ///
    /// # Errors
    /// Names the address and the mend.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::open(address).map_err(|errno| BindError::new(format!("udp {address}"), errno))
    }

    fn open(address: SocketAddr) -> Result<Self, Errno> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let descriptor = net::socket_with(family, SocketType::DGRAM, flags, None)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&descriptor, !address.ip().is_unspecified())?;
        }
        net::bind(&descriptor, &address)?;
        enlarge(&descriptor);
        let local = net::getsockname(&descriptor)?.try_into()?;
        let state = UdpSocketState::new(UdpSockRef::from(&descriptor))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
        allow_fragments(&descriptor, local);
        // Asked once: the first refusal of any send turns quinn-udp's own answer off for ever; the batch judges per run.
        let gso = state.max_gso_segments() > 1;
        Ok(Self { descriptor, state, local, gso, buffers: vec![0; BATCH * MESSAGE], errors: 0 })
    }

    /// Receives one batch without blocking and hands each datagram to `take`: who sent it, how the path marked it,
    /// and its bytes (which may be opened in place). Zero-length datagrams are handed over too.
    ///
    /// Errors that belong to an earlier send (ICMP) are counted and cost nothing else.
    ///
    /// # Errors
    /// Only if the socket itself is broken.
    pub fn recv(&mut self, mut take: impl FnMut(SocketAddr, Option<Ecn>, &mut [u8])) -> io::Result<Received> {
        let mut rest = self.buffers.chunks_exact_mut(MESSAGE);
        let mut slices: [IoSliceMut<'_>; BATCH] = std::array::from_fn(|_| {
            IoSliceMut::new(rest.next().expect("one buffer per message was allocated"))
        });
        let mut metas = [RecvMeta::default(); BATCH];
        let messages = match self.state.recv(UdpSockRef::from(&self.descriptor), &mut slices, &mut metas) {
            Ok(messages) => messages,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Received { datagrams: 0, drained: true });
            }
            Err(error) if is_about_a_peer(&error) => {
                self.errors += 1;
                return Ok(Received { datagrams: 0, drained: false });
            }
            Err(error) => return Err(error),
        };
        let mut datagrams = 0;
        for (bytes, meta) in slices.iter_mut().zip(&metas[..messages]) {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let bytes = &mut bytes[..meta.len.min(MESSAGE)];
            if bytes.is_empty() {
                take(from, meta.ecn, bytes);
                datagrams += 1;
            }
            for datagram in bytes.chunks_mut(meta.stride.max(1)) {
                take(from, meta.ecn, datagram);
                datagrams += 1;
            }
        }
        Ok(Received { datagrams, drained: messages < BATCH })
    }

    /// Sends `contents` to `to` in one system call: as datagrams of `segment` bytes (the last may be shorter), or as one
    /// datagram where there is no `segment`. The caller sees to the kernel's limits (64 segments, 65507 bytes).
    pub(super) fn send(&self, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let destination = self.reachable(to);
        let transmit = Transmit { destination, ecn: None, contents, segment_size: segment, src_ip: None };
        self.state.try_send(UdpSockRef::from(&self.descriptor), &transmit)
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
        self.state.gro_segments() > 1
    }

    /// The receive buffer that was granted, in bytes (Linux reports twice what one asks for).
    pub fn receive_buffer(&self) -> usize {
        sockopt::socket_recv_buffer_size(&self.descriptor).unwrap_or(0)
    }

    /// The send buffer that was granted, in bytes (Linux reports twice what one asks for).
    pub fn send_buffer(&self) -> usize {
        sockopt::socket_send_buffer_size(&self.descriptor).unwrap_or(0)
    }

    /// How many receives reported an error that belonged to some peer's address.
    pub fn receive_errors(&self) -> u64 {
        self.errors
    }
}

/// A path narrower than an Ethernet fragments what we send, as WireGuard leaves it to: quinn-udp forbids that, and
/// every full datagram would be lost without a sign. A system that refuses keeps its own way.
fn allow_fragments(descriptor: &OwnedFd, local: SocketAddr) {
    if local.is_ipv6() {
        let _ = sockopt::set_ipv6_mtu_discover(descriptor, sockopt::Ipv6PathMtuDiscovery::DONT);
    }
    // A dual-stack socket sends IPv4 too.
    let _ = sockopt::set_ip_mtu_discover(descriptor, sockopt::Ipv4PathMtuDiscovery::DONT);
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

/// An error that some destination caused (an ICMP message), as opposed to a broken socket.
fn is_about_a_peer(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
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
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::poller::Poller;
    use super::*;

    fn bind(text: &str) -> Udp {
        Udp::bind(text.parse().unwrap()).unwrap()
    }

    /// The next datagram: who sent it, and its bytes.
    fn next(udp: &mut Udp) -> (SocketAddr, Vec<u8>) {
        let mut poller = Poller::new().unwrap();
        poller.add(&*udp, 1).unwrap();
        let mut arrived = None;
        while arrived.is_none() {
            assert!(!poller.wait(Some(Duration::from_secs(10))).unwrap().is_empty(), "nothing arrives");
            udp.recv(|from, _, bytes| arrived = Some((from, bytes.to_vec()))).unwrap();
        }
        arrived.unwrap()
    }

    #[test]
    fn a_datagram_larger_than_the_path_may_be_fragmented() {
        let v4 = bind("127.0.0.1:0");
        assert_eq!(sockopt::ip_mtu_discover(&v4).unwrap(), sockopt::Ipv4PathMtuDiscovery::DONT);
        let v6 = bind("[::1]:0");
        assert_eq!(sockopt::ipv6_mtu_discover(&v6).unwrap(), sockopt::Ipv6PathMtuDiscovery::DONT);
    }

    #[test]
    fn a_port_in_use_is_named_with_its_mend() {
        let held = bind("127.0.0.1:0");
        let error = Udp::bind(held.local_addr()).unwrap_err().to_string();
        assert!(error.contains(&format!("udp {}", held.local_addr())) && error.contains("hint"), "{error}");
        let error = Udp::bind("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("no such address"), "{error}");
    }

    #[test]
    fn both_ip_versions_reach_a_dual_stack_socket_under_their_own_addresses() {
        let mut dual = bind("[::]:0");
        let port = dual.local_addr().port();
        for (own, to) in [("127.0.0.1:0", format!("127.0.0.1:{port}")), ("[::1]:0", format!("[::1]:{port}"))]
        {
            let mut peer = bind(own);
            peer.send(to.parse().unwrap(), own.as_bytes(), None).unwrap();
            let (from, bytes) = next(&mut dual);
            assert_eq!((from, bytes), (peer.local_addr(), own.as_bytes().to_vec()));
            dual.send(from, b"back", None).unwrap();
            assert_eq!(next(&mut peer), (to.parse().unwrap(), b"back".to_vec()));
        }
    }

    #[test]
    fn a_closed_port_at_the_other_end_does_not_disturb_the_socket() {
        let mut udp = bind("127.0.0.1:0");
        let gone = bind("127.0.0.1:0").local_addr();
        let peer = bind("127.0.0.1:0");
        for _ in 0..3 {
            let _ = udp.send(gone, b"anyone?", None);
            udp.recv(|_, _, _| ()).unwrap();
        }
        peer.send(udp.local_addr(), b"here", None).unwrap();
        assert_eq!(next(&mut udp), (peer.local_addr(), b"here".to_vec()));
    }

    #[test]
    fn an_empty_socket_is_drained_and_a_full_batch_is_not() {
        let mut udp = bind("127.0.0.1:0");
        assert_eq!(udp.recv(|_, _, _| ()).unwrap(), Received { datagrams: 0, drained: true });
        // Different senders are never coalesced, so each datagram is a message of its own.
        for _ in 0..=BATCH {
            bind("127.0.0.1:0").send(udp.local_addr(), b"x", None).unwrap();
        }
        let first = udp.recv(|_, _, _| ()).unwrap();
        assert_eq!(first, Received { datagrams: BATCH, drained: false });
        assert_eq!(udp.recv(|_, _, _| ()).unwrap(), Received { datagrams: 1, drained: true });
    }

    #[test]
    fn what_the_system_grants_can_be_read() {
        let udp = bind("127.0.0.1:0");
        assert!(udp.receive_buffer() >= 64 << 10 && udp.send_buffer() >= 64 << 10);
        assert!(udp.has_gso() && udp.has_gro(), "every kernel since 5.0 has both");
    }
}
