//! The configuration of one host as its operator wrote it (`lockgate.toml`).
//!
//! Reading tells every mistake at once; [`load()`] adds the mistakes of the policy, of the key files, and those that
//! show only when both files are seen together ([`check()`]).

mod check;
mod endpoint;
mod load;
mod peer;
mod prefix;
mod services;
mod tun;

pub use crate::machine::apps::Endpoint;
pub use check::check;
pub use load::{Loaded, load, read};
pub use peer::{Peer, PeerLines};
pub use services::{Offer, Place, Use};
pub use tun::{Tun, TunLines};

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockgate_proto::document::{self, Mistake, Mistakes, Table, parse_duration, quoted};
use lockgate_proto::keys::PublicKey;
pub use lockgate_proto::prefix::Prefix;

/// A valid configuration. Paths are absolute, or relative to the folder that [`Config::parse`] was given.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the operator named it.
    pub file: String,
    /// The name of this node.
    pub name: String,
    /// Where its private key is.
    pub key: PathBuf,
    /// Its overlay addresses; at least one.
    pub addresses: Vec<IpAddr>,
    /// Where it receives tunnel datagrams (UDP).
    pub listen: SocketAddr,
    /// Where the policy is; without one nothing passes.
    pub policy: Option<PathBuf>,
    /// Where the control socket goes, if not to its usual place.
    pub control: Option<PathBuf>,
    /// How long the event loop looks for work before it sleeps; zero is not at all, `None` the default.
    pub spin: Option<Duration>,
    /// The interface for IP packets; without one only messages cross.
    pub tun: Option<Tun>,
    /// The nodes it keeps tunnels to.
    pub peers: Vec<Peer>,
    /// What applications here offer.
    pub offers: Vec<Offer>,
    /// What applications here use.
    pub uses: Vec<Use>,
    /// Where the keys of `[node]` stand, for messages.
    pub lines: NodeLines,
    /// What is valid but probably not meant so.
    pub warnings: Vec<Mistake>,
}

/// Lines of the configuration, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeLines {
    /// Of `name`.
    pub name: usize,
    /// Of `key`.
    pub key: usize,
    /// Of `policy`.
    pub policy: usize,
}

impl Config {
    /// Reads a configuration. `file` is the name to use in messages; relative paths in it start at the folder `base`.
    ///
    /// # Errors
    /// Every mistake in `text`, in the order of the file; never an empty list.
    pub fn parse(file: &str, text: &str, base: &Path) -> Result<Self, Vec<Mistake>> {
        match Self::read(file, text, base) {
            (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
            (_, mistakes) => Err(mistakes.into_list()),
        }
    }

    /// As [`Config::parse`], but with what could be read in spite of mistakes, to look for more in other files.
    fn read(file: &str, text: &str, base: &Path) -> (Option<Self>, Mistakes) {
        let mut mistakes = Mistakes::new(file);
        let mut warnings = Mistakes::new(file);
        let root = document::parse(text, &mut mistakes);
        let mut reader = Reader { base, mistakes: &mut mistakes, warnings: &mut warnings };
        let config = root.and_then(|root| reader.config(file, &root));
        let warnings = warnings.into_list();
        let config = config.map(|config| Self { warnings, ..config });
        (config, mistakes)
    }
}

/// Reads the sections; what is missing or wrong is noted, and the rest is read all the same.
struct Reader<'r> {
    base: &'r Path,
    mistakes: &'r mut Mistakes,
    warnings: &'r mut Mistakes,
}

