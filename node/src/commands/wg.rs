//! `wg`: one interface, driven by `wg` and `wg-quick` through its configuration socket, for any WireGuard peer.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use lockgate_proto::document::MAX_TEXT;
use lockgate_proto::program::{Action, Entry, Test};
use lockgate_proto::rules::Rules;
use lockgate_proto::script::{Dialect, Options, Script};

use super::up::{UDP_PAYLOAD, link_mtu, usual_spin};
use super::{Failure, out_of, plain};
use crate::cli::Wg;
use crate::event_loop::{EventLoop, Interface, Parts};
use crate::machine::clock::Clock;
use crate::machine::daemon::{self, Inherited, Output};
use crate::machine::locals::Locals;
use crate::machine::netlink::Monitor;
use crate::machine::poller::Poller;
use crate::machine::signals::Signals;
use crate::machine::tun::Tun;
use crate::machine::unix::UnixSocket;
use crate::machine::{entropy, files, host};
use crate::node::{Gate, Ingredients, Node};
use crate::uapi::server::{self, FOLDER, Patience};

/// Runs the interface until it or its socket is deleted, or a signal comes; in the background unless told otherwise.
pub(super) fn run(options: &Wg) -> Result<(), Failure> {
    host::raise_descriptor_limit();
    // Before anything that holds a key; what was inherited is looked up first, where a hidden process might not look.
    let Inherited { tun, uapi, ready } = Inherited::take().map_err(plain)?;
    host::hide_memory();
    let gate = gate(options)?;
    if options.foreground || daemon::wants_foreground() {
        let started = open(options, tun, uapi).and_then(|(tun, socket)| assemble(gate, tun, socket));
        return match (started, ready) {
            (Ok(event_loop), ready) => {
                if let Some(ready) = ready {
                    ready.at_work();
                }
                serve(event_loop, &options.interface)
            }
            (Err(failure), ready) => {
                if let Some(ready) = ready {
                    ready.gave_up(&failure.to_string());
                }
                Err(failure)
            }
        };
    }
    let (tun, socket) = open(options, tun, uapi)?;
    let descriptor = socket.duplicate().map_err(out_of)?;
    daemon::start(tun.as_fd(), descriptor.as_fd(), Output::from_env()).map_err(plain)?;
    socket.hand_over();
    Ok(())
}

fn serve(event_loop: EventLoop, interface: &str) -> Result<(), Failure> {
    tracing::info!(interface, "ready");
    event_loop.run().map_err(|error| Failure::failed(format!("the event loop failed: {error}"), ""))?;
    tracing::info!(interface, "stopped");
    Ok(())
}

/// What judges the packets: everything, the rules, or nothing passes.
fn gate(options: &Wg) -> Result<Gate, Failure> {
    if options.allow_all {
        return Ok(Gate::Open);
    }
    let Some(path) = &options.rules else {
        tracing::warn!(
            "no rules: no packet passes (--allow-all passes all of them, --rules FILE what it accepts)"
        );
        return Ok(Gate::Shut);
    };
    let text = files::read_text(path, MAX_TEXT as u64)
        .map_err(|error| Failure::failed(error.problem(path), error.mend(path)))?;
    let file = path.display().to_string();
    let script = compile(&text, &file).map_err(|mistakes| {
        Failure::failed(mistakes.join("\n"), "no packet passes before the rules are right")
    })?;
    for warning in &script.warnings {
        tracing::warn!("{file}:{warning}");
    }
    Ok(Gate::script(&script, entropy::seed()))
}

/// The rules of a file, or each mistake in it.
fn compile(text: &str, file: &str) -> Result<Script, Vec<String>> {
    let script = Script::compile(text, &Options::new(file, Dialect::Lockgate))
        .map_err(|mistakes| mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect::<Vec<_>>())?;
    let mistakes = nameless(&script);
    if mistakes.is_empty() { Ok(script) } else { Err(mistakes) }
}

/// The rules that ask for what nobody has here. They would not only never hold: behind `not` they let everything pass.
fn nameless(script: &Script) -> Vec<String> {
    let lists = script.capabilities.iter().map(|capability| &capability.rules);
    let mut mistakes = Vec::new();
    for rule in std::iter::once(&script.rules).chain(lists).flat_map(|list| {
        let rules = list.entries().split_inclusive(|entry| matches!(entry, Entry::Act(_)));
        rules.collect::<Vec<_>>()
    }) {
        let Some(Entry::Act(act)) = rule.last() else { continue };
        for (word, problem) in rule.iter().filter_map(unknown_here) {
            let place = format!("{}:{}", act.rule.file, act.rule.line);
            mistakes.push(format!("{place}: {word}: {problem}"));
        }
    }
    mistakes
}

