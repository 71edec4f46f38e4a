//! `lockgate zmq`: a small ZeroMQ client on the `zeromq` crate, for trying things out.
//!
//! The crate has no linger, no reconnect for most types and no way to ask whether a queue is empty.
//! What this file and its parts do about it: connect again until the timeout, wait for the writer tasks
//! at the end, and never hand a message to a socket that has no peer.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zeromq::{Socket, SocketEvent, SocketOptions, ZmqError};

use super::Failure;
use crate::cli::{Common, Line, Zmq, ZmqKind};

mod ask;
mod receive;
mod send;
mod text;

/// Between two attempts to connect: libzmq's default.
const RECONNECT: Duration = Duration::from_millis(100);
/// How long the far side gets to take what we queued, where no `--timeout` says otherwise.
const LINGER: Duration = Duration::from_secs(30);
/// How often the writer tasks are counted at the end: the crate gives no event for it.
const LINGER_LOOK: Duration = Duration::from_millis(2);

pub(super) fn run(options: Zmq, common: &Common) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::failed(format!("no event loop: {error}"), "raise the limit of open files (ulimit -n)")
    })?;
    let json = common.json;
    runtime.block_on(async {
        match options.kind {
            ZmqKind::Pub(publish) => send::publish(publish).await,
            ZmqKind::Push(push) => send::push(push).await,
            ZmqKind::Sub(subscribe) => receive::subscribe(subscribe, json).await,
            ZmqKind::Pull(pull) => receive::pull(pull, json).await,
            ZmqKind::Req(request) => ask::ask(request, json).await,
            ZmqKind::Rep(answer) => ask::answer(answer, json).await,
        }
    })
}

/// A socket at its endpoint, and the news about its peers.
struct Attached<S> {
    socket: S,
    news: News,
    line: Line,
}

/// What the crate's monitor says.
type News = futures_channel::mpsc::Receiver<SocketEvent>;

impl<S: Socket> Attached<S> {
    /// Binds, or connects until it works or the timeout passes.
    async fn open(line: Line) -> Result<Self, Failure> {
        check_endpoint(&line.endpoint)?;
        let mut options = SocketOptions::default();
        // One attempt must not outlive ours: a listener that says nothing would hold it for ever.
        options.connect_timeout(line.timeout.unwrap_or(LINGER));
        let mut socket = S::with_options(options);
        let news = socket.monitor();
        let mut attached = Self { socket, news, line };
        if attached.line.bind {
            attached.bind().await?;
        } else {
            attached.connect().await?;
        }
        Ok(attached)
    }

    async fn bind(&mut self) -> Result<(), Failure> {
        let endpoint = self.line.endpoint.clone();
        remove_stale(&endpoint).await;
        let bound = self.socket.bind(&endpoint).await.map_err(|error| {
            Failure::failed(
                format!("{endpoint}: {error}"),
                "choose an endpoint that is free and that you may bind, or leave out --bind to connect",
            )
        })?;
        tracing::info!(endpoint = %bound, "bound");
        Ok(())
    }

    /// Connects; refusals and closed handshakes are tried again, as libzmq does.
    async fn connect(&mut self) -> Result<(), Failure> {
        let Line { endpoint, timeout, .. } = self.line.clone();
        let give_up = timeout.map(|time| Instant::now() + time);
        loop {
            let attempt = within(give_up, self.socket.connect(&endpoint)).await;
            let reason = match attempt {
                Some(Ok(())) => return Ok(()),
                Some(Err(error @ (ZmqError::Endpoint(_) | ZmqError::PeerIdentity))) => {
                    return Err(Failure::usage(format!("{endpoint}: {error}"), ENDPOINTS));
                }
                Some(Err(error)) => error.to_string(),
                None => "no answer in time".to_owned(),
            };
            if give_up.is_some_and(|end| Instant::now() + RECONNECT >= end) {
                return Err(Failure::failed(
                    format!("{endpoint}: {reason}"),
                    "is something bound there, with the matching socket type? A Lockgate endpoint closes what the policy denies:  lockgate status",
                ));
            }
            tracing::debug!(%endpoint, reason, "connecting again");
            sleep(RECONNECT).await;
        }
    }

