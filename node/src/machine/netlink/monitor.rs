//! News of interfaces, addresses and routes, as the kernel tells them to everybody who listens.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, SocketFlags, sockopt};

use super::{MESSAGE, NetlinkError, messages, open_socket, own_address, receive};

/// Room for a burst of news, so that they are seldom lost (the kernel doubles it).
const NEWS_BUFFER: usize = 1 << 20;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR` and `_IPV6_ROUTE`, as bits.
const GROUPS: u32 = 1 << 0 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// Something that is now so; it may have been so before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This interface is up.
    LinkUp(u32),
    /// This interface is down.
    LinkDown(u32),
    /// This interface has this MTU, in bytes.
    Mtu(u32, u32),
    /// This interface was deleted, or moved to another network namespace: the device itself knows which
    /// ([`State`](crate::machine::tun::State)).
    Gone(u32),
    /// Some routes are not what they were.
    Routes,
    /// Some addresses are new, or not what they were; [`Change::AddressGone`] tells of those that went.
    Addresses,
    /// An interface has this address no more; another one may have it still.
    AddressGone(IpAddr),
    /// News were lost: ask for everything that matters again.
    Lost,
}

/// A nonblocking socket that hears of every change of interfaces, addresses and routes in the network namespace of the
/// thread that opened it.
pub struct Monitor {
    pub(super) socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Listens from now on. It needs no rights.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let socket = open_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            let _ = sockopt::set_socket_recv_buffer_size(&socket, NEWS_BUFFER);
            net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            Ok(socket)
        };
        let socket = open().map_err(|errno| NetlinkError::new("watch the network settings", errno))?;
        Ok(Self { socket, buffer: vec![0; MESSAGE] })
    }

    /// Hands over everything new; afterwards readiness will be told again. However many routes changed or addresses came,
    /// each of the two is told once, at the end; each address that went is told.
    ///
    /// # Errors
    /// Only if the socket itself is broken.
    pub fn drain(&mut self, each: &mut dyn FnMut(Change)) -> io::Result<()> {
        let (mut routes, mut addresses) = (false, false);
        loop {
            let length = match receive(&self.socket, &mut self.buffer) {
                Ok(length) => length,
                Err(Errno::AGAIN) => break,
                Err(Errno::NOBUFS) => {
                    each(Change::Lost);
                    continue;
                }
                Err(errno) => return Err(errno.into()),
            };
            for message in messages(&self.buffer[..length]) {
                match NetlinkBuffer::new(message).message_type() {
                    RTM_NEWROUTE | RTM_DELROUTE => routes = true,
                    RTM_NEWADDR => addresses = true,
                    RTM_DELADDR => tell_address(message, each),
                    RTM_NEWLINK | RTM_DELLINK => tell_link(message, each),
                    _ => {}
                }
            }
        }
        if addresses {
            each(Change::Addresses);
        }
        if routes {
            each(Change::Routes);
        }
        Ok(())
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Monitor").finish_non_exhaustive()
    }
}

fn tell_address(message: &[u8], each: &mut dyn FnMut(Change)) {
    let gone =
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(gone))) => own_address(&gone),
            _ => None,
        };
    each(gone.map_or(Change::Lost, Change::AddressGone));
}

pub(super) fn tell_link(message: &[u8], each: &mut dyn FnMut(Change)) {
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
        // A newer kernel's way to say something: what it says can be asked for.
        return each(Change::Lost);
    };
    match message.payload {
        // A bridge that loses a port says so with a message of its own family.
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
            if link.header.interface_family == AddressFamily::Unspec =>
        {
            each(Change::Gone(link.header.index));
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            let index = link.header.index;
            let up = link.header.flags.contains(LinkFlags::Up);
            each(if up { Change::LinkUp(index) } else { Change::LinkDown(index) });
            for attribute in link.attributes {
                if let LinkAttribute::Mtu(mtu) = attribute {
                    each(Change::Mtu(index, mtu));
                }
            }
        }
        _ => {}
    }
}
