//! What a device takes and gives beyond plain packets.

/// The offloads that a device was opened with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Ten bytes of virtio header go before each packet. Without it there is none of the others.
    pub header: bool,
    /// Packets come with their checksum still to be completed.
    pub csum: bool,
    /// TCP comes in super-packets (IPv4 and IPv6), and goes in them.
    pub tso: bool,
    /// UDP does (Linux 6.2 and later).
    pub uso: bool,
}

impl Offloads {
    /// A plain device: whole packets with whole checksums.
    pub const NONE: Self = Self { header: false, csum: false, tso: false, uso: false };
    /// Everything.
    pub const ALL: Self = Self { header: true, csum: true, tso: true, uso: true };
}
