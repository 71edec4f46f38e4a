//! Everything that a node starts from, read at once, with every mistake in any of the files.

use std::path::Path;

use lockgate_proto::document::{MAX_TEXT, Mistake, Mistakes};
use lockgate_proto::keys::{PresharedKey, PrivateKey};
use lockgate_proto::policy::{Allow, Capability, Policy, TagExpr, Target};
use lockgate_proto::rules::Rules;

use super::{Config, Peer, check};
use crate::machine::files::{self, FileError};

/// What a node starts from.
pub struct Loaded {
    /// `lockgate.toml`.
    pub config: Config,
    /// `policy.toml`, if one is named.
    pub policy: Option<Policy>,
    /// The policy compiled as generation 1; without one, the rules that deny everything.
    pub rules: Rules,
    /// This node's private key.
    pub identity: PrivateKey,
    /// The preshared keys: one place for each of `config.peers`, in that order.
    pub preshared_keys: Vec<Option<PresharedKey>>,
    /// What is valid but probably not meant so, in either file.
    pub warnings: Vec<Mistake>,
}

/// Reads the configuration at `path`, the keys and the policy that it names, and checks them against each other.
///
/// # Errors
/// Every mistake in any of them: first the configuration's, then the policy's.
pub fn load(path: &Path) -> Result<Loaded, Vec<Mistake>> {
    let file = path.display().to_string();
    let text = files::read_text(path, MAX_TEXT as u64).map_err(|error| no_config(&file, path, &error))?;
    let base = path.parent().unwrap_or(Path::new(""));
    let (config, mut mistakes) = Config::read(&file, &text, base);
    let Some(config) = config else {
        return Err(mistakes.into_list());
    };
    // What a mistaken configuration means is uncertain, so it is not held against the policy.
    let is_whole = mistakes.is_empty();
    let identity = identity(&config, &mut mistakes);
    let preshared_keys = preshared_keys(&config, &mut mistakes);
    let policy = policy(&config, &mut mistakes);
    let mut found = mistakes.into_list();
    let policy = match policy {
        Read::Whole(policy) => {
            if is_whole {
                found.extend(check(&config, &policy));
            }
            Some(*policy)
        }
        Read::Mistaken(mistakes) => {
            found.extend(mistakes);
            None
        }
        Read::None => None,
    };
    match identity {
        Some(identity) if found.is_empty() => Ok(Loaded {
            warnings: warnings(&config, policy.as_ref()),
            rules: policy.as_ref().map_or_else(Rules::nothing, |policy| Rules::compile(policy, 1)),
            config,
            policy,
            identity,
            preshared_keys,
        }),
        _ => Err(found),
    }
}

/// Reads the configuration at `path` alone, for verbs that only need to know where things are.
///
/// # Errors
/// Its mistakes.
pub fn read(path: &Path) -> Result<Config, Vec<Mistake>> {
    let file = path.display().to_string();
    let text = files::read_text(path, MAX_TEXT as u64).map_err(|error| no_config(&file, path, &error))?;
    Config::parse(&file, &text, path.parent().unwrap_or(Path::new("")))
}

fn no_config(file: &str, path: &Path, error: &FileError) -> Vec<Mistake> {
    let mut mistakes = Mistakes::new(file);
    let mend = match error {
        FileError::Missing => {
            "name the configuration with  -c FILE , or let  `lockgate init`  write one".to_owned()
        }
        other => other.mend(path),
    };
    mistakes.note(0, "", format!("the file {error}"), mend);
    mistakes.into_list()
}

fn identity(config: &Config, mistakes: &mut Mistakes) -> Option<PrivateKey> {
    let line = config.lines.key;
    if config.key.as_os_str().is_empty() {
        return None;
    }
    let text = files::read_secret(&config.key);
    let text = text.map_err(|error| note_key(&error, &config.key, line, "node.key", mistakes)).ok()?;
    let Ok(identity) = PrivateKey::from_base64(text.trim()) else {
        note_bad_key(&config.key, line, "node.key", mistakes);
        return None;
    };
    let public = identity.public();
    for peer in config.peers.iter().filter(|peer| peer.public_key == public) {
        let problem = format!("the peer {} has the public key of this node itself", peer.name);
        let mend =
            "write the key that  `lockgate pubkey`  prints on the peer; each node has a key of its own";
        mistakes.note(peer.lines.public_key, "peer.public_key", problem, mend);
    }
    Some(identity)
}

