//! One application's connection: bytes in without zero-filling, pieces out in one call, never blocking.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType, sockopt,
};

use super::super::poller::Interest;
use super::super::unix;
use super::Endpoint;

/// Pieces per system call.
const PIECES: usize = 64;

/// Who is at the other end, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its address.
    Tcp(SocketAddr),
    /// The process that connected to (or listens on) the Unix socket.
    Ipc {
        /// Its user.
        uid: u32,
        /// Its process id.
        pid: i32,
    },
    /// The system did not say.
    Unknown,
}

impl Origin {
    pub(super) fn of_unix(descriptor: &OwnedFd) -> Self {
        sockopt::socket_peercred(descriptor).map_or(Self::Unknown, |credentials| Self::Ipc {
            uid: credentials.uid.as_raw(),
            pid: credentials.pid.as_raw_pid(),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Ipc { uid, pid } => write!(formatter, "process {pid} of user {uid}"),
            Self::Unknown => formatter.write_str("an unknown process"),
        }
    }
}

/// What a read brought.
#[derive(Debug)]
pub enum ReadOutcome {
    /// So many bytes were appended. There may be more.
    Data(usize),
    /// Nothing at present: readiness will be told.
    Empty,
    /// The other side will send no more.
    Eof,
    /// The connection has failed.
    Error(io::Error),
}

/// A connected (or connecting) stream socket, nonblocking.
#[derive(Debug)]
pub struct Stream {
    descriptor: OwnedFd,
    origin: Origin,
}

impl Stream {
    pub(super) fn new(descriptor: OwnedFd, origin: Origin) -> Self {
        Self { descriptor, origin }
    }

    /// Begins to connect. The connection stands once the socket is writable and [`Stream::finish_connect`] says so.
    ///
    /// # Errors
    /// When it is refused at once (always so for ipc; `WouldBlock`: the listener's queue is full, try later).
    pub fn dial(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let descriptor = net::socket_with(family, SocketType::STREAM, flags, None)?;
                sockopt::set_tcp_nodelay(&descriptor, true)?;
                match net::connect(&descriptor, address) {
                    // An interrupted connect goes on in the background, as one in progress does.
                    Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {
                        Ok(Self::new(descriptor, Origin::Tcp(*address)))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Endpoint::Ipc(path) => {
                let descriptor = unix::new_socket()?;
                net::connect(&descriptor, &unix::to_address(path)?)?;
                let origin = Origin::of_unix(&descriptor);
                Ok(Self::new(descriptor, origin))
            }
        }
    }

    /// Whether a dialled connection stands.
    ///
    /// # Errors
    /// `WouldBlock` while it is still being made; else why it could not be made.
    pub fn finish_connect(&self) -> io::Result<()> {
        sockopt::socket_error(&self.descriptor)??;
        match net::getpeername(&self.descriptor) {
            Ok(_) => Ok(()),
            Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Who is at the other end.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What to watch it for while it is not full. A Unix socket tells its room after every read of the other side, so it is
    /// watched for both directions only after a [`Stream::write`] that took nothing; TCP tells it only then, of itself.
    pub fn interest(&self) -> Interest {
        match self.origin {
            Origin::Ipc { .. } => Interest::Read,
            Origin::Tcp(_) | Origin::Unknown => Interest::Both,
        }
    }

    /// Appends what has arrived to `buffer`, in one system call, `max` bytes at most.
    ///
    /// The buffer's spare capacity is used as it is; once less than a quarter of `max` is left it is renewed to `max`.
    #[expect(unsafe_code, reason = "the kernel fills memory that was never zeroed")]
    pub fn read_into(&mut self, buffer: &mut BytesMut, max: usize) -> ReadOutcome {
        if buffer.capacity() - buffer.len() < max.div_ceil(4) {
            buffer.reserve(max);
        }
        let spare = buffer.spare_capacity_mut();
        let room = spare.len().min(max);
        loop {
            match rustix::io::read(&self.descriptor, &mut spare[..room]) {
                Ok((&mut [], _)) if room > 0 => return ReadOutcome::Eof,
                Ok((filled, _)) => {
                    let length = filled.len();
                    // SAFETY: `read` returned the first `length` bytes of the spare capacity as initialised.
                    unsafe { buffer.set_len(buffer.len() + length) };
                    return ReadOutcome::Data(length);
                }
                Err(Errno::AGAIN) => return ReadOutcome::Empty,
                Err(Errno::INTR) => {}
                Err(error) => return ReadOutcome::Error(error.into()),
            }
        }
    }

    /// Writes as much of the first 64 `pieces` as the socket takes, in one system call; says how many bytes that was.
    /// Zero means that the socket is full (readiness will be told) or that there was nothing to write.
    ///
    /// # Errors
    /// When the connection has failed or the other side reads no more.
    pub fn write(&mut self, pieces: &[Bytes]) -> io::Result<usize> {
        let pieces = &pieces[..pieces.len().min(PIECES)];
        let slices: [IoSlice<'_>; PIECES] =
            std::array::from_fn(|index| IoSlice::new(pieces.get(index).map_or(&[], |piece| piece)));
        let slices = &slices[..pieces.len()];
        loop {
            // sendmsg, not writev: a closed connection must be an error and never a SIGPIPE.
            match net::sendmsg(
                &self.descriptor,
                slices,
                &mut SendAncillaryBuffer::default(),
                SendFlags::NOSIGNAL,
            ) {
                Ok(written) => return Ok(written),
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the other side that no more will come, after what was written.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.descriptor, Shutdown::Write)?)
    }

    /// Closes at once: what was written and not yet taken is thrown away, and a TCP peer sees a reset. (Dropping the
    /// stream closes it in order: the kernel still delivers what was written.)
    pub fn abort(self) {
        let _ = sockopt::set_socket_linger(&self.descriptor, Some(Duration::ZERO));
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
