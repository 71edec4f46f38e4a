//! What went through one service: how many messages, and how long they took.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// A service's account, kept by its applications and read by the view.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stands: bool,
    sent: u64,
    delivered: u64,
    outside: u64,
    leaked: u64,
    /// The number that comes next.
    next: u64,
    nanoseconds: Histogram<u64>,
}

/// A reading of the account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    /// A message has crossed, so that from now on all must.
    pub(super) stands: bool,
    /// Messages that were handed to libzmq.
    pub(super) sent: u64,
    /// Of these, those that came out at the other end.
    pub(super) delivered: u64,
    /// Messages from other programs that joined in.
    pub(super) outside: u64,
    /// Messages that reached an application which may not have them.
    pub(super) leaked: u64,
    /// Half of the messages took no longer, in microseconds.
    pub(super) p50: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub(super) p99: f64,
    /// 999 of 1000 took no longer, in microseconds.
    pub(super) p999: f64,
}

/// The longest latency that is told apart: a minute.
const LONGEST: u64 = 60_000_000_000;

impl Ledger {
    /// An empty account.
    pub(super) fn new() -> Self {
        let nanoseconds = Histogram::new_with_bounds(1, LONGEST, 3).expect("fixed and valid bounds");
        let state =
            State { stands: false, sent: 0, delivered: 0, outside: 0, leaked: 0, next: 0, nanoseconds };
        Self { state: Mutex::new(state) }
    }

    /// A panic in one application must not hide behind a poisoned lock in another.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way through is open: from now on every message counts.
    pub(super) fn stand(&self) {
        self.state().stands = true;
    }

    /// Whether the way through is open.
    pub(super) fn stands(&self) -> bool {
        self.state().stands
    }

    /// The number of the next message, which is being sent.
    pub(super) fn send(&self) -> u64 {
        let mut state = self.state();
        state.sent += 1;
        state.sent - 1
    }

    /// The last message that was to be sent was not.
    pub(super) fn take_back(&self) {
        self.state().sent -= 1;
    }

    /// Message `number` came after `time`. One that came before, or out of its turn, is not delivered.
    pub(super) fn deliver(&self, number: u64, time: Duration) {
        let mut state = self.state();
        if number < state.next {
            return;
        }
        state.next = number + 1;
        state.delivered += 1;
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
        state.nanoseconds.saturating_record(nanoseconds.clamp(1, LONGEST));
    }

    /// A message of another program came.
    pub(super) fn outsider(&self) {
        self.state().outside += 1;
    }

    /// A message came where the policy lets none come.
    pub(super) fn leak(&self) {
        self.state().leaked += 1;
    }

    /// The account as it stands.
    pub(super) fn figures(&self) -> Figures {
        let state = self.state();
        // A tenth of a microsecond is as fine as the histogram's three digits are at the latencies of a machine.
        let at = |quantile| (state.nanoseconds.value_at_quantile(quantile) as f64 / 100.0).round() / 10.0;
        Figures {
            stands: state.stands,
            sent: state.sent,
            delivered: state.delivered,
            outside: state.outside,
            leaked: state.leaked,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_and_in_its_turn() {
        let ledger = Ledger::new();
        for number in 0..4 {
            assert_eq!(ledger.send(), number);
        }
        for (number, delivered) in [(0, 1), (0, 1), (2, 2), (1, 2), (3, 3)] {
            ledger.deliver(number, Duration::from_micros(100));
            assert_eq!(ledger.figures().delivered, delivered, "number {number}");
        }
        assert_eq!(ledger.figures().sent, 4);
    }

    #[test]
    fn percentiles_are_in_microseconds_and_in_order() {
        let ledger = Ledger::new();
        for number in 0..1000 {
            ledger.deliver(number, Duration::from_micros(number + 1));
        }
        let figures = ledger.figures();
        assert!((figures.p50 - 500.0).abs() < 1.0, "{figures:?}");
        assert!((figures.p99 - 990.0).abs() < 1.0, "{figures:?}");
        assert!((figures.p999 - 999.0).abs() < 1.0, "{figures:?}");
    }
}
