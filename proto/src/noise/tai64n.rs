//! The timestamp of an initiation: TAI64N, big endian, coarse on purpose, and never the same twice.

use core::time::Duration;

/// TAI64 of the Unix epoch: 2^62, plus the ten seconds that TAI was ahead in 1970.
const UNIX_EPOCH: u64 = (1 << 62) + 10;

/// Nanoseconds are cut down to multiples of this (about 16.8 ms), so that the wire does not tell our clock's fine behaviour.
const TICK: u32 = 1 << 24;

const NANOS: u32 = 1_000_000_000;

/// Seconds and nanoseconds; ordered as time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tai64n {
    seconds: u64,
    nanos: u32,
}

impl Tai64n {
    /// Bytes on the wire.
    pub const LEN: usize = 12;

    /// The timestamp of `wall` (time since the Unix epoch), whitened.
    pub fn whitened(wall: Duration) -> Self {
        Self { seconds: UNIX_EPOCH.saturating_add(wall.as_secs()), nanos: wall.subsec_nanos() & !(TICK - 1) }
    }

    /// The timestamp of `wall`, or the next one after `last`: a clock that went back must not lock us out of a peer.
    pub fn after(last: Option<Self>, wall: Duration) -> Self {
        let wanted = Self::whitened(wall);
        match last {
            Some(last) if wanted <= last => last.next(),
            _ => wanted,
        }
    }

    fn next(self) -> Self {
        match self.nanos + TICK {
            nanos if nanos < NANOS => Self { nanos, ..self },
            _ => Self { seconds: self.seconds.saturating_add(1), nanos: 0 },
        }
    }

    /// As it stands on the wire.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&self.nanos.to_be_bytes());
        bytes
    }

    /// From the wire; any bytes will do, only the order matters.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            seconds: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            nanos: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_that_of_the_format() {
        assert_eq!(Tai64n::whitened(Duration::ZERO).to_bytes(), [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]);
    }

    #[test]
    fn times_within_a_tick_look_the_same_and_still_increase() {
        let wall = Duration::new(1_700_000_000, 20_000_000);
        let close = wall + Duration::from_micros(3);
        assert_eq!(Tai64n::whitened(wall), Tai64n::whitened(close));
        let first = Tai64n::after(None, wall);
        assert!(Tai64n::after(Some(first), close) > first);
    }

    #[test]
    fn a_clock_that_goes_back_still_gives_later_timestamps() {
        let mut last = Tai64n::after(None, Duration::from_secs(1_000));
        for step in 0..200 {
            let next = Tai64n::after(Some(last), Duration::from_secs(900));
            assert!(next > last && next.to_bytes() > last.to_bytes() && next.nanos < NANOS, "step {step}");
            last = next;
        }
    }

    #[test]
    fn bytes_survive_a_round_trip() {
        for bytes in [[0; 12], [0xff; 12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]] {
            assert_eq!(Tai64n::from_bytes(bytes).to_bytes(), bytes);
        }
    }
}
