//! `check`: the configuration and the policy together, before a start.

use serde_json::json;

use lockgate_proto::document::Mistake;

use super::{Failure, mistaken, print};
use crate::cli::Common;
use crate::config;

/// Reads everything that `up` would, and reports every mistake at once.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let loaded = config::load(&common.config);
    if common.json {
        let (mistakes, warnings) = match &loaded {
            Ok(loaded) => (&[][..], &loaded.warnings[..]),
            Err(mistakes) => (&mistakes[..], &[][..]),
        };
        print(json!({ "ok": loaded.is_ok(), "mistakes": list(mistakes), "warnings": list(warnings) }))?;
        return match loaded {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Reported),
        };
    }
    let loaded = loaded.map_err(|mistakes| mistaken(&mistakes))?;
    for warning in &loaded.warnings {
        print(as_warning(warning))?;
    }
    let config = &loaded.config;
    let (peers, offers, uses) = (config.peers.len(), config.offers.len(), config.uses.len());
    print(format!("{}: ok: {peers} peers, {offers} offers, {uses} uses", config.file))
}

/// A mistake that is none yet.
pub(super) fn as_warning(mistake: &Mistake) -> String {
    mistake.to_string().replacen("error:", "warning:", 1)
}

fn list(mistakes: &[Mistake]) -> Vec<serde_json::Value> {
    let all = mistakes.iter().map(|mistake| {
        json!({
            "file": mistake.file,
            "line": mistake.line,
            "key": mistake.key,
            "problem": mistake.problem,
            "mend": mistake.mend,
        })
    });
    all.collect()
}
