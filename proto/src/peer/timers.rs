//! What a peer is waiting for. Events go in, deadlines come out (WireGuard paper, 6).

use core::time::Duration;

use crate::entropy::Entropy;
use crate::now::{Moment, Now};
use crate::peer::session::REJECT_AFTER_TIME;

/// An unanswered initiation is sent again after this, and up to [`MAX_JITTER`].
pub const REKEY_TIMEOUT: Duration = Duration::from_secs(5);
/// An unanswered handshake is given up after this.
pub const REKEY_ATTEMPT_TIME: Duration = Duration::from_secs(90);
/// Data that was received is answered within this, by a keepalive if need be.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// After data was sent and nothing came back for this long, a new handshake begins.
pub const SILENCE: Duration = Duration::from_secs(KEEPALIVE_TIMEOUT.as_secs() + REKEY_TIMEOUT.as_secs());
/// Keys that were not renewed for this long are wiped.
pub const FORGET_AFTER: Duration = Duration::from_secs(3 * REJECT_AFTER_TIME.as_secs());
/// What found no room to be sent is tried again after this.
pub const RESUME_AFTER: Duration = Duration::from_millis(1);
/// The most that chance adds to a deadline.
pub const MAX_JITTER: Duration = Duration::from_millis(333);

const MAX_ATTEMPTS: u32 = (REKEY_ATTEMPT_TIME.as_secs() / REKEY_TIMEOUT.as_secs()) as u32;

/// Between nothing and [`MAX_JITTER`], in milliseconds.
pub fn jitter(public: &mut dyn Entropy) -> Duration {
    let mut bytes = [0; 4];
    public.fill(&mut bytes);
    let range = MAX_JITTER.as_millis() as u64 + 1;
    Duration::from_millis((u64::from(u32::from_le_bytes(bytes)) * range) >> 32)
}

/// Why to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// Keys have been unused for so long that they are wiped.
    ForgetKeys,
    /// An initiation has no answer yet.
    Retry,
    /// Data that was sent has no answer of any kind.
    Silence,
    /// Data that was received has no answer yet.
    Keepalive,
    /// The operator wants the path kept open.
    PersistentKeepalive,
    /// Packets that waited for a session now wait for room to be sent.
    Flush,
}

/// The deadlines of one peer.
#[derive(Debug, Default)]
pub struct Timers {
    forget_keys: Option<Moment>,
    retry: Option<Moment>,
    silence: Option<Moment>,
    keepalive: Option<Moment>,
    persistent: Option<Moment>,
    flush: Option<Moment>,
    /// More data came while a keepalive was already due.
    another_keepalive: bool,
    interval: Option<Duration>,
    attempts: u32,
}

impl Timers {
    /// Sets how often the path is kept open; `None` or zero is never. What was never kept open is due now; otherwise another
    /// interval holds from the next packet on, or setting the same for all peers would make all of them send at once.
    pub fn set_interval(&mut self, interval: Option<Duration>, now: Now) {
        let was_off = self.interval.is_none();
        self.interval = interval.filter(|interval| !interval.is_zero());
        if was_off || self.interval.is_none() {
            self.restart(now);
        }
    }

    /// How often the path is kept open.
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Nothing is due any more.
    pub fn stop(&mut self) {
        *self = Self { interval: self.interval, ..Self::default() };
    }

    /// What keeps the path open is due now.
    pub fn restart(&mut self, now: Now) {
        self.persistent = self.interval.map(|_| now.instant);
    }

    /// Whether an initiation is out.
    pub fn is_handshaking(&self) -> bool {
        self.retry.is_some()
    }

    /// An initiation was sent.
    pub fn initiation_sent(&mut self, jitter: Duration, now: Now) {
        self.attempts += 1;
        self.retry = Some(now.instant + REKEY_TIMEOUT + jitter);
        self.packet_sent(now);
    }

    /// The last retry had no answer either; whether there may be another.
    pub fn may_retry(&self) -> bool {
        self.attempts < MAX_ATTEMPTS
    }

    /// Whether half of the attempts had no answer.
    pub fn is_late_attempt(&self) -> bool {
        self.attempts >= MAX_ATTEMPTS / 2
    }

    /// The handshake is over, one way or the other.
    pub fn handshake_ended(&mut self) {
        self.retry = None;
        self.attempts = 0;
    }

    /// Nobody answered: what keys there are will not be used for long.
    pub fn handshake_given_up(&mut self, now: Now) {
        self.handshake_ended();
        self.silence = None;
        self.forget_keys.get_or_insert(now.instant + FORGET_AFTER);
    }

    /// There are new keys.
    pub fn session_added(&mut self, now: Now) {
        self.forget_keys = Some(now.instant + FORGET_AFTER);
    }

    /// Something authentic was sent.
    pub fn packet_sent(&mut self, now: Now) {
        self.keepalive = None;
        self.another_keepalive = false;
        self.traversal(now);
    }

    /// Something with content was sent: it wants an answer.
    pub fn data_sent(&mut self, jitter: Duration, now: Now) {
        self.packet_sent(now);
        self.silence.get_or_insert(now.instant + SILENCE + jitter);
    }

    /// Something authentic was received.
    pub fn packet_received(&mut self, now: Now) {
        self.silence = None;
        self.traversal(now);
    }

    /// Something with content was received: it wants an answer. Keepalives have none, or two peers would never rest.
    pub fn data_received(&mut self, now: Now) {
        if self.keepalive.is_some() {
            self.another_keepalive = true;
        } else {
            self.keepalive = Some(now.instant + KEEPALIVE_TIMEOUT);
        }
    }

    /// There was no room to send what waited for a session.
    pub fn staged_left(&mut self, now: Now) {
        self.flush = Some(now.instant + RESUME_AFTER);
    }

