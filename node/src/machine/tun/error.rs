//! Why a TUN device could not be had, and what the operator can do about it.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

/// A TUN device that could not be created or taken over. Its text names the device and the mend.
#[derive(Debug, Error)]
#[error("cannot open the TUN device{device}: {reason}\n  hint: {mend}")]
pub struct TunError {
    /// A blank and the quoted name, or nothing where no name is known.
    device: String,
    reason: String,
    mend: &'static str,
    at_fault: AtFault,
    /// What the system said, if it was asked.
    #[source]
    source: Option<io::Error>,
}

/// What would have to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtFault {
    /// The name that was asked for.
    Name,
    /// This system, or our rights on it.
    System,
}

const CHOOSE: &str = "choose a name of 1 to 15 bytes such as `wg0`, or `wg%d` for the first free number";
const RIGHTS: &str =
    "run as root, or grant the program CAP_NET_ADMIN (`setcap cap_net_admin+ep`, `AmbientCapabilities=`)";
const DRIVER: &str =
    "load the driver (`modprobe tun`); in a container, pass the device in (`--device /dev/net/tun`)";
const OTHER_NAME: &str = "stop the program that has it, or choose another name (`ip tuntap` lists them)";
const PLAIN: &str = "delete it (`ip link del NAME`), or choose another name";
const HANDED: &str = "hand over a descriptor of /dev/net/tun after TUNSETIFF with IFF_TUN and IFF_NO_PI";

impl TunError {
    fn new(device: &str, reason: impl Into<String>, mend: &'static str, errno: Option<Errno>) -> Self {
        let device = if device.is_empty() { String::new() } else { format!(" {device:?}") };
        let at_fault =
            if [CHOOSE, OTHER_NAME, PLAIN].contains(&mend) { AtFault::Name } else { AtFault::System };
        Self { device, reason: reason.into(), mend, at_fault, source: errno.map(Into::into) }
    }

    /// Whether another name would do.
    pub fn is_about_the_name(&self) -> bool {
        self.at_fault == AtFault::Name
    }

    /// What is wrong, without the mend.
    pub fn problem(&self) -> String {
        format!("cannot open the TUN device{}: {}", self.device, self.reason)
    }

    /// The mend alone.
    pub fn mend(&self) -> &'static str {
        self.mend
    }

    /// The name is none.
    pub(super) fn name(name: &str, reason: &str) -> Self {
        Self::new(name, format!("{name:?} is no interface name: {reason}"), CHOOSE, None)
    }

    /// `/dev/net/tun` did not open.
    pub(super) fn driver(name: &str, errno: Errno) -> Self {
        let (reason, mend) = match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => {
                ("this system has no /dev/net/tun or no driver behind it".into(), DRIVER)
            }
            Errno::ACCESS | Errno::PERM => ("no permission to open /dev/net/tun".into(), RIGHTS),
            other => (format!("/dev/net/tun: {}", io::Error::from(other)), "check /dev/net/tun"),
        };
        Self::new(name, reason, mend, Some(errno))
    }

    /// The driver refused to create the device or to attach to it.
    pub(super) fn attach(name: &str, errno: Errno) -> Self {
        let (reason, mend) = match errno {
            Errno::PERM | Errno::ACCESS => ("creating one needs CAP_NET_ADMIN".into(), RIGHTS),
            Errno::BUSY => ("another program has it".into(), OTHER_NAME),
            Errno::EXIST | Errno::INVAL => {
                ("an interface of this name exists that is not a TUN device with one queue".into(), PLAIN)
            }
            other => (io::Error::from(other).to_string(), OTHER_NAME),
        };
        Self::new(name, reason, mend, Some(errno))
    }

    /// The name belongs to a device of another kind.
    pub(super) fn taken(name: &str, reason: &str, errno: Errno) -> Self {
        Self::new(name, reason, PLAIN, Some(errno))
    }

    /// A descriptor that does not answer as a TUN device does.
    pub(super) fn not_a_tun(errno: Errno) -> Self {
        let reason = match errno {
            Errno::BADFD => "the descriptor that was handed over has no device attached".into(),
            Errno::NOTTY | Errno::INVAL => "the descriptor that was handed over is not a TUN device".into(),
            other => format!("the descriptor that was handed over: {}", io::Error::from(other)),
        };
        Self::new("", reason, HANDED, Some(errno))
    }

    /// A TUN device that we cannot read.
    pub(super) fn wrong_kind(name: &str, reason: &str) -> Self {
        Self::new(name, reason, HANDED, None)
    }
}
