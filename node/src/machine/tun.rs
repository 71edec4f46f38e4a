//! The TUN device: super-packets in, coalesced packets out, one system call each, and never a wait.
//!
//! A device with a virtio header (`IFF_VNET_HDR`) hands over up to 64 KiB of TCP or UDP as one packet and takes the same
//! back: ten bytes before the packet say where its checksum goes and how it is cut (`linux/virtio_net.h`). A device that
//! somebody else opened may lack them; then every packet is a plain one, and nothing else differs for the caller.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

pub use error::TunError;
pub use offloads::Offloads;
pub use state::State;

mod error;
mod ioctl;
mod offloads;
mod open;
mod state;
#[cfg(test)]
mod tests;

/// Length of the virtio header before each packet, in bytes.
pub const HEADER: usize = 10;
/// The longest IP packet.
const PACKET: usize = 65_535;
/// Where a read begins in the buffer, so that the packet behind the header begins at a multiple of 16.
const LEAD: usize = 16 - HEADER;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum is for the receiver to complete.
const NEEDS_CSUM: u8 = 1;

/// One packet as the device gave it.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The virtio header (`struct virtio_net_hdr`, native byte order); zeros where the device has none.
    pub header: [u8; HEADER],
    /// The IP packet, or up to 64 KiB of one flow under one header: free to be changed.
    pub packet: &'a mut [u8],
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum TunRead<'a> {
    /// A packet; there may be more.
    Frame(Frame<'a>),
    /// Nothing is there: readiness will be told again. A device that is down is a drained one.
    Drained,
    /// The kernel could not hand a packet over (no virtio header can say what it is, no memory): it is lost and counted, and
    /// there may be more.
    Lost,
    /// The device was deleted: nothing will ever come again.
    Gone,
}

/// What became of an item. Everything but [`Written::Sent`] is counted, and the item is lost unless the caller has more
/// to try; none of it is an error of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// The kernel has it.
    Sent,
    /// The kernel, or a device without a virtio header, does not take this coalesced packet: the same bytes as single
    /// packets may pass.
    Refused,
    /// No memory or no room for it at this moment.
    Full,
    /// The interface is down.
    Down,
    /// The device was deleted.
    Gone,
    /// Refused for another reason (it begins with no IP version, is longer than the kernel takes).
    Failed,
}

/// What a device has carried since it was opened. All of them only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads that brought a packet.
    pub reads: u64,
    /// Bytes of those packets, without the virtio header.
    pub read_bytes: u64,
    /// How many of them were super-packets, to be segmented.
    pub super_packets: u64,
    /// Items that the kernel took.
    pub writes: u64,
    /// Bytes of those items, without the virtio header.
    pub written_bytes: u64,
    /// How many of them were coalesced.
    pub coalesced: u64,
    /// Coalesced items that were refused for being coalesced.
    pub refused: u64,
    /// Items lost because there was no memory or no room.
    pub full: u64,
    /// Items lost because the interface was down or gone.
    pub down: u64,
    /// Items lost, and reads failed, for any other reason.
    pub errors: u64,
}

/// An open, nonblocking TUN device. The device itself goes with the descriptor, unless it is persistent.
pub struct Tun {
    descriptor: OwnedFd,
    name: String,
    offloads: Offloads,
    counters: Counters,
    watched: state::Watched,
    buffer: Box<[u8]>,
}

impl Tun {
    /// Creates the device `name` (`%d` in it is replaced by a free number), or attaches to a persistent one of that
    /// name, in the network namespace of the calling thread, with as much offload as the kernel has.
    ///
    /// # Errors
    /// Names the device and the mend: no such driver, no permission, another program has it, it is something else.
    pub fn create(name: &str) -> Result<Self, TunError> {
        open::create(name)
    }

    /// The device behind a descriptor that another program opened (`WG_TUN_FD`); it is made nonblocking.
    ///
    /// With or without a virtio header; its offloads are switched on as far as it has one.
    ///
    /// # Errors
    /// When it is not a TUN device, is a TAP device, or puts its own header before each packet (no `IFF_NO_PI`).
    pub fn from_fd(descriptor: OwnedFd) -> Result<Self, TunError> {
        open::from_fd(descriptor)
    }

    /// Takes any nonblocking descriptor that keeps the boundaries of packets as a device with these `offloads`, so that a test
    /// needs no device.
    pub fn over(descriptor: OwnedFd, offloads: Offloads) -> Self {
        Self::new(descriptor, String::new(), offloads)
    }

