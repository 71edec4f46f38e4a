//! Letting applications in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt};

use super::super::bind::BindError;
use super::super::unix::UnixSocket;
use super::{Endpoint, Origin, Stream};

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 1024;
/// Who may connect to an ipc endpoint: its owner and group.
const MODE: u32 = 0o660;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    endpoint: Endpoint,
}

#[derive(Debug)]
enum Socket {
    Tcp(OwnedFd),
    Unix(UnixSocket),
}

/// What an attempt to accept brought.
#[derive(Debug)]
pub enum AcceptOutcome {
    /// A connection, nonblocking, without Nagle's delay.
    Stream(Stream),
    /// Nobody is waiting: readiness will be told.
    Empty,
    /// The system is out of descriptors or memory. The connection stays in the kernel's queue and readiness will
    /// *not* be told again: pause for 50 ms, then try again (trying at once would burn a core).
    Exhausted,
}

impl Listener {
    /// Listens on `endpoint`. A stale ipc file is replaced, a live one is not; the file (mode 0660) goes on drop.
    ///
    /// # Errors
    /// Names the endpoint and the mend.
    pub fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        let name = endpoint.to_string();
        match endpoint {
            Endpoint::Tcp(address) => {
                let (descriptor, address) =
                    bind_tcp(*address).map_err(|errno| BindError::new(name, errno))?;
                Ok(Self { socket: Socket::Tcp(descriptor), endpoint: Endpoint::Tcp(address) })
            }
            Endpoint::Ipc(path) => {
                let socket = UnixSocket::bind(&name, path, MODE, BACKLOG)?;
                Ok(Self { socket: Socket::Unix(socket), endpoint: endpoint.clone() })
            }
        }
    }

    /// Where it listens, with the port that the system chose where 0 was asked for.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes one waiting connection, without blocking. Connections that died while they waited are skipped.
    pub fn accept(&self) -> AcceptOutcome {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            match net::acceptfrom_with(self, flags) {
                Ok((descriptor, from)) => {
                    return AcceptOutcome::Stream(self.welcome(descriptor, from));
                }
                Err(Errno::AGAIN) => return AcceptOutcome::Empty,
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NOPROTOOPT
                    | Errno::OPNOTSUPP
                    | Errno::NONET
                    | Errno::PERM,
                ) => {}
                // EMFILE, ENFILE, ENOMEM, ENOBUFS; and what we do not know must not be tried in a busy loop either.
                Err(_) => return AcceptOutcome::Exhausted,
            }
        }
    }

    fn welcome(&self, descriptor: OwnedFd, from: Option<SocketAddrAny>) -> Stream {
        let origin = match self.socket {
            Socket::Tcp(_) => {
                // A connection that is gone already refuses the option and ends at its first read.
                let _ = sockopt::set_tcp_nodelay(&descriptor, true);
                from.and_then(|from| from.try_into().ok()).map_or(Origin::Unknown, Origin::Tcp)
            }
            Socket::Unix(_) => Origin::of_unix(&descriptor),
        };
        Stream::new(descriptor, origin)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(descriptor) => descriptor.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

fn bind_tcp(address: std::net::SocketAddr) -> Result<(OwnedFd, std::net::SocketAddr), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let descriptor = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&descriptor, true)?;
    net::bind(&descriptor, &address)?;
    net::listen(&descriptor, BACKLOG)?;
    let local = net::getsockname(&descriptor)?.try_into()?;
    Ok((descriptor, local))
}