    /// Waits until a peer has finished its handshake with our bound socket.
    async fn peer(&mut self) -> Result<(), Failure> {
        let give_up = self.line.timeout;
        let accepted = async {
            loop {
                match self.news.recv().await {
                    Ok(SocketEvent::Accepted(..) | SocketEvent::Connected(..)) => return,
                    Ok(SocketEvent::AcceptFailed(error)) => {
                        tracing::warn!(%error, "a peer was refused");
                    }
                    Ok(_) => {}
                    // The socket owns the sender: it lives as long as we do.
                    Err(_) => std::future::pending().await,
                }
            }
        };
        match give_up {
            None => {
                accepted.await;
                Ok(())
            }
            Some(time) => timeout(time, accepted).await.map_err(|_| too_late(&self.line, "no peer came")),
        }
    }

    /// Brings a peer back after the last one left.
    async fn again(&mut self) -> Result<(), Failure> {
        if self.line.bind { self.peer().await } else { self.connect().await }
    }

    /// Ends the socket once its peers have taken what was queued for them.
    async fn close(self) -> Result<(), Failure> {
        let Self { socket, line, .. } = self;
        // Tasks that the crate started for us run first: one of them may still hold our last messages.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        for error in socket.close().await {
            tracing::debug!(%error, "closing");
        }
        let written = async {
            while Handle::current().metrics().num_alive_tasks() > 0 {
                sleep(LINGER_LOOK).await;
            }
        };
        timeout(line.timeout.unwrap_or(LINGER), written)
            .await
            .map_err(|_| too_late(&line, "a peer did not take everything that was sent"))
    }
}

/// The result of `work`, or `None` once `end` is there; without an `end` there is always a result.
async fn within<T>(end: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match end {
        Some(end) => timeout_at(end, work).await.ok(),
        None => Some(work.await),
    }
}

fn too_late(line: &Line, what: &str) -> Failure {
    let time = line.timeout.unwrap_or(LINGER);
    Failure::failed(
        format!("{}: {what} within {time:?}", line.endpoint),
        "give it more time with --timeout, or look at  lockgate status",
    )
}

const ENDPOINTS: &str = "endpoints look like tcp://127.0.0.1:5556 or ipc:///run/app/socket";

/// Refuses what the crate would misread: it takes `ipc://@name` for a file's name.
fn check_endpoint(endpoint: &str) -> Result<(), Failure> {
    let wrong = |what: &str| Err(Failure::usage(format!("{endpoint}: {what}"), ENDPOINTS));
    match endpoint.split_once("://") {
        Some(("tcp", address)) => match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && (port == "*" || port.parse::<u16>().is_ok()) => Ok(()),
            _ => wrong("no host and port"),
        },
        Some(("ipc", path)) if path.starts_with('@') => {
            wrong("abstract sockets are not supported by this client")
        }
        Some(("ipc", "")) => wrong("no path"),
        Some(("ipc", path)) if path.len() > 107 => {
            wrong("the path is longer than the 107 bytes that a Unix socket's may have")
        }
        Some(("ipc", _)) => Ok(()),
        Some((transport, _)) => wrong(&format!("transport {transport:?} is not supported by this client")),
        None => wrong("no transport"),
    }
}

/// Removes a Unix socket that nobody listens on any more; the crate would report it as an address in use.
async fn remove_stale(endpoint: &str) {
    let Some(path) = endpoint.strip_prefix("ipc://").map(Path::new) else {
        return;
    };
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if UnixStream::connect(path).await.is_err_and(refused) {
        // Where this fails the bind will say so.
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_the_crate_would_misread_is_refused() {
        let long = format!("ipc:///{}", "x".repeat(200));
        for bad in [
            "",
            "tcp",
            "tcp://",
            "tcp://127.0.0.1",
            "tcp://:5",
            "tcp://h:99999",
            "ipc://",
            "ipc://@a",
            "inproc://a",
            "udp://a:1",
            &long,
        ] {
            assert!(matches!(check_endpoint(bad), Err(Failure::Usage(_))), "{bad}");
        }
        for good in ["tcp://127.0.0.1:5556", "tcp://[::1]:5556", "tcp://host:0", "ipc:///run/a", "ipc://a"] {
            assert!(check_endpoint(good).is_ok(), "{good}");
        }
    }
}
