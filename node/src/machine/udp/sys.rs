//! The system calls of the UDP socket that rustix has no safe form of, and all the unsafe code of this part.
#![expect(unsafe_code, reason = "sendmsg and recvmmsg take pointers, and setsockopt does for options of UDP")]

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_void, iovec, mmsghdr, msghdr};
use rustix::io::Errno;

use super::control::Control;
use super::name::Name;

/// How many messages one receive takes.
pub(super) const BATCH: usize = 16;

/// What the kernel says about one received message; its bytes are in the buffer of the same number.
#[derive(Default)]
pub(super) struct Slot {
    /// Who sent it.
    pub(super) name: Name,
    /// What else is known about it.
    pub(super) control: Control,
    /// Its length, as far as there was room.
    pub(super) len: usize,
    /// It was longer than its buffer.
    pub(super) truncated: bool,
}

/// Sends one message, never waiting.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    name: &Name,
    control: &Control,
    contents: &[u8],
) -> Result<(), Errno> {
    let (name, control) = (name.bytes(), control.bytes());
    let mut vector = iovec { iov_base: contents.as_ptr().cast_mut().cast(), iov_len: contents.len() };
    let mut header = empty_header();
    header.msg_name = name.as_ptr().cast_mut().cast();
    header.msg_namelen = name.len() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len() as _;
    }
    loop {
        // SAFETY: every pointer in `header` comes from a slice that outlives the call, with that slice's length, and
        // sendmsg only reads through them. The descriptor is open: it is borrowed.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if sent >= 0 {
            return Ok(());
        }
        let errno = last_error();
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
}

/// Receives up to [`BATCH`] messages without waiting, each into its share of `buffers`; says how many slots are filled.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    slots: &mut [Slot; BATCH],
    buffers: &mut [u8],
) -> Result<usize, Errno> {
    let share = buffers.len() / BATCH;
    let mut vectors = [iovec { iov_base: ptr::null_mut(), iov_len: share }; BATCH];
    let mut headers = [mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BATCH];
    let parts = buffers.chunks_exact_mut(share).zip(slots.iter_mut()).zip(&mut vectors);
    for (header, ((buffer, slot), vector)) in headers.iter_mut().zip(parts) {
        vector.iov_base = buffer.as_mut_ptr().cast();
        let (name, control) = (slot.name.room(), slot.control.room());
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = name.len() as libc::socklen_t;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = control.len() as _;
    }
    let received = loop {
        // SAFETY: every pointer in `headers` comes from a slice that outlives the call and that nothing else reaches
        // meanwhile, with that slice's length; the slices are disjoint. No time-out is given.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if received >= 0 {
            break received as usize;
        }
        let errno = last_error();
        if errno != Errno::INTR {
            return Err(errno);
        }
    };
    for (slot, header) in slots.iter_mut().zip(&headers[..received]) {
        slot.name.set_len(header.msg_hdr.msg_namelen as usize);
        slot.control.set_len(header.msg_hdr.msg_controllen as _);
        slot.len = (header.msg_len as usize).min(share);
        slot.truncated = header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    }
    Ok(received)
}

/// Sets an option whose value is an `int`.
pub(super) fn set_option(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: c_int,
) -> Result<(), Errno> {
    let value: *const c_void = (&raw const value).cast();
    // SAFETY: the kernel reads one `int` through the pointer, and there is one.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, value, size_of::<c_int>() as libc::socklen_t)
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Reads an option whose value is an `int`.
pub(super) fn option(socket: BorrowedFd<'_>, level: c_int, option: c_int) -> Result<c_int, Errno> {
    let (mut value, mut len): (c_int, _) = (0, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `len` bytes through the first pointer, which is what there is.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut value).cast::<c_void>(), &raw mut len)
    };
    if done == 0 { Ok(value) } else { Err(last_error()) }
}

fn empty_header() -> msghdr {
    // SAFETY: integers and raw pointers (and padding, on some systems) may all be zero.
    unsafe { mem::zeroed() }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).expect("the system's errors have numbers")
}
