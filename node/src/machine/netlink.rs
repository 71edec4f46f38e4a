//! The kernel's network settings: interfaces, addresses and routes, asked, changed and watched (rtnetlink).
//!
//! Only this file and its parts know netlink's messages. Everything is synchronous: the kernel answers a request before the call
//! that sent it returns.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkMessage, NetlinkPayload, Nla,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoTun, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::namespace;

pub use error::NetlinkError;
pub use monitor::{Change, Monitor};

mod error;
mod monitor;
#[cfg(test)]
mod tests;

/// The kernel sends no message longer than this.
const MESSAGE: usize = 1 << 16;
/// A network interface: its number, which stays, and the name it had, for what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it, in its namespace.
    pub index: u32,
    /// What it was called when it was looked up.
    pub name: String,
}

/// Whether an interface is wanted to carry packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// It is.
    Up,
    /// It is not.
    Down,
}

/// What the kernel tells of a TUN or TAP interface (Linux 4.16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TunKind {
    /// It carries Ethernet frames.
    pub(super) tap: bool,
    /// Each packet has four bytes of its own before it.
    pub(super) packet_information: bool,
    /// Several descriptors share it.
    pub(super) multi_queue: bool,
}

/// A socket that asks and changes, in one network namespace.
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// For the calling thread's network namespace.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn open() -> Result<Self, NetlinkError> {
        let socket =
            open_socket(SocketFlags::CLOEXEC).map_err(|errno| NetlinkError::new("open netlink", errno))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; MESSAGE] })
    }

    /// For the network namespace that `place` is a descriptor of, such as where a TUN device was moved to
    /// ([`super::tun::Tun::namespace`]).
    ///
    /// # Errors
    /// When we may not enter it (`CAP_SYS_ADMIN`).
    pub fn open_in(place: impl AsFd) -> Result<Self, NetlinkError> {
        namespace::within(place, Self::open)
            .map_err(|errno| NetlinkError::new("enter the interface's network namespace", errno))?
    }

    /// The interface called `name`.
    ///
    /// # Errors
    /// When there is none ([`NetlinkError::is_absent`]).
    pub fn interface(&mut self, name: &str) -> Result<Interface, NetlinkError> {
        let found = self.link(name).map_err(|errno| NetlinkError::new(format!("find {name}"), errno))?;
        Ok(Interface { index: found.header.index, name: name.to_owned() })
    }

    /// What kind of TUN device `name` is; `None` where it is none or the kernel does not tell.
    pub(super) fn tun_kind(&mut self, name: &str) -> Option<TunKind> {
        let link = self.link(name).ok()?;
        let info = link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(info) => Some(info),
            _ => None,
        })?;
        info.into_iter().find_map(|part| match part {
            LinkInfo::Data(InfoData::Tun(parts)) => Some(to_tun_kind(&parts)),
            _ => None,
        })
    }

    /// Sets it up or down.
    ///
    /// # Errors
    /// As the kernel refuses: absent, no permission.
    pub fn set_admin(&mut self, interface: &Interface, admin: Admin) -> Result<(), NetlinkError> {
        let mut message = to_link(interface);
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if admin == Admin::Up { LinkFlags::Up } else { LinkFlags::empty() };
        self.change(RouteNetlinkMessage::SetLink(message), 0, || {
            format!("set {} {admin:?}", interface.name).to_lowercase()
        })
    }

    /// Sets the MTU, in bytes.
    ///
    /// # Errors
    /// As [`Netlink::set_admin`], and for a value that the interface does not take (a TUN device: 68 to 65535).
    pub fn set_mtu(&mut self, interface: &Interface, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = to_link(interface);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        let task = || format!("set the MTU of {} to {mtu}", interface.name);
        self.change(RouteNetlinkMessage::SetLink(message), 0, task)
    }

    /// Sets how long a super-packet the kernel hands to the interface at most, in bytes.
    ///
    /// # Errors
    /// As [`Netlink::set_admin`].
    pub fn set_gso_max_size(&mut self, interface: &Interface, bytes: u32) -> Result<(), NetlinkError> {
        let mut message = to_link(interface);
        message.attributes.push(LinkAttribute::GsoMaxSize(bytes));
        let task = || format!("limit the super-packets of {} to {bytes} bytes", interface.name);
        self.change(RouteNetlinkMessage::SetLink(message), 0, task)
    }

    /// Gives the interface an address and with it a route to the network of `bits`; it may have it already.
    ///
    /// # Errors
    /// As [`Netlink::set_admin`], and where the system has no such IP version.
    pub fn add_address(
        &mut self,
        interface: &Interface,
        address: IpAddr,
        bits: u8,
    ) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = bits;
        message.header.index = interface.index;
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        let task = || format!("give {} the address {address}/{bits}", interface.name);
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE, task)
    }

    /// Sends what goes to `destination/bits` to the interface, in the main table; it may do so already. `metric` `None`:
    /// the kernel's own.
    ///
    /// # Errors
    /// As [`Netlink::set_admin`], while the interface is down, and where another interface has a route of this destination
    /// and metric: it stays, for it may be the way to the peers.
    pub fn add_route(
        &mut self,
        interface: &Interface,
        (destination, bits): (IpAddr, u8),
        metric: Option<u32>,
    ) -> Result<(), NetlinkError> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(destination),
            destination_prefix_length: bits,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: if destination.is_ipv4() { RouteScope::Link } else { RouteScope::Universe },
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(network(destination, bits))),
            RouteAttribute::Oif(interface.index),
        ];
        message.attributes.extend(metric.map(RouteAttribute::Priority));
        let task = || format!("route {destination}/{bits} to {}", interface.name);
        match self.request(
            RouteNetlinkMessage::NewRoute(message.clone()),
            NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK,
            |_| {},
        ) {
            Err(Errno::EXIST) if self.has_route(&message) => Ok(()),
            done => done.map_err(|errno| NetlinkError::new(task(), errno)),
        }
    }

    /// Whether the kernel has this route, through this interface.
    fn has_route(&mut self, wanted: &RouteMessage) -> bool {
        let mut question = RouteMessage::default();
        question.header.address_family = wanted.header.address_family;
        let bits = wanted.header.destination_prefix_length;
        let mut found = false;
        let _ = self.request(RouteNetlinkMessage::GetRoute(question), NLM_F_DUMP, |answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                // The kernel leaves the destination of a default route out.
                let has = |attribute| {
                    route.attributes.contains(attribute)
                        || (bits == 0 && matches!(attribute, RouteAttribute::Destination(_)))
                };
                found |= route.header.table == wanted.header.table
                    && route.header.destination_prefix_length == bits
                    && wanted.attributes.iter().all(has);
            }
        });
        found
    }

    /// The addresses of the interface and the bits of their networks, in the kernel's order: IPv4 first, the primary
    /// one of each network before its others.
    ///
    /// # Errors
    /// Only if netlink itself fails.
    pub fn addresses(&mut self, interface: &Interface) -> Result<Vec<(IpAddr, u8)>, NetlinkError> {
        let mut found = Vec::new();
        let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let result = self.request(question, NLM_F_DUMP, |answer| match answer {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == interface.index => {
                found.extend(own_address(&message).map(|address| (address, message.header.prefix_len)));
            }
            _ => {}
        });
        result.map_err(|errno| {
            NetlinkError::new(format!("ask for the addresses of {}", interface.name), errno)
        })?;
        Ok(found)
    }

    /// The number of the interface through which a packet with this source and firewall mark would leave for `to`.
    ///
    /// # Errors
    /// When there is no such way, or the source is no address of ours.
    pub fn way_out(&mut self, to: IpAddr, source: IpAddr, mark: u32) -> Result<u32, NetlinkError> {
        let bits = if to.is_ipv4() { 32 } else { 128 };
        let mut question = RouteMessage::default();
        question.header.address_family = family(to);
        question.header.destination_prefix_length = bits;
        question.header.source_prefix_length = bits;
        question.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(to)),
            RouteAttribute::Source(RouteAddress::from(source)),
            RouteAttribute::Mark(mark),
        ];
        let mut found = None;
        let asked = self.request(RouteNetlinkMessage::GetRoute(question), NLM_F_ACK, |answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                found = route.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => Some(*index),
                    _ => None,
                });
            }
        });
        let found = asked.and_then(|()| found.ok_or(Errno::HOSTUNREACH));
        found.map_err(|errno| NetlinkError::new(format!("ask for the way from {source} to {to}"), errno))
    }

    fn link(&mut self, name: &str) -> Result<LinkMessage, Errno> {
        let mut question = LinkMessage::default();
        question.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let mut found = None;
        self.request(RouteNetlinkMessage::GetLink(question), NLM_F_ACK, |answer| {
            if let RouteNetlinkMessage::NewLink(link) = answer {
                found = Some(link);
            }
        })?;
        found.ok_or(Errno::NODEV)
    }

    fn change(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        task: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        self.request(message, flags | NLM_F_ACK, |_| {}).map_err(|errno| NetlinkError::new(task(), errno))
    }

    /// Sends one request and hands its answers over, up to the acknowledgement or the end of the list.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        while let Err(errno) =
            net::sendto(&self.socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
        {
            if errno != Errno::INTR {
                return Err(errno);
            }
        }
        loop {
            let length = receive(&self.socket, &mut self.buffer)?;
            for answer in messages(&self.buffer[..length]) {
                let answer =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).map_err(|_| Errno::BADMSG)?;
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    NetlinkPayload::Error(verdict) => return to_result(verdict.raw_code()),
                    NetlinkPayload::Done(done) => return to_result(done.code),
                    _ => {}
                }
            }
        }
    }
}

