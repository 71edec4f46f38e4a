//! The addresses that applications use, in libzmq's notation.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// Where an application is reached, or reaches us.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `tcp://127.0.0.1:5556`, `tcp://[::1]:5556`, `tcp://localhost:5556`. Names are not looked up.
    Tcp(SocketAddr),
    /// `ipc:///run/app.sock`; `ipc://@name` is an abstract name (no file), kept with its `@`.
    Ipc(PathBuf),
}

/// Why a text is not an endpoint. It names the text and the mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{text}\" is not an endpoint: {mend}")]
pub struct EndpointError {
    /// What was written.
    pub text: String,
    /// What to write instead.
    pub mend: &'static str,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let parsed = match text.split_once("://") {
            Some(("tcp", address)) => parse_tcp(address),
            Some(("ipc", path)) => parse_ipc(path),
            _ => Err("write tcp://127.0.0.1:5556 or ipc:///path/to/socket"),
        };
        parsed.map_err(|mend| EndpointError { text: text.into(), mend })
    }
}

fn parse_tcp(text: &str) -> Result<Endpoint, &'static str> {
    if let Ok(address) = text.parse() {
        return Ok(Endpoint::Tcp(address));
    }
    let (host, port) = text.rsplit_once(':').ok_or("add a port, as in tcp://127.0.0.1:5556")?;
    let port: u16 = port.parse().map_err(|_| "the port is a number from 0 to 65535")?;
    match host {
        "localhost" => Ok(Endpoint::Tcp((Ipv4Addr::LOCALHOST, port).into())),
        "*" => Err("write 127.0.0.1 for this machine alone, or 0.0.0.0 to let every machine in unencrypted"),
        _ => Err("write an IP address ([..] around IPv6) or localhost; names are not looked up"),
    }
}

fn parse_ipc(text: &str) -> Result<Endpoint, &'static str> {
    match text {
        "" | "@" => Err("add a path or a name, as in ipc:///run/app.sock or ipc://@app"),
        _ if text.contains('\0') => Err("a path has no zero byte"),
        // 108 bytes in the kernel's address, one of them the closing zero (or, where abstract, the opening one).
        _ if text.len() > 107 => Err("the path is too long for a socket (107 bytes at most)"),
        _ => Ok(Endpoint::Ipc(PathBuf::from(text))),
    }
}

impl Endpoint {
    /// The path, where it is one (with `@` where it is abstract).
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Ipc(path) => Some(path),
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Ipc(_) => true,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
            Self::Ipc(path) => write!(formatter, "ipc://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_prints_as_it_was_written() {
        for text in
            ["tcp://127.0.0.1:5556", "tcp://[::1]:0", "ipc:///run/x.sock", "ipc://relative", "ipc://@name"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://localhost:1".parse::<Endpoint>().unwrap().to_string(), "tcp://127.0.0.1:1");
    }

    #[test]
    fn what_is_no_endpoint_is_named_with_its_mend() {
        let long = format!("ipc:///{}", "x".repeat(107));
        let table = [
            ("", "tcp://127.0.0.1:5556"),
            ("udp://127.0.0.1:1", "tcp://"),
            ("tcp://127.0.0.1", "add a port"),
            ("tcp://127.0.0.1:65536", "0 to 65535"),
            ("tcp://example:5", "not looked up"),
            ("tcp://*:5", "0.0.0.0"),
            ("tcp://::1:5", "[..]"),
            ("ipc://", "add a path"),
            ("ipc://@", "add a path"),
            ("ipc://a\0b", "zero byte"),
            (&long, "too long"),
        ];
        for (text, mend) in table {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.text, text);
            assert!(error.to_string().contains(mend), "{error}");
        }
    }

    #[test]
    fn only_loopback_and_ipc_are_local() {
        for (text, local) in [
            ("tcp://127.0.0.9:1", true),
            ("tcp://0.0.0.0:1", false),
            ("tcp://[::ffff:127.0.0.1]:1", true),
            ("ipc://@x", true),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_local(), local, "{text}");
        }
    }
}
