//! `[tun]`: the network interface through which IP packets of any application cross the tunnel.

use lockgate_proto::document::{Table, quoted};

use super::peer::Draft;
use super::prefix::parse;
use super::{Prefix, Reader};

/// The interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tun {
    /// Its name.
    pub name: String,
    /// Its MTU in bytes: the largest IP packet that crosses the tunnel whole.
    pub mtu: u16,
    /// Networks behind this host that it forwards for: their packets are judged as this node's own.
    pub networks: Vec<Prefix>,
    /// Where its keys stand in the file.
    pub lines: TunLines,
}

/// Lines of `[tun]`, counted from 1; the section's own for what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunLines {
    /// Of `name`.
    pub name: usize,
    /// Of `mtu`.
    pub mtu: usize,
}

impl Reader<'_> {
    pub(super) fn tun(&mut self, root: &Table, peers: &[Draft]) -> Option<Tun> {
        root.entry("tun")?;
        let table = root.table("tun", self.mistakes)?;
        table.only(&KNOWN, self.mistakes);
        let name = table.text("name", self.mistakes).map_or(USUAL_NAME, |text| text.value);
        if !is_interface_name(name) {
            let problem = format!("{} cannot name an interface", quoted(name));
            let mend = "use 1 to 15 letters, digits, `-`, `_` or `.`, as in \"lockgate0\"";
            table.note("name", problem, mend, self.mistakes);
        }
        let mtu = self.mtu(table).unwrap_or(USUAL_MTU);
        let networks = self.networks(table, peers);
        let lines = TunLines { name: table.line_of("name"), mtu: table.line_of("mtu") };
        Some(Tun { name: name.to_owned(), mtu, networks, lines })
    }

    fn networks(&mut self, table: &Table, peers: &[Draft]) -> Vec<Prefix> {
        if table.entry("networks").is_none() {
            return Vec::new();
        }
        let mut networks = Vec::new();
        for text in table.texts("networks", self.mistakes).unwrap_or_default() {
            match parse(text.value) {
                Ok(network) => {
                    let whole = peers.iter().filter_map(|peer| peer.whole.as_ref());
                    if let Some(peer) = whole.into_iter().find(|peer| peer.addresses.contains(&network)) {
                        let problem = format!("{network} is the peer {}'s", peer.name);
                        self.mistakes.note(text.line, "tun.networks", problem, "keep it with one of the two");
                    }
                    networks.push(network);
                }
                Err((problem, mend)) => {
                    let problem = format!("{} {problem}", quoted(text.value));
                    self.mistakes.note(text.line, "tun.networks", problem, mend);
                }
            }
        }
        networks
    }

    fn mtu(&mut self, table: &Table) -> Option<u16> {
        let mtu = table.integer("mtu", self.mistakes)?.value;
        let mtu = u16::try_from(mtu).ok().filter(|mtu| (SMALLEST_MTU..=LARGEST_MTU).contains(mtu));
        if mtu.is_none() {
            let problem = "no tunnel has this MTU";
            let mend = format!("write {SMALLEST_MTU} to {LARGEST_MTU}; 1420 crosses every Ethernet");
            table.note("mtu", problem, mend, self.mistakes);
        }
        mtu
    }
}

fn is_interface_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=15).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
}

const USUAL_NAME: &str = "lockgate0";

/// Fits 1500 bytes of IPv6 with UDP and the tunnel's own 32.
const USUAL_MTU: u16 = 1420;

/// IPv6 refuses an interface with less.
const SMALLEST_MTU: u16 = 1280;

/// What fits a UDP datagram together with the tunnel's own 32 bytes.
const LARGEST_MTU: u16 = 65_475;

const KNOWN: [&str; 3] = ["name", "mtu", "networks"];
