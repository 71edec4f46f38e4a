//! What others want of the loop: signals, the control socket, and whoever else may stop it.

use std::sync::mpsc::TryRecvError;

use lockgate_proto::now::Now;

use super::EventLoop;
use super::link::Link;
use super::study::Order;
use crate::control::ControlRequest;
use crate::machine::signals::{Signal, Signals};
use crate::report;
use crate::uapi::server::{UapiRequest, UapiServer};
use crate::uapi::{Change, Errno, Report};

impl EventLoop {
    /// Signals, the control socket, and whoever else may stop this loop.
    pub(super) fn obey(&mut self, now: Now) {
        while let Some(signal) = self.signals.as_ref().and_then(Signals::take) {
            match signal {
                Signal::Stop => match &mut self.stopping {
                    Some(stopping) => stopping.hurry(now.instant),
                    None => self.begin_stop(now),
                },
                Signal::Reload => self.reload_policy(now),
            }
        }
        if let Some(stop) = &self.stop
            && !matches!(stop.try_recv(), Err(TryRecvError::Empty))
        {
            self.begin_stop(now);
        }
        while let Some(request) = self.control.as_ref().and_then(|control| control.requests.try_recv().ok()) {
            self.answer(request, now);
        }
        // What was being read meanwhile.
        self.settle_policy(now);
        while let Some(request) = self.uapi.as_ref().and_then(|uapi| uapi.requests.try_recv().ok()) {
            self.answer_wg(request, now);
        }
        if self.uapi.as_ref().is_some_and(UapiServer::is_gone) {
            self.begin_stop(now);
        }
    }

    /// What `wg` asks or wants. A client that has gone away needs no answer.
    fn answer_wg(&mut self, request: UapiRequest, now: Now) {
        match request {
            UapiRequest::Get { reply } => {
                let follow = self.link.as_ref().and_then(|link| link.follow);
                let listen_port = self.network.port().or(follow).unwrap_or(0);
                let report = Report { listen_port, fwmark: self.network.mark(), ..self.node.settings() };
                let _ = reply.send(report);
            }
            UapiRequest::Set { changes, reply } => {
                let outcome = changes.into_iter().try_for_each(|change| self.set(change, now));
                let _ = reply.send(outcome);
            }
        }
    }

    fn set(&mut self, change: Change, now: Now) -> Result<(), Errno> {
        match change {
            Change::ListenPort(port) => {
                let was_open = self.network.port().is_some();
                if self.link.as_ref().is_some_and(Link::is_up) {
                    self.network.open(port, self.locals.poller()).map_err(|error| {
                        tracing::warn!(%error, "the port stays as it was");
                        Errno::AddressInUse
                    })?;
                    if !was_open {
                        self.node.resume(now);
                    }
                    self.keep_port();
                } else if let Some(link) = &mut self.link {
                    link.follow = Some(port);
                }
            }
            Change::Fwmark(mark) => {
                self.network.set_mark(mark).map_err(|error| {
                    tracing::warn!(%error, "the mark stays as it was");
                    Errno::Invalid
                })?;
                // With another mark another way out may be the right one.
                self.node.forget_sources();
            }
            other => self.node.apply(other, now),
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, request: ControlRequest, now: Now) {
        // Its client has left, or was told that there was no answer in time: it must not happen after all.
        if request.reply.is_closed() {
            return;
        }
        let ControlRequest { command, arguments, reply, .. } = match request.command.as_str() {
            "ping" => return self.ping(request, now),
            "observe" => return self.observe(request, now),
            _ => request,
        };
        let answer = match command.as_str() {
            "status" => report::status(&self.node, &self.facts(), now),
            "may" => report::may(&self.node, &arguments),
            "stage" => return self.order_stage(&arguments, reply, now),
            "promote" => return self.order_policy(Order::Promote(reply), now),
            "abort" => return self.order_policy(Order::Abort(reply), now),
            other => serde_json::json!({ "error": format!("no such command: {other}") }),
        };
        // A client that has gone away needs no answer.
        let _ = reply.send(answer);
    }

    fn facts(&self) -> report::Facts {
        report::Facts {
            started: self.started,
            listen: self.network.local_addr(),
            counters: self.network.counters(),
            segmenting: self.network.is_segmenting(),
            tun: self.inside.as_ref().map(|inside| inside.facts()),
            path_mtus: self.node.endpoints().map(|(_, endpoint)| self.network.path_mtu(endpoint?)).collect(),
            policy: self.policy.clone(),
            endpoints: self
                .entrances
                .iter()
                .map(|entrance| (entrance.door, entrance.listener.endpoint().to_string()))
                .collect(),
        }
    }
}
