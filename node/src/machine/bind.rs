//! Why an address could not be taken, and what the operator can do about it.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

/// An address that could not be bound. Its text names the address and the mend.
#[derive(Debug, Error)]
#[error("cannot listen on {endpoint}: {reason}\n  hint: {mend}")]
pub struct BindError {
    /// What was to be bound, as the operator wrote it (`udp 0.0.0.0:51820`, `tcp://127.0.0.1:5556`, `ipc:///run/x`).
    pub endpoint: String,
    /// What is wrong, in a few words.
    pub reason: String,
    /// What to do about it.
    pub mend: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// The error for `errno` on `endpoint`.
    pub(crate) fn new(endpoint: impl Into<String>, errno: Errno) -> Self {
        let (reason, mend) = explain(errno);
        Self { endpoint: endpoint.into(), reason, mend: mend.into(), source: errno.into() }
    }

    /// The error for a bound UDP `port` that cannot be watched.
    pub(crate) fn unwatched(port: u16, error: &io::Error) -> Self {
        Self::new(format!("udp port {port}"), Errno::from_io_error(error).unwrap_or(Errno::INVAL))
    }

    /// The same with words that know more than the error number does.
    pub(crate) fn because(endpoint: impl Into<String>, errno: Errno, reason: &str, mend: &str) -> Self {
        Self { endpoint: endpoint.into(), reason: reason.into(), mend: mend.into(), source: errno.into() }
    }
}

fn explain(errno: Errno) -> (String, &'static str) {
    let (reason, mend) = match errno {
        Errno::ADDRINUSE => (
            "another program holds this address",
            "stop that program (`ss -lntup` shows it), or choose another port",
        ),
        Errno::ADDRNOTAVAIL => (
            "this machine has no such address",
            "use an address that `ip address` shows, or 0.0.0.0 or [::] for all of them",
        ),
        Errno::ACCESS | Errno::PERM => (
            "permission denied",
            "use a port of 1024 or above and a directory that this user may write to, or grant the right",
        ),
        Errno::NOENT => ("the directory does not exist", "create the directory, or choose another path"),
        Errno::NOTDIR => ("a part of the path is not a directory", "choose another path"),
        Errno::NAMETOOLONG => ("the path is too long for a socket (107 bytes)", "choose a shorter path"),
        Errno::AFNOSUPPORT => ("this system has no such address family", "use the other IP version"),
        Errno::MFILE | Errno::NFILE => ("too many open files", "raise the limit (`ulimit -n`)"),
        other => return (io::Error::from(other).to_string(), "check the address"),
    };
    (reason.into(), mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_error_names_the_address_and_the_mend() {
        let text = BindError::new("udp 127.0.0.1:9", Errno::ADDRINUSE).to_string();
        assert!(text.contains("udp 127.0.0.1:9"), "{text}");
        assert!(text.contains("hint: stop that program"), "{text}");
    }
}
