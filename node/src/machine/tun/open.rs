//! Opening: a new device, a persistent one, or one that another program opened.

use std::os::fd::OwnedFd;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::super::netlink::{Netlink, TunKind};
use super::ioctl::{self, IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR, IfReq, NAME};
use super::ioctl::{TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6};
use super::{HEADER, Offloads, Tun, TunError};

const DEVICE: &str = "/dev/net/tun";

/// 44 segments of MTU 1420 and their headers: with the tunnel's own headers they are one send of 63.9 KB.
const SUPER_PACKET: u32 = 61_612;

const TSO: usize = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
/// The best first. A kernel refuses the whole set for one bit that it does not know.
const OFFERS: [(usize, Offloads); 4] = [
    (TSO | TUN_F_USO4 | TUN_F_USO6, Offloads::ALL),
    (TSO, Offloads { uso: false, ..Offloads::ALL }),
    (TUN_F_CSUM, Offloads { tso: false, uso: false, ..Offloads::ALL }),
    (0, Offloads { header: true, ..Offloads::NONE }),
];

pub(super) fn create(name: &str) -> Result<Tun, TunError> {
    validate(name)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let descriptor = fs::open(DEVICE, flags, Mode::empty()).map_err(|errno| TunError::driver(name, errno))?;
    let mut request = IfReq::new(name.as_bytes(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
    ioctl::set_interface(&descriptor, &mut request).map_err(|errno| refused(name, errno))?;
    switch_on(descriptor, &request)
}

/// Why the driver did not give us `name`.
fn refused(name: &str, errno: Errno) -> TunError {
    // `EINVAL` is all that it says of an interface of another kind.
    let kind =
        if errno == Errno::INVAL { Netlink::open().ok().and_then(|mut it| it.tun_kind(name)) } else { None };
    match kind {
        Some(TunKind { tap: true, .. }) => TunError::taken(name, "a TAP device of this name exists", errno),
        Some(TunKind { multi_queue: true, .. }) => TunError::taken(
            name,
            "a persistent device of this name exists that shares its packets among several queues",
            errno,
        ),
        _ => TunError::attach(name, errno),
    }
}

pub(super) fn from_fd(descriptor: OwnedFd) -> Result<Tun, TunError> {
    let request = ioctl::interface(&descriptor).map_err(TunError::not_a_tun)?;
    let name = String::from_utf8_lossy(request.name()).into_owned();
    if request.flags() & IFF_TAP != 0 {
        return Err(TunError::wrong_kind(&name, "it carries Ethernet frames (IFF_TAP), not IP packets"));
    }
    if has_packet_information(&descriptor, &name) {
        return Err(TunError::wrong_kind(&name, "it was opened without IFF_NO_PI"));
    }
    let flags = fs::fcntl_getfl(&descriptor).map_err(TunError::not_a_tun)?;
    fs::fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK).map_err(TunError::not_a_tun)?;
    switch_on(descriptor, &request)
}

/// Whether four bytes of `struct tun_pi` go before each packet. TUNGETIFF does not tell: where it should say
/// `IFF_NO_PI` it says `IFF_NOFILTER`, which is the same bit. Where netlink does not tell either, it is assumed not.
fn has_packet_information(descriptor: &OwnedFd, name: &str) -> bool {
    near(descriptor)
        .and_then(|mut netlink| netlink.tun_kind(name))
        .is_some_and(|kind| kind.packet_information)
}

/// Netlink where the device is, which need not be where we are.
fn near(descriptor: &OwnedFd) -> Option<Netlink> {
    match ioctl::namespace(descriptor) {
        Ok(place) => Netlink::open_in(place).ok(),
        Err(_) => Netlink::open().ok(),
    }
}

/// Super-packets of at most what one datagram run carries. A kernel that refuses makes larger ones, which are as good.
fn limit_super_packets(descriptor: &OwnedFd, name: &str) {
    let limited = near(descriptor).map(|mut netlink| {
        let interface = netlink.interface(name)?;
        netlink.set_gso_max_size(&interface, SUPER_PACKET)
    });
    if let Some(Err(error)) = limited {
        tracing::debug!(device = name, %error, "super-packets keep the kernel's limit");
    }
}

fn switch_on(descriptor: OwnedFd, request: &IfReq) -> Result<Tun, TunError> {
    let name = String::from_utf8_lossy(request.name()).into_owned();
    let offloads = if request.flags() & IFF_VNET_HDR == 0 {
        // Whoever opened it may have switched on unfinished checksums, which nothing would tell us of.
        let _ = ioctl::set_offload(&descriptor, 0);
        Offloads::NONE
    } else {
        let size = HEADER.try_into().expect("ten fits");
        ioctl::set_header_size(&descriptor, size).map_err(|errno| TunError::attach(&name, errno))?;
        best_offer(&descriptor).map_err(|errno| TunError::attach(&name, errno))?
    };
    if offloads.tso {
        limit_super_packets(&descriptor, &name);
    }
    Ok(Tun::new(descriptor, name, offloads))
}

fn best_offer(descriptor: &OwnedFd) -> Result<Offloads, Errno> {
    let mut refusal = Errno::INVAL;
    for (bits, offloads) in OFFERS {
        match ioctl::set_offload(descriptor, bits) {
            Ok(()) => return Ok(offloads),
            Err(errno) => refusal = errno,
        }
    }
    Err(refusal)
}

/// What the kernel takes as a name (`dev_valid_name`).
fn validate(name: &str) -> Result<(), TunError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() >= NAME {
        "it is longer than 15 bytes"
    } else if name == "." || name == ".." {
        "it is the name of a folder"
    } else if name
        .bytes()
        .any(|byte| matches!(byte, b'/' | b':' | 0) || byte.is_ascii_whitespace() || byte == 0x0b)
    {
        "it has a blank, a slash or a colon in it"
    } else if !valid_pattern(name) {
        "the only pattern is one `%d`"
    } else {
        return Ok(());
    };
    Err(TunError::name(name, reason))
}

fn valid_pattern(name: &str) -> bool {
    match name.split_once('%') {
        None => true,
        Some((_, rest)) => rest.starts_with('d') && !rest.contains('%'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_kernel_would_take() {
        for name in ["wg0", "lockgate%d", "a", "fifteen-letters", "w\u{e9}0"] {
            assert!(validate(name).is_ok(), "{name}");
        }
        for name in
            ["", ".", "..", "a b", "a/b", "a:b", "a\tb", "sixteen-letters!", "x%s", "%d%d", "50%", "a\0b"]
        {
            let error = validate(name).unwrap_err().to_string();
            assert!(error.contains("hint: "), "{error}");
        }
    }
}
