//! What others want of the loop: signals, the control socket, and whoever else may stop it.

use std::sync::mpsc::TryRecvError;

use lockgate_proto::now::Now;

use super::EventLoop;
use crate::control::ControlRequest;
use crate::machine::signals::{Signal, Signals};
use crate::report;

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
    }

    fn answer(&mut self, request: ControlRequest, now: Now) {
        let answer = match request.command.as_str() {
            "status" => report::status(&self.node, &self.facts(), now),
            other => serde_json::json!({ "error": format!("no such command: {other}") }),
        };
        // A client that has gone away needs no answer.
        let _ = request.reply.send(answer);
    }

    fn facts(&self) -> report::Facts {
        report::Facts {
            started: self.started,
            listen: self.network.udp.local_addr(),
            sends: self.network.batch.counters(),
            segmenting: self.network.batch.is_segmenting(&self.network.udp),
            endpoints: self
                .entrances
                .iter()
                .map(|entrance| (entrance.door, entrance.listener.endpoint().to_string()))
                .collect(),
        }
    }

    fn reload_policy(&mut self, now: Now) {
        let Some(reload) = &mut self.reload else { return };
        match reload() {
            Ok(rules) => {
                self.node.broker().replace_rules(rules, now.instant, &mut self.locals);
                tracing::info!("policy reloaded");
            }
            Err(mistakes) => {
                tracing::warn!("the policy is unusable; the last good one stays in force\n{mistakes}");
            }
        }
    }
}
