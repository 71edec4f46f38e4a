//! The programs that may be at an end of a tunnel.

use std::fmt;
use std::path::PathBuf;

use super::lab::on_path;
use crate::rig::lockgate;

/// Names another program to test in Lockgate's place, so that the tests themselves can be tested.
const SUBJECT: &str = "LOCKGATE_TEST_SUBJECT";
/// Names a folder with the other implementations, where they are not on PATH.
const PEERS: &str = "LOCKGATE_PEERS";

/// A userspace WireGuard that speaks the UAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Implementation {
    /// `lockgate wg` of this workspace.
    Lockgate,
    /// The reference in Go, as Debian packages it.
    WireguardGo,
    /// Cloudflare's.
    Boringtun,
    /// Mullvad's.
    Gotatun,
}

impl Implementation {
    /// Every implementation that is not ours.
    pub const OTHERS: [Self; 3] = [Self::WireguardGo, Self::Boringtun, Self::Gotatun];

    /// The one under test: Lockgate, unless `LOCKGATE_TEST_SUBJECT` names another by the name of its program.
    pub fn subject() -> Self {
        let Ok(name) = std::env::var(SUBJECT) else { return Self::Lockgate };
        [Self::Lockgate, Self::WireguardGo, Self::Boringtun, Self::Gotatun]
            .into_iter()
            .find(|known| known.file_name() == name)
            .unwrap_or_else(|| panic!("{SUBJECT}={name} names no implementation"))
    }

    /// The name of its program.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Lockgate => "lockgate",
            Self::WireguardGo => "wireguard-go",
            Self::Boringtun => "boringtun-cli",
            Self::Gotatun => "gotatun",
        }
    }

    /// Its program; `None` where it is not installed.
    pub fn program(self) -> Option<PathBuf> {
        if self == Self::Lockgate {
            return Some(lockgate().to_owned());
        }
        let beside = std::env::var_os(PEERS).map(|folder| PathBuf::from(folder).join(self.file_name()));
        beside.filter(|program| program.is_file()).or_else(|| on_path(self.file_name()))
    }

    /// What stands between the program and the interface's name, to run it as a daemon.
    pub fn daemon_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Lockgate => &["wg", "--allow-all"],
            Self::WireguardGo => &[],
            Self::Boringtun | Self::Gotatun => &["--disable-drop-privileges"],
        }
    }

    /// What stands between the program and the interface's name, to run it in the foreground.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Lockgate => &["wg", "-f", "--allow-all"],
            Self::WireguardGo => &["-f"],
            // A connected socket does not follow its host to another address.
            Self::Boringtun => &["-f", "--disable-drop-privileges", "--disable-connected-udp"],
            Self::Gotatun => &["-f", "--disable-drop-privileges"],
        }
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}