impl Reader<'_> {
    fn config(&mut self, file: &str, root: &Table) -> Option<Config> {
        if root.entries.is_empty() {
            self.mistakes.note(0, "", "the file is empty", EMPTY_MEND);
            return None;
        }
        root.only(&KNOWN, self.mistakes);
        let node = self.node(file, root);
        let name = node.as_ref().map_or("", |node| node.name.as_str());
        let addresses = node.as_ref().map_or(&[][..], |node| node.addresses.as_slice());
        let peers = self.peers(root, name, addresses);
        let tun = self.tun(root, &peers);
        let offers = self.offers(root);
        let uses = self.uses(root, name, &peers);
        self.refuse_shared_endpoints(&offers, &uses);
        Some(Config {
            tun,
            peers: peers.into_iter().filter_map(|peer| peer.whole).collect(),
            offers,
            uses,
            ..node?
        })
    }

    /// Reads `[node]`, as a configuration that has nothing else yet.
    fn node(&mut self, file: &str, root: &Table) -> Option<Config> {
        if !root.require("node", NODE_MEND, self.mistakes) {
            return None;
        }
        let table = root.table("node", self.mistakes)?;
        table.only(&KNOWN_IN_NODE, self.mistakes);
        let name = self.name(table, "write  name = \"edge-north\" , as the policy calls this node");
        let key = self.secret_path(
            table,
            "key",
            Some("write  key = \"node.key\"  (`lockgate keygen node.key` makes one)"),
        );
        let addresses = self.addresses(table);
        let listen = self.listen(table);
        let policy = self.policy(table);
        let control = self.control(table);
        let spin = self.spin(table);
        Some(Config {
            file: file.to_owned(),
            name: name.unwrap_or_default(),
            key: key.unwrap_or_default(),
            addresses,
            listen: listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            policy,
            control,
            spin,
            tun: None,
            peers: Vec::new(),
            offers: Vec::new(),
            uses: Vec::new(),
            lines: NodeLines {
                name: table.line_of("name"),
                key: table.line_of("key"),
                policy: table.line_of("policy"),
            },
            warnings: Vec::new(),
        })
    }

    /// The required `name` of a node.
    fn name(&mut self, table: &Table, mend: &str) -> Option<String> {
        if !table.require("name", mend, self.mistakes) {
            return None;
        }
        let name = table.text("name", self.mistakes)?;
        if !document::is_name(name.value) {
            let problem = format!("{} cannot name a node", quoted(name.value));
            let mend = "use up to 63 letters, digits, `-`, `_` or `.`, a letter or digit first";
            table.note("name", problem, mend, self.mistakes);
        }
        Some(name.value.to_owned())
    }

    fn addresses(&mut self, table: &Table) -> Vec<IpAddr> {
        let mend = "write  address = [\"10.77.0.11\"] , the overlay addresses of this node";
        if !table.require("address", mend, self.mistakes) {
            return Vec::new();
        }
        let Some(texts) = table.texts("address", self.mistakes) else {
            return Vec::new();
        };
        if texts.is_empty() {
            table.note("address", "no valid address is listed", mend, self.mistakes);
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for text in texts {
            match text.value.parse() {
                Ok(address) if addresses.contains(&address) => {
                    let problem = format!("{address} is listed twice");
                    self.mistakes.note(text.line, "node.address", problem, "keep one of the two");
                }
                Ok(address) => addresses.push(address),
                Err(_) => {
                    let problem = format!("{} is not an IP address", quoted(text.value));
                    self.mistakes.note(text.line, "node.address", problem, mend);
                }
            }
        }
        addresses
    }

    fn listen(&mut self, table: &Table) -> Option<SocketAddr> {
        let mend = "write  listen = \"0.0.0.0:51820\" , where this node receives tunnel datagrams";
        if !table.require("listen", mend, self.mistakes) {
            return None;
        }
        let wanted = "an IP address and a port, as in \"0.0.0.0:51820\"";
        let listen = table.parsed("listen", wanted, |text| text.parse().ok(), self.mistakes);
        listen.map(|listen| listen.value)
    }

    fn policy(&mut self, table: &Table) -> Option<PathBuf> {
        if table.entry("policy").is_none() {
            let mend = "write  policy = \"policy.toml\"  (`lockgate init` writes an example)";
            table.note("policy", "no policy: nothing passes", mend, self.warnings);
        }
        self.path(table, "policy")
    }

    fn control(&mut self, table: &Table) -> Option<PathBuf> {
        let path = self.path(table, "control")?;
        if let Some(problem) = endpoint::too_long(&path) {
            table.note("control", problem, "choose a shorter path", self.mistakes);
            return None;
        }
        Some(path)
    }

    fn spin(&mut self, table: &Table) -> Option<Duration> {
        let wanted = "a time, as in \"50us\"";
        let spin = table.parsed("spin", wanted, parse_duration, self.mistakes)?;
        if spin.value > LONGEST_SPIN {
            let problem = "the loop would burn a processor for that long before each sleep";
            let mend = "write at most \"10ms\"; \"0us\" turns it off";
            table.note("spin", problem, mend, self.mistakes);
            return None;
        }
        Some(spin.value)
    }

    /// A path, made relative to the folder of the configuration.
    fn path(&mut self, table: &Table, key: &str) -> Option<PathBuf> {
        let text = table.text(key, self.mistakes)?;
        if text.value.is_empty() || text.value.contains('\0') {
            table.note(key, "this is no path", "write the path of a file", self.mistakes);
            return None;
        }
        Some(self.base.join(text.value))
    }

    /// The path of a secret; a key that was pasted instead is refused without repeating it.
    fn secret_path(&mut self, table: &Table, key: &str, required: Option<&str>) -> Option<PathBuf> {
        if let Some(mend) = required
            && !table.require(key, mend, self.mistakes)
        {
            return None;
        }
        let text = table.text(key, self.mistakes)?;
        if PublicKey::from_base64(text.value.trim()).is_ok() {
            let problem = "this is a key itself; the path of a file that holds it is wanted";
            let mend = "move the key to a file with  chmod 600 , write its path here, and replace the key if others saw this file";
            table.note(key, problem, mend, self.mistakes);
            return None;
        }
        self.path(table, key)
    }
}

const KNOWN: [&str; 5] = ["node", "tun", "peer", "offer", "use"];

const KNOWN_IN_NODE: [&str; 7] = ["name", "key", "address", "listen", "policy", "control", "spin"];

const EMPTY_MEND: &str = "`lockgate init` writes a commented one";

const NODE_MEND: &str =
    "write a section [node] with name, key, address, listen and policy  (`lockgate init` writes one)";

/// Looking for work longer than this never pays: a sleeping loop wakes sooner.
const LONGEST_SPIN: Duration = Duration::from_millis(10);
