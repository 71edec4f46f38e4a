//! The interface of `[tun]`: made, addressed, up, and with the routes to the peers.

use crate::commands::Failure;
use crate::config::{self, Config};
use crate::event_loop::Interface;
use crate::machine::netlink::{Admin, Monitor, Netlink, NetlinkError};
use crate::machine::tun::Tun;

/// How long a super-packet the kernel may hand over, in bytes: 44 segments of a usual MTU, which leave in one send.
const SUPER_PACKET: u32 = 61_612;

/// Makes the interface, or takes over a persistent one of that name.
pub(super) fn raise(wanted: &config::Tun, config: &Config) -> Result<Interface, Failure> {
    let tun = Tun::create(&wanted.name).map_err(plain)?;
    set_up(&tun, wanted, config).map_err(plain)?;
    let monitor = Monitor::open().map_err(plain)?;
    Ok(Interface { tun, monitor: Some(monitor), follow: None })
}

fn set_up(tun: &Tun, wanted: &config::Tun, config: &Config) -> Result<(), NetlinkError> {
    let mut netlink = Netlink::open()?;
    let interface = netlink.interface(tun.name())?;
    netlink.set_mtu(&interface, wanted.mtu.into())?;
    if let Err(error) = netlink.set_gso_max_size(&interface, SUPER_PACKET) {
        tracing::debug!(%error, "super-packets keep their usual size");
    }
    for address in &config.addresses {
        netlink.add_address(&interface, *address, if address.is_ipv4() { 32 } else { 128 })?;
    }
    netlink.set_admin(&interface, Admin::Up)?;
    for prefix in config.peers.iter().flat_map(|peer| &peer.addresses) {
        netlink.add_route(&interface, (prefix.address(), prefix.bits()), None)?;
    }
    Ok(())
}

/// Its text brings the hint.
fn plain(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error, "")
}
