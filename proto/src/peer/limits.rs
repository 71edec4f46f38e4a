//! How many handshakes we do for whom: arithmetic is what a flood of initiations would make us waste.
//!
//! A source (an IPv4 address or an IPv6 /64) may begin a number of handshakes unproven; beyond that it must prove its address
//! with a cookie, and then has a budget that nobody who merely writes its address can use up. When all sources together are
//! too many, every one must prove its address, for a second at least.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::now::{Moment, Now};

/// The least time between two initiations that one peer gets accepted.
pub const INITIATION_INTERVAL: Duration = Duration::from_millis(20);

/// Handshakes per second of one source.
const RATE: u32 = 20;
/// At once, from a source that proved its address.
const PROVEN_BURST: u32 = 5;
/// At once, from a source that did not: enough for many nodes behind one address that all restart.
const UNPROVEN_BURST: u32 = 128;
/// Handshakes per second of all unproven sources: about a tenth of a slow core.
const LOAD: u32 = 400;
/// Handshakes per second of all sources that proved their address: they may be many, and one core has other work too.
const PROVEN_LOAD: u32 = 1_000;
/// Load lasts for this after it was last seen.
const STICKY: Duration = Duration::from_secs(1);
/// Sources that are remembered at once; more are load in themselves.
const MAX_SOURCES: usize = 4096;
/// A full table is searched for idle sources no more often than this: the search costs as much as a handshake.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// What an initiation is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its handshake.
    Handshake,
    /// A cookie: it must prove its address.
    Cookie,
    /// Nothing.
    Nothing,
}

/// Whether the sender proved its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A valid `mac2`.
    Given,
    /// None.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    V4([u8; 4]),
    /// The /64: whoever has one address of it has them all.
    V6([u8; 8]),
}

impl Source {
    fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6(*ip.octets().first_chunk().expect("16 bytes have a first 8")),
        }
    }
}

/// Tokens that come back with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths.
    tokens: u64,
    at: Moment,
}

impl Bucket {
    const ONE: u64 = 1_000;

    fn full(burst: u32, now: Now) -> Self {
        Self { tokens: u64::from(burst) * Self::ONE, at: now.instant }
    }

    fn refill(&mut self, rate: u32, burst: u32, now: Now) {
        // Milliseconds times a rate per second are thousandths. What a shorter time gives stays for the next call.
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return;
        }
        let most = u64::from(burst) * Self::ONE;
        self.tokens = self.tokens.saturating_add(millis.saturating_mul(u64::from(rate))).min(most);
        // Only what was credited: the rest of a millisecond counts next time. A clock that went back credits nothing.
        self.at = self.at + Duration::from_millis(millis);
    }

    fn take(&mut self, rate: u32, burst: u32, now: Now) -> bool {
        self.refill(rate, burst, now);
        let some = self.tokens >= Self::ONE;
        if some {
            self.tokens -= Self::ONE;
        }
        some
    }

    fn is_full(mut self, rate: u32, burst: u32, now: Now) -> bool {
        self.refill(rate, burst, now);
        self.tokens >= u64::from(burst) * Self::ONE
    }
}

/// The budgets of many sources, never more than [`MAX_SOURCES`].
#[derive(Debug)]
struct Budgets {
    burst: u32,
    sources: BTreeMap<Source, Bucket>,
    swept: Option<Moment>,
}

/// There are more sources than can be remembered.
struct Crowded;

impl Budgets {
    const fn new(burst: u32) -> Self {
        Self { burst, sources: BTreeMap::new(), swept: None }
    }

    /// Takes one handshake from the budget of `from`; whether there was one left.
    fn take(&mut self, from: SocketAddr, now: Now) -> Result<bool, Crowded> {
        let source = Source::of(from);
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            self.forget_idle(now);
            if self.sources.len() >= MAX_SOURCES {
                return Err(Crowded);
            }
        }
        let bucket = self.sources.entry(source).or_insert_with(|| Bucket::full(self.burst, now));
        Ok(bucket.take(RATE, self.burst, now))
    }

    /// A full bucket is as good as none.
    fn forget_idle(&mut self, now: Now) {
        if self.swept.is_some_and(|swept| swept <= now.instant && now.since(swept) < SWEEP_INTERVAL) {
            return;
        }
        self.swept = Some(now.instant);
        let burst = self.burst;
        self.sources.retain(|_, bucket| !bucket.is_full(RATE, burst, now));
    }
}

