//! Which policy is in force, what its file has become since, and a candidate beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_proto::document::Mistake;
use lockgate_proto::now::Now;
use lockgate_proto::rules::Rules;
use serde_json::{Map, Value, json};

use super::EventLoop;
use super::study::{Due, Order, Outcome, Reply, Study};
use crate::node::Comparison;

/// Which policy is to be read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The one that the configuration names.
    Configured,
    /// A candidate.
    Candidate(&'a Path),
}

/// A policy that was read.
pub struct Fresh {
    /// What it compiles to.
    pub rules: Arc<Rules>,
    /// What is valid but probably not meant so, and what of this node's configuration it does not allow.
    pub warnings: Vec<Mistake>,
}

/// Reads policies for the loop, on a thread of its own.
pub struct Reload {
    /// The file that the configuration names.
    pub file: Option<PathBuf>,
    /// Reads one.
    pub read: Reader,
}

/// Reads a policy, or says every mistake in words.
pub type Reader = Box<dyn FnMut(Which<'_>) -> Result<Fresh, String> + Send>;

impl EventLoop {
    /// The file is to be read again, as after SIGHUP.
    pub(super) fn reload_policy(&mut self, now: Now) {
        if let Some(study) = &mut self.study {
            // A reload always finds its place.
            let _ = study.order(Order::Reload);
            self.settle_policy(now);
        }
    }

    /// Takes an order of the control socket; the answer comes when its turn has come.
    pub(super) fn order_policy(&mut self, order: Order, now: Now) {
        let Some(study) = &mut self.study else {
            let nothing = match &order {
                Order::Stage(..) => refusal("this node has no policy"),
                _ => nothing_staged(),
            };
            return order.answer(nothing);
        };
        if let Err(order) = study.order(order) {
            order.answer(refusal("too much is ordered at once\n  hint: try again"));
        }
        self.settle_policy(now);
    }

    /// `policy stage`: the candidate at `file`, an absolute path, is to be read.
    pub(super) fn order_stage(&mut self, arguments: &Map<String, Value>, reply: Reply, now: Now) {
        let file = arguments.get("file").and_then(Value::as_str).map(PathBuf::from);
        let refused = match file {
            None => refusal("stage wants a \"file\", which is a path"),
            Some(file) if !file.is_absolute() => {
                refusal("the \"file\" to be staged must be an absolute path")
            }
            Some(file) => return self.order_policy(Order::Stage(file, reply), now),
        };
        // A client that has gone away needs no answer.
        let _ = reply.send(refused);
    }

    /// Carries out every order whose turn has come.
    pub(super) fn settle_policy(&mut self, now: Now) {
        while let Some(due) = self.study.as_mut().and_then(Study::next) {
            let (reply, answer) = match due {
                Due::Read(Order::Stage(file, reply), outcome) => {
                    (reply, self.stage_policy(file, outcome, now))
                }
                Due::Read(_, outcome) => {
                    self.replace_policy(outcome, now);
                    continue;
                }
                Due::Plain(Order::Promote(reply)) => (reply, self.promote_policy(now)),
                Due::Plain(Order::Abort(reply)) => (reply, self.abort_policy(now)),
                Due::Plain(_) => continue,
            };
            // A client that has gone away needs no answer.
            let _ = reply.send(answer);
        }
    }

    /// The file was read again. What cannot be used changes nothing.
    fn replace_policy(&mut self, outcome: Outcome, now: Now) {
        match outcome {
            Ok(Fresh { rules, warnings }) => {
                tell(&warnings);
                self.node.replace_rules(rules, now, &mut self.locals);
                self.came_into_force(None, now);
                tracing::info!("policy reloaded");
                if let Some((file, _)) = &self.policy.staged {
                    let file = file.display();
                    tracing::info!(%file, "the candidate is still staged; its differences are counted anew");
                }
            }
            Err(mistakes) => {
                tracing::warn!("the policy is unusable; the last good one stays in force\n{mistakes}");
                let since = self.policy.bad.as_ref().map_or(now.instant, |(since, _)| *since);
                self.policy.bad = Some((since, mistakes));
            }
        }
    }

    /// `policy stage`: the candidate that was read from `file` is beside the policy in force.
    fn stage_policy(&mut self, file: PathBuf, outcome: Outcome, now: Now) -> Value {
        match outcome {
            Ok(Fresh { rules, warnings }) => {
                self.node.stage(rules, now);
                let shown = file.display().to_string();
                let replaced = self.policy.staged.replace((file, now.instant));
                tracing::info!(file = %shown, "candidate staged: judged beside the policy in force, decides nothing");
                let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
                json!({
                    "staged": shown,
                    "replaced": replaced.map(|(file, _)| file.display().to_string()),
                    "warnings": warnings,
                })
            }
            Err(mistakes) => refusal(&mistakes),
        }
    }

    /// `policy promote`: the candidate is the policy in force. No file is written.
    fn promote_policy(&mut self, now: Now) -> Value {
        let Some((file, _)) = self.policy.staged.take() else { return nothing_staged() };
        let seen = comparison(self.node.comparison());
        self.node.promote(now, &mut self.locals);
        tracing::info!(file = %file.display(), "candidate promoted: it is the policy in force");
        let promoted = file.display().to_string();
        self.came_into_force(Some(file), now);
        json!({
            "promoted": promoted,
            "file": self.policy.file.as_ref().map(|file| file.display().to_string()),
            "seen": seen,
        })
    }

    /// `policy abort`: the candidate is forgotten.
    fn abort_policy(&mut self, now: Now) -> Value {
        let Some((file, _)) = self.policy.staged.take() else { return nothing_staged() };
        let seen = comparison(self.node.comparison());
        self.node.abort(now);
        tracing::info!(file = %file.display(), "candidate forgotten");
        json!({ "aborted": file.display().to_string(), "seen": seen })
    }

    fn came_into_force(&mut self, promoted: Option<PathBuf>, now: Now) {
        self.policy.since = now.instant;
        // A promoted policy says nothing about the file on disk.
        if promoted.is_none() {
            self.policy.bad = None;
        }
        self.policy.promoted = promoted;
    }
}

fn tell(warnings: &[Mistake]) {
    for warning in warnings {
        tracing::warn!("{}", warning.to_string().replacen("error:", "warning:", 1));
    }
}

fn comparison(comparison: Option<Comparison<'_>>) -> Value {
    let comparison = comparison.unwrap_or_default();
    json!({ "newly_denied": comparison.newly_denied, "newly_allowed": comparison.newly_allowed })
}

fn refusal(reason: &str) -> Value {
    json!({ "error": reason })
}

fn nothing_staged() -> Value {
    refusal("no candidate is staged\n  hint: stage one:  lockgate policy stage FILE")
}

#[cfg(test)]
mod tests;
