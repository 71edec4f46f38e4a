//! What happened, for the operator's log.

use std::time::Duration;

use lockgate_proto::now::Now;
use lockgate_proto::rules::Difference;

use crate::machine::bind::BindError;
use crate::machine::logging::Quiet;
use crate::node::Event;

/// How often the same thing is logged at most.
const REPEAT: Duration = Duration::from_secs(10);

pub(super) struct News {
    quiet: Quiet<String>,
}

impl Default for News {
    fn default() -> Self {
        Self { quiet: Quiet::new(REPEAT) }
    }
}

impl News {
    /// The interface is up, and its port cannot be had.
    pub(super) fn no_socket(&mut self, error: &BindError, now: Now) {
        if let Some(suppressed) = self.quiet.admit(&"no socket".to_owned(), now.instant) {
            tracing::error!(%error, suppressed, "the tunnel has no socket; it is tried again every second");
        }
    }

    pub(super) fn tell(&mut self, event: Event, now: Now) {
        match event {
            Event::PeerUp(peer, endpoint) => match endpoint {
                Some(endpoint) => tracing::info!(%peer, %endpoint, "tunnel up"),
                None => tracing::info!(%peer, "tunnel up"),
            },
            Event::PeerSilent(peer) => {
                tracing::warn!(%peer, "peer does not answer; its streams wait for it");
            }
            Event::PeerMoved(peer, from, to) => match from {
                Some(from) => tracing::info!(%peer, %from, %to, "peer moved"),
                None => tracing::debug!(%peer, %to, "peer found"),
            },
            Event::CapabilitiesChanged => tracing::info!("a capability of the policy began or ended"),
            Event::PacketsDenied(denial) => {
                let key = format!("{}>{}", denial.from, denial.to);
                if let Some(suppressed) = self.quiet.admit(&key, now.instant) {
                    tracing::info!(from = %denial.from, to = %denial.to, reason = %denial.reason, suppressed, "packets denied");
                }
            }
            Event::ForeignOffer(offer) => {
                let (node, service, reason) = (&offer.node, &offer.service, &offer.denial);
                tracing::warn!(%node, %service, %reason, "foreign offer refused: this node may not host that service");
            }
            Event::Differs(difference) => {
                let key = format!("{}?{}", difference.from, difference.to);
                if let Some(suppressed) = self.quiet.admit(&key, now.instant) {
                    let Difference { from, to, act, object, .. } = &difference;
                    let (enforced, candidate) = (difference.enforced(), difference.candidate());
                    tracing::info!(%from, %to, act, %object, %enforced, %candidate, suppressed, "pending: the candidate judges otherwise");
                }
            }
            // Whoever asked is told.
            Event::Echo(..) => {}
            Event::Denied(denial) => {
                let key = format!("{}/{}", denial.from, denial.service);
                if let Some(suppressed) = self.quiet.admit(&key, now.instant) {
                    let (from, service, socket) = (&denial.from, &denial.service, denial.socket);
                    let (what, reason) = (denial.what.name(), &denial.reason);
                    tracing::info!(%from, %service, socket, what, %reason, suppressed, "denied");
                }
            }
        }
    }
}