fn preshared_keys(config: &Config, mistakes: &mut Mistakes) -> Vec<Option<PresharedKey>> {
    let read = |peer: &Peer| preshared_key(peer, mistakes);
    config.peers.iter().map(read).collect()
}

fn preshared_key(peer: &Peer, mistakes: &mut Mistakes) -> Option<PresharedKey> {
    let (line, key) = (peer.lines.preshared_key, "peer.preshared_key");
    let path = peer.preshared_key.as_ref()?;
    let text = files::read_secret(path).map_err(|error| note_key(&error, path, line, key, mistakes)).ok()?;
    PresharedKey::from_base64(text.trim()).map_err(|_| note_bad_key(path, line, key, mistakes)).ok()
}

fn note_key(error: &FileError, path: &Path, line: usize, key: &str, mistakes: &mut Mistakes) {
    let mend = match error {
        FileError::Missing => format!("make one:  lockgate keygen {}", path.display()),
        other => other.mend(path),
    };
    mistakes.note(line, key, error.problem(path), mend);
}

/// The text of the file is not repeated: it may be most of a key.
fn note_bad_key(path: &Path, line: usize, key: &str, mistakes: &mut Mistakes) {
    let problem = format!("{} holds no key: 44 characters of base64 are wanted", path.display());
    mistakes.note(
        line,
        key,
        problem,
        format!("move it away and make one:  lockgate keygen {}", path.display()),
    );
}

/// How reading the policy went.
enum Read {
    None,
    Mistaken(Vec<Mistake>),
    Whole(Box<Policy>),
}

fn policy(config: &Config, mistakes: &mut Mistakes) -> Read {
    let Some(path) = &config.policy else {
        return Read::None;
    };
    match files::read_text(path, MAX_TEXT as u64) {
        Ok(text) => Policy::parse(&path.display().to_string(), &text)
            .map_or_else(Read::Mistaken, |policy| Read::Whole(Box::new(policy))),
        Err(error) => {
            let mend = match &error {
                FileError::Missing => {
                    "write it  (`lockgate init` writes an example), or correct the path".to_owned()
                }
                other => other.mend(path),
            };
            mistakes.note(config.lines.policy, "node.policy", error.problem(path), mend);
            Read::None
        }
    }
}

fn warnings(config: &Config, policy: Option<&Policy>) -> Vec<Mistake> {
    let of_policy = policy.map_or(&[][..], |policy| &policy.warnings);
    let idle = policy.and_then(|policy| idle_interface(config, policy));
    config.warnings.iter().chain(of_policy).cloned().chain(idle).collect()
}

/// An interface that no rule lets a packet cross: whoever wrote `[tun]` will wonder.
fn idle_interface(config: &Config, policy: &Policy) -> Option<Mistake> {
    let tun = config.tun.as_ref()?;
    let is = |set: &TagExpr, name: &str| policy.node(name).is_some_and(|tags| set.matches(name, tags));
    let lets_pass = |allow: &Allow| {
        let Target::Packets(target) = &allow.to else { return false };
        let from_to = |from: &str, to: &str| is(&allow.from, from) && is(&target.to, to);
        config.peers.iter().any(|peer| from_to(&config.name, &peer.name) || from_to(&peer.name, &config.name))
    };
    // Flow rules and capabilities are not compared with the peers: they may let something pass.
    let is_packets = |capability: &Capability| matches!(capability.to, Target::Packets(_));
    let may_pass = policy.rules.is_some() || policy.capabilities.iter().any(is_packets);
    if may_pass || policy.allows.iter().any(lets_pass) {
        return None;
    }
    let mut warnings = Mistakes::new(&config.file);
    let problem = format!("{} lets no IP packet pass between this node and its peers", policy.file);
    let mend = "add an [[allow]] there with  to = \"role=… tcp:22\" , or leave [tun] out";
    warnings.note(tun.lines.name, "tun", problem, mend);
    warnings.into_list().pop()
}