/// The budgets of all sources. Those that gave proof are kept apart: who makes addresses up cannot crowd them out.
#[derive(Debug)]
pub struct Limits {
    proven: Budgets,
    unproven: Budgets,
    total: Option<Bucket>,
    proven_total: Option<Bucket>,
    load_until: Option<Moment>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            proven: Budgets::new(PROVEN_BURST),
            unproven: Budgets::new(UNPROVEN_BURST),
            total: None,
            proven_total: None,
            load_until: None,
        }
    }
}

impl Limits {
    /// Decides about one initiation; call it once for each.
    pub fn admit(&mut self, from: SocketAddr, proof: Proof, now: Now) -> Admission {
        match proof {
            Proof::Given if self.admit_proven(from, now) => Admission::Handshake,
            // Proof is never worth less than none: what its budgets do not give, those of the unproven may.
            Proof::Given => match self.admit_unless_loaded(from, now) {
                Admission::Cookie => Admission::Nothing,
                other => other,
            },
            Proof::Missing => self.admit_unless_loaded(from, now),
        }
    }

    /// Within the budget of its source, and that of all.
    fn admit_proven(&mut self, from: SocketAddr, now: Now) -> bool {
        matches!(self.proven.take(from, now), Ok(true))
            && self.proven_total.get_or_insert_with(|| Bucket::full(PROVEN_LOAD, now)).take(
                PROVEN_LOAD,
                PROVEN_LOAD,
                now,
            )
    }

    /// Whether everyone must prove their address.
    pub fn is_loaded(&self, now: Now) -> bool {
        self.load_until.is_some_and(|until| now.instant < until)
    }

    fn admit_unless_loaded(&mut self, from: SocketAddr, now: Now) -> Admission {
        if self.is_loaded(now) { Admission::Cookie } else { self.admit_unproven(from, now) }
    }

    /// Only what a source may do anyway counts as load: one that floods is on its own.
    fn admit_unproven(&mut self, from: SocketAddr, now: Now) -> Admission {
        let loaded = match self.unproven.take(from, now) {
            Ok(false) => return Admission::Cookie,
            Ok(true) => !self.total.get_or_insert_with(|| Bucket::full(LOAD, now)).take(LOAD, LOAD, now),
            Err(Crowded) => true,
        };
        if !loaded {
            return Admission::Handshake;
        }
        self.load_until = Some(now.instant + STICKY);
        Admission::Cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn at(millis: u64) -> Now {
        Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO }
    }

