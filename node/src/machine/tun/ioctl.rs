//! The requests of `linux/if_tun.h` and `linux/sockios.h`, each as a safe call.
#![expect(unsafe_code, reason = "an ioctl's argument is known to the kernel and to this file only")]

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::{IntegerSetter, Ioctl, IoctlOutput, Opcode, Setter, Updater, ioctl, opcode};

/// The longest interface name with its zero (`IFNAMSIZ`).
pub(super) const NAME: usize = 16;

pub(super) const IFF_TUN: u16 = 0x0001;
pub(super) const IFF_TAP: u16 = 0x0002;
pub(super) const IFF_NO_PI: u16 = 0x1000;
pub(super) const IFF_VNET_HDR: u16 = 0x4000;
/// `IFF_UP` of `linux/if.h`.
pub(super) const IFF_UP: u16 = 0x0001;

pub(super) const TUN_F_CSUM: usize = 0x01;
pub(super) const TUN_F_TSO4: usize = 0x02;
pub(super) const TUN_F_TSO6: usize = 0x04;
pub(super) const TUN_F_USO4: usize = 0x20;
pub(super) const TUN_F_USO6: usize = 0x40;

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<c_uint>(b'T', 208);
const TUNGETIFF: Opcode = opcode::read::<c_uint>(b'T', 210);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<c_int>(b'T', 216);
const TUNGETDEVNETNS: Opcode = opcode::none(b'T', 227);
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCGIFMTU: Opcode = 0x8921;

/// `struct ifreq`: a name and a union of 24 bytes, of which flags, MTU and index are the first two or four.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub(super) struct IfReq {
    name: [u8; NAME],
    value: [u8; 24],
}

impl IfReq {
    /// For the interface `name`, which is cut to what fits.
    pub(super) fn new(name: &[u8], flags: u16) -> Self {
        let mut request = Self { name: [0; NAME], value: [0; 24] };
        let length = name.len().min(NAME - 1);
        request.name[..length].copy_from_slice(&name[..length]);
        request.value[..2].copy_from_slice(&flags.to_ne_bytes());
        request
    }

    /// The name without its zeros.
    pub(super) fn name(&self) -> &[u8] {
        self.name.split(|byte| *byte == 0).next().unwrap_or(&[])
    }

    /// `ifr_flags`.
    pub(super) fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.value[0], self.value[1]])
    }

    fn mtu(&self) -> u32 {
        let [a, b, c, d, ..] = self.value;
        u32::from_ne_bytes([a, b, c, d])
    }
}

/// Creates or attaches to the device that `request` names; its name and flags come back in it.
pub(super) fn set_interface(tun: impl AsFd, request: &mut IfReq) -> Result<()> {
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which `request` is.
    unsafe { ioctl(tun, Updater::<TUNSETIFF, IfReq>::new(request)) }
}

/// The present name and the flags of an open device.
pub(super) fn interface(tun: impl AsFd) -> Result<IfReq> {
    let mut request = IfReq::new(&[], 0);
    // SAFETY: TUNGETIFF writes one `struct ifreq`, which `request` is (its opcode says 4 bytes by an old mistake).
    unsafe { ioctl(tun, Updater::<TUNGETIFF, IfReq>::new(&mut request))? };
    Ok(request)
}

/// Which super-packets and unfinished checksums reading may bring: `TUN_F_` bits.
pub(super) fn set_offload(tun: impl AsFd, bits: usize) -> Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument as a number and touches no memory of ours.
    unsafe { ioctl(tun, IntegerSetter::<TUNSETOFFLOAD>::new_usize(bits)) }
}

/// How long the header before each packet is.
pub(super) fn set_header_size(tun: impl AsFd, size: c_int) -> Result<()> {
    // SAFETY: TUNSETVNETHDRSZ reads one int, which lives in the `Setter` for as long as the call.
    unsafe { ioctl(tun, Setter::<TUNSETVNETHDRSZ, c_int>::new(size)) }
}

/// A descriptor of the network namespace that the device is in now (Linux 5.3; needs `CAP_NET_ADMIN` there).
pub(super) fn namespace(tun: impl AsFd) -> Result<OwnedFd> {
    // SAFETY: TUNGETDEVNETNS takes no argument; what it returns is described at `Namespace`.
    let raw = unsafe { ioctl(tun, Namespace)? };
    // SAFETY: the kernel has just installed this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

struct Namespace;

// SAFETY: the request has no argument (`as_ptr` is ignored by the kernel), and its result is a new descriptor.
unsafe impl Ioctl for Namespace {
    type Output = RawFd;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        TUNGETDEVNETNS
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    // SAFETY: reads nothing but the number itself; callers have nothing to guarantee.
    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<RawFd> {
        if output < 0 { Err(Errno::BADF) } else { Ok(output) }
    }
}

/// The `IFF_` flags of the interface `name`, in the namespace of `socket`.
pub(super) fn flags(socket: impl AsFd, name: &[u8]) -> Result<u16> {
    let mut request = IfReq::new(name, 0);
    // SAFETY: SIOCGIFFLAGS reads and writes one `struct ifreq`, which `request` is.
    unsafe { ioctl(socket, Updater::<SIOCGIFFLAGS, IfReq>::new(&mut request))? };
    Ok(request.flags())
}

/// The MTU of the interface `name`, in the namespace of `socket`.
pub(super) fn mtu(socket: impl AsFd, name: &[u8]) -> Result<u32> {
    let mut request = IfReq::new(name, 0);
    // SAFETY: SIOCGIFMTU reads and writes one `struct ifreq`, which `request` is.
    unsafe { ioctl(socket, Updater::<SIOCGIFMTU, IfReq>::new(&mut request))? };
    Ok(request.mtu())
}
