//! Where applications and the node meet: local endpoints, as ZeroMQ writes them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use lockgate_proto::document::quoted;

use crate::machine::apps::Endpoint;

/// Reads an endpoint; a relative `ipc://` path starts at `base`.
///
/// Addresses other than loopback are refused: between application and node messages are in clear.
///
/// # Errors
/// The problem and the mend.
pub(super) fn parse(text: &str, base: &Path) -> Result<Endpoint, (String, String)> {
    let Some((transport, rest)) = text.split_once("://") else {
        return Err((format!("{} is no endpoint", quoted(text)), MEND.to_owned()));
    };
    match transport {
        "tcp" => tcp(text, rest),
        "ipc" => ipc(text, rest, base),
        "inproc" => Err(("an inproc endpoint ends at its own process".to_owned(), MEND.to_owned())),
        other => Err((format!("the transport {} is not carried", quoted(other)), MEND.to_owned())),
    }
}

fn tcp(text: &str, rest: &str) -> Result<Endpoint, (String, String)> {
    let Some((host, port)) = rest.rsplit_once(':') else {
        return Err((format!("{} has no port", quoted(text)), MEND.to_owned()));
    };
    let plain = port.bytes().all(|byte| byte.is_ascii_digit());
    let Some(port) = port.parse::<u16>().ok().filter(|port| plain && *port > 0) else {
        return Err((format!("{} is no port", quoted(port)), "write a port from 1 to 65535".to_owned()));
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "*" => return Err(exposed("every interface", port)),
        host => host.parse().map_err(|_| {
            let problem = format!("{} is not an IP address: names are not looked up", quoted(host));
            (problem, format!("write  \"tcp://127.0.0.1:{port}\""))
        })?,
    };
    if !address.is_loopback() {
        return Err(exposed(&address.to_string(), port));
    }
    Ok(Endpoint::Tcp(SocketAddr::new(address, port)))
}

fn exposed(what: &str, port: u16) -> (String, String) {
    let problem = format!("{what} is more than loopback: messages would cross the network in clear");
    (
        problem,
        format!(
            "write  \"tcp://127.0.0.1:{port}\"  or an ipc:// path; the tunnel carries them to other nodes"
        ),
    )
}

fn ipc(text: &str, rest: &str, base: &Path) -> Result<Endpoint, (String, String)> {
    if rest.is_empty() || rest == "*" || rest.contains('\0') {
        return Err((format!("{} has no path", quoted(text)), MEND.to_owned()));
    }
    if rest.starts_with('@') {
        let mend = "write a path, as in  \"ipc:///run/lockgate/telemetry\"";
        return Err((
            "abstract sockets have no permissions: anybody on this host could connect".to_owned(),
            mend.to_owned(),
        ));
    }
    let path = base.join(rest);
    if let Some(problem) = too_long(&path) {
        return Err((problem, "choose a shorter path".to_owned()));
    }
    Ok(Endpoint::Ipc(path))
}

/// What is wrong with a path that no socket can have.
pub(super) fn too_long(path: &Path) -> Option<String> {
    let length = path.as_os_str().len();
    (length > LONGEST_PATH)
        .then(|| format!("the path of a socket has at most {LONGEST_PATH} bytes, and this one has {length}"))
}

/// `sockaddr_un` has 108 bytes, and the last is a zero.
const LONGEST_PATH: usize = 107;

const MEND: &str = "write  \"tcp://127.0.0.1:5556\"  or  \"ipc:///run/lockgate/telemetry\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_local_or_refused() {
        for (text, read) in [
            ("tcp://127.0.0.1:5556", Ok("tcp://127.0.0.1:5556")),
            ("tcp://localhost:5556", Ok("tcp://127.0.0.1:5556")),
            ("tcp://127.3.2.1:1", Ok("tcp://127.3.2.1:1")),
            ("tcp://[::1]:5556", Ok("tcp://[::1]:5556")),
            ("ipc:///run/a", Ok("ipc:///run/a")),
            ("ipc://a.sock", Ok("ipc:///base/a.sock")),
            ("tcp://*:5556", Err("in clear")),
            ("tcp://0.0.0.0:5556", Err("in clear")),
            ("tcp://198.51.100.7:5556", Err("in clear")),
            ("tcp://[::]:5556", Err("in clear")),
            ("tcp://example.net:5556", Err("not looked up")),
            ("tcp://127.0.0.1", Err("has no port")),
            ("tcp://localhost", Err("no port")),
            ("tcp://127.0.0.1:0", Err("is no port")),
            ("tcp://127.0.0.1:*", Err("is no port")),
            ("tcp://127.0.0.1:70000", Err("is no port")),
            ("ipc://", Err("no path")),
            ("ipc://@hidden", Err("anybody")),
            ("inproc://a", Err("own process")),
            ("pgm://a", Err("not carried")),
            ("127.0.0.1:5556", Err("no endpoint")),
            ("", Err("no endpoint")),
        ] {
            match (parse(text, Path::new("/base")), read) {
                (Ok(endpoint), Ok(wanted)) => assert_eq!(endpoint.to_string(), wanted),
                (Err((problem, _)), Err(words)) => {
                    assert!(problem.contains(words), "{text}: {problem}");
                }
                (found, wanted) => panic!("{text}: {found:?} instead of {wanted:?}"),
            }
        }
        assert!(parse(&format!("ipc:///{}", "x".repeat(107)), Path::new("/")).is_err());
    }
}
