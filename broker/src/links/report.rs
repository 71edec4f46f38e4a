//! How the connections of a link are doing.

use std::time::Duration;

use super::{Half, Link, Side};

/// How one connection of a link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// Whose streams it carries.
    pub side: Side,
    /// The smoothed round trip.
    pub round_trip: Duration,
    /// Bytes that may be on the way at present.
    pub congestion_window: u64,
    /// Times that the congestion window was cut.
    pub congestion_events: u64,
    /// QUIC packets sent.
    pub sent: u64,
    /// QUIC packets that never arrived.
    pub lost: u64,
}

fn report(side: Side, half: &Half) -> LinkReport {
    let path = half.connection.stats().path;
    LinkReport {
        side,
        round_trip: path.rtt,
        congestion_window: path.cwnd,
        congestion_events: path.congestion_events,
        sent: path.sent_packets,
        lost: path.lost_packets,
    }
}

impl Link {
    /// How its connections are doing.
    pub fn reports(&self) -> impl Iterator<Item = LinkReport> + '_ {
        let uses = self.uses.iter().map(|half| report(Side::Uses, half));
        uses.chain(self.serves.iter().map(|half| report(Side::Serves, half)))
    }
}
