//! One flow: how far it has come, and how long it may rest.

use super::key::{ICMP, Key, TCP};
use super::{Direction, TcpFlags};

/// A flow of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) key: Key,
    /// The first millisecond at which it is forgotten.
    pub(super) expires: u64,
    /// The rules that allowed it.
    pub(super) generation: u64,
    pub(super) phase: Phase,
    /// Which way its first packet went: the rules allowed this direction.
    pub(super) origin: Direction,
    /// What was seen of it: bits.
    pub(super) seen: u8,
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not both ends have spoken; of TCP: the one that opened it has not confirmed the answer.
    Opening,
    /// Both have.
    Open,
    /// One end of a TCP connection has said that it is done.
    HalfClosed,
    /// Both have.
    Closing,
    /// TCP was reset.
    Reset,
}

impl Phase {
    /// Whether a flow in this phase goes first when room is needed.
    pub(super) fn is_cheap(self) -> bool {
        matches!(self, Self::Opening | Self::Closing | Self::Reset)
    }
}

impl Flow {
    /// The flow that a packet opens.
    pub(super) fn opened(key: Key, origin: Direction, generation: u64, flags: TcpFlags, now: u64) -> Self {
        let mut flow =
            Self { key, expires: 0, generation, phase: Phase::Opening, origin, seen: SEEN[origin as usize] };
        flow.carry(origin, flags, now);
        flow
    }

    /// The same, of a packet that passed by itself: nothing else passes by this flow, but it is known.
    pub(super) const fn alone(mut self) -> Self {
        self.seen |= ALONE;
        self
    }

    /// Whether packets pass by belonging to it.
    pub(super) const fn carries(&self) -> bool {
        self.seen & ALONE == 0
    }

    /// Whether a packet went in `direction`.
    pub(super) fn saw(&self, direction: Direction) -> bool {
        self.seen & SEEN[direction as usize] != 0
    }

    /// When the last packet was carried that kept it alive.
    pub(super) fn last(&self) -> u64 {
        self.expires.saturating_sub(self.timeout())
    }

    /// A packet in `direction` passes. `flags` are empty for what is not TCP.
    #[inline]
    pub(super) fn carry(&mut self, direction: Direction, flags: TcpFlags, now: u64) {
        if self.phase == Phase::Open && !flags.changes_phase() {
            self.seen |= SEEN[direction as usize];
            self.expires =
                now.saturating_add(if self.key.protocol() == TCP { TCP_OPEN } else { self.timeout() });
            return;
        }
        self.carry_on(direction, flags, now);
    }

    fn carry_on(&mut self, direction: Direction, flags: TcpFlags, now: u64) {
        if self.key.protocol() == TCP {
            self.carry_tcp(direction, flags, now);
            return;
        }
        self.seen |= SEEN[direction as usize];
        if self.seen & BOTH == BOTH {
            self.phase = Phase::Open;
        }
        self.expires = now.saturating_add(self.timeout());
    }

    fn carry_tcp(&mut self, direction: Direction, flags: TcpFlags, now: u64) {
        let ended = matches!(self.phase, Phase::HalfClosed | Phase::Closing | Phase::Reset);
        if flags.opens() && ended && direction == self.origin {
            // The ports are used again.
            self.seen &= ALONE;
            self.phase = Phase::Opening;
        }
        if self.phase == Phase::Reset {
            return;
        }
        self.seen |= SEEN[direction as usize];
        if flags.has(TcpFlags::FIN) {
            self.seen |= DONE[direction as usize];
        }
        self.phase = match self.phase {
            _ if flags.has(TcpFlags::RST) => Phase::Reset,
            _ if self.seen & BOTH_DONE == BOTH_DONE => Phase::Closing,
            _ if self.seen & BOTH_DONE != 0 => Phase::HalfClosed,
            Phase::Opening if direction == self.origin && !flags.opens() && self.seen & BOTH == BOTH => {
                Phase::Open
            }
            phase => phase,
        };
        self.expires = now.saturating_add(self.timeout());
    }

    /// Milliseconds without a packet after which it is forgotten.
    fn timeout(&self) -> u64 {
        match (self.key.protocol(), self.phase) {
            (TCP, Phase::Opening) => 30_000,
            (TCP, Phase::Open) => TCP_OPEN,
            (TCP, Phase::HalfClosed) => 600_000,
            // The last acknowledgement and what is sent again: 2 MSL, as kernels count them.
            (TCP, Phase::Closing) => 60_000,
            (TCP, Phase::Reset) => 10_000,
            (ICMP, _) | (_, Phase::Opening) => 30_000,
            // RFC 4787, REQ-5: no less than 2 minutes.
            _ => 120_000,
        }
    }
}

/// RFC 5382, REQ-5: no less than 2 hours 4 minutes.
const TCP_OPEN: u64 = 7_440_000;
/// A packet was seen, by direction.
const SEEN: [u8; 2] = [1, 2];
/// A FIN was seen, by direction.
const DONE: [u8; 2] = [4, 8];
/// It was opened by a packet that passed by itself.
const ALONE: u8 = 16;
const BOTH: u8 = SEEN[0] | SEEN[1];
const BOTH_DONE: u8 = DONE[0] | DONE[1];