impl fmt::Debug for Netlink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Netlink").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

fn open_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    // NETLINK_ROUTE is protocol 0.
    net::socket_with(net::AddressFamily::NETLINK, SocketType::RAW, flags, None)
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            other => return other.map(|(_, length)| length),
        }
    }
}

/// The messages that lie one after the other in what was received; a broken one ends them.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = NetlinkBuffer::new_checked(bytes).ok()?.length() as usize;
        let message = &bytes[..length];
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
}

fn to_result(code: i32) -> Result<(), Errno> {
    if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code.saturating_neg())) }
}

fn to_link(interface: &Interface) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = interface.index;
    message
}

/// `IFLA_TUN_` attributes of `linux/if_link.h`.
fn to_tun_kind(parts: &[InfoTun]) -> TunKind {
    let mut kind = TunKind::default();
    for part in parts {
        let InfoTun::Other(part) = part else { continue };
        let mut value = [0];
        if part.value_len() != value.len() {
            continue;
        }
        part.emit_value(&mut value);
        match part.kind() {
            3 => kind.tap = value[0] == 2,
            4 => kind.packet_information = value[0] != 0,
            7 => kind.multi_queue = value[0] != 0,
            _ => {}
        }
    }
    kind
}

fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    // Of a point-to-point interface `Address` is the other end; IPv6 has no `Local` otherwise.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// The first address of the network of `bits` that `address` is in: the kernel takes no other as a destination.
fn network(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}
