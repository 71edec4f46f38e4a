//! `up`: runs the node in the foreground.

mod interface;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockgate_broker::broker::Door;
use lockgate_broker::services::{Offer, OfferId, Reach, Use, UseId};
use lockgate_proto::device::{PeerConfig, max_link_datagram};
use lockgate_proto::document::{Mistake, Mistakes};
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::Rules;

use super::check::as_warning;
use super::{Failure, mistaken, out_of, plain};
use crate::cli::Common;
use crate::config::{self, Config, Endpoint, Loaded, Place};
use crate::control;
use crate::event_loop::{End, EventLoop, Fresh, Parts, Reload, Which};
use crate::machine::apps::Listener;
use crate::machine::clock::Clock;
use crate::machine::locals::Locals;
use crate::machine::poller::Poller;
use crate::machine::signals::Signals;
use crate::machine::udp::Udp;
use crate::machine::{entropy, files, files_write, host};
use crate::node::{Gate, Ingredients, Neighbour, Node, Territory};

/// UDP payload that crosses any Ethernet over IPv6: 1500 bytes less 40 and 8.
pub(super) const UDP_PAYLOAD: usize = 1452;
/// How long to look for more work before sleeping, unless the configuration says otherwise.
pub(super) const SPIN: Duration = Duration::from_micros(100);

/// Runs until a signal stops it.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    host::raise_descriptor_limit();
    host::hide_memory();
    let loaded = config::load(&common.config).map_err(|mistakes| mistaken(&mistakes))?;
    for warning in &loaded.warnings {
        tracing::warn!("{}", as_warning(warning));
    }
    let name = loaded.config.name.clone();
    let listen = loaded.config.listen;
    let services = loaded.config.offers.len() + loaded.config.uses.len();
    let event_loop = assemble(loaded)?;
    tracing::info!(node = %name, %listen, services, "ready");
    let end = event_loop.run().map_err(|error| {
        Failure::failed(
            format!("the event loop failed: {error}"),
            "see the system log, then start the node again",
        )
    })?;
    match end {
        End::Stopped => {
            tracing::info!(node = %name, "stopped");
            Ok(())
        }
        End::InterfaceGone(interface) => Err(Failure::failed(
            format!("the interface {interface} of [tun] was deleted while the node ran"),
            "find out what deleted it, then start the node again: it makes the interface anew",
        )),
    }
}

/// How long to look for more work before sleeping: not at all where that would keep the only processor from the applications.
pub(super) fn usual_spin() -> Duration {
    if host::processors() > 1 { SPIN } else { Duration::ZERO }
}

/// The control socket of a node.
pub(super) fn control_path(config: &Config) -> PathBuf {
    let usual = || host::runtime_folder().join(format!("{}.sock", config.name));
    config.control.clone().unwrap_or_else(usual)
}

fn assemble(loaded: Loaded) -> Result<EventLoop, Failure> {
    let clock = Clock::start();
    let poller = Poller::new().map_err(out_of)?;
    let waker = poller.waker();
    let config = &loaded.config;
    let udp = Udp::bind(config.listen).map_err(plain)?;
    let mut entrances = Vec::new();
    for (door, endpoint) in doors(config) {
        entrances.push((door, Listener::bind(endpoint).map_err(plain)?));
    }
    let path = control_path(config);
    if config.control.is_none() {
        let folder = host::runtime_folder();
        files_write::create_own_dir(&folder).map_err(|error| {
            let what = format!("the folder {} for the control socket: {error}", folder.display());
            Failure::failed(what, "name a control socket elsewhere:  control = \"...\"  under [node]")
        })?;
    }
    let control = control::serve(&path, waker.clone()).map_err(plain)?;
    let signals = Signals::catch(waker).map_err(out_of)?;
    let dialed = config.offers.iter().map(|offer| match &offer.place {
        Place::Connect(endpoint) => Some(endpoint.clone()),
        Place::Listen(_) => None,
    });
    let locals = Locals::new(poller, dialed.collect());
    let spin = config.spin.unwrap_or_else(usual_spin);
    let reload = Some(reload(config.clone()));
    let tun = loaded.config.tun.as_ref().map(|tun| interface::raise(tun, config)).transpose()?;
    let node = node(loaded, &clock)?;
    let parts = Parts {
        node,
        clock,
        udp: Some(udp),
        tun,
        locals,
        entrances,
        control: Some(control),
        uapi: None,
        signals: Some(signals),
        stop: None,
        spin,
        tap: None,
        reload,
    };
    EventLoop::new(parts).map_err(out_of)
}