/// A word that asks for what nobody has here, and why nobody has it.
fn unknown_here(entry: &Entry) -> Option<(&'static str, &'static str)> {
    let (word, problem) = match entry {
        Entry::Match { test, .. } => match test {
            Test::SourceNode(_) => ("ztsrc", NO_NAMES),
            Test::DestinationNode(_) => ("ztdest", NO_NAMES),
            Test::From(_) => ("from", NO_NAMES),
            Test::To(_) => ("to", NO_NAMES),
            Test::Tag { .. } => ("a test of tags", NO_TAGS),
            Test::Zmq(_) => ("zmq", NO_BROKER),
            _ => return None,
        },
        Entry::Act(act) => match act.action {
            Action::Tee(_) => ("tee", NO_NAMES),
            Action::Watch(_) => ("watch", NO_NAMES),
            Action::Redirect(_) => ("redirect", NO_NAMES),
            Action::Accept | Action::Drop | Action::Break | Action::Log => return None,
        },
        Entry::Open { .. } | Entry::Close => return None,
    };
    Some((word, problem))
}

/// The device and the socket: those that were handed over, or new ones.
fn open(options: &Wg, tun: Option<OwnedFd>, socket: Option<OwnedFd>) -> Result<(Tun, UnixSocket), Failure> {
    let tun = match tun {
        Some(descriptor) => Tun::from_fd(descriptor).map_err(plain)?,
        None => Tun::create(&options.interface).map_err(plain)?,
    };
    let socket = match socket {
        Some(descriptor) => UnixSocket::adopt(descriptor).map_err(|error| {
            Failure::failed(format!("WG_UAPI_FD is no listening socket: {error}"), "unset it")
        })?,
        None => server::bind(Path::new(FOLDER), tun.name()).map_err(plain)?,
    };
    Ok((tun, socket))
}

fn assemble(gate: Gate, tun: Tun, socket: UnixSocket) -> Result<EventLoop, Failure> {
    let clock = Clock::start();
    let poller = Poller::new().map_err(out_of)?;
    let waker = poller.waker();
    let uapi = server::serve(socket, waker.clone(), Patience::default()).map_err(plain)?;
    let signals = Signals::catch(waker).map_err(out_of)?;
    let monitor =
        Monitor::open().inspect_err(|error| tracing::debug!(%error, "the interface is asked instead")).ok();
    let ingredients = Ingredients {
        name: tun.name().into(),
        identity: None,
        addresses: Vec::new(),
        gate,
        randomness: entropy::randomness(),
        peers: Vec::new(),
        offers: Vec::new(),
        uses: Vec::new(),
        rules: Arc::new(Rules::nothing()),
        link_mtu: link_mtu(UDP_PAYLOAD),
        base: clock.std_base(),
    };
    let node = Node::new(ingredients, clock.now())
        .map_err(|(peer, error)| Failure::failed(format!("peer {peer}: {error}"), ""))?;
    let parts = Parts {
        node,
        clock,
        udp: None,
        tun: Some(Interface { tun, monitor, follow: Some(0), restore: None }),
        locals: Locals::new(poller, Vec::new()),
        entrances: Vec::new(),
        control: None,
        uapi: Some(uapi),
        signals: Some(signals),
        stop: None,
        spin: usual_spin(),
        tap: None,
        reload: None,
    };
    EventLoop::new(parts).map_err(out_of)
}

const NO_NAMES: &str =
    "nodes have no names or tags under `lockgate wg`; write their addresses (ipsrc, ipdest)";
const NO_TAGS: &str = "nodes have no tags under `lockgate wg`; write their addresses (ipsrc, ipdest)";
const NO_BROKER: &str =
    "`lockgate wg` has no broker that reads messages; use `lockgate up`, or ask for packets (zmtp)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_ask_for_names_and_tags_are_refused_at_their_line() {
        let tag = "tag role id 1 default 1;\n";
        for (rule, word) in [
            ("accept not from role=gw;", "from"),
            ("accept dport 22 or not to node=a;", "to"),
            ("accept not ztsrc a;", "ztsrc"),
            ("cap c id 1 default accept not ztdest a; ;", "ztdest"),
            ("accept ( dport 22 or not teq role 1 );", "a test of tags"),
            ("tee -1 a;", "tee"),
            ("watch 64 a dport 22;", "watch"),
            ("redirect a dport 22;", "redirect"),
            ("accept zmq service telemetry;", "zmq"),
        ] {
            let mistakes = compile(&format!("{tag}{rule}"), "wg0.rules").expect_err(rule);
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with(&format!("wg0.rules:2: {word}: ")), "{mistakes:?}");
            assert!(mistakes[0].contains("; "), "it says what to write instead: {mistakes:?}");
        }
        let fine = "accept ipsrc 10.7.0.1/32 and dport 22 and zmtp; cap c id 1 default accept established; ; log as x;";
        assert!(compile(fine, "wg0.rules").is_ok());
    }
}
