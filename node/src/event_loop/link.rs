//! The interface: whether it is up, its MTU, whether it still is. The tunnel of `lockgate wg` is open while it is up.

use std::time::Duration;

use lockgate_proto::now::{Moment, Now};

use super::{EventLoop, Restore};
use crate::machine::netlink::{Change, Monitor, Netlink};
use crate::machine::tun::State;

/// The monitor's token.
pub(super) const MONITOR: u64 = 2;
/// Routes that change all the time are looked at so often at most.
const ROUTES: Duration = Duration::from_millis(200);
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
    /// Addresses or routes have changed since the ways to the peers were looked at.
    ways_changed: bool,
    ways_next: Moment,
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
        let (fell, ways_changed) = (false, false);
        Self { monitor, follow, restore, is_up, fell, mtu: 0, next: now, ways_changed, ways_next: now }
    }

    /// Whether the interface was up when it was last looked at.
    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    /// When to look again though nothing happened.
    pub(super) const fn poll_timeout(&self) -> Moment {
        self.next
    }

    /// Takes what the monitor tells.
    fn drain(&mut self, now: Moment) {
        let Self { monitor, ways_changed: ways, fell, .. } = self;
        let drained = monitor.as_mut().map(|monitor| {
            monitor.drain(&mut |change| {
                *ways |= matches!(
                    change,
                    Change::Routes | Change::Addresses | Change::AddressGone(_) | Change::Lost
                );
                *fell |= matches!(change, Change::LinkDown(_) | Change::Lost);
            })
        });
        if let Some(Err(error)) = drained {
            tracing::warn!(%error, "changes of interfaces are not told any more; the interface is asked instead");
            self.monitor = None;
        }
        self.next = now;
    }

    /// The interface of a node that was down has lost what it was given.
    fn note_state(&mut self, was_up: bool, state: &State) {
        let fell = std::mem::take(&mut self.fell) || !was_up;
        let Some(restore) = &mut self.restore else { return };
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
}

impl EventLoop {
    /// Something about interfaces, addresses or routes has changed: look.
    pub(super) fn note_link(&mut self) {
        let now = self.clock.now().instant;
        if let Some(link) = &mut self.link {
            link.drain(now);
        }
    }

    /// Forgets the sources of peers to which another way leads now. As WireGuard in the kernel does it, those whose way is
    /// what it was keep theirs: they may have been called on an address that the routing table would not choose.
    fn look_at_ways(&mut self) {
        let Ok(mut netlink) = Netlink::open() else {
            self.node.forget_sources();
            return;
        };
        let mark = self.network.mark();
        let sources: Vec<_> = self.node.sources().collect();
        for (remote, source) in sources {
            let way = netlink.way_out(remote.ip(), source.ip, mark);
            if !way.is_ok_and(|interface| interface == source.interface) {
                self.node.forget_source(remote);
            }
        }
    }

    /// A packet out of an interface that was down says that it is up, before any other sign where it was moved away.
    pub(super) fn note_packets(&mut self) {
        if let Some(link) = &mut self.link
            && !link.is_up
        {
            link.next = self.started.instant;
        }
    }

    /// Looks at the interface when it is time.
    pub(super) fn look_at_link(&mut self, now: Now) {
        let Some((inside, link)) = self.inside.as_mut().zip(self.link.as_mut()) else { return };
        if now.instant < link.next {
            return;
        }
        link.next = now.instant + LOOK;
        let ways = link.ways_changed && now.instant >= link.ways_next;
        if ways {
            (link.ways_changed, link.ways_next) = (false, now.instant + ROUTES);
        } else if link.ways_changed {
            link.next = link.next.min(link.ways_next);
        }
        let state = inside.tun.state();
        inside.gone |= !state.exists;
        if link.mtu != state.mtu {
            link.mtu = state.mtu;
            self.node.set_mtu(u16::try_from(state.mtu).unwrap_or(u16::MAX));
        }
        let follow = link.follow;
        let was_up = std::mem::replace(&mut link.is_up, state.up);
        link.note_state(was_up, &state);
        if ways {
            self.look_at_ways();
        }
        let Some(port) = follow else { return };
        if was_up != state.up {
            tracing::info!(interface = %state.name, "interface {}", if state.up { "up" } else { "down" });
        }
        match (state.up, self.network.port()) {
            (true, None) => self.open_tunnel(port, now),
            (false, Some(_)) => {
                self.node.rest();
                self.network.close();
            }
            _ => {}
        }
    }

    /// Opens the socket, and with it the tunnel; where the port cannot be had, that is tried again with each look.
    fn open_tunnel(&mut self, port: u16, now: Now) {
        match self.network.open(port, self.locals.poller()) {
            Ok(()) => {
                self.keep_port();
                self.node.resume(now);
            }
            Err(error) => self.news.no_socket(&error, now),
        }
    }

    /// The port that is open is the one to open again, and the one that our own datagrams are known by.
    pub(super) fn keep_port(&mut self) {
        let port = self.network.port();
        self.node.set_listen_port(port);
        if let Some(link) = &mut self.link {
            link.follow = link.follow.and(port);
        }
    }
}