    fn traversal(&mut self, now: Now) {
        self.persistent = self.interval.map(|interval| now.instant + interval);
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<(Moment, Wake)> {
        [
            (self.forget_keys, Wake::ForgetKeys),
            (self.retry, Wake::Retry),
            (self.silence, Wake::Silence),
            (self.keepalive, Wake::Keepalive),
            (self.persistent, Wake::PersistentKeepalive),
            (self.flush, Wake::Flush),
        ]
        .into_iter()
        .filter_map(|(deadline, wake)| Some((deadline?, wake)))
        .min()
    }

    /// Takes the earliest deadline, if it is due.
    pub fn take_due(&mut self, now: Now) -> Option<Wake> {
        let (_, wake) = self.next().filter(|(deadline, _)| *deadline <= now.instant)?;
        match wake {
            Wake::ForgetKeys => self.forget_keys = None,
            Wake::Retry => self.retry = None,
            Wake::Silence => self.silence = None,
            Wake::Keepalive => self.keepalive = None,
            Wake::Flush => self.flush = None,
            Wake::PersistentKeepalive => {
                self.persistent = self.interval.map(|interval| now.instant + interval);
            }
        }
        Some(wake)
    }

    /// The keepalive that was due has been sent; another follows if more data came meanwhile.
    pub fn take_another_keepalive(&mut self) -> bool {
        core::mem::take(&mut self.another_keepalive)
    }

    /// There are no keys any more. A handshake that is under way goes on.
    pub fn keys_dropped(&mut self) {
        self.silence = None;
        self.keepalive = None;
        self.forget_keys = None;
        self.another_keepalive = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(millis: u64) -> Now {
        Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO }
    }

    fn deadline(timers: &Timers) -> Option<(u128, Wake)> {
        timers.next().map(|(moment, wake)| (moment.since_epoch().as_millis(), wake))
    }

    #[test]
    fn keepalive_is_timed_from_data_received_not_from_data_sent() {
        let mut timers = Timers::default();
        timers.data_received(at(1_000));
        timers.data_received(at(5_000));
        assert_eq!(deadline(&timers), Some((11_000, Wake::Keepalive)));
        timers.packet_sent(at(6_000));
        assert_eq!(deadline(&timers), None);
        timers.data_received(at(7_000));
        assert_eq!(deadline(&timers), Some((17_000, Wake::Keepalive)));
    }

    #[test]
    fn silence_is_timed_from_the_first_data_that_had_no_answer() {
        let mut timers = Timers::default();
        timers.data_sent(Duration::from_millis(20), at(0));
        timers.data_sent(Duration::from_millis(90), at(10_000));
        assert_eq!(deadline(&timers), Some((15_020, Wake::Silence)));
        timers.packet_received(at(10_100));
        assert_eq!(deadline(&timers), None);
    }

    #[test]
    fn persistent_keepalive_rests_while_traffic_flows() {
        let mut timers = Timers::default();
        timers.set_interval(Some(Duration::from_secs(25)), at(0));
        assert_eq!(deadline(&timers), Some((0, Wake::PersistentKeepalive)));
        for second in 1..100 {
            timers.packet_sent(at(second * 1_000));
            assert_eq!(timers.take_due(at(second * 1_000)), None);
        }
        assert_eq!(deadline(&timers), Some((124_000, Wake::PersistentKeepalive)));
        timers.set_interval(Some(Duration::ZERO), at(99_000));
        assert_eq!(deadline(&timers), None);
    }

    #[test]
    fn another_interval_takes_effect_from_the_next_keepalive() {
        let every = |secs| Some(Duration::from_secs(secs));
        let mut timers = Timers::default();
        timers.set_interval(every(25), at(0));
        assert_eq!(timers.take_due(at(0)), Some(Wake::PersistentKeepalive));
        for interval in [25, 5, 60, 10] {
            timers.set_interval(every(interval), at(1_000));
            assert_eq!(deadline(&timers), Some((25_000, Wake::PersistentKeepalive)), "{interval}");
        }
        assert_eq!(timers.take_due(at(25_000)), Some(Wake::PersistentKeepalive));
        assert_eq!(deadline(&timers), Some((35_000, Wake::PersistentKeepalive)));
        timers.set_interval(None, at(26_000));
        assert_eq!(deadline(&timers), None);
        timers.set_interval(every(10), at(27_000));
        assert_eq!(deadline(&timers), Some((27_000, Wake::PersistentKeepalive)), "from off to on");
    }

    #[test]
    fn a_handshake_is_tried_for_ninety_seconds() {
        let mut timers = Timers::default();
        let mut millis = 0;
        let mut attempts = 0;
        loop {
            timers.initiation_sent(Duration::ZERO, at(millis));
            attempts += 1;
            millis += 5_000;
            assert_eq!(timers.take_due(at(millis - 1)), None);
            assert_eq!(timers.take_due(at(millis)), Some(Wake::Retry));
            if !timers.may_retry() {
                break;
            }
        }
        assert_eq!((attempts, millis), (18, 90_000));
        timers.handshake_given_up(at(millis));
        assert_eq!(deadline(&timers), Some((90_000 + 540_000, Wake::ForgetKeys)));
    }

    #[test]
    fn jitter_covers_its_whole_range_and_no_more() {
        struct Fixed(u32);
        impl Entropy for Fixed {
            fn fill(&mut self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.0.to_le_bytes());
            }
        }
        let drawn: Vec<_> =
            [0, u32::MAX / 2, u32::MAX].map(|bits| jitter(&mut Fixed(bits)).as_millis()).into();
        assert_eq!(drawn, [0, 166, 333]);
    }
}
