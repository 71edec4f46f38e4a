//! Which policy is in force, what its file has become since, and a candidate beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_proto::document::Mistake;
use lockgate_proto::now::Now;
use lockgate_proto::rules::Rules;
use serde_json::{Map, Value, json};

use super::EventLoop;
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

/// Reads policies for the loop.
pub struct Reload {
    /// The file that the configuration names.
    pub file: Option<PathBuf>,
    /// Reads one.
    pub read: Reader,
}

/// Reads a policy, or says every mistake in words.
pub type Reader = Box<dyn FnMut(Which<'_>) -> Result<Fresh, String> + Send>;

impl EventLoop {
    /// Reads the file again, as after SIGHUP. What cannot be used changes nothing.
    pub(super) fn reload_policy(&mut self, now: Now) {
        let Some(reload) = self.reload.as_mut().filter(|reload| reload.file.is_some()) else { return };
        match (reload.read)(Which::Configured) {
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

    /// `policy stage`: reads the candidate at `file`, an absolute path, and puts it beside the policy in force.
    pub(super) fn stage_policy(&mut self, arguments: &Map<String, Value>, now: Now) -> Value {
        let Some(file) = arguments.get("file").and_then(Value::as_str).map(PathBuf::from) else {
            return refusal("stage wants a \"file\", which is a path");
        };
        if !file.is_absolute() {
            return refusal("the \"file\" to be staged must be an absolute path");
        }
        let Some(reload) = &mut self.reload else { return refusal("this node has no policy") };
        match (reload.read)(Which::Candidate(&file)) {
            Ok(Fresh { rules, warnings }) => {
                self.node.stage(rules, now);
                let replaced = self.policy.staged.replace((file.clone(), now.instant));
                let file = file.display().to_string();
                tracing::info!(%file, "candidate staged: judged beside the policy in force, decides nothing");
                let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
                json!({
                    "staged": file,
                    "replaced": replaced.map(|(file, _)| file.display().to_string()),
                    "warnings": warnings,
                })
            }
            Err(mistakes) => refusal(&mistakes),
        }
    }

    /// `policy promote`: the candidate is the policy in force. No file is written.
    pub(super) fn promote_policy(&mut self, now: Now) -> Value {
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
    pub(super) fn abort_policy(&mut self, now: Now) -> Value {
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
