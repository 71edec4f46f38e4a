//! The interface of `[tun]`: made, addressed, up, and with the routes to the peers.

use std::net::IpAddr;

use lockgate_proto::document::Mistake;

use crate::commands::{Failure, mistaken, plain};
use crate::config::{self, Config, Prefix};
use crate::event_loop::Interface;
use crate::machine::netlink::{Admin, Monitor, Netlink, NetlinkError};
use crate::machine::tun::{Tun, TunError};

/// Makes the interface, or takes over a persistent one of that name.
pub(super) fn raise(wanted: &config::Tun, config: &Config) -> Result<Interface, Failure> {
    let tun = Tun::create(&wanted.name).map_err(|error| unmade(&error, wanted, config))?;
    set_up(&tun, wanted, config)?;
    let monitor = Monitor::open().map_err(plain)?;
    let setting =
        Setting { name: wanted.name.clone(), addresses: config.addresses.clone(), routes: routes(config) };
    let restore = Box::new(move || setting.restore().map_err(|error| error.to_string()));
    Ok(Interface { tun, monitor: Some(monitor), follow: None, restore: Some(restore) })
}

/// What the kernel takes away while an interface is down.
struct Setting {
    name: String,
    addresses: Vec<IpAddr>,
    routes: Vec<(Prefix, usize)>,
}

impl Setting {
    fn restore(&self) -> Result<(), NetlinkError> {
        let mut netlink = Netlink::open()?;
        let interface = netlink.interface(&self.name)?;
        for address in &self.addresses {
            netlink.add_address(&interface, *address, width(*address))?;
        }
        for (prefix, _) in &self.routes {
            netlink.add_route(&interface, (prefix.address(), prefix.bits()), None)?;
        }
        Ok(())
    }
}

fn set_up(tun: &Tun, wanted: &config::Tun, config: &Config) -> Result<(), Failure> {
    let mut netlink = Netlink::open().map_err(plain)?;
    let interface = netlink.interface(tun.name()).map_err(plain)?;
    netlink
        .set_mtu(&interface, wanted.mtu.into())
        .map_err(|error| at(config, wanted.lines.mtu, "tun.mtu", &error))?;
    for address in &config.addresses {
        netlink.add_address(&interface, *address, width(*address)).map_err(plain)?;
    }
    netlink.set_admin(&interface, Admin::Up).map_err(plain)?;
    for (prefix, line) in routes(config) {
        netlink.add_route(&interface, (prefix.address(), prefix.bits()), None).map_err(|error| {
            if error.is_taken() { at(config, line, "peer.addresses", &error) } else { plain(error) }
        })?;
    }
    for peer in config.peers.iter().filter(|peer| peer.addresses.iter().any(|prefix| prefix.bits() == 0)) {
        tracing::warn!(
            peer = %peer.name, interface = %wanted.name,
            "the default route stays as it is: route yourself what is to go to this peer"
        );
    }
    Ok(())
}

/// What is routed into the interface, and the line of the configuration that says so. The default route is left alone:
/// the way to the peers themselves would lead into the tunnel.
fn routes(config: &Config) -> Vec<(Prefix, usize)> {
    let each = |peer: &config::Peer| {
        let line = peer.lines.addresses;
        peer.addresses.clone().into_iter().map(move |prefix| (prefix, line))
    };
    config.peers.iter().flat_map(each).filter(|(prefix, _)| prefix.bits() > 0).collect()
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Another name is the configuration's matter, the rest is the system's.
fn unmade(error: &TunError, wanted: &config::Tun, config: &Config) -> Failure {
    if error.is_about_the_name() {
        return mistake(config, wanted.lines.name, "tun.name", error.problem(), error.mend());
    }
    let mend = format!("{}; or leave [tun] out: messages alone need neither rights nor driver", error.mend());
    Failure::failed(error.problem(), mend)
}

fn at(config: &Config, line: usize, key: &str, error: &NetlinkError) -> Failure {
    mistake(config, line, key, error.problem(), error.mend())
}

fn mistake(config: &Config, line: usize, key: &str, problem: String, mend: &str) -> Failure {
    let (file, key, mend) = (config.file.clone(), key.to_owned(), mend.to_owned());
    mistaken(&[Mistake { file, line, key, problem, mend }])
}
