//! Why the kernel did not change a network setting, and what the operator can do about it.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

/// A setting that could not be read or changed. Its text names the interface and the mend.
#[derive(Debug, Error)]
#[error("cannot {task}: {reason}\n  hint: {mend}")]
pub struct NetlinkError {
    task: String,
    reason: String,
    mend: &'static str,
    /// What the kernel said.
    #[source]
    source: io::Error,
}

impl NetlinkError {
    pub(super) fn new(task: impl Into<String>, errno: Errno) -> Self {
        let (reason, mend) = explain(errno);
        Self { task: task.into(), reason, mend, source: errno.into() }
    }

    /// There is no such interface.
    pub fn is_absent(&self) -> bool {
        Errno::from_io_error(&self.source) == Some(Errno::NODEV)
    }

    /// What is wanted is taken by another.
    pub fn is_taken(&self) -> bool {
        Errno::from_io_error(&self.source) == Some(Errno::EXIST)
    }

    /// What is wrong, without the mend.
    pub fn problem(&self) -> String {
        format!("cannot {}: {}", self.task, self.reason)
    }

    /// The mend alone.
    pub fn mend(&self) -> &'static str {
        self.mend
    }
}

fn explain(errno: Errno) -> (String, &'static str) {
    let (reason, mend) = match errno {
        Errno::PERM | Errno::ACCESS => (
            "it needs CAP_NET_ADMIN",
            "run as root, or grant the program CAP_NET_ADMIN (`setcap cap_net_admin+ep`, `AmbientCapabilities=`)",
        ),
        Errno::NODEV | Errno::NXIO => (
            "there is no such interface",
            "check its name (`ip link`): it may have been deleted, renamed or moved",
        ),
        Errno::NETDOWN => ("the interface is down", "set the interface up first (`ip link set dev NAME up`)"),
        Errno::NETUNREACH => (
            "the kernel sees no way over this interface",
            "set the interface up and give it an address first",
        ),
        Errno::EXIST => (
            "another interface has a route of this destination",
            "give the peer other addresses, or remove that route first (`ip route`)",
        ),
        Errno::OPNOTSUPP | Errno::AFNOSUPPORT => (
            "this kernel does not have it (IPv6 may be switched off)",
            "use the other IP version, or switch this one on (`sysctl net.ipv6.conf.all.disable_ipv6`)",
        ),
        Errno::INVAL | Errno::RANGE => {
            ("the kernel does not take this value", "check the value in the configuration")
        }
        Errno::NOBUFS | Errno::NOMEM => ("the kernel is short of memory", "try again later"),
        other => return (io::Error::from(other).to_string(), "see `dmesg` for what the kernel says"),
    };
    (reason.into(), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_interface_and_the_mend() {
        let error = NetlinkError::new("set the MTU of wg0 to 9", Errno::INVAL);
        let expected = "cannot set the MTU of wg0 to 9: the kernel does not take this value\n  hint: check the value in the configuration";
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_absent());
    }
}