    fn v4(host: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(host.into()), 1)
    }

    /// Nobody gets in without proof.
    fn loaded() -> Limits {
        Limits { load_until: Some(Moment::new(Duration::MAX)), ..Limits::default() }
    }

    fn admitted(limits: &mut Limits, from: SocketAddr, proof: Proof, tries: u32, now: Now) -> u32 {
        (0..tries).filter(|_| limits.admit(from, proof, now) == Admission::Handshake).count() as u32
    }

    #[test]
    fn a_proven_source_has_twenty_a_second_and_five_at_once() {
        let mut limits = loaded();
        assert_eq!(admitted(&mut limits, v4(1), Proof::Given, 50, at(0)), 5);
        assert_eq!(limits.admit(v4(1), Proof::Given, at(49)), Admission::Nothing);
        assert_eq!(admitted(&mut limits, v4(1), Proof::Given, 50, at(50)), 1);
        assert_eq!(admitted(&mut limits, v4(2), Proof::Given, 50, at(50)), 5);
        let more: u32 = (100..1_100).map(|ms| admitted(&mut limits, v4(1), Proof::Given, 3, at(ms))).sum();
        assert_eq!(more, 20);
    }

    #[test]
    fn a_bucket_that_is_asked_every_1_99_ms_gets_its_whole_rate() {
        let mut bucket = Bucket { tokens: 0, at: Moment::ZERO };
        let taken = (1..=1_000).filter(|step| {
            let instant = Moment::new(Duration::from_micros(1_990 * step));
            bucket.take(100, 5, Now { instant, wall: Duration::ZERO })
        });
        assert_eq!(taken.count(), 199, "in 1.99 s at 100 a second");
    }

    #[test]
    fn all_proven_sources_together_have_a_thousand_a_second() {
        let mut limits = loaded();
        let sweep = |limits: &mut Limits, ms| -> u32 {
            (0..2_000).map(|host| admitted(limits, v4(host), Proof::Given, 1, at(ms))).sum()
        };
        assert_eq!(sweep(&mut limits, 0), 1_000);
        assert_eq!(sweep(&mut limits, 500), 500);
    }

    #[test]
    fn proof_is_never_worth_less_than_none() {
        for proof in [Proof::Missing, Proof::Given] {
            let admitted = admitted(&mut Limits::default(), v4(1), proof, 300, at(0));
            let proven = if proof == Proof::Given { PROVEN_BURST } else { 0 };
            assert_eq!(admitted, UNPROVEN_BURST + proven, "{proof:?}");
        }
        let mut limits = Limits::default();
        admitted(&mut limits, v4(1), Proof::Given, 300, at(0));
        assert_eq!(limits.admit(v4(1), Proof::Given, at(0)), Admission::Nothing, "no second cookie");
        assert_eq!(admitted(&mut loaded(), v4(1), Proof::Given, 300, at(0)), PROVEN_BURST);
    }

    #[test]
    fn a_v6_network_is_one_source() {
        let mut limits = loaded();
        let admitted: u32 = (0..50)
            .map(|host| {
                let from = format!("[2001:db8:0:1::{host}]:1").parse().unwrap();
                admitted(&mut limits, from, Proof::Given, 1, at(0))
            })
            .sum();
        assert_eq!(admitted, 5);
        assert_eq!(
            limits.admit("[2001:db8:0:2::1]:1".parse().unwrap(), Proof::Given, at(0)),
            Admission::Handshake
        );
    }

    #[test]
    fn one_flooding_source_does_not_put_others_under_cookie() {
        let mut limits = Limits::default();
        for ms in 0..5_000 {
            for _ in 0..10 {
                limits.admit(v4(1), Proof::Missing, at(ms));
            }
        }
        assert_eq!(limits.admit(v4(1), Proof::Missing, at(4_999)), Admission::Cookie);
        assert!(!limits.is_loaded(at(5_000)));
        assert_eq!(limits.admit(v4(2), Proof::Missing, at(5_000)), Admission::Handshake);
    }

    #[test]
    fn many_sources_are_load_and_it_sticks_for_a_second() {
        let mut limits = Limits::default();
        for host in 0..LOAD {
            assert_eq!(limits.admit(v4(host), Proof::Missing, at(0)), Admission::Handshake, "host {host}");
        }
        assert_eq!(limits.admit(v4(LOAD), Proof::Missing, at(0)), Admission::Cookie);
        assert_eq!(limits.admit(v4(LOAD + 1), Proof::Missing, at(999)), Admission::Cookie);
        assert_eq!(limits.admit(v4(LOAD + 1), Proof::Given, at(999)), Admission::Handshake);
        assert_eq!(limits.admit(v4(LOAD + 2), Proof::Missing, at(1_000)), Admission::Handshake);
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let mut limits = Limits::default();
        for host in 0..100_000 {
            limits.admit(v4(host), Proof::Given, at(0));
        }
        assert_eq!(limits.proven.sources.len(), MAX_SOURCES);
        assert_eq!(limits.admit(v4(200_000), Proof::Given, at(0)), Admission::Nothing);
        assert_eq!(limits.admit(v4(200_000), Proof::Given, at(100)), Admission::Handshake);
        assert_eq!(limits.proven.sources.len(), 1);
    }

    #[test]
    fn made_up_addresses_do_not_crowd_out_proven_ones() {
        let mut limits = Limits::default();
        for round in 0..50 {
            for host in 0..10_000 {
                limits.admit(v4(host), Proof::Missing, at(round * 10));
            }
        }
        assert!(limits.unproven.sources.len() <= MAX_SOURCES && limits.is_loaded(at(500)));
        assert_eq!(limits.admit(v4(77_777), Proof::Given, at(500)), Admission::Handshake);
    }
}
