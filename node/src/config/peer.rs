//! `[[peer]]`: a node at the other end of a tunnel.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lockgate_proto::document::{Table, parse_duration, quoted};
use lockgate_proto::keys::PublicKey;

use super::prefix::parse;
use super::{Prefix, Reader};

/// A peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name, as the policy calls it.
    pub name: String,
    /// Where its keys stand in the file.
    pub lines: PeerLines,
    /// Its public key.
    pub public_key: PublicKey,
    /// Where it can be called; `None` where it calls us.
    pub endpoint: Option<SocketAddr>,
    /// Its overlay addresses; at least one.
    pub addresses: Vec<Prefix>,
    /// How often to send something when there is nothing to send: 1 s to 65535 s.
    pub keepalive: Option<Duration>,
    /// Where the key is that both share beforehand.
    pub preshared_key: Option<PathBuf>,
}

/// Lines of a `[[peer]]`, counted from 1; the section's own for what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerLines {
    /// Of `name`.
    pub name: usize,
    /// Of `public_key`.
    pub public_key: usize,
    /// Of `preshared_key`.
    pub preshared_key: usize,
    /// Of `addresses`.
    pub addresses: usize,
}

/// A peer that is known by name, and whole if nothing in it is wrong.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) whole: Option<Peer>,
}