    fn new(descriptor: OwnedFd, name: String, offloads: Offloads) -> Self {
        let buffer = vec![0; LEAD + HEADER + PACKET].into();
        Self {
            descriptor,
            name,
            offloads,
            counters: Counters::default(),
            watched: state::Watched::default(),
            buffer,
        }
    }

    /// The interface's name when it was opened; see [`State::name`] for what it is called now.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the device takes and gives. [`Written::Refused`] says that it is less than promised.
    pub fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// What it has carried.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Reads one packet. Edge-triggered watchers read until [`TunRead::Drained`].
    ///
    /// # Errors
    /// Only if the descriptor itself is broken: one packet that cannot be read ends nothing.
    pub fn read(&mut self) -> io::Result<TunRead<'_>> {
        let start = if self.offloads.header { LEAD } else { LEAD + HEADER };
        let length = loop {
            match rustix::io::read(&self.descriptor, &mut self.buffer[start..]) {
                Ok(0) => return Ok(TunRead::Gone),
                Ok(length) => break length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(TunRead::Drained),
                // Which of them depends on whether the device went before or during the call.
                Err(Errno::BADFD | Errno::IO | Errno::NODEV | Errno::FAULT) => return Ok(TunRead::Gone),
                Err(error) => {
                    self.counters.errors += 1;
                    return if is_broken(error) { Err(error.into()) } else { Ok(TunRead::Lost) };
                }
            }
        };
        let (lead, packet) = self.buffer.split_at_mut(LEAD + HEADER);
        let mut header = [0; HEADER];
        if self.offloads.header {
            header.copy_from_slice(&lead[LEAD..]);
        }
        let packet = &mut packet[..(start + length).saturating_sub(LEAD + HEADER)];
        self.counters.reads += 1;
        self.counters.read_bytes += packet.len() as u64;
        self.counters.super_packets += u64::from(is_gso(&header));
        Ok(TunRead::Frame(Frame { header, packet }))
    }

    /// Writes one item: a virtio header of [`HEADER`] bytes, then the packet. Never waits.
    ///
    /// # Panics
    /// If the item is shorter than its header.
    pub fn write(&mut self, item: &[u8]) -> Written {
        let (header, packet) = item.split_first_chunk().expect("an item begins with its header");
        let coalesced = is_gso(header);
        let offloaded = coalesced || header[0] & NEEDS_CSUM != 0;
        let written = match (self.offloads.header, offloaded) {
            (true, _) => self.push(item, offloaded),
            (false, false) => self.push(packet, offloaded),
            (false, true) => Written::Refused,
        };
        self.note(written, coalesced, packet.len());
        written
    }

    fn push(&self, bytes: &[u8], offloaded: bool) -> Written {
        let result = loop {
            match rustix::io::write(&self.descriptor, bytes) {
                Err(Errno::INTR) => {}
                result => break result,
            }
        };
        match result {
            Ok(_) => Written::Sent,
            Err(Errno::INVAL) if offloaded => Written::Refused,
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Written::Full,
            Err(Errno::IO) => Written::Down,
            Err(Errno::BADFD | Errno::NODEV | Errno::PIPE | Errno::CONNRESET) => Written::Gone,
            Err(_) => Written::Failed,
        }
    }

    fn note(&mut self, written: Written, coalesced: bool, length: usize) {
        let counters = &mut self.counters;
        match written {
            Written::Sent => {
                counters.writes += 1;
                counters.written_bytes += length as u64;
                counters.coalesced += u64::from(coalesced);
                self.watched.up = true;
            }
            Written::Refused => counters.refused += 1,
            Written::Full => counters.full += 1,
            Written::Down | Written::Gone => {
                counters.down += 1;
                self.watched.up = false;
            }
            Written::Failed => counters.errors += 1,
        }
    }
}

/// Whether no read of this descriptor will ever bring anything.
fn is_broken(errno: Errno) -> bool {
    matches!(errno, Errno::BADF | Errno::ISDIR)
}

/// Whether the packet behind this header is to be cut (`gso_type` is not `VIRTIO_NET_HDR_GSO_NONE`).
fn is_gso(header: &[u8; HEADER]) -> bool {
    header[1] != 0
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl fmt::Debug for Tun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tun")
            .field("name", &self.name)
            .field("offloads", &self.offloads)
            .finish_non_exhaustive()
    }
}
