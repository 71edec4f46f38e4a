//! A peer: who it is, where it was last seen, its sessions, and what it waits for.

pub mod cookie;
pub mod keyring;
pub mod limits;
pub mod session;
pub mod staged;
pub mod timers;
pub mod window;

use core::net::SocketAddr;
use core::time::Duration;

use self::cookie::Closer;
use self::keyring::Keyring;
use self::limits::INITIATION_INTERVAL;
use self::staged::Staged;

use self::timers::{Timers, Wake};
use crate::discard::Discard;
use crate::keys::{PresharedKey, PublicKey};
use crate::noise::Initiator;
use crate::noise::tai64n::Tai64n;
use crate::now::{Moment, Now};
use crate::outbox::Path;

/// Initiations cross within one round trip, and few take longer than this.
const CROSSING: Duration = Duration::from_secs(1);

/// How a peer is doing, as news to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No session was confirmed yet, or its keys were dropped.
    Down,
    /// A session is confirmed.
    Up,
    /// It was up; then data had no answer for 15 seconds.
    Silent,
    /// 90 seconds of initiations had no answer.
    Unreachable,
}

impl Reach {
    /// The word for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
        }
    }
}

/// An initiation that waits for its answer.
pub struct Attempt {
    /// Its state.
    pub initiator: Initiator,
    /// The answer comes to this index.
    pub local: u32,
    /// When it was sent.
    pub sent: Moment,
}

/// A peer.
pub struct Peer {
    /// Its name.
    pub key: PublicKey,
    /// Mixed into every handshake; all zero where none was agreed.
    pub preshared: PresharedKey,
    /// The way that its last authentic packet came, or to where the operator said it is.
    pub path: Option<Path>,
    /// Where the operator said it is.
    pub configured: Option<SocketAddr>,
    /// Its sessions.
    pub keyring: Keyring,
    /// The initiation that is out.
    pub attempt: Option<Attempt>,
    /// What it waits for.
    pub timers: Timers,
    /// What waits for a session.
    pub staged: Staged,
    /// Closes handshake messages to it.
    pub closer: Closer,
    /// How it is doing.
    pub reach: Reach,
    /// The last handshake that was confirmed.
    pub last_handshake: Option<Now>,
    /// How long the last initiation of ours waited for its answer.
    pub round_trip: Option<Duration>,
    /// The deadline that the device has in its queue for this peer: its own earliest, or earlier.
    pub scheduled: Option<(Moment, Wake)>,
    /// Bytes of authentic datagrams received.
    pub received: u64,
    /// Authentic data packets received.
    pub received_packets: u64,
    /// Bytes of datagrams sent.
    pub sent: u64,
    /// When the last initiation was sent.
    pub last_initiation_sent: Option<Moment>,
    last_timestamp_sent: Option<Tai64n>,
    last_timestamp_received: Option<Tai64n>,
    last_initiation_received: Option<Moment>,
}

impl Peer {
    /// A peer of which nothing was heard.
    pub fn new(key: PublicKey, preshared: PresharedKey, endpoint: Option<SocketAddr>) -> Self {
        Self {
            key,
            preshared,
            path: endpoint.map(Path::from),
            configured: endpoint,
            keyring: Keyring::default(),
            attempt: None,
            timers: Timers::default(),
            staged: Staged::default(),
            closer: Closer::new(&key),
            reach: Reach::Down,
            last_handshake: None,
            round_trip: None,
            scheduled: None,
            received: 0,
            received_packets: 0,
            sent: 0,
            last_initiation_sent: None,
            last_timestamp_sent: None,
            last_timestamp_received: None,
            last_initiation_received: None,
        }
    }

    /// Where it is.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.path.map(|path| path.remote)
    }

    /// Leaves it to the routing table again which of our addresses it is reached from.
    pub fn forget_source(&mut self) {
        if let Some(path) = &mut self.path {
            path.source = None;
        }
    }

    /// The way for the next initiation. Two ends that move at once lose each other where they last were; so the second half of
    /// the attempts goes to where the operator said the peer is.
    pub fn calling_path(&self) -> Option<Path> {
        let configured = self.configured.filter(|_| self.timers.is_late_attempt());
        configured.filter(|configured| self.remote() != Some(*configured)).map(Path::from).or(self.path)
    }

    /// The timestamp of the next initiation.
    pub fn stamp(&mut self, now: Now) -> Tai64n {
        let stamp = Tai64n::after(self.last_timestamp_sent, now.wall);
        self.last_timestamp_sent = Some(stamp);
        stamp
    }

    /// Whether an initiation of ours was sent so lately that one of the peer's may have crossed it.
    pub fn began_lately(&self, now: Now) -> bool {
        is_within(CROSSING, self.last_initiation_sent, now)
    }

    /// Takes note of an authentic initiation, if it is newer than the last and not too soon after it.
    ///
    /// # Errors
    /// [`Discard::StaleInitiation`] or [`Discard::RateLimited`].
    pub fn accept_initiation(&mut self, timestamp: Tai64n, now: Now) -> Result<(), Discard> {
        if self.last_timestamp_received.is_some_and(|last| timestamp <= last) {
            return Err(Discard::StaleInitiation);
        }
        if is_within(INITIATION_INTERVAL, self.last_initiation_received, now) {
            return Err(Discard::RateLimited);
        }
        self.last_timestamp_received = Some(timestamp);
        self.last_initiation_received = Some(now.instant);
        Ok(())
    }
}

/// A clock that went back must not keep a peer out, so only a last time that is in the past counts.
fn is_within(time: Duration, last: Option<Moment>, now: Now) -> bool {
    last.is_some_and(|last| last <= now.instant && now.since(last) < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initiations_must_be_newer_and_not_too_soon() {
        let mut peer = Peer::new(PublicKey::from_bytes([1; 32]), PresharedKey::absent(), None);
        let stamp = |second| Tai64n::whitened(Duration::from_secs(second));
        for (millis, second, expected) in [
            (0, 10, Ok(())),
            (100, 10, Err(Discard::StaleInitiation)),
            (100, 9, Err(Discard::StaleInitiation)),
            (19, 11, Err(Discard::RateLimited)),
            (20, 11, Ok(())),
            (5, 12, Ok(())),
        ] {
            let now = Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO };
            assert_eq!(peer.accept_initiation(stamp(second), now), expected, "{millis} ms, stamp {second}");
        }
    }
}
