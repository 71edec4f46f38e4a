//! Whether the device is up and how large a packet it takes, wherever it was moved to.
//!
//! Users move a tunnel's interface to another network namespace after start (`ip link set wg0 netns X`), rename it, and
//! change its MTU there. No netlink event comes from there, so the device is asked: the descriptor knows its present
//! name and namespace, and a socket that was opened in that namespace knows the rest.

use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::super::namespace;
use super::{Tun, ioctl};

/// What is assumed of a device that has never told: Ethernet's MTU, which new TUN devices have.
const DEFAULT_MTU: u32 = 1500;

/// How a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What the interface is called now.
    pub name: String,
    /// Whether it is up: packets that are written to it arrive. Where its namespace is closed to us, what the last write
    /// said.
    pub up: bool,
    /// Its MTU in bytes: the last known one where its namespace is closed to us.
    pub mtu: u32,
    /// Whether the device still exists.
    pub exists: bool,
}

/// What was found out when the device was last asked.
#[derive(Debug)]
pub(super) struct Watched {
    /// A socket in the device's namespace, and which namespace that is (device and inode); `None`: our own.
    socket: Option<(Option<(u64, u64)>, OwnedFd)>,
    mtu: u32,
    /// As far as it is known, also by what became of the last write.
    pub(super) up: bool,
}

impl Default for Watched {
    fn default() -> Self {
        Self { socket: None, mtu: DEFAULT_MTU, up: true }
    }
}

impl Tun {
    /// Asks how the device stands now: some six short system calls, wherever it is. A thread lives for a moment each
    /// time the device has moved to another namespace.
    pub fn state(&mut self) -> State {
        let (name, exists) = match ioctl::interface(&self.descriptor) {
            Ok(request) => (request.name().to_vec(), true),
            // Not a device at all: what a test gave.
            Err(Errno::NOTTY | Errno::INVAL | Errno::OPNOTSUPP) => return self.assumed(),
            Err(_) => (self.name.clone().into_bytes(), false),
        };
        let asked = if exists { self.ask(&name) } else { Ok(false) };
        // Where nobody may look, the last word is that of the last write: the kernel refuses it while the device is down.
        // (An empty write, which others probe with, is refused alike by both since the check moved behind the parser.)
        self.watched.up = asked.unwrap_or(exists && self.watched.up);
        let up = self.watched.up;
        State { name: String::from_utf8_lossy(&name).into_owned(), up, mtu: self.watched.mtu, exists }
    }

    /// A descriptor of the network namespace that the device is in now.
    ///
    /// # Errors
    /// When the device is gone, or the kernel (before 5.3) or our rights do not let us know.
    pub fn namespace(&self) -> std::io::Result<OwnedFd> {
        Ok(ioctl::namespace(&self.descriptor)?)
    }

    fn assumed(&self) -> State {
        State { name: self.name.clone(), up: true, mtu: self.watched.mtu, exists: true }
    }

    /// Whether it is up, by a socket in its namespace; remembers the MTU.
    fn ask(&mut self, name: &[u8]) -> Result<bool, Errno> {
        let socket = self.watched.socket_near(&self.descriptor)?;
        let flags = ioctl::flags(socket, name)?;
        let mtu = ioctl::mtu(socket, name)?;
        self.watched.mtu = mtu;
        Ok(flags & ioctl::IFF_UP != 0)
    }
}

impl Watched {
    fn socket_near(&mut self, tun: &OwnedFd) -> Result<&OwnedFd, Errno> {
        let place = ioctl::namespace(tun).ok();
        let id = match &place {
            Some(place) => Some(fs::fstat(place).map(|stat| (stat.st_dev, stat.st_ino))?),
            None => None,
        };
        if self.socket.as_ref().is_none_or(|(known, _)| *known != id) {
            let socket = match place {
                Some(place) => namespace::within(&place, new_socket)??,
                None => new_socket()?,
            };
            self.socket = Some((id, socket));
        }
        Ok(self.socket.as_ref().map(|(_, socket)| socket).expect("it was opened above"))
    }
}

/// A socket that only carries questions. Any family does; an IPv4-only or IPv6-only system has this one.
fn new_socket() -> Result<OwnedFd, Errno> {
    net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}