impl Reader<'_> {
    /// Reads every `[[peer]]`.
    pub(super) fn peers(&mut self, root: &Table, own_name: &str, own: &[IpAddr]) -> Vec<Draft> {
        let mut taken = Taken::default();
        let tables = root.tables("peer", self.mistakes);
        let drafts: Vec<Draft> =
            tables.into_iter().map(|table| self.peer(table, own_name, own, &mut taken)).collect();
        if drafts.is_empty() {
            let mend = "add a [[peer]] with name, public_key and addresses";
            self.warnings.note(0, "peer", "no peer: this node has nobody to talk to", mend);
        }
        drafts
    }

    fn peer(&mut self, table: &Table, own_name: &str, own: &[IpAddr], taken: &mut Taken) -> Draft {
        table.only(&KNOWN, self.mistakes);
        let name = self.name(table, "write  name = \"edge-south\" , as the policy calls the peer");
        if let Some(name) = &name {
            if name == own_name {
                let mend = "remove this [[peer]], or correct [node] name";
                table.note("name", format!("{} is this node itself", quoted(name)), mend, self.mistakes);
            }
            self.once(table, "name", &mut taken.names, name.clone());
        }
        let public_key = self.public_key(table, taken);
        let endpoint = self.endpoint(table, taken);
        let addresses = self.prefixes(table, own, taken);
        let keepalive = self.keepalive(table);
        let preshared_key = self.secret_path(table, "preshared_key", None);
        let whole = name.clone().zip(public_key).map(|(name, public_key)| Peer {
            name,
            lines: PeerLines {
                name: table.line_of("name"),
                public_key: table.line_of("public_key"),
                preshared_key: table.line_of("preshared_key"),
                addresses: table.line_of("addresses"),
            },
            public_key,
            endpoint,
            addresses,
            keepalive,
            preshared_key,
        });
        Draft { name: name.unwrap_or_default(), whole }
    }

    fn public_key(&mut self, table: &Table, taken: &mut Taken) -> Option<PublicKey> {
        let mend = "write the line that  `lockgate pubkey`  prints on that node";
        if !table.require("public_key", mend, self.mistakes) {
            return None;
        }
        let text = table.text("public_key", self.mistakes)?;
        // The text is not repeated: somebody may have pasted a private key.
        let Ok(key) = PublicKey::from_base64(text.value) else {
            table.note(
                "public_key",
                "this is no key: 44 characters of base64 are wanted",
                mend,
                self.mistakes,
            );
            return None;
        };
        if key.is_low_order() {
            let problem = "this key is of low order: anyone can read what is sealed to it";
            table.note("public_key", problem, mend, self.mistakes);
            return None;
        }
        let line = text.line;
        if let Some(first) = taken.keys.iter().find(|(_, known)| *known == key).map(|(line, _)| *line) {
            let problem = format!("two peers with one key: the other is in line {first}");
            table.note(
                "public_key",
                problem,
                "each node has a key of its own; correct one of the two",
                self.mistakes,
            );
        }
        taken.keys.push((line, key));
        Some(key)
    }

    fn endpoint(&mut self, table: &Table, taken: &mut Taken) -> Option<SocketAddr> {
        let wanted = "an IP address and a port, as in \"198.51.100.7:51820\"";
        let endpoint = table.parsed("endpoint", wanted, |text| text.parse().ok(), self.mistakes)?.value;
        let endpoint: SocketAddr = endpoint;
        if endpoint.port() == 0 || endpoint.ip().is_unspecified() || endpoint.ip().is_multicast() {
            let problem = format!("nobody can be called at {endpoint}");
            table.note("endpoint", problem, format!("write {wanted}, or leave it out"), self.mistakes);
            return None;
        }
        self.once(table, "endpoint", &mut taken.endpoints, endpoint);
        Some(endpoint)
    }

    fn prefixes(&mut self, table: &Table, own: &[IpAddr], taken: &mut Taken) -> Vec<Prefix> {
        let mend = "write  addresses = [\"10.77.0.12\"] , the overlay addresses of the peer";
        if !table.require("addresses", mend, self.mistakes) {
            return Vec::new();
        }
        let Some(texts) = table.texts("addresses", self.mistakes) else {
            return Vec::new();
        };
        if texts.is_empty() {
            table.note("addresses", "no valid address is listed", mend, self.mistakes);
        }
        let mut prefixes = Vec::new();
        for text in texts {
            match parse(text.value) {
                Err((problem, mend)) => {
                    let problem = format!("{} {problem}", quoted(text.value));
                    self.mistakes.note(text.line, "peer.addresses", problem, mend);
                }
                Ok(prefix) => {
                    if own.iter().any(|own| prefix.is_just(*own)) {
                        let problem = format!("{prefix} is the address of this node itself");
                        self.mistakes.note(
                            text.line,
                            "peer.addresses",
                            problem,
                            "give the peer an address of its own",
                        );
                    }
                    self.once(table, "addresses", &mut taken.addresses, prefix);
                    prefixes.push(prefix);
                }
            }
        }
        prefixes
    }

    fn keepalive(&mut self, table: &Table) -> Option<Duration> {
        let keepalive =
            table.parsed("keepalive", "a time, as in \"25s\"", parse_duration, self.mistakes)?.value;
        // WireGuard counts it in seconds, in 16 bits.
        if !(1..=u64::from(u16::MAX)).contains(&keepalive.as_secs()) || keepalive.subsec_nanos() != 0 {
            let mend = "write whole seconds from \"1s\" to \"65535s\", or leave it out";
            table.note("keepalive", "the time is out of range", mend, self.mistakes);
            return None;
        }
        Some(keepalive)
    }

    /// Notes a value that an earlier peer has.
    fn once<T: Ord + Display>(&mut self, table: &Table, key: &str, taken: &mut BTreeMap<T, usize>, value: T) {
        let line = table.line_of(key);
        if let Some(first) = taken.get(&value) {
            let what = key.trim_end_matches("es");
            let problem = format!("two peers with one {what}: {value} is in line {first} already");
            table.note(key, problem, "correct one of the two", self.mistakes);
            return;
        }
        taken.insert(value, line);
    }
}

/// What earlier peers have, and in which line.
#[derive(Default)]
struct Taken {
    names: BTreeMap<String, usize>,
    keys: Vec<(usize, PublicKey)>,
    endpoints: BTreeMap<SocketAddr, usize>,
    addresses: BTreeMap<Prefix, usize>,
}

const KNOWN: [&str; 6] = ["name", "public_key", "endpoint", "addresses", "keepalive", "preshared_key"];