fn node(loaded: Loaded, clock: &Clock) -> Result<Node, Failure> {
    let Loaded { config, rules, identity, preshared_keys, .. } = loaded;
    let peers = config.peers.iter().zip(preshared_keys).map(|(peer, preshared_key)| Neighbour {
        name: peer.name.as_str().into(),
        tunnel: PeerConfig {
            public_key: peer.public_key,
            preshared_key,
            endpoint: peer.endpoint,
            keepalive: peer.keepalive,
        },
        addresses: peer.addresses.clone(),
    });
    let offers = config.offers.iter().map(|offer| Offer {
        service: offer.service.as_str().into(),
        reach: match offer.place {
            Place::Connect(_) => Reach::Dial,
            Place::Listen(_) => Reach::Listen,
        },
    });
    let uses = config.uses.iter().map(|wanted| Use {
        service: wanted.service.as_str().into(),
        from: wanted.from.as_ref().map(|from| from.iter().map(|name| name.as_str().into()).collect()),
    });
    let rules = Arc::new(rules);
    let name: Arc<str> = config.name.as_str().into();
    let gate = match &config.tun {
        Some(tun) => {
            let territory = Territory::new(config.addresses.clone(), tun.networks.clone());
            Gate::policy(name.clone(), territory, rules.clone(), entropy::seed())
        }
        None => Gate::NoTun,
    };
    let ingredients = Ingredients {
        name,
        identity: Some(identity),
        addresses: config.addresses.clone(),
        gate,
        randomness: entropy::randomness(),
        peers: peers.collect(),
        offers: offers.collect(),
        uses: uses.collect(),
        rules,
        link_mtu: link_mtu(UDP_PAYLOAD),
        base: clock.std_base(),
    };
    Node::new(ingredients, clock.now()).map_err(|(peer, error)| {
        Failure::failed(
            format!("peer {peer}: {error}"),
            "ask that node's operator for what  lockgate pubkey  prints there",
        )
    })
}

/// The largest datagram of a link whose tunnel datagrams carry `payload` bytes.
pub(super) const fn link_mtu(payload: usize) -> u16 {
    let link = max_link_datagram(payload);
    assert!(link >= 1200 && link <= u16::MAX as usize, "QUIC needs 1200 bytes");
    link as u16
}

fn doors(config: &Config) -> impl Iterator<Item = (Door, &Endpoint)> {
    let offers = config.offers.iter().enumerate().filter_map(|(place, offer)| match &offer.place {
        Place::Listen(endpoint) => Some((Door::Offer(OfferId(place)), endpoint)),
        Place::Connect(_) => None,
    });
    let uses =
        config.uses.iter().enumerate().map(|(place, wanted)| (Door::Use(UseId(place)), &wanted.listen));
    offers.chain(uses)
}

/// Reads the policy again, and candidates. Only one that means nothing is refused: one that fits this configuration no
/// longer takes something away from this node, and to keep the wider one instead would be to fail open.
fn reload(config: Config) -> Reload {
    let file = config.policy.clone();
    let mut generation = 1;
    let read = move |which: Which<'_>| {
        let path = match which {
            Which::Configured => config.policy.as_deref().unwrap_or(Path::new("")),
            Which::Candidate(path) => path,
        };
        let policy = read_policy(path)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let misfits = config::check(&config, &policy);
        generation += 1;
        let rules = Arc::new(Rules::compile(&policy, generation));
        Ok(Fresh { rules, warnings: misfits.into_iter().chain(policy.warnings).collect() })
    };
    Reload { file, read: Box::new(read) }
}

fn read_policy(path: &Path) -> Result<Policy, Vec<Mistake>> {
    let file = path.display().to_string();
    let most = lockgate_proto::document::MAX_TEXT as u64;
    let text = files::read_text(path, most).map_err(|error| {
        let mut mistakes = Mistakes::new(&file);
        mistakes.note(0, "", format!("the file {error}"), error.mend(path));
        mistakes.into_list()
    })?;
    Policy::parse(&file, &text)
}
