//! The interface: whether it is up, its MTU, whether it still is. The tunnel of `lockgate wg` is open while it is up.

use std::time::Duration;

use lockgate_proto::now::{Moment, Now};

use super::{EventLoop, Restore};
use crate::machine::netlink::{Change, Monitor};

/// The monitor's token.
pub(super) const MONITOR: u64 = 2;
/// No event comes from an interface that was moved to another network namespace, so it is asked now and then too.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Link {
    /// `None` where the system gives none: then it is only asked.
    pub(super) monitor: Option<Monitor>,
    /// The port to listen on while the interface is up; `None` where the tunnel is always open.
    pub(super) follow: Option<u16>,
    restore: Option<Restore>,
    is_up: bool,
    /// Some interface was down for a moment since the last look: it may have been this one.
    fell: bool,
    mtu: u32,
    next: Moment,
}

impl Link {
    pub(super) fn new(
        monitor: Option<Monitor>,
        follow: Option<u16>,
        restore: Option<Restore>,
        now: Moment,
    ) -> Self {
        // Whoever can restore it has just set it up.
        let is_up = restore.is_some();
        Self { monitor, follow, restore, is_up, fell: false, mtu: 0, next: now }
    }

    /// When to look again though nothing happened.
    pub(super) const fn poll_timeout(&self) -> Moment {
        self.next
    }

    /// Takes what the monitor tells; whether it is about addresses or routes.
    fn drain(&mut self, now: Moment) -> bool {
        let mut routes = false;
        let fell = &mut self.fell;
        let drained = self.monitor.as_mut().map(|monitor| {
            monitor.drain(&mut |change| {
                routes |= matches!(change, Change::Routes | Change::Addresses | Change::Lost);
                *fell |= matches!(change, Change::LinkDown(_) | Change::Lost);
            })
        });
        if let Some(Err(error)) = drained {
            tracing::warn!(%error, "changes of interfaces are not told any more; the interface is asked instead");
            self.monitor = None;
        }
        self.next = now;
        routes
    }
}

impl EventLoop {
    /// Something about interfaces, addresses or routes has changed: look, and let the routing table choose again.
    pub(super) fn note_link(&mut self) {
        let now = self.clock.now().instant;
        if self.link.as_mut().is_some_and(|link| link.drain(now)) {
            self.node.forget_sources();
        }
    }

    /// Looks at the interface when it is time.
    pub(super) fn look_at_link(&mut self, now: Now) {
        let Some((inside, link)) = self.inside.as_mut().zip(self.link.as_mut()) else { return };
        if now.instant < link.next {
            return;
        }
        link.next = now.instant + LOOK;
        let state = inside.tun.state();
        inside.gone |= !state.exists;
        if link.mtu != state.mtu {
            link.mtu = state.mtu;
            self.node.set_mtu(u16::try_from(state.mtu).unwrap_or(u16::MAX));
        }
        let was_up = std::mem::replace(&mut link.is_up, state.up);
        let fell = std::mem::take(&mut link.fell) || !was_up;
        if let Some(restore) = link.restore.as_mut() {
            match (was_up, state.up) {
                (true, false) if state.exists => {
                    tracing::warn!(interface = %state.name, "interface down: no packet crosses, messages do");
                }
                (false, true) => tracing::info!(interface = %state.name, "interface up"),
                _ => {}
            }
            if fell
                && state.up
                && let Err(error) = restore()
            {
                tracing::warn!(interface = %state.name, "addresses and routes are not all back: {error}");
            }
        }
        let Some(port) = link.follow.filter(|_| was_up != state.up) else { return };
        if state.up {
            tracing::info!(interface = %state.name, "interface up");
            if let Err(error) = self.network.open(port, self.locals.poller()) {
                tracing::error!(%error, "the tunnel has no socket");
            }
            self.node.set_listen_port(self.network.port());
            self.node.resume(now);
        } else {
            tracing::info!(interface = %state.name, "interface down");
            self.node.rest();
            self.network.close();
        }
    }
}
